//! Limits on the tasks of one request, and on texts that a guest chooses (S11).

use alloc::format;
use alloc::string::String;

/// The largest size of a task's name, in bytes. The host writes the name into the task's record and into each event of
/// the task.
pub const MAX_NAME: usize = 1024;
/// The largest size of an error's text in a task's record, in bytes. The guest chooses the error's text. If the error's
/// text is longer, [`cut`] shortens the error's text.
pub const MAX_ERROR: usize = 4096;

/// The reason why a host without a task engine refuses a durable task.
pub const NO_STORE: &str = "durable tasks need a store, and this host has none";

/// If `bytes` bytes are too many for a task's name, returns the reason for the refusal. Otherwise, returns `None`.
pub fn refuses_name(bytes: usize) -> Option<&'static str> {
    if bytes > MAX_NAME { Some("a task's name may have at most 1024 bytes") } else { None }
}

/// If a task with these options cannot be durable on any host, returns the reason. If the task can be durable, returns
/// `None`.
pub fn refuses_durable(instance_bound: bool, cancel_on_disconnect: bool) -> Option<&'static str> {
    if instance_bound {
        Some("a closure lives in this instance's memory, so it cannot be durable: make it a named task")
    } else if cancel_on_disconnect {
        Some("a durable task is stored before its response is sent, so it cannot be cancelled when the client leaves")
    } else {
        None
    }
}

/// The limits on the tasks of one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest number of tasks of one request.
    pub tasks: u32,
    /// The largest size of one task's arguments, in bytes.
    pub task_args: u64,
    /// The largest size of the arguments of all tasks of a request together, in bytes.
    pub request_args: u64,
}

/// Counts the tasks that one request has enqueued so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accepted {
    /// The number of accepted tasks.
    pub tasks: u32,
    /// The size of the arguments of all accepted tasks of the request together, in bytes.
    pub args: u64,
}

/// The limit that one more task would exceed. The value in each variant is the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// The largest number of tasks of one request.
    Tasks(u32),
    /// The largest size of one task's arguments, in bytes.
    TaskArgs(u64),
    /// The largest size of the arguments of all tasks of a request together, in bytes.
    RequestArgs(u64),
}

impl Limits {
    /// Adds a task whose arguments have `args` bytes to the counters in `accepted`, and returns `None`. If the task
    /// would exceed a limit, does not count the task, and returns the limit.
    pub fn accept(&self, accepted: &mut Accepted, args: usize) -> Option<Exceeded> {
        let args = args as u64;
        if accepted.tasks >= self.tasks {
            return Some(Exceeded::Tasks(self.tasks));
        }
        if args > self.task_args {
            return Some(Exceeded::TaskArgs(self.task_args));
        }
        if args > self.request_args - accepted.args {
            return Some(Exceeded::RequestArgs(self.request_args));
        }
        accepted.tasks += 1;
        accepted.args += args;
        None
    }
}

/// If an error's text is longer than [`MAX_ERROR`] bytes, cuts off the rest and appends the number of missing bytes.
pub fn cut(mut text: String) -> String {
    let end = text.floor_char_boundary(MAX_ERROR);
    let missing = text.len() - end;
    if missing > 0 {
        text.truncate(end);
        text.push_str(&format!(" … ({missing} more bytes)"));
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_too_long_is_refused_with_the_limit() {
        assert_eq!(refuses_name(MAX_NAME), None);
        let refusal = refuses_name(MAX_NAME + 1).unwrap();
        assert!(refusal.contains(&format!(" {MAX_NAME} bytes")), "{refusal}");
    }

    #[test]
    fn limits_are_exact_and_named() {
        let limits = Limits { tasks: 2, task_args: 4, request_args: 6 };
        let mut accepted = Accepted::default();
        assert_eq!(limits.accept(&mut accepted, 5), Some(Exceeded::TaskArgs(4)));
        assert_eq!(limits.accept(&mut accepted, 4), None);
        assert_eq!(limits.accept(&mut accepted, 3), Some(Exceeded::RequestArgs(6)));
        assert_eq!(limits.accept(&mut accepted, 2), None);
        assert_eq!(limits.accept(&mut accepted, 0), Some(Exceeded::Tasks(2)));
        assert_eq!((accepted.tasks, accepted.args), (2, 6));
    }

    #[test]
    fn a_long_error_is_cut_between_two_characters() {
        let whole = "é".repeat(MAX_ERROR / 2);
        assert_eq!(cut(whole.clone()), whole);
        let long = cut(format!("x{whole}"));
        assert_eq!(long, format!("x{} … (2 more bytes)", "é".repeat(MAX_ERROR / 2 - 1)));
    }
}
