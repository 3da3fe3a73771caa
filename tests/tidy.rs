//! The repository's own rules. Files begin with a module comment and are not too long, and tests wait for events and never for
//! time.

mod commands;
mod documents;
mod guide;
mod layout;
mod messages;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};

const FOLDERS: [&str; 10] = [
    "host/engines/src",
    "host/engines/tests",
    "guest/adapter",
    "guest/macro/src",
    "guest/notify/src",
    "guest/sdk/src",
    "host/benches",
    "host/manifest/src",
    "host/src",
    "tests",
];
const MAX_LINES: usize = 400;

#[test]
fn every_module_says_what_it_is_for() {
    offenders("begins without a module comment", sources(), |path, text| {
        // A module's own tests need no introduction.
        !path.ends_with("tests.rs") && !text.starts_with("//!")
    });
}

#[test]
fn no_file_is_too_long_to_read() {
    offenders("is longer than 400 lines", sources(), |_, text| text.lines().count() > MAX_LINES);
}

#[test]
fn tests_wait_for_what_they_mean() {
    let waits = |path: &PathBuf| path.starts_with("tests") || path.starts_with("host/engines/tests");
    let tests = sources().into_iter().filter(|path| waits(path) && !path.starts_with("tests/guests"));
    // Written in two parts, since this is a test too.
    offenders("sleeps instead", tests, |_, text| text.contains(concat!("sleep", "(")));
}

/// A text that a guest or a client has chosen is a field of an event, where it is in quotes. In the message it could pass for other
/// fields.
#[test]
fn messages_about_guests_and_clients_are_the_host_s_own_words() {
    let targets = ["request", "task", "connection", "guest"].map(|target| format!("target: \"epilogue::{target}\""));
    let host = sources().into_iter().filter(|path| path.starts_with("host/src"));
    offenders("has an event whose message has a value in it", host, |_, text| {
        let events = text.split("tracing::").skip(1).filter_map(|event| event.split(");\n").next());
        let about = events.filter(|event| targets.iter().any(|target| event.contains(target)));
        let mut texts = about.flat_map(|event| event.split('"').skip(1).step_by(2));
        texts.any(|text| text.replace("{what}", "").contains('{'))
    });
}

/// Operators filter by an event's target. By default it is the module's path, which changes when a file moves.
#[test]
fn each_event_names_its_target() {
    let host = sources().into_iter().filter(|path| path.starts_with("host/src"));
    offenders("has an event without a target", host, |_, text| {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let macros = ["trace!(", "debug!(", "info!(", "warn!(", "error!(", "event!("];
        let mut events = macros.into_iter().flat_map(|name| {
            code.match_indices(name)
                .filter(|(at, _)| code[..*at].ends_with("tracing::"))
                .map(move |(at, _)| &code[at + name.len()..])
        });
        events.any(|event| !event.trim_start().starts_with("target: "))
    });
}

fn offenders(what: &str, paths: impl IntoIterator<Item = PathBuf>, offends: impl Fn(&Path, &str) -> bool) {
    let offenders: Vec<_> = paths
        .into_iter()
        .filter(|path| offends(path, &fs::read_to_string(root().join(path)).unwrap()))
        .map(|path| format!("{} {what}", path.display()))
        .collect();
    assert!(offenders.is_empty(), "{}", offenders.join("\n"));
}

/// All Rust files of the project, relative to its root.
fn sources() -> Vec<PathBuf> {
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(path);
            }
        }
    }
    assert!(sources.len() > 50, "there should be more files than {}", sources.len());
    sources
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
