// Retries or drops dead batches: the host first counts the batches, and a person confirms this number.

import { h, plural, setText, visible } from "./dom.js";
import { post } from "./live.js";

export const VERBS = {
	retry: { name: "Retry", will: "will be retried", done: "made ready again", danger: false },
	drop: { name: "Drop", will: "will be dropped", done: "dropped", danger: true },
};

const [dialog, heading, text, errors, act] = ["", "-title", "-text", "-errors", "-do"].map((part) => document.getElementById(`confirm${part}`));
const batches = (number) => plural(number, "batch", "batches");

/**
 * Asks the person, and retries or drops the batches that `which` names. Returns a sentence about the result, or nothing
 * if the person declines.
 */
export async function confirmed(verb, which) {
	const { name, will, done, danger } = VERBS[verb];
	let matches = 0;
	let result = null;
	const say = (words) => setText(text, words);

	const preview = async (before) => {
		const counted = await post(`dead/${verb}`, { ...which, dry_run: true });
		matches = counted.matches;
		say(`${before}${batches(matches)} with ${plural(counted.tasks, "task")} ${will}.`);
		setText(act, `${name} ${plural(counted.tasks, "task")}`);
		act.disabled = matches === 0;
	};
	const commit = async () => {
		const { done: number, failed } = await post(`dead/${verb}`, { ...which, expect: matches });
		result = `${batches(number)} ${done}.`;
		if (failed.length === 0) return dialog.close();
		say(`${result} ${batches(failed.length)} could not be changed:`);
		errors.replaceChildren(...failed.map(({ id, error }) => h("li", visible(`${id}: ${error}`))));
	};
	const attempt = async (step) => {
		act.disabled = true;
		try {
			await step();
		} catch (error) {
			if (error.status === 409) await attempt(() => preview("The dead letters have changed, and nothing was done. Now "));
			else say(error.status ? `The host refused: ${visible(error.message)}` : "The host does not answer, so it is not known whether it has acted.");
		}
	};

	setText(heading, `${name} dead tasks`);
	setText(act, name);
	act.classList.toggle("danger", danger);
	act.onclick = () => attempt(commit);
	errors.replaceChildren();
	say("Counting…");
	dialog.showModal();
	const closed = new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
	await attempt(() => preview(""));
	await closed;
	return result;
}
