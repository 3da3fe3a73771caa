//! The outermost part of a composed component: to the host it is the whole application, to the guest within it is the host.
//!
//! A host that knows nothing of tasks calls `handle`. The guest's handler runs, its response goes out, and then its tasks
//! run, as on Epilogue's own host (`host/src/request.rs`), as far as a guest can do that for another.

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

/// Serves `request` from its arrival until nothing of it is left.
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
