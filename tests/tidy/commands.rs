//! Checks that commands in the guide and the README use only options that exist.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::guide::pages;
use super::root;

const COMMANDS: [&str; 8] = ["build", "compose", "dashboard", "new", "status", "tasks", "up", "worker"];

#[test]
fn shown_commands_have_options_that_exist() {
    let known: HashMap<&str, String> = COMMANDS.map(|command| (command, help(command))).into();
    let mut bad = Vec::new();
    for page in pages().into_iter().chain([PathBuf::from("README.md")]) {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        for line in text.lines() {
            for (command, options) in shown(line) {
                let Some(help) = known.get(command) else {
                    bad.push(format!("{}: there is no command {command}: {line}", page.display()));
                    continue;
                };
                let unknown = options.into_iter().filter(|option| !help.split(is_no_part).any(|word| word == *option));
                bad.extend(unknown.map(|option| format!("{}: `epilogue {command}` has no {option}", page.display())));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// The commands of a line of a shell, and their options: `epilogue up --build`, `cargo run --release -- up --build`.
fn shown(line: &str) -> Vec<(&str, Vec<&str>)> {
    let line = line.split(" #").next().unwrap_or_default();
    let starts = ["epilogue ", "cargo run --release -- "];
    let commands = starts.iter().flat_map(|start| line.split(start).skip(1));
    let words = commands.map(|rest| rest.split(['`', '|', '&', ';', '>', '\'']).next().unwrap_or_default());
    let lines = words.filter_map(|rest| {
        let mut words = rest.split_whitespace();
        let command = words.next().filter(|word| word.chars().all(|letter| letter.is_ascii_lowercase()))?;
        let options: Vec<_> = words
            .filter(|word| word.starts_with("--"))
            .map(|word| word.split(is_no_part).next().unwrap_or_default())
            .collect();
        // Prose: "the command epilogue runs".
        (COMMANDS.contains(&command) || !options.is_empty()).then_some((command, options))
    });
    lines.collect()
}

/// Whether a letter is no part of an option's name.
fn is_no_part(letter: char) -> bool {
    !letter.is_ascii_alphanumeric() && letter != '-'
}

fn help(command: &str) -> String {
    let all = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_epilogue")).arg(command).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let tasks = ["list", "dead", "show", "retry", "drop"].map(|task| all(&[task, "--help"]));
    if command == "tasks" { tasks.concat() } else { all(&["--help"]) }
}
