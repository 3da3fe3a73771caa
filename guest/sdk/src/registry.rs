//! Finds the tasks of this guest by their names.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::args;
use crate::task::{Task, Work};

/// The registration of one `#[task]` function of the guest. The linker collects the registrations of all these
/// functions.
pub struct Registration {
    name: &'static str,
    signature: &'static str,
    location: &'static str,
    start: fn(&[u8]) -> Result<Work, serde_json::Error>,
}

impl Registration {
    /// Creates the registration of the task `T`. The code that the attribute `#[task]` generates calls this function.
    pub const fn of<T: Task>(signature: &'static str, location: &'static str) -> Self {
        Self { name: T::NAME, signature, location, start: |json| Ok(Box::pin(T::run(args::read(json)?))) }
    }

    /// Returns the future that runs the task with `args`. If the arguments do not fit the function, the error says why.
    pub(crate) fn start(&self, args: &[u8]) -> Result<Work, String> {
        (self.start)(args).map_err(|error| format!("`{}` cannot take these arguments: {error}", self.signature))
    }
}

inventory::collect!(Registration);

/// Finds the task with the name `name`.
///
/// # Panics
///
/// Panics if two tasks of this guest share a name.
pub(crate) fn find(name: &str) -> Option<&'static Registration> {
    tasks().get(name).copied()
}

/// Panics if two tasks of this guest share a name, because the wrong task could run. The SDK calls this function before
/// it enqueues a task.
pub(crate) fn check() {
    tasks();
}

/// Removes the crate's name from the path of a function: `app::mail::send` becomes `mail::send`. For a task at the
/// crate's root, only the name of the function remains.
pub const fn without_crate(path: &'static str) -> &'static str {
    let bytes = path.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        if bytes[at] == b':' && bytes[at + 1] == b':' {
            return path.split_at(at + 2).1;
        }
        at += 1;
    }
    path
}

/// Returns the length of a task's [`note`], in bytes.
pub const fn note_length(name: &str, location: &str) -> usize {
    8 + name.len() + location.len()
}

/// Returns one task's entry for the section `epilogue-tasks` of the component's file. The entry contains the lengths of
/// the name and the location, in four bytes each, and then both texts. When the host loads a component, it reads the
/// section `epilogue-tasks`. If two tasks in the section have the same name, the host refuses the component.
pub const fn note<const LENGTH: usize>(name: &str, location: &str) -> [u8; LENGTH] {
    let mut note = [0; LENGTH];
    let (lengths, texts) = note.split_at_mut(8);
    let (name_length, location_length) = lengths.split_at_mut(4);
    name_length.copy_from_slice(&(name.len() as u32).to_le_bytes());
    location_length.copy_from_slice(&(location.len() as u32).to_le_bytes());
    let (name_text, location_text) = texts.split_at_mut(name.len());
    name_text.copy_from_slice(name.as_bytes());
    location_text.copy_from_slice(location.as_bytes());
    note
}

/// Writes the [`note`] of a task into the section `epilogue-tasks` of the component's file.
#[doc(hidden)]
#[macro_export]
macro_rules! __note {
    ($task:ident, $location:expr) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            const NAME: &str = <$task as $crate::Task>::NAME;
            #[used]
            #[unsafe(link_section = "epilogue-tasks")]
            static NOTE: [u8; $crate::__private::note_length(NAME, $location)] =
                $crate::__private::note(NAME, $location);
        };
    };
}

fn tasks() -> &'static BTreeMap<&'static str, &'static Registration> {
    static TASKS: OnceLock<BTreeMap<&'static str, &'static Registration>> = OnceLock::new();
    TASKS.get_or_init(|| by_name(inventory::iter::<Registration>()))
}

fn by_name(
    registrations: impl IntoIterator<Item = &'static Registration>,
) -> BTreeMap<&'static str, &'static Registration> {
    let mut tasks = BTreeMap::new();
    for task in registrations {
        if let Some(other) = tasks.insert(task.name, task) {
            let (one, two) = (task.location.min(other.location), task.location.max(other.location));
            panic!(
                "two tasks are named `{}`, {one} and {two}: name one of them with `#[task(name = \"…\")]`",
                task.name
            );
        }
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{now, task};

    #[task]
    async fn write_log(_message: String, _levels: Vec<Option<u8>>) {}

    /// Does nothing.
    #[task(name = "noop")]
    fn do_nothing() {}

    #[task]
    fn fail(r#type: String) -> Result<(), String> {
        Err(r#type)
    }

    #[test]
    fn a_task_is_named_after_its_function_and_module() {
        assert_eq!(write_log::NAME, "registry::tests::write_log");
        assert_eq!(do_nothing::NAME, "noop");
        assert_eq!(without_crate("notify::write_log"), "write_log");
        assert_eq!(without_crate("notify::mail::send"), "mail::send");
    }

    #[test]
    fn a_task_is_found_by_its_name() {
        assert!(find("noop").is_some());
        assert!(find("registry::tests::write_log").is_some());
        assert!(find("write_log").is_none());
    }

    #[test]
    fn a_task_runs_with_its_arguments() {
        let start = |name, args: &str| find(name).unwrap().start(args.as_bytes()).unwrap();
        assert_eq!(now(start("registry::tests::fail", r#"["it broke"]"#)), Err("it broke".to_owned()));
        assert_eq!(now(start("registry::tests::write_log", r#"["a",[1,null]]"#)), Ok(()));
        assert_eq!(now(start("noop", "null")), Ok(()));
    }

    #[test]
    fn arguments_that_do_not_fit_are_explained() {
        let error = find(write_log::NAME).unwrap().start(b"[1,[]]").err().unwrap();
        assert_eq!(
            error,
            "`write_log(_message: String, _levels: Vec<Option<u8>>)` cannot take these arguments: \
             invalid type: integer `1`, expected a string at line 1 column 2"
        );
    }

    #[test]
    fn a_note_holds_the_name_and_the_place() {
        const NOTE: [u8; note_length("né", "a.rs:1")] = note("né", "a.rs:1");
        assert_eq!(NOTE, *b"\x03\0\0\0\x06\0\0\0n\xc3\xa9a.rs:1");
    }

    #[test]
    fn a_task_is_still_a_function() {
        assert_eq!(fail("now".to_owned()), Err("now".to_owned()));
        now(write_log("now".to_owned(), Vec::new()));
    }

    #[test]
    #[should_panic(expected = "two tasks are named `noop`, a::f (a.rs:1) and b::f (b.rs:2)")]
    fn two_tasks_cannot_share_a_name() {
        static TWO: [Registration; 2] = [
            Registration::of::<do_nothing>("f()", "b::f (b.rs:2)"),
            Registration::of::<do_nothing>("f()", "a::f (a.rs:1)"),
        ];
        by_name(&TWO);
    }
}
