//! The types of the settings' values. Each type defines how an operator writes a value on the command line and in a
//! manifest.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs},
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use epilogue_rules::duration::{self, NoDuration, Shown};
use epilogue_rules::size::{self, NoSize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// A type that a setting can have. An operator writes the values of the type as text.
pub trait Value: Sized {
    /// Reads a value from the text that the operator wrote. The error says what is wrong with the text.
    fn parse(text: &str) -> Result<Self, String>;
    /// Returns the text that an operator would write for the value.
    fn show(&self) -> String;
}

/// A number of bytes, written as `64KiB`, `1MiB`, `500MB` or `4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(usize);

impl Size {
    /// Makes a size from a number of bytes.
    pub const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Makes a size of `count` KiB. 1 KiB is 1,024 bytes.
    pub const fn kibibytes(count: usize) -> Self {
        Self(count << 10)
    }

    /// Makes a size of `count` MiB. 1 MiB is 1,048,576 bytes.
    pub const fn mebibytes(count: usize) -> Self {
        Self(count << 20)
    }

    /// Returns the size as a number of bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl Value for Size {
    fn parse(text: &str) -> Result<Self, String> {
        let bytes = size::parse(text).and_then(|bytes| usize::try_from(bytes).map_err(|_| NoSize::TooLarge));
        bytes.map(Size).map_err(|error| match error {
            NoSize::Malformed => format!("{text:?} is not a size such as \"1MiB\", \"64KiB\" or \"4096\""),
            NoSize::TooLarge => format!("{text:?} is too large"),
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as u64;
        match size::UNITS.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", bytes / unit),
            None => write!(f, "{bytes}B"),
        }
    }
}

/// Declares an enum for a setting whose value is one of a few words. Each variant stands for one word.
macro_rules! words {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Value for $name {
            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("{text:?} is not one of {}", [$(concat!("\"", $word, "\"")),+].join(", "))),
                }
            }

            fn show(&self) -> String {
                match self {
                    $(Self::$variant => $word.to_owned(),)+
                }
            }
        }
    };
}

words! {
    /// The policy for a request's remaining tasks after one of the tasks has failed.
    OnFailure {
        /// The host skips the remaining tasks.
        Stop = "stop",
        /// The host runs the remaining tasks.
        Continue = "continue",
    }
}

words! {
    /// The connection between a task's span and its request's span, in the traces that the host exports.
    TaskSpans {
        /// The task's span has a link to the request's span.
        Link = "link",
        /// The task's span is a child of the request's span.
        Child = "child",
    }
}

words! {
    /// The format of the host's log.
    LogFormat {
        /// The log has one line of text for each event.
        Text = "text",
        /// The log has one line with a JSON object for each event.
        Json = "json",
    }
}

words! {
    /// Says whether the host sets the header `x-request-id` of a response, and to which value. If the component has set
    /// the header, the host does not change the header.
    RequestId {
        /// The host sets the header to the request's id.
        Return = "return",
        /// If the request has the header `x-request-id`, the host sets the response's header to the same value. If the
        /// request does not have the header, the host sets the response's header to the request's id.
        Trust = "trust",
        /// The host never sets the header.
        Off = "off",
    }
}

/// A filter for the host's log: a level for all events, and other levels for single targets. For example,
/// `warn,epilogue::task=off` logs warnings and errors, but no events of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    const LEVELS: &str = "off, error, warn, info, debug or trace";

    /// Returns the default filter, which logs the host's events of level `info` and above.
    pub fn info() -> Self {
        Self("info".to_owned())
    }

    /// Returns the default filter of `epilogue tasks`, which logs the events of tasks, and all warnings and errors.
    pub fn tasks() -> Self {
        Self("warn,epilogue::task=info".to_owned())
    }
}

impl Value for LogFilter {
    fn parse(text: &str) -> Result<Self, String> {
        let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
        // A filter by spans or fields may contain commas, so a comma in such a filter does not separate parts.
        let parts: Vec<_> = if text.contains('[') { vec![text] } else { text.split(',').map(str::trim).collect() };
        for part in parts.iter().filter(|part| !part.is_empty() && !part.contains('[')) {
            // Each target in the filter needs a level. Without a level, tracing would log all events of this target,
            // and no other events.
            let level = part.split_once('=').map_or(*part, |(_, level)| level);
            if !is_level(level) {
                let levels = Self::LEVELS;
                return Err(format!(
                    "{level:?} is not a level: write {levels}, or a target and its level, as in \"info,epilogue::task=off\""
                ));
            }
        }
        let filter = parts.join(",");
        match EnvFilter::try_new(&filter) {
            Ok(_) => Ok(Self(filter)),
            Err(error) => Err(format!("{text:?} is not a log filter: {error}")),
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

impl Value for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        duration::parse(text).map_err(|error| match error {
            NoDuration::Malformed => format!("{text:?} is not a duration such as \"30s\", \"500ms\" or \"5m\""),
            NoDuration::TooLong => format!("{text:?} is too long: the longest duration is \"1000days\""),
        })
    }

    fn show(&self) -> String {
        Shown(*self).to_string()
    }
}

/// A limit that an operator can turn off with the word `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Maximum<T> {
    /// The limit has this value.
    Of(T),
    /// There is no limit.
    None,
}

