//! Rules for documents: lines that fit, and file names that exist.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::root;

const MAX_COLUMNS: usize = 100;

/// Entries of the changelog are not wrapped, and name files as they were called then.
const HISTORY: &str = "CHANGELOG.md";

#[test]
fn markdown_fits_in_100_columns() {
    let documents = files().into_iter().filter(|path| is(path, "md") && !path.ends_with(HISTORY));
    let long = documents.flat_map(|path| {
        let lines: Vec<_> = long_lines(&read(&path)).collect();
        lines.into_iter().map(move |line| format!("{}:{line} has more than 100 columns", path.display()))
    });
    assert_none(long);
}

#[test]
fn documents_and_comments_name_files_that_exist() {
    let files = files();
    let known = names(&files);
    let readers = files.iter().filter(|path| is(path, "md") && !path.ends_with(HISTORY) || is(path, "rs"));
    let unknown = readers.flat_map(|path| {
        let text = read(path);
        // In code only comments count: strings may be about any file.
        let prose =
            text.lines().map(|line| if is(path, "rs") { line.split_once("//").unwrap_or_default().1 } else { line });
        let names = prose.zip(1..).flat_map(|(line, number)| mentions(line).map(move |name| (number, name)));
        let unknown: Vec<_> = names
            .filter(|(_, name)| !known.contains(*name))
            .map(|(number, name)| format!("{}:{number} names {name}, which does not exist", path.display()))
            .collect();
        unknown
    });
    assert_none(unknown);
}

fn assert_none(offenses: impl Iterator<Item = String>) {
    let offenses: Vec<_> = offenses.collect();
    assert!(offenses.is_empty(), "{}", offenses.join("\n"));
}

/// The numbers of the lines that are too long. Lines of code and tables do not count, nor does a line that is one link.
fn long_lines(text: &str) -> impl Iterator<Item = usize> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let start = line.trim_start();
        if start.starts_with("```") {
            fenced = !fenced;
        }
        let item = start.trim_start_matches("- ");
        let code = fenced || line.starts_with("    ");
        let link = item.starts_with('[') && item.ends_with(')') && item.matches("](").count() == 1;
        let whole = code || link || start.starts_with('|') || !item.contains(' ');
        (line.chars().count() > MAX_COLUMNS && !whole).then_some(index + 1)
    })
}

/// The words of a line that look like a path of this repository. Such a word ends with a file's suffix or begins with a
/// top-level folder.
fn mentions(line: &str) -> impl Iterator<Item = &str> {
    const SUFFIXES: [&str; 4] = [".lua", ".md", ".rs", ".wit"];
    const FOLDERS: [&str; 6] = ["docs/", "fuzz/", "guest/", "host/", "tests/", "wit/"];
    let of_a_path = |letter: char| letter.is_ascii_alphanumeric() || "_-./".contains(letter);
    line.split(move |letter| !of_a_path(letter)).filter_map(move |word| {
        let word = word.trim_end_matches(['.', '/']).trim_start_matches("./");
        let (_, name) = word.rsplit_once('/').unwrap_or(("", word));
        // `.rs` alone is part of a pattern, and `NAME.rs` stands for any file.
        let file = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).is_some_and(|stem| {
            !stem.is_empty() && (!name.ends_with(".rs") || stem.contains(|letter: char| letter.is_ascii_lowercase()))
        });
        let own = FOLDERS.iter().any(|folder| word.starts_with(folder)) && !name.ends_with(".py");
        (!word.starts_with(['/', '.']) && (file || own)).then_some(word)
    })
}

/// Every name that a text may use: the path of each file and folder, and each end of such a path.
fn names(files: &[PathBuf]) -> HashSet<String> {
    let mut names = HashSet::new();
    for file in files {
        for path in file.ancestors() {
            let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
            names.extend((0..parts.len()).map(|start| parts[start..].join("/")));
        }
    }
    names
}

/// Folders that tools make, with files that are not the project's.
const OF_TOOLS: [&str; 4] = [".git", ".venv", "node_modules", "target"];

/// All files of the project, relative to its root.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            let name = entry.file_name();
            if !entry.file_type().unwrap().is_dir() {
                files.push(path);
            } else if !OF_TOOLS.iter().any(|of_tools| name == *of_tools) {
                folders.push(path);
            }
        }
    }
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|own| own == extension)
}
