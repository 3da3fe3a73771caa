//! Reads the environment variables `OTEL_…`. A bad value never keeps the host from starting: the host ignores the value
//! and logs a warning, as OpenTelemetry's specification demands.

use std::collections::HashMap;
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderName, Uri};

/// The name of the instrumentation scope that all telemetry of the host contains. If no variable names the service, the
/// host also uses this name for the service.
pub(super) const NAME: &str = "epilogue";

/// A kind of telemetry. Each kind has its own environment variables and its own URL path at the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    pub(super) const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Returns the signal's name in events and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    fn variable(self, end: &str) -> String {
        format!("OTEL_EXPORTER_OTLP_{}_{end}", self.name().to_uppercase())
    }
}

/// The collector that gets the telemetry of one signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) timeout: Duration,
    pub(super) headers: HashMap<String, String>,
    pub(super) gzip: bool,
}

/// The environment variables of the process, and the warnings about bad values that the host has read so far.
pub(super) struct Variables<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { get, warnings: Vec::new() }
    }

    /// Returns the value of a variable. An empty value counts as no value.
    fn text(&self, name: &str) -> Option<String> {
        (self.get)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// Returns the value of a variable if `parse` accepts the value. Otherwise, adds a warning, in which the text
    /// `form` describes the allowed values.
    pub(super) fn read<T>(&mut self, name: &str, form: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = parse(&text);
        if value.is_none() {
            self.warnings.push(format!("the variable {name} is ignored: {text:?} is not {form}"));
        }
        value
    }

    /// Reads a variable, as [`Variables::read`] does, but leaves the value out of the warning, because the value may be
    /// a secret.
    fn read_secret<T>(&mut self, name: &str, form: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = parse(&self.text(name)?);
        if value.is_none() {
            self.warnings.push(format!("the variable {name} is ignored: its value is not {form}"));
        }
        value
    }

    pub(super) fn is_true(&mut self, name: &str) -> bool {
        let truth = |text: &str| match text.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        self.read(name, "\"true\" or \"false\"", truth).unwrap_or_default()
    }

    /// Reads a time of at least one millisecond. The value 0 is not allowed, because a thread that uses the value as a
    /// pause would never pause.
    pub(super) fn milliseconds(&mut self, name: &str) -> Option<Duration> {
        let positive = |text: &str| text.parse().ok().filter(|time| *time > 0).map(Duration::from_millis);
        self.read(name, "a number of milliseconds of at least 1", positive)
    }

    /// Reads a whole number of at least 1.
    pub(super) fn count(&mut self, name: &str) -> Option<usize> {
        self.read(name, "a whole number of at least 1", |text| text.parse().ok().filter(|count| *count > 0))
    }

    /// Returns the collector for a signal. Returns `None` if no variable names an endpoint for the signal, if a
    /// variable turns the signal off, or if a variable demands a protocol that the host does not support.
    pub(super) fn target(&mut self, signal: Signal) -> Option<Target> {
        let exporter = format!("OTEL_{}_EXPORTER", signal.name().to_uppercase());
        let chosen = self.read(&exporter, "\"otlp\" or \"none\"", |text| match text {
            "otlp" => Some(true),
            "none" => Some(false),
            _ => None,
        });
        if chosen == Some(false) {
            return None;
        }
        let form = "a URL such as \"http://localhost:4318\"";
        let own = self.read_secret(&signal.variable("ENDPOINT"), form, url);
        let url = match own {
            Some(url) => url,
            None => {
                let base = self.read_secret("OTEL_EXPORTER_OTLP_ENDPOINT", form, url)?;
                format!("{}/v1/{}", base.trim_end_matches('/'), signal.name())
            }
        };
        let protocol = self
            .of_signal(signal, "PROTOCOL", |variables, name| variables.text(name).map(|text| (name.to_owned(), text)));
        if let Some((name, protocol)) = protocol.filter(|(_, protocol)| protocol != "http/protobuf") {
            let what = signal.name();
            self.warnings.push(format!(
                "no {what} are exported: {name} is {protocol:?}, but Epilogue only speaks \"http/protobuf\". Unset the \
                 variable, and use the collector's port for HTTP, which is usually 4318"
            ));
            return None;
        }
        let timeout = self.of_signal(signal, "TIMEOUT", Self::milliseconds);
        let headers = self.of_signal(signal, "HEADERS", |variables, name| {
            variables.read_secret(name, "a list such as \"key1=value1,key2=value2\"", headers)
        });
        let gzip = self.of_signal(signal, "COMPRESSION", |variables, name| {
            variables.read(name, "\"gzip\" or \"none\"", |text| match text {
                "gzip" => Some(true),
                "none" => Some(false),
                _ => None,
            })
        });
        Some(Target {
            url,
            timeout: timeout.unwrap_or(Duration::from_secs(10)),
            headers: headers.unwrap_or_default(),
            gzip: gzip.unwrap_or_default(),
        })
    }

    /// Reads the variable for one signal, such as `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT`. If this variable is not set or
    /// has a bad value, reads the variable for all signals, such as `OTEL_EXPORTER_OTLP_TIMEOUT`.
    fn of_signal<T>(&mut self, signal: Signal, end: &str, read: impl Fn(&mut Self, &str) -> Option<T>) -> Option<T> {
        read(self, &signal.variable(end)).or_else(|| read(self, &format!("OTEL_EXPORTER_OTLP_{end}")))
    }

    /// Returns all warnings, each only once. The same warning can occur several times, because the host reads the
    /// variables for all signals several times.
    pub(super) fn into_warnings(mut self) -> Vec<String> {
        let mut seen = Vec::new();
        self.warnings.retain(|warning| {
            let new = !seen.contains(warning);
            seen.push(warning.clone());
            new
        });
        self.warnings
    }
}

