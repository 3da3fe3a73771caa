//! Reads sizes that an operator writes, such as `64KiB`.

/// The units of a size, with the number of bytes in each unit. The largest unit comes first. An operator may write the
/// units with upper-case or lower-case letters.
pub const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// The reason why a text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSize {
    /// The text is neither a whole number nor a whole number with a unit.
    Malformed,
    /// The number of bytes does not fit 64 bits.
    TooLarge,
}

/// Reads a size, such as `64KiB`, `500MB` or `4096`, and returns the number of bytes.
pub fn parse(text: &str) -> Result<u64, NoSize> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].trim();
    let bytes = match unit {
        "" => Some(1),
        unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, bytes)| *bytes),
    };
    let count = digits.trim().parse::<u64>().ok();
    let (count, bytes) = count.zip(bytes).ok_or(NoSize::Malformed)?;
    count.checked_mul(bytes).ok_or(NoSize::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("4096", 4096),
            ("0", 0),
            (" 7 ", 7),
            ("1MiB", 1 << 20),
            ("128 MiB", 128 << 20),
            ("64kib", 64 << 10),
            ("2GiB", 2 << 30),
            ("500MB", 500_000_000),
            ("7B", 7),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "-1", "1 TiB", "1MiB2", "é", "18446744073709551616"] {
            assert_eq!(parse(text), Err(NoSize::Malformed), "{text}");
        }
        assert_eq!(parse("99999999999GiB"), Err(NoSize::TooLarge));
    }
}
