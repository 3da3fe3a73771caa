//! The layout of `host/src`: each folder imports only folders below it, and no files import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{root, sources};

/// The folders of `host/src`, from the command down to the contract. ARCHITECTURE.md lists the same ones in its code map.
const FOLDERS: [&str; 15] = [
    "commands",
    "dashboard",
    "server",
    "worker",
    "app",
    "request",
    "component",
    "interfaces",
    "wire",
    "reports",
    "tasks",
    "budget",
    "telemetry",
    "process",
    "contract",
];
/// Files above all folders.
const TOP: [&str; 4] = ["bench", "lib", "main", "testing"];

/// The one import that closes a circle. A response has to know whether its guest waits for the request's body. The body
/// notes on the response's connection that it was read whole.
const CIRCLE: (&str, &str) = ("wire::sent", "wire::incoming");

#[test]
fn each_folder_imports_only_folders_below_it() {
    let place = |folder: &str| FOLDERS.iter().position(|known| *known == folder);
    let mut wrong = Vec::new();
    for (file, imports) in imports() {
        let folder = file.split("::").next().unwrap();
        if TOP.contains(&folder) {
            continue;
        }
        let own = place(folder).unwrap_or_else(|| panic!("host/src/{folder} is not in the list of folders"));
        let above = imports.iter().filter(|path| place(&path[0]).is_none_or(|other| other < own));
        wrong.extend(above.map(|path| format!("{file} imports {}, which is above it", path.join("::"))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_code_map_lists_the_folders_in_their_order() {
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows = architecture.lines().filter_map(|line| line.strip_prefix("| `host/src/"));
    let listed: Vec<&str> = rows.filter_map(|row| Some(row.split_once("/`")?.0)).collect();
    assert_eq!(listed, FOLDERS);
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = imports();
    let files: BTreeSet<&str> = imports.keys().map(String::as_str).collect();
    // The file of a path is its longest prefix that is a file. The rest names items.
    let file_of = |path: &[String]| {
        let ends = (1..=path.len()).rev();
        ends.map(|end| path[..end].join("::")).find(|file| files.contains(file.as_str()))
    };
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, paths) in &imports {
        let others = paths.iter().filter_map(|path| file_of(path)).filter(|other| other != file);
        let others = others.filter(|other| (file.as_str(), other.as_str()) != CIRCLE);
        edges.insert(file.clone(), others.collect());
    }
    // A file that imports none of the remaining files is in no circle.
    loop {
        let left: BTreeSet<String> = edges.keys().cloned().collect();
        edges.values_mut().for_each(|others| others.retain(|other| left.contains(other)));
        let before = edges.len();
        edges.retain(|_, others| !others.is_empty());
        if edges.len() == before {
            break;
        }
    }
    let circles: Vec<_> = edges.iter().map(|(file, others)| format!("{file} → {others:?}")).collect();
    assert!(circles.is_empty(), "files of a circle, or above one:\n{}", circles.join("\n"));
}

/// What each file of `host/src` imports of the same crate, as the names of a path. Tests are left out.
fn imports() -> BTreeMap<String, Vec<Vec<String>>> {
    let files = sources().into_iter().filter(|path| path.starts_with("host/src"));
    let modules = files.filter(|path| !path.ends_with("tests.rs") && !path.ends_with("model.rs"));
    modules.map(|path| (module(&path).join("::"), imports_of(&path))).collect()
}

/// The module that a file is, as the names of its path.
fn module(path: &Path) -> Vec<String> {
    let path = path.strip_prefix("host/src").unwrap().with_extension("");
    path.iter().map(|name| name.to_str().unwrap().to_owned()).collect()
}

fn imports_of(path: &PathBuf) -> Vec<Vec<String>> {
    let own = module(path);
    let text = fs::read_to_string(root().join(path)).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut imports = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            // `super::super::x` is found at its first `super`.
            let before = &code[..at];
            if before.ends_with("::") || before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let mut found = Vec::new();
            expand(&code[at..], Vec::new(), &mut found);
            imports.extend(found.into_iter().map(|path| absolute(&own, &path)).filter(|path| !path.is_empty()));
        }
    }
    imports
}

/// Reads a path. If it ends in braces, it stands for several paths. Returns the text behind it.
fn expand<'a>(text: &'a str, mut names: Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let mut rest = text.trim_start();
    loop {
        if let Some(mut list) = rest.strip_prefix('{') {
            while !list.trim_start().starts_with('}') {
                list = expand(list, names.clone(), found).trim_start();
                list = list.strip_prefix(',').unwrap_or(list);
            }
            return list.trim_start().strip_prefix('}').unwrap_or_default();
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        names.push(rest[..end].to_owned());
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(next) => rest = next,
            None => break,
        }
    }
    found.push(names);
    let end = rest.find([',', '}', ';', '\n']).unwrap_or(rest.len());
    &rest[end..]
}

/// Converts a path to one from the crate's root. The result is empty for `self`.
fn absolute(own: &[String], path: &[String]) -> Vec<String> {
    let mut base = match path[0].as_str() {
        "crate" => Vec::new(),
        "super" => own[..own.len() - 1].to_vec(),
        _ => own.to_vec(),
    };
    let mut names = path[1..].iter();
    let mut next = names.next();
    while next.is_some_and(|name| name == "super") {
        base.pop();
        next = names.next();
    }
    base.extend(next.into_iter().chain(names).filter(|name| *name != "self").cloned());
    base
}
