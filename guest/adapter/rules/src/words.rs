//! The words with which the host and the adapters record and log events.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use crate::duration::Shown;

/// The event of a failed attempt that will be retried.
pub const WILL_BE_RETRIED: &str = "will be retried";
/// The event of a request whose handler returned no response.
pub const REQUEST_FAILED: &str = "the request failed";
/// The event of a response that ended early because of the guest or the host.
pub const RESPONSE_FAILED: &str = "the response failed";
/// The event of a teardown that returned an error.
pub const TEARDOWN_FAILED: &str = "the teardown failed";
/// The event of a teardown that the host stopped before its end.
pub const TEARDOWN_CUT_SHORT: &str = "the teardown was cut short";
/// The first words of the reason for a failure if the host stopped the handler.
pub const HANDLER_CUT_SHORT: &str = "the handler was cut short";
/// The first words of the reason for a failure if the handler returned an error.
pub const HANDLER_RETURNED: &str = "the handler returned the error";

/// Returns the error of a call that the host stopped at its deadline. `limit` is the time from the start of the call to
/// the deadline.
pub fn still_running(limit: Duration) -> String {
    format!("still running after {}", Shown(limit))
}

/// Returns the reason for the failure of a handler that returned a status from 100 to 199.
pub fn not_final(status: u16) -> String {
    format!("the handler answered with status {status}, but a response needs a status of 200 or more")
}

/// Returns the reason for the failure of a response whose body is longer or shorter than its `content-length`.
pub fn wrong_length(written: u64, length: u64) -> String {
    format!("the guest wrote {written} bytes of a body whose content-length is {length}")
}

/// Returns the error of a task whose name the guest does not know.
pub fn unknown_task(name: &str) -> String {
    format!("the guest has no task named {name:?}")
}

/// Returns the error of a task whose arguments do not fit its function. `error` is the guest's reason.
pub fn bad_arguments(error: &str) -> String {
    format!("bad arguments: {error}")
}