impl<T> Maximum<T> {
    /// Returns the limit, or `None` if there is no limit.
    pub fn limit(self) -> Option<T> {
        match self {
            Self::Of(limit) => Some(limit),
            Self::None => None,
        }
    }
}

impl<T: Value> Value for Maximum<T> {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            _ => T::parse(text).map(Self::Of),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Of(limit) => limit.show(),
            Self::None => "none".to_owned(),
        }
    }
}

impl Value for SocketAddr {
    /// Reads an address and a port. The text may contain a host name instead of an address. For a host name, the
    /// function looks up the addresses, and prefers 127.0.0.1, as Spin does.
    fn parse(text: &str) -> Result<Self, String> {
        let addresses: Vec<SocketAddr> = text
            .to_socket_addrs()
            .map_err(|error| format!("{text:?} is not an address such as \"127.0.0.1:3000\": {error}"))?
            .collect();
        let loopback = addresses.iter().find(|address| address.ip() == Ipv4Addr::LOCALHOST);
        loopback.or(addresses.first()).copied().ok_or_else(|| format!("{text:?} has no address"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("the path is empty".to_owned()) } else { Ok(text.into()) }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// Implements [`Value`] with the type's `FromStr` and `Display`.
macro_rules! plain {
    ($($type:ty: $what:literal,)+) => {
        $(
            impl Value for $type {
                fn parse(text: &str) -> Result<Self, String> {
                    text.parse().map_err(|_| format!("{text:?} is not {}", $what))
                }

                fn show(&self) -> String {
                    self.to_string()
                }
            }
        )+
    };
}

plain! {
    String: "a text",
    bool: "true or false",
    u32: "a whole number from 0 to 4294967295",
    u64: "a whole number from 0 to 18446744073709551615",
    NonZeroU32: "a whole number of at least 1",
    NonZeroUsize: "a whole number of at least 1",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_value_reads_back() {
        for bytes in [0, 1, 4096, 1_000_000, 1 << 20, 128 << 20, (1 << 20) + 1] {
            assert_eq!(Size::parse(&Size(bytes).show()), Ok(Size(bytes)));
        }
        for millis in [0, 1, 500, 30_000, 300_000, 90_061_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(Duration::parse(&duration.show()), Ok(duration));
            let maximum = Maximum::Of(duration);
            assert_eq!(Maximum::parse(&maximum.show()), Ok(maximum));
            assert!(maximum < Maximum::None);
        }
    }

    #[test]
    fn errors_say_what_would_do() {
        assert_eq!(Duration::parse("30"), Err(r#""30" is not a duration such as "30s", "500ms" or "5m""#.to_owned()));
        for text in ["500000000000years", "1001days", "99999999999999999999s"] {
            let expected = format!("{text:?} is too long: the longest duration is \"1000days\"");
            assert_eq!(Duration::parse(text), Err(expected));
        }
        assert_eq!(Duration::parse("1000days"), Ok(duration::MAX));
        assert_eq!(OnFailure::parse("stopp"), Err(r#""stopp" is not one of "stop", "continue""#.to_owned()));
        assert_eq!(Size::parse("1 TiB"), Err(r#""1 TiB" is not a size such as "1MiB", "64KiB" or "4096""#.to_owned()));
        assert_eq!(Size::parse("99999999999GiB"), Err(r#""99999999999GiB" is too large"#.to_owned()));
        assert_eq!(NonZeroU32::parse("0"), Err(r#""0" is not a whole number of at least 1"#.to_owned()));
        assert!(SocketAddr::parse("3000").is_err());
    }

    #[test]
    fn a_log_filter_has_levels() {
        for text in ["warn", "WARN", "off", "info,epilogue::task=off", "info,a[b{c=1}]=debug"] {
            assert_eq!(LogFilter::parse(text), Ok(LogFilter(text.to_owned())));
        }
        assert_eq!(LogFilter::parse("error, hyper=trace"), Ok(LogFilter("error,hyper=trace".to_owned())));
        for (text, wrong) in
            [("wran", "wran"), ("info,wran", "wran"), ("epilogue::task", "epilogue::task"), ("a=b", "b")]
        {
            let error = LogFilter::parse(text).unwrap_err();
            let expected = format!(
                "{wrong:?} is not a level: write off, error, warn, info, debug or trace, or a target and its level, as in \
                 \"info,epilogue::task=off\""
            );
            assert_eq!(error, expected);
        }
        assert!(LogFilter::parse("a[b").unwrap_err().starts_with("\"a[b\" is not a log filter: "));
    }

    #[test]
    fn a_host_name_prefers_ipv4() {
        assert_eq!(SocketAddr::parse("localhost:1234"), Ok(SocketAddr::from(([127, 0, 0, 1], 1234))));
    }
}
