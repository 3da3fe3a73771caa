//! Reads the lines of a composed component on stderr, and turns them into records like those of the native host.

use std::collections::HashMap;
use std::time::Duration;

use epilogue::testing::{RequestRecord, ResponseOutcome, TaskRecord, TaskState};

const STATES: [TaskState; 8] = [
    TaskState::Succeeded,
    TaskState::Failed,
    TaskState::Trapped,
    TaskState::TimedOut,
    TaskState::Skipped,
    TaskState::Discarded,
    TaskState::Cancelled,
    TaskState::Abandoned,
];

/// The requests that have ended, in that order.
pub(crate) fn records(stderr: &str) -> impl Iterator<Item = RequestRecord> {
    let mut tasks: HashMap<String, Vec<TaskRecord>> = HashMap::new();
    let mut errors: HashMap<String, Vec<String>> = HashMap::new();
    stderr.split_inclusive('\n').filter(|line| line.ends_with('\n')).filter_map(move |line| {
        let (level, rest) = line.trim().split_once(' ')?;
        let (target, rest) = rest.split_once(": ")?;
        let at = rest.find("request=")?;
        let (message, fields) = (rest[..at].trim(), fields(&rest[at..]));
        let request = fields["request"].clone();
        match (level, target) {
            (_, "epilogue::task") if message.is_empty() => tasks.entry(request).or_default().push(task(&fields)),
            ("ERROR", "epilogue::request") => {
                let error =
                    fields.get("error").map_or_else(|| message.to_owned(), |error| format!("{message}: {error}"));
                errors.entry(request).or_default().push(error);
            }
            ("DEBUG", "epilogue::request") => {
                return Some(RequestRecord {
                    trace_id: fields["trace"].clone(),
                    component: String::new(),
                    status: fields["status"].parse().unwrap(),
                    outcome: outcome(&fields),
                    tasks: tasks.remove(&request).unwrap_or_default(),
                    stored: Vec::new(),
                    teardowns: fields["teardowns"].parse().unwrap(),
                    errors: errors.remove(&request).unwrap_or_default(),
                    leaked: 0,
                    id: request,
                });
            }
            _ => {}
        }
        None
    })
}

fn task(fields: &HashMap<String, String>) -> TaskRecord {
    let state = STATES.into_iter().find(|state| state.as_str() == fields["state"]);
    TaskRecord {
        id: fields["task"].parse().unwrap(),
        name: fields["name"].clone(),
        component: "".into(),
        ended: None,
        state: state.unwrap_or_else(|| panic!("{:?} is not a state", fields["state"])),
        dead: false,
        attempt: fields["attempt"].parse().unwrap(),
        elapsed: Duration::from_micros(fields["elapsed_us"].parse().unwrap()),
        error: fields.get("error").cloned(),
    }
}

fn outcome(fields: &HashMap<String, String>) -> ResponseOutcome {
    let error = || fields["error"].clone();
    match fields["outcome"].as_str() {
        "delivered" => ResponseOutcome::Delivered,
        "client-gone" => ResponseOutcome::ClientGone,
        "response-failed" => ResponseOutcome::ResponseFailed(error()),
        "handler-failed" => ResponseOutcome::HandlerFailed(error()),
        other => panic!("{other:?} is not an outcome"),
    }
}

/// Reads `name=value name="value with \"quotes\""`.
fn fields(text: &str) -> HashMap<String, String> {
    let (mut fields, mut rest) = (HashMap::new(), text.trim());
    while let Some((name, after)) = rest.split_once('=') {
        let mut value = String::new();
        let mut chars = after.char_indices();
        let quoted = after.starts_with('"');
        if quoted {
            chars.next();
        }
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => value.push(match chars.next().map(|(_, c)| c) {
                    Some('0') => '\0',
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some('u') => {
                        let digits =
                            chars.by_ref().map(|(_, c)| c).skip(1).take_while(|c| *c != '}').collect::<String>();
                        u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).unwrap()
                    }
                    Some(other) => other,
                    None => '\\',
                }),
                '"' if quoted => {
                    end = at + 1;
                    break;
                }
                ' ' if !quoted => {
                    end = at;
                    break;
                }
                c => value.push(c),
            }
        }
        fields.insert(name.to_owned(), value);
        rest = after[end..].trim_start();
    }
    fields
}
