//! Limits the number of task names that metrics use as labels.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The number of task names that get their own label. The number is limited because guests choose the names, and each
/// label takes memory in the host and in the operator's metrics database.
const MAX_NAMES: usize = 200;
/// The label that all other task names share.
const OTHER: &str = "other";

/// The task names that have their own label.
#[derive(Default)]
pub(crate) struct Names(Mutex<HashSet<String>>);

impl Names {
    /// Returns the label for a task's name. The label is the name itself, or [`OTHER`] if [`MAX_NAMES`] other names
    /// already have their own labels.
    pub(crate) fn label<'a>(&self, name: &'a str) -> &'a str {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains(name) {
            if names.len() >= MAX_NAMES {
                return OTHER;
            }
            names.insert(name.to_owned());
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_names_have_a_label() {
        let names = Names::default();
        for number in 0..MAX_NAMES {
            let name = number.to_string();
            assert_eq!(names.label(&name), name);
        }
        assert_eq!(names.label("one more"), OTHER);
        assert_eq!(names.label("7"), "7");
    }
}
