//! The guide explains every message: each text of three words or more in the sources stands in one of two pages.
//!
//! A text's variable parts, such as `{path}`, stand for anything. The rest must stand in one line of a page, in order.

use std::fs;
use std::path::{Path, PathBuf};

use super::root;

const PAGES: [&str; 2] = ["docs/guide/troubleshooting.md", "docs/guide/reference/events-metrics.md"];
const FOLDERS: [&str; 7] = [
    "guest/adapter/rules/src",
    "guest/macro/src",
    "guest/sdk/src",
    "host/engines/src",
    "host/manifest/src",
    "host/spin/src",
    "host/src",
];
/// Files and folders that have no messages for users.
const WITHOUT_MESSAGES: [&str; 9] =
    ["bench.rs", "bindings.rs", "duration.rs", "model.rs", "template.rs", "testing", "testing.rs", "tests", "tests.rs"];
/// What makes a text a statement of SQL, or a line of Redis' scripts.
const STATEMENTS: [&str; 12] = [
    "ALTER ",
    "AND ",
    "CASE ",
    "CREATE ",
    "DELETE ",
    "INSERT ",
    "LEFT JOIN",
    "ROLLBACK ",
    "SELECT ",
    "UPDATE ",
    "iif(",
    "local ",
];
/// Texts that are no messages: reasons in attributes, what a library's text is compared with, headers, and what only a mistake in
/// Epilogue can show.
const OTHERS: [&str; 21] = [
    "DB index is out of range",
    "consumer not found",
    "failed to lookup address",
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "it is documented where it is used from",
    "it stands for the function of this name",
    "its drop is what counts",
    "no guest has tasks",
    "no stream found",
    "nobody but the runner calls it, and on one thread",
    "refused to switch database",
    "resource does not exist",
    "stream not found",
    "the future waits",
    "text/plain; version=0.0.4; charset=utf-8",
    "the address should be one of IP",
    "the stream: 503",
    "there is nothing to compose",
    "there must be a thread",
    "{NAME}={token}; Path=/; HttpOnly; SameSite=Strict",
    "{doc} [default: {default}]",
];

#[test]
fn the_guide_explains_every_message() {
    let page = PAGES.map(|page| fs::read_to_string(root().join(page)).unwrap()).join("\n");
    let lines: Vec<&str> = page.lines().collect();
    let missing: Vec<_> = sources().iter().flat_map(|path| unexplained(path, &lines)).collect();
    assert!(missing.is_empty(), "{} have no line for\n{}", PAGES.join(" and "), missing.join("\n"));
}

#[test]
fn the_guide_has_every_target_and_every_metric() {
    let page = fs::read_to_string(root().join(PAGES[1])).unwrap();
    let names = sources().into_iter().flat_map(|path| {
        let source = fs::read_to_string(root().join(&path)).unwrap();
        let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        literals(code).into_iter().filter(|text| text.starts_with("epilogue::") || text.starts_with("epilogue_"))
    });
    let is_name = |name: &String| name.chars().all(|letter| letter.is_ascii_lowercase() || "_:".contains(letter));
    let missing: Vec<_> = names.filter(is_name).filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{} does not have {}", PAGES[1], missing.join(", "));
}

/// The texts of this file that no line has.
fn unexplained(path: &Path, lines: &[&str]) -> Vec<String> {
    let source = fs::read_to_string(root().join(path)).unwrap();
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let texts = literals(code).into_iter().filter(|text| !STATEMENTS.iter().any(|word| text.contains(word)));
    // The first line of a longer text is enough to find it by.
    let texts = texts.map(|text| text.lines().next().unwrap_or_default().to_owned());
    // Two spaces are the layout of a table.
    let messages = texts
        .filter(|text| text.trim().matches(' ').count() >= 2 && !text.contains("  ") && !OTHERS.contains(&text.trim()));
    messages
        .filter(|text| !lines.iter().any(|line| has(line, &fixed_parts(text))))
        .map(|text| format!("{}: {text}", path.display()))
        .collect()
}

/// Whether a line has these parts, in this order.
fn has(line: &str, parts: &[String]) -> bool {
    let mut rest = line;
    parts.iter().all(|part| match rest.split_once(part.as_str()) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// What stands around the `{…}` of a format string.
fn fixed_parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.trim().chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '{' && letters.peek() != Some(&'{') {
            while letters.next().is_some_and(|letter| letter != '}') {}
            parts.push(String::new());
            continue;
        }
        // Written twice, a brace stands for itself.
        if matches!(letter, '{' | '}') {
            letters.next();
        }
        parts.last_mut().unwrap().push(letter);
    }
    parts
}

/// The string literals of a source, as the program sees them. Comments are left out.
fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let (before, from) = rest.split_at(at);
        rest = if from.starts_with("//") {
            from.find('\n').map_or("", |end| &from[end..])
        } else if let Some(quoted) = from.strip_prefix('"') {
            let hashes = "#".repeat(before.len() - before.trim_end_matches('#').len());
            if before.trim_end_matches('#').ends_with('r') {
                let (text, after) = quoted.split_once(&format!("\"{hashes}")).unwrap();
                found.push(text.to_owned());
                after
            } else {
                let (text, after) = unescaped(quoted);
                found.push(text);
                after
            }
        } else if from.starts_with("'\\") {
            // `'\''` and `'\\'` are letters, `'\n'` too.
            from[3..].split_once('\'').map_or("", |(_, after)| after)
        } else if from.starts_with('\'') && from.chars().nth(2) == Some('\'') {
            from[1..].split_once('\'').map_or("", |(letter, after)| if letter.is_empty() { &after[1..] } else { after })
        } else {
            &from[1..]
        };
    }
    found
}

/// Reads a literal up to its closing quote, and returns what follows.
fn unescaped(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (text, &quoted[at + 1..]),
            '\\' => match letters.next() {
                Some((_, 'n')) => text.push('\n'),
                // The text goes on after the next line's indentation.
                Some((end, '\n')) => {
                    let (more, rest) = unescaped(quoted[end..].trim_start());
                    text.push_str(&more);
                    return (text, rest);
                }
                Some((_, other)) => text.push(other),
                None => break,
            },
            other => text.push(other),
        }
    }
    (text, "")
}

/// All Rust files of [`FOLDERS`] whose texts are for users, relative to the root.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if WITHOUT_MESSAGES.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
