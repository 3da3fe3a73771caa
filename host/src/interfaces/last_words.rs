//! Keeps the last text that a guest wrote to stderr. If a call traps, this text often shows the reason, because a
//! program that panics prints the panic's message before the trap.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use memchr::memmem;

/// The number of bytes of stderr that the host keeps during one call into a guest.
const KEPT: usize = 4096;
/// The text that follows the thread's name in the message of a Rust panic.
pub(crate) const PANICKED: &str = "panicked at ";
/// Texts that can follow the message of a Rust panic on stderr. [`LastWords::said`] leaves out these texts, and all
/// text after them.
const ADVICE: [&str; 2] = ["\nnote: run with `RUST_BACKTRACE", "\nstack backtrace:"];

/// The last text that an instance has written to stderr during the host's current call into the instance.
#[derive(Clone, Default)]
pub(crate) struct LastWords(Arc<Kept>);

#[derive(Default)]
struct Kept {
    /// True if the guest has written text to stderr during the current call. In most calls, a guest writes nothing, and
    /// a check of this flag is cheaper than locking `text`.
    any: AtomicBool,
    text: Mutex<Vec<u8>>,
}

impl LastWords {
    /// Deletes the text. The host calls this function when it begins another call into the instance.
    pub(crate) fn forget(&self) {
        if self.0.any.load(Relaxed) {
            self.0.any.store(false, Relaxed);
            *self.0.text.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new();
        }
    }

    /// Returns the message of the last panic in the current call, such as `panicked at src/lib.rs:1:2: message`. If
    /// there was no panic, returns the last text with the prefix `stderr`. Returns `None` if the guest has written
    /// nothing.
    pub(crate) fn said(&self) -> Option<String> {
        let text = self.0.text.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&text);
        let panic = text.rfind(PANICKED);
        let words = &text[panic.unwrap_or_default()..];
        let end = ADVICE.iter().filter_map(|advice| words.find(advice)).min().unwrap_or(words.len());
        let words = words[..end].trim_matches(|c: char| c.is_whitespace() || c == char::REPLACEMENT_CHARACTER);
        match panic {
            Some(_) => Some(words.replacen(":\n", ": ", 1)),
            None => (!words.is_empty()).then(|| format!("stderr: {words}")),
        }
    }

    /// Adds `bytes` to the kept text. If the text becomes longer than [`KEPT`], drops the oldest bytes. But if the
    /// oldest bytes are the beginning of the last panic's message, drops the newest bytes instead.
    pub(super) fn keep(&self, bytes: &[u8]) {
        let mut text = self.0.text.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.any.store(true, Relaxed);
        text.extend_from_slice(bytes);
        if text.len() > KEPT {
            let end = text.len() - KEPT;
            // The beginning of a panic's message names the file and the line, so the host keeps the beginning even if
            // the message is long.
            let start = memmem::rfind(&text, PANICKED.as_bytes()).map_or(end, |panic| panic.min(end));
            text.drain(..start);
            text.truncate(KEPT);
            text.shrink_to(KEPT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(writes: &[&str]) -> Option<String> {
        let words = LastWords::default();
        writes.iter().for_each(|text| words.keep(text.as_bytes()));
        words.said()
    }

    #[test]
    fn a_panic_is_told_with_its_place() {
        let panic = "\nthread '<unnamed>' (1) panicked at src/lib.rs:10:5:\non purpose\nnote: run with `RUST_BACKTRACE=1` \
                     environment variable to display a backtrace\n";
        let expected = Some("panicked at src/lib.rs:10:5: on purpose".to_owned());
        assert_eq!(said(&[panic]), expected);
        assert_eq!(said(&["begins\n", panic]), expected);
        let pieces: Vec<_> = panic.split_inclusive(' ').collect();
        assert_eq!(said(&pieces), expected);
        let long =
            "panicked at a.rs:1:1:\nassertion `left == right` failed\n  left: 1\n right: 2\nstack backtrace:\n  0: …";
        let expected = "panicked at a.rs:1:1: assertion `left == right` failed\n  left: 1\n right: 2";
        assert_eq!(said(&[long]).as_deref(), Some(expected));
        // The second panic begins while the guest prints the message of the first panic.
        assert_eq!(said(&[panic, "thread panicked at b.rs:2:2:\nagain"]).unwrap(), "panicked at b.rs:2:2: again");
    }

    #[test]
    fn other_words_are_told_as_they_are() {
        assert_eq!(said(&[]), None);
        assert_eq!(said(&["\n"]), None);
        let advice = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(said(&["fatal: ", "no memory\n", advice]).unwrap(), "stderr: fatal: no memory");
    }

    #[test]
    fn no_more_is_kept_than_can_be_told() {
        let long = "é".repeat(50_000);
        let panic = format!("panicked at src/lib.rs:10:5:\n{long}");
        for writes in [&["x", &long, &panic][..], &[&panic, &long], &[&long, "panicked at src/lib.rs:10:5:\n", &long]] {
            let said = said(writes).unwrap();
            assert!(said.starts_with("panicked at src/lib.rs:10:5: é") && said.len() <= KEPT + 3, "{}", said.len());
        }
        let said = said(&[&long, "the end"]).unwrap();
        assert!(said.ends_with("éthe end") && said.len() <= KEPT + 16, "{}", said.len());
    }

    #[test]
    fn another_call_begins_with_nothing() {
        let words = LastWords::default();
        words.keep(b"before");
        words.forget();
        assert_eq!(words.said(), None);
        words.keep(b"after");
        assert_eq!(words.said().unwrap(), "stderr: after");
    }
}
