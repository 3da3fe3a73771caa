//! The export that the host calls.
//!
//! The code that wit-bindgen generates returns the response at the end of the handler. After that, only spawned work
//! can go on, and spawning needs std. So this export is written by hand. It returns the response in the middle of a
//! request's life.

#![expect(unsafe_code, reason = "the canonical ABI is raw handles")]

use core::mem::MaybeUninit;
use core::ptr::null_mut;

use wit_bindgen::rt::async_support::{TaskCancelOnDrop, callback, start_task};

use crate::bindings::wasi::http::types::{Request, Response};

/// The host, which waits for the response.
pub(crate) struct Caller {
    /// If it is dropped, the host learns that there will be no response.
    unanswered: TaskCancelOnDrop,
}

impl Caller {
    /// Returns the response to the host.
    pub(crate) fn respond(self, response: Response) {
        #[link(wasm_import_module = "[export]wasi:http/handler@0.3.0")]
        unsafe extern "C" {
            /// A `result<response, error-code>` as the canonical ABI flattens it.
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
        // SAFETY: these are the canonical ABI's types, and the host now owns the handle.
        unsafe {
            task_return(0, response.take_handle(), 0, MaybeUninit::zeroed(), null_mut(), null_mut(), 0, 0);
        }
    }
}

// SAFETY: the name is that of the canonical ABI for this export, and so is the signature.
#[unsafe(export_name = "[async-lift]wasi:http/handler@0.3.0#handle")]
extern "C" fn handle(request: u32) -> i32 {
    wit_bindgen::rt::run_ctors_once();
    // SAFETY: the host passes the ownership of the request.
    let request = unsafe { Request::from_handle(request) };
    start_task(async {
        let caller = Caller { unanswered: TaskCancelOnDrop::new() };
        crate::serve(request, caller).await;
    })
}

// SAFETY: as above.
#[unsafe(export_name = "[callback][async-lift]wasi:http/handler@0.3.0#handle")]
unsafe extern "C" fn handle_callback(event: u32, waitable: u32, code: u32) -> u32 {
    // SAFETY: the host calls back for the task that `handle` has started.
    unsafe { callback(event, waitable, code) }
}
