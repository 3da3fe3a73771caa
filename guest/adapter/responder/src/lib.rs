//! The adapter `responder`, which answers the requests that arrive at a composed component. The host calls the
//! responder instead of the guest, and the responder calls the guest.
//!
//! For each request, the host calls the responder's function `handle`. The responder calls the guest's handler, then
//! sends the response, and then runs the tasks. Epilogue's own host goes through the same steps
//! (`host/src/request.rs`).

#![no_std]

extern crate alloc;

mod bindings;
mod caller;
mod clock;
mod drain;
mod identity;
mod life;
mod record;
mod sending;
mod settings;

use crate::bindings::wasi::http::types::Request;
use crate::caller::Caller;
use crate::life::Life;

/// Serves `request` from its arrival to the end of its teardown.
async fn serve(request: Request, caller: Caller) {
    let mut life = Life::begin(&request);
    let handled = life.handle(request).await;
    let (response, sending) = life.reply(handled).await;
    caller.respond(response);
    life.send(sending).await;
    loop {
        life.drain().await;
        life.tear_down().await;
        if life.is_over() {
            break;
        }
    }
    life.end().await;
}
