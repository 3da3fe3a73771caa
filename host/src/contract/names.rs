//! Reads the names of a guest's tasks from the guest's file, and finds tasks with the same name.
//!
//! For each task, the SDK writes an entry into a custom section of the guest's core module. An entry begins with two
//! lengths of four bytes each, with the least significant byte first. The next bytes are the two texts with these
//! lengths: the task's name, and the place of the task's function in the source. Two tasks of a guest cannot have the
//! same name, because the host calls a task by its name.

use std::collections::BTreeMap;

use anyhow::bail;
use wasmparser::{Parser, Payload};

/// The name of the custom section. A guest without this section is valid too, because not every SDK writes the section.
const SECTION: &str = "epilogue-tasks";

/// Checks that all tasks of a guest have different names. If a part of the component cannot be read, ignores the part,
/// because other checks report it.
///
/// # Errors
///
/// Returns an error if two tasks have the same name. The error names the functions of both tasks.
pub(crate) fn check(component: &[u8]) -> anyhow::Result<()> {
    for payload in Parser::new(0).parse_all(component) {
        let Ok(payload) = payload else { break };
        // Check each core module separately, because a composed component can contain several guests, each with its own
        // section.
        if let Payload::CustomSection(section) = payload
            && section.name() == SECTION
        {
            check_notes(section.data())?;
        }
    }
    Ok(())
}

fn check_notes(mut notes: &[u8]) -> anyhow::Result<()> {
    let mut places = BTreeMap::new();
    while let Some((name, place)) = take_note(&mut notes) {
        if let Some(other) = places.insert(name, place) {
            let (one, two) = (place.min(other), place.max(other));
            bail!("two tasks are named `{name}`, {one} and {two}: name one of them with `#[task(name = \"…\")]`");
        }
    }
    Ok(())
}

fn take_note<'a>(notes: &mut &'a [u8]) -> Option<(&'a str, &'a str)> {
    let (name, place) = (take_length(notes)?, take_length(notes)?);
    let name = notes.split_off(..name)?;
    let place = notes.split_off(..place)?;
    Some((str::from_utf8(name).ok()?, str::from_utf8(place).ok()?))
}

fn take_length(notes: &mut &[u8]) -> Option<usize> {
    let (length, rest) = notes.split_first_chunk()?;
    *notes = rest;
    usize::try_from(u32::from_le_bytes(*length)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &str, place: &str) -> Vec<u8> {
        let length = |text: &str| u32::try_from(text.len()).unwrap().to_le_bytes();
        [&length(name), &length(place), name.as_bytes(), place.as_bytes()].concat()
    }

    /// Makes a component whose core modules have these sections.
    fn component(sections: &[Vec<u8>]) -> Vec<u8> {
        let section = |data: &Vec<u8>| {
            let data: String = data.iter().map(|byte| format!("\\{byte:02x}")).collect();
            format!("(core module (@custom \"{SECTION}\" \"{data}\"))")
        };
        wat::parse_str(format!("(component {})", sections.iter().map(section).collect::<String>())).unwrap()
    }

    #[test]
    fn two_tasks_of_one_name_are_refused() {
        let [one, two] = ["b::send (b.rs:2)", "a::send (a.rs:1)"].map(|place| note("send \"it\"", place));
        let error = check(&component(&[[one.clone(), note("other", "c"), two.clone()].concat()])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "two tasks are named `send \"it\"`, a::send (a.rs:1) and b::send (b.rs:2): name one of them with \
             `#[task(name = \"…\")]`"
        );
        // Different guests in one composed component may have tasks with the same name.
        check(&component(&[one, two])).unwrap();
    }

    #[test]
    fn what_is_no_note_is_passed_over() {
        for section in [vec![], vec![1], note("a", "b")[..9].to_vec(), vec![255; 9], note("a", "b")] {
            check(&component(&[section])).unwrap();
        }
        check(b"no component").unwrap();
        check(&[]).unwrap();
    }
}
