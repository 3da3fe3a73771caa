//! Limits how many task names become labels of metrics.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// How many different task names get a label of their own. Guests choose the names, and each label costs memory in the
/// host and in the operator's database.
const MAX_NAMES: usize = 200;
/// The label for all further task names.
const OTHER: &str = "other";

/// The task names that have a label of their own.
#[derive(Default)]
pub(crate) struct Names(Mutex<HashSet<String>>);

impl Names {
    /// Returns the label for a task's name: the name itself, or [`OTHER`] if already [`MAX_NAMES`] other names have
    /// labels.
    pub(crate) fn label(&self, name: &str) -> String {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains(name) {
            if names.len() >= MAX_NAMES {
                return OTHER.to_owned();
            }
            names.insert(name.to_owned());
        }
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_names_have_a_label() {
        let names = Names::default();
        for number in 0..MAX_NAMES {
            assert_eq!(names.label(&number.to_string()), number.to_string());
        }
        assert_eq!(names.label("one more"), OTHER);
        assert_eq!(names.label("7"), "7");
    }
}
