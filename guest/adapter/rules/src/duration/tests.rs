use std::format;
use std::string::{String, ToString as _};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// Reads a duration with humantime, as earlier versions of the host did.
fn humantime(text: &str) -> Result<Duration, NoDuration> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= MAX => Ok(duration),
        Ok(_) | Err(humantime::DurationError::NumberOverflow) => Err(NoDuration::TooLong),
        Err(_) => Err(NoDuration::Malformed),
    }
}

#[test]
fn a_duration_is_numbers_and_units() {
    for (text, nanoseconds) in [
        ("0", 0),
        ("0s", 0),
        ("500ms", 500_000_000),
        ("1.5s", 1_500_000_000),
        ("1m 30s", 90_000_000_000),
        (" 1h30m ", 5_400_000_000_000),
        ("1day", 86_400_000_000_000),
        ("3µs 3us", 6_000),
    ] {
        assert_eq!(parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
    }
    for text in ["", " ", "30", "s", "5S", "1ms2", "1.s", "-1s", "1s,2s", "1é", "1s\u{0}"] {
        assert_eq!(parse(text), Err(NoDuration::Malformed), "{text:?}");
    }
    assert_eq!(parse("1000days"), Ok(MAX));
    for text in ["1001days", "500000000000years", "99999999999999999999s", "0.5ns"] {
        assert_eq!(parse(text), Err(NoDuration::TooLong), "{text}");
    }
}

#[test]
fn each_unit_is_as_humantime_has_it() {
    for (names, _) in UNITS {
        for name in names.split(' ') {
            for text in [format!("3{name}"), format!("0.5{name}"), format!("1.25 {name} 2{name}")] {
                assert_eq!(parse(&text), humantime(&text), "{text}");
            }
        }
    }
}

/// Generates texts that are nearly durations. Most of these texts contain only parts of durations, and some contain
/// other characters.
fn text() -> impl Strategy<Value = String> {
    let names: Vec<&str> = UNITS.iter().flat_map(|(names, _)| names.split(' ')).collect();
    let number = prop_oneof![
        4 => (0..2_000_u64).prop_map(|number| number.to_string()),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        1 => "[0-9 ]{1,24}",
    ];
    let fraction = prop_oneof![4 => Just(String::new()), 1 => r"\.[0-9]{0,3}", 1 => r"\.[0-9 ]{0,22}"];
    let unit = prop_oneof![
        8 => prop::sample::select(names).prop_map(String::from),
        1 => "[a-zA-Zµ]{0,3}",
        1 => "[ .é\u{2003}-]{0,2}",
    ];
    let space = prop_oneof![3 => Just(""), 2 => Just(" "), 1 => Just("\u{2003}"), 1 => Just("\t")];
    let part = (number, fraction, space.clone(), unit, space);
    let part =
        part.prop_map(|(number, fraction, before, unit, after)| format!("{number}{fraction}{before}{unit}{after}"));
    prop_oneof![8 => prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat()), 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Earlier versions of the host read durations with humantime. This version must read each text as the same
    /// duration, or refuse the text for the same reason.
    #[test]
    fn texts_are_read_as_humantime_reads_them(text in text()) {
        prop_assert_eq!(parse(&text), humantime(&text), "{:?}", text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_duration_is_shown_as_humantime_shows_it_and_reads_back(seconds: u64, small in 0..200_000_u64, nanoseconds in 0..1_000_000_000_u32) {
        for duration in [
            Duration::new(seconds, nanoseconds),
            Duration::new(small, nanoseconds),
            Duration::new(small, nanoseconds / 1_000_000 * 1_000_000),
            Duration::from_secs(small),
            Duration::from_nanos(u64::from(nanoseconds)),
        ] {
            let shown = Shown(duration).to_string();
            prop_assert_eq!(&shown, &humantime::format_duration(duration).to_string());
            prop_assert_eq!(parse(&shown), if duration <= MAX { Ok(duration) } else { Err(NoDuration::TooLong) });
        }
    }
}
