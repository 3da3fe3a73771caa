//! Splits the output of guests into lines, and remembers which request and which task have printed each line.

use std::sync::Arc;

use super::otlp::trace::Trace;

/// The largest number of bytes in a piece of a line. The host splits a longer line into several pieces.
pub(super) const MAX_LINE: usize = 16 * 1024;

/// The request and the task that have printed a guest's output.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) request: Arc<str>,
    pub(crate) trace_id: Option<Arc<str>>,
    /// The number of the running task. The value is `None` while the handler or the teardown runs.
    pub(crate) task: Option<u64>,
    /// The component that runs the task. The value is `None` if no task runs. Then the lines have the id of the component
    /// that serves the request, even if a middleware prints them.
    pub(crate) component: Option<Arc<str>>,
    /// The trace that the request is part of. The value is `None` if the host exports no traces.
    pub(crate) trace: Option<Arc<Trace>>,
}

/// A line that a guest has printed, or a piece of a line that is longer than [`MAX_LINE`].
pub(super) struct Line<'a> {
    pub(super) component: &'a str,
    /// The name of the stream: `stdout` or `stderr`.
    pub(super) stream: &'static str,
    /// The request and the task that have printed the line. The value is `None` if the instance serves no request.
    pub(super) origin: Option<&'a Origin>,
    pub(super) text: &'a str,
    /// True if the line goes on in the next piece.
    pub(super) continues: bool,
}

/// Splits one output stream of one instance into lines.
#[derive(Debug)]
pub(super) struct LineSplitter {
    component: String,
    stream: &'static str,
    origin: Option<Arc<Origin>>,
    /// The part of a line that the guest has printed so far, without the line break.
    line: Vec<u8>,
}

impl LineSplitter {
    pub(super) fn new(component: &str, stream: &'static str) -> Self {
        Self { component: component.to_owned(), stream, origin: None, line: Vec::new() }
    }

    /// Adds bytes that the guest has printed, and calls `write` for each line that has ended.
    pub(super) fn add(&mut self, bytes: &[u8], mut write: impl FnMut(Line<'_>)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            let ended = self.line.pop_if(|last| *last == b'\n').is_some();
            while self.line.len() > MAX_LINE {
                let rest = self.line.split_off(whole(&self.line[..MAX_LINE]));
                let piece = std::mem::replace(&mut self.line, rest);
                self.write(&piece, true, &mut write);
            }
            if ended {
                let line = std::mem::take(&mut self.line);
                self.write(&line, false, &mut write);
            }
        }
    }

    /// From now on, the guest's output belongs to the request and the task in `origin`. If the previous origin has
    /// printed a line without a line break, first ends this line.
    pub(super) fn belong_to(&mut self, origin: Option<Arc<Origin>>, write: impl FnMut(Line<'_>)) {
        self.end(write);
        self.origin = origin;
    }

    /// If the guest has printed a line without a line break, ends this line.
    pub(super) fn end(&mut self, write: impl FnMut(Line<'_>)) {
        if !self.line.is_empty() {
            self.add(b"\n", write);
        }
    }

    fn write(&self, line: &[u8], continues: bool, write: &mut impl FnMut(Line<'_>)) {
        let text = &String::from_utf8_lossy(line);
        let Self { component, stream, origin, .. } = self;
        let component = origin.as_ref().and_then(|origin| origin.component.as_deref()).unwrap_or(component);
        write(Line { component, stream, origin: origin.as_deref(), text, continues });
    }
}

/// Returns the number of bytes up to the end of the last complete character. `bytes` may end in the middle of a
/// character.
fn whole(bytes: &[u8]) -> usize {
    match bytes.utf8_chunks().last().map(|last| last.invalid()) {
        Some(begun) if std::str::from_utf8(begun).is_err_and(|error| error.error_len().is_none()) => {
            bytes.len() - begun.len()
        }
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 4096;

    fn splitter() -> LineSplitter {
        LineSplitter::new("app", "stderr")
    }

    /// Adds `bytes`, and returns the lines that are now complete. For each line, also returns whether the line goes on
    /// in the next piece.
    fn lines(splitter: &mut LineSplitter, bytes: &[u8]) -> Vec<(String, bool)> {
        let mut lines = Vec::new();
        splitter.add(bytes, |line| lines.push((line.text.to_owned(), line.continues)));
        lines
    }

    #[test]
    fn a_line_is_written_once_however_it_comes() {
        let mut open = splitter();
        assert!(lines(&mut open, b"par").is_empty());
        assert_eq!(lines(&mut open, b"tial\n\nnext"), [("partial".to_owned(), false), (String::new(), false)]);
        assert_eq!(lines(&mut open, b"\n"), [("next".to_owned(), false)]);
        assert_eq!(lines(&mut open, b"\xff\x1b[2J\"\n"), [("\u{fffd}\u{1b}[2J\"".to_owned(), false)]);
    }

    #[test]
    fn a_long_line_goes_on_in_the_next_piece_and_nothing_of_it_is_lost() {
        for start in ["", "a", "ab", "abc"] {
            let text = format!("{start}{}", "\u{1f600}".repeat(MAX_LINE));
            let (mut open, mut written) = (splitter(), Vec::new());
            for piece in text.as_bytes().chunks(PIECE) {
                written.extend(lines(&mut open, piece));
                assert!(open.line.len() <= MAX_LINE);
            }
            written.extend(lines(&mut open, b"\n"));
            assert!(written.len() >= 4 && written.iter().all(|(line, _)| line.len() <= MAX_LINE));
            assert!(written.iter().rev().skip(1).all(|(_, continues)| *continues) && !written.last().unwrap().1);
            assert_eq!(written.into_iter().map(|(line, _)| line).collect::<String>(), text);
        }
    }

    #[test]
    fn a_line_of_no_characters_is_cut_all_the_same() {
        let mut open = splitter();
        assert_eq!(lines(&mut open, &[0x9f; 3 * MAX_LINE]).len(), 2);
        assert_eq!(open.line.len(), MAX_LINE);
    }

    #[test]
    fn a_line_that_has_not_ended_belongs_to_the_origin_before() {
        let origin =
            |task| Some(Arc::new(Origin { request: "1".into(), trace_id: None, task, component: None, trace: None }));
        let (mut open, mut written) = (splitter(), Vec::new());
        let mut write = |line: Line<'_>| written.push((line.origin.unwrap().task, line.text.to_owned()));
        open.belong_to(origin(None), &mut write);
        open.add(b"handler", &mut write);
        open.belong_to(origin(Some(7)), &mut write);
        open.add(b"task", &mut write);
        open.end(&mut write);
        assert_eq!(written, [(None, "handler".to_owned()), (Some(7), "task".to_owned())]);
    }
}
