//! The settings that the operator of a composed component can change. The operator sets them as environment variables
//! of the component, with the same names as for Epilogue's host.

use alloc::string::String;
use alloc::vec::Vec;

use epilogue_adapter_runtime::Shared;
use epilogue_rules::{duration, size};

use crate::bindings::epilogue::background::types::FailurePolicy;
use crate::bindings::wasi::cli::environment::get_environment;
use crate::clock::{Nanoseconds, nanoseconds};
use crate::record::Level;

/// The settings of this instance. Before the first call of `settings()`, the value is `None`.
static SETTINGS: Shared<Option<Settings>> = Shared::new(None);

/// Returns the settings of this instance. The first call of this function reads the settings from the environment.
pub(crate) fn settings() -> Settings {
    SETTINGS.with(|settings| *settings.get_or_insert_with(Settings::read))
}

const SECOND: Nanoseconds = 1_000_000_000;

#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) on_failure: FailurePolicy,
    pub(crate) request_timeout: Nanoseconds,
    pub(crate) task_timeout: Nanoseconds,
    pub(crate) drain_timeout: Nanoseconds,
    pub(crate) teardown_timeout: Nanoseconds,
    pub(crate) max_tasks: u32,
    pub(crate) max_task_args: u64,
    pub(crate) max_request_args: u64,
    pub(crate) log: Level,
}

impl Settings {
    fn read() -> Self {
        let environment = Environment(get_environment());
        Self {
            on_failure: environment.get("EPILOGUE_ON_FAILURE", FailurePolicy::Stop, |text| match text {
                "stop" => Some(FailurePolicy::Stop),
                "continue" => Some(FailurePolicy::Continue),
                _ => None,
            }),
            request_timeout: environment.get("EPILOGUE_REQUEST_TIMEOUT", 30 * SECOND, duration),
            task_timeout: environment.get("EPILOGUE_TASK_TIMEOUT", 30 * SECOND, duration),
            drain_timeout: environment.get("EPILOGUE_DRAIN_TIMEOUT", 300 * SECOND, duration),
            teardown_timeout: environment.get("EPILOGUE_TEARDOWN_TIMEOUT", 30 * SECOND, duration),
            max_tasks: environment.get("EPILOGUE_MAX_TASKS", 1_000, |text| text.parse().ok()),
            max_task_args: environment.get("EPILOGUE_MAX_TASK_ARGS", 1 << 20, size),
            max_request_args: environment.get("EPILOGUE_MAX_REQUEST_ARGS", 16 << 20, size),
            log: environment.get("EPILOGUE_LOG", Level::Info, Level::parse),
        }
    }
}

struct Environment(Vec<(String, String)>);

impl Environment {
    /// Reads the value of an environment variable. If the variable is missing or its value is not valid, returns
    /// `default`. This function returns no error, because a component cannot refuse to start.
    fn get<T>(&self, name: &str, default: T, parse: impl Fn(&str) -> Option<T>) -> T {
        let value = self.0.iter().find(|(key, _)| key == name);
        value.and_then(|(_, value)| parse(value)).unwrap_or(default)
    }
}

fn duration(text: &str) -> Option<Nanoseconds> {
    duration::parse(text).ok().map(nanoseconds)
}

fn size(text: &str) -> Option<u64> {
    size::parse(text).ok()
}