fn url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let known = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
    (known && uri.host().is_some_and(|host| !host.is_empty())).then(|| text.to_owned())
}

fn headers(text: &str) -> Option<HashMap<String, String>> {
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let name: HeaderName = name.trim().parse().ok()?;
        let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8().ok()?;
        Some((name.as_str().to_owned(), value.into_owned()))
    };
    text.split(',').filter(|pair| !pair.trim().is_empty()).map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(signal: Signal, set: &[(&str, &str)]) -> (Option<Target>, Vec<String>) {
        let get = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let mut variables = Variables::new(&get);
        (variables.target(signal), variables.into_warnings())
    }

    #[test]
    fn without_an_endpoint_there_is_no_target() {
        assert_eq!(target(Signal::Traces, &[]), (None, vec![]));
        let other = [("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://here/logs")];
        assert_eq!(target(Signal::Traces, &other), (None, vec![]));
    }

    #[test]
    fn the_common_endpoint_gets_a_path_and_the_signals_own_does_not() {
        let common = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4318/");
        let url = |set: &[_]| target(Signal::Traces, set).0.map(|target| target.url);
        assert_eq!(url(&[common]).as_deref(), Some("http://here:4318/v1/traces"));
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://there/in");
        assert_eq!(url(&[common, own]).as_deref(), Some("https://there/in"));
        assert_eq!(url(&[common, ("OTEL_TRACES_EXPORTER", "none")]), None);
    }

    #[test]
    fn each_signal_may_have_its_own_values() {
        let (target, warnings) = target(
            Signal::Metrics,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a, x-team=b"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
                ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "50"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ],
        );
        let target = target.unwrap();
        assert_eq!(target.timeout, Duration::from_millis(50));
        assert!(target.gzip);
        assert_eq!(target.headers["authorization"], "Bearer a");
        assert_eq!(target.headers["x-team"], "b");
        assert_eq!(warnings, [""; 0]);
    }

    #[test]
    fn a_bad_value_is_named_and_ignored_and_a_secret_is_not_shown() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here");
        for (name, value, expected) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "user:hidden@here", "its value is not a URL such as"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "\"soon\" is not a number of milliseconds"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "\"0\" is not a number of milliseconds of at least 1"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hidden", "its value is not a list such as"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli", "\"brotli\" is not \"gzip\" or \"none\""),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "Epilogue only speaks \"http/protobuf\""),
            ("OTEL_LOGS_EXPORTER", "console", "\"console\" is not \"otlp\" or \"none\""),
        ] {
            let (target, warnings) = target(Signal::Logs, &[(name, value), endpoint]);
            assert_eq!(warnings.len(), 1, "{name}");
            assert!(warnings[0].contains(name) && warnings[0].contains(expected), "{}", warnings[0]);
            assert!(!warnings[0].contains("hidden"), "{}", warnings[0]);
            assert_eq!(
                target.is_some(),
                !["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"].contains(&name)
            );
        }
    }
}
