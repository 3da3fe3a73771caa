//! The function `handle`, which this component exports and the host calls.
//!
//! This module does not use wit-bindgen's code for the export, because the responder must still run tasks after it has
//! returned the response. With wit-bindgen's code, the call of `handle` ends when `handle` returns the response, and
//! only spawned work can run later. To spawn work, wit-bindgen needs std, which the adapters do not have.

#![expect(unsafe_code, reason = "the canonical ABI is raw handles")]

use core::mem::MaybeUninit;
use core::ptr::null_mut;

use wit_bindgen::rt::async_support::{TaskCancelOnDrop, callback, start_task};

use crate::bindings::wasi::http::types::{Request, Response};

/// A running call of the function `handle`. The host has made this call, and still waits for the response.
pub(crate) struct Caller {
    /// When the responder drops this value, the host learns that no response will come.
    unanswered: TaskCancelOnDrop,
}

impl Caller {
    /// Returns the response to the host.
    pub(crate) fn respond(self, response: Response) {
        #[link(wasm_import_module = "[export]wasi:http/handler@0.3.0")]
        unsafe extern "C" {
            /// Returns a `result<response, error-code>` to the host. The parameters are the plain values into which the
            /// canonical ABI splits the `result`.
            #[link_name = "[task-return]handle"]
            fn task_return(
                is_error: i32,
                response: u32,
                _: i32,
                _: MaybeUninit<u64>,
                _: *mut u8,
                _: *mut u8,
                _: usize,
                _: i32,
            );
        }
        self.unanswered.forget();
        // SAFETY: the arguments have the types that the canonical ABI prescribes. This call passes the ownership of the
        // handle to the host.
        unsafe {
            task_return(0, response.take_handle(), 0, MaybeUninit::zeroed(), null_mut(), null_mut(), 0, 0);
        }
    }
}

// SAFETY: the canonical ABI prescribes this name and this signature for the export `handle`.
#[unsafe(export_name = "[async-lift]wasi:http/handler@0.3.0#handle")]
extern "C" fn handle(request: u32) -> i32 {
    wit_bindgen::rt::run_ctors_once();
    // SAFETY: with this call, the host passes the ownership of the request to this component.
    let request = unsafe { Request::from_handle(request) };
    start_task(async {
        let caller = Caller { unanswered: TaskCancelOnDrop::new() };
        crate::serve(request, caller).await;
    })
}

// SAFETY: the canonical ABI prescribes this name and this signature for the callback of the export `handle`.
#[unsafe(export_name = "[callback][async-lift]wasi:http/handler@0.3.0#handle")]
unsafe extern "C" fn handle_callback(event: u32, waitable: u32, code: u32) -> u32 {
    // SAFETY: the host calls this callback only for a call that `handle` has started.
    unsafe { callback(event, waitable, code) }
}
