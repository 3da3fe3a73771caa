//! Parses the value of the option `backoff = "1s..5m"`.

use syn::{Error, LitStr, Result};

/// The milliseconds in each unit. `ms` comes before `m` and `s`, so that the parser matches `ms` first.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The pause after a task's first failed attempt, and the longest pause between two attempts, both in milliseconds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) first: u64,
    pub(crate) max: u64,
}

/// Reads the first and the longest pause from the attribute's value, such as `1s..5m`.
pub(crate) fn parse(literal: &LitStr) -> Result<Backoff> {
    let refuse = |why: &str| Error::new(literal.span(), why);
    let text = literal.value();
    let durations = text.split_once("..").map(|(first, max)| (duration(first), duration(max)));
    let Some((Some(first), Some(max))) = durations else {
        return Err(refuse(
            "`backoff` is the first wait, `..` and the longest wait, such as \"1s..5m\". A wait is a whole number with \
             a unit: ms, s, m, h or d",
        ));
    };
    if first == 0 {
        return Err(refuse("the first wait of `backoff` cannot be zero, because each further wait is twice as long"));
    }
    if first > max {
        return Err(refuse("the first wait of `backoff` cannot be longer than its maximum"));
    }
    Ok(Backoff { first, max })
}

/// Reads a whole number with a unit, such as `5m`, and returns the time in milliseconds.
fn duration(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, factor) = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    let digits = digits.trim_end();
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    fn parsed(text: &str) -> Option<(u64, u64)> {
        parse(&LitStr::new(text, Span::call_site())).ok().map(|Backoff { first, max }| (first, max))
    }

    #[test]
    fn it_is_two_durations() {
        assert_eq!(parsed("1s..5m"), Some((1_000, 300_000)));
        assert_eq!(parsed("1ms..1ms"), Some((1, 1)));
        assert_eq!(parsed(" 2 h .. 1 d "), Some((7_200_000, 86_400_000)));
    }

    #[test]
    fn anything_else_is_refused() {
        let wrong =
            ["", "1s", "1s..", "..5m", "1s-5m", "1..5", "1s..5x", "+1s..5m", "1.5s..5m", "s..m", "0s..5m", "5m..1s"];
        for text in wrong {
            assert_eq!(parsed(text), None, "{text:?}");
        }
        assert_eq!(parsed("1s..18446744073709551615d"), None, "it is too long");
    }
}
