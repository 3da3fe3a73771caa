//! The texts that the host and the adapters write into their records and logs. The host and the adapters use the same
//! text for the same event.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use crate::duration::Shown;

/// The message of the event for a failed attempt, if the host will try the task again.
pub const WILL_BE_RETRIED: &str = "will be retried";
/// The message of the event for a handler that returned no response.
pub const REQUEST_FAILED: &str = "the request failed";
/// The message of the event for a response that ended early because of the guest or the host.
pub const RESPONSE_FAILED: &str = "the response failed";
/// The message of the event for a teardown that returned an error.
pub const TEARDOWN_FAILED: &str = "the teardown failed";
/// The message of the event for a teardown that the host stopped early.
pub const TEARDOWN_CUT_SHORT: &str = "the teardown was cut short";
/// The first words of the error message for a handler that the host stopped.
pub const HANDLER_CUT_SHORT: &str = "the handler was cut short";
/// The first words of the error message for a handler that returned an error.
pub const HANDLER_RETURNED: &str = "the handler returned the error";

/// Returns the error message for a call that was still running at the call's deadline. `limit` is the time from the
/// start of the call to the deadline.
pub fn still_running(limit: Duration) -> String {
    format!("still running after {}", Shown(limit))
}

/// Returns the error message for a handler that returned a status from 100 to 199.
pub fn not_final(status: u16) -> String {
    format!("the handler answered with status {status}, but a response needs a status of 200 or more")
}

/// Returns the error message for a response whose body is longer or shorter than its `content-length`.
pub fn wrong_length(written: u64, length: u64) -> String {
    format!("the guest wrote {written} bytes of a body whose content-length is {length}")
}

/// Returns the error message for a task whose name the guest does not know.
pub fn unknown_task(name: &str) -> String {
    format!("the guest has no task named {name:?}")
}

/// Returns the error message for a task whose arguments do not fit its function. `error` is the reason that the guest
/// gave.
pub fn bad_arguments(error: &str) -> String {
    format!("bad arguments: {error}")
}
