//! Reads durations that an operator writes, and formats durations for the log.
//!
//! This module reads and writes the same texts as the crate humantime. The adapters cannot use humantime, because
//! humantime needs std. A test compares this module with humantime.

use core::fmt;
use core::time::Duration;

#[cfg(test)]
mod tests;

/// The longest duration that a setting may have: 1,000 days. Some libraries add a duration to the present time, and
/// panic if the sum overflows. The sum of the present time and `MAX` never overflows.
pub const MAX: Duration = Duration::from_secs(1000 * 24 * 60 * 60);

/// The names of the units, and the nanoseconds in each unit. A month has 30.44 days, and a year has 365.25 days.
const UNITS: [(&str, u64); 10] = [
    ("ns nsec nanos", 1),
    ("us usec µs", 1_000),
    ("ms msec millis", 1_000_000),
    ("s sec secs second seconds", SECOND),
    ("m min mins minute minutes", 60 * SECOND),
    ("h hr hrs hour hours", HOUR),
    ("d day days", 24 * HOUR),
    ("w wk wks week weeks", 7 * 24 * HOUR),
    ("M month months", 2_630_016 * SECOND),
    ("y yr yrs year years", 31_557_600 * SECOND),
];

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;

/// The reason why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoDuration {
    /// The text is not a list of numbers with units.
    Malformed,
    /// The duration is longer than [`MAX`], or has too many decimal places. Each part of a duration, such as `1.5h`,
    /// must be a whole number of nanoseconds. If the part's unit is hours or longer, the part must be a whole number of
    /// seconds, as humantime requires.
    TooLong,
}

/// Reads a duration, for example `500ms`, `1.5s`, `1m 30s` or `1h30m`. The number `0` needs no unit.
pub fn parse(text: &str) -> Result<Duration, NoDuration> {
    let duration = if text == "0" { Duration::ZERO } else { sum(text)? };
    if duration <= MAX { Ok(duration) } else { Err(NoDuration::TooLong) }
}

fn sum(text: &str) -> Result<Duration, NoDuration> {
    let (mut rest, mut sum) = (text.trim_start(), Duration::ZERO);
    loop {
        let (part, after) = part(rest)?;
        sum = sum.checked_add(part).ok_or(NoDuration::TooLong)?;
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(sum);
        }
    }
}

/// Reads a number and its unit, and returns the duration and the rest of the text. The digits may contain spaces, but
/// the unit cannot.
fn part(text: &str) -> Result<(Duration, &str), NoDuration> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(NoDuration::Malformed);
    }
    let (whole, _, rest) = number(text)?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        None => (None, rest),
        Some(rest) => {
            let (digits, scale, rest) = number(rest)?;
            (Some((digits, scale.ok_or(NoDuration::TooLong)?)), rest)
        }
    };
    let (name, rest) = split(rest, |c| c.is_ascii_alphabetic() || c == 'µ');
    let ends = rest.chars().next().is_none_or(|c| c.is_ascii_digit() || c.is_whitespace());
    let unit = UNITS.iter().find(|(names, _)| names.split(' ').any(|one| one == name));
    let (Some((_, unit)), true, true) = (unit, ends, fraction.is_none_or(|(_, scale)| scale > 1)) else {
        return Err(NoDuration::Malformed);
    };
    let whole = scaled(whole, *unit, *unit >= SECOND, 1)?;
    let part = match fraction {
        None => whole,
        Some(_) if *unit == 1 => return Err(NoDuration::TooLong),
        Some((digits, scale)) => {
            let fraction = scaled(digits, *unit, *unit >= HOUR, scale)?;
            whole.checked_add(fraction).ok_or(NoDuration::TooLong)?
        }
    };
    Ok((part, rest))
}

/// Multiplies `count` by `unit` and divides the product by `scale`. If `in_seconds` is true, the calculation uses whole
/// seconds. If `in_seconds` is false, the calculation uses whole nanoseconds.
fn scaled(count: u64, unit: u64, in_seconds: bool, scale: u64) -> Result<Duration, NoDuration> {
    let unit = if in_seconds { unit / SECOND } else { unit };
    match count.checked_mul(unit) {
        Some(total) if total % scale == 0 && in_seconds => Ok(Duration::from_secs(total / scale)),
        Some(total) if total % scale == 0 => Ok(Duration::from_nanos(total / scale)),
        _ => Err(NoDuration::TooLong),
    }
}

/// Reads the digits at the start of a text. Returns three values: the number, the scale, and the rest of the text. The
/// scale is 10 for one digit, 100 for two digits, and so on. If the scale does not fit 64 bits, the second value is
/// `None`.
fn number(text: &str) -> Result<(u64, Option<u64>, &str), NoDuration> {
    let (digits, rest) = split(text, |c| c.is_ascii_digit() || c.is_whitespace());
    let (mut number, mut scale) = (0_u64, Some(1_u64));
    for digit in digits.chars().filter_map(|c| c.to_digit(10)) {
        let more = number.checked_mul(10).and_then(|number| number.checked_add(digit.into()));
        number = more.ok_or(NoDuration::TooLong)?;
        scale = scale.and_then(|scale| scale.checked_mul(10));
    }
    Ok((number, scale, rest))
}

/// Splits a text in two: the characters at the text's beginning for which `belongs` returns true, and the rest of the
/// text.
fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// Displays a duration exactly, for example as `1m 30s`. [`parse`] can read the displayed text of durations up to
/// [`MAX`].
pub struct Shown(pub Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECONDS: [(&str, u64); 6] =
            [("year", 31_557_600), ("month", 2_630_016), ("day", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
        const NANOSECONDS: [(&str, u64); 3] = [("ms", 1_000_000), ("us", 1_000), ("ns", 1)];
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        let mut space = "";
        for (mut left, units) in [(self.0.as_secs(), &SECONDS[..]), (u64::from(self.0.subsec_nanos()), &NANOSECONDS)] {
            for (unit, length) in units {
                let count = left / length;
                left %= length;
                if count > 0 {
                    let plural = if count > 1 && unit.len() > 2 { "s" } else { "" };
                    write!(f, "{space}{count}{unit}{plural}")?;
                    space = " ";
                }
            }
        }
        Ok(())
    }
}
