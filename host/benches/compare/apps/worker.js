// The guest `tests/guests/examples/bench.rs`, written for workerd. The path `/counts` returns how many tasks the requests
// added and how many tasks ran.

// Without `result`, the compiler would remove the computation.
let asked = 0, ran = 0, result = 0;

async function count(sleep, burn) {
  if (sleep) await new Promise((done) => setTimeout(done, sleep));
  compute(burn);
  ran += 1;
}

// The computation consists of short equal calls. V8 would compile one long loop differently in each run.
function compute(rounds) {
  for (; rounds > 0; rounds -= 1000) result = thousand(result);
}

function thousand(state) {
  for (let i = 0; i < 1000; i++) state = (Math.imul(state, 31) + i) | 0;
  return state;
}

export default {
  async fetch(request, env, context) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/counts") return new Response(`asked ${asked} ran ${ran}`);
    const wanted = (name) => Number(searchParams.get(name) ?? 0);
    const tasks = wanted("tasks"), sleep = wanted("sleep"), burn = wanted("burn");
    asked += tasks;
    for (let i = 0; i < tasks; i++) context.waitUntil(count(sleep, burn));
    compute(wanted("work"));
    return new Response("ok");
  },
};
