//! Rules for documents: lines that fit.

use std::fs;
use std::path::{Path, PathBuf};

use super::root;

const MAX_COLUMNS: usize = 100;

/// Entries of the changelog are not wrapped.
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

fn assert_none(offences: impl Iterator<Item = String>) {
    let offences: Vec<_> = offences.collect();
    assert!(offences.is_empty(), "{}", offences.join("\n"));
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
            } else if name != "target" && name != ".git" {
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
