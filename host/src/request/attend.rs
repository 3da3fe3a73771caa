//! Runs a request's handler, and notices when the client leaves.

use std::pin::pin;

use http::Response;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::Request;

use super::Life;
use crate::component::instance::HandlerError;
use crate::wire::reply::Reply;

impl Life {
    /// Runs the guest's handler until the handler returns its response. If the client leaves before the handler has
    /// returned, the handler goes on (promise S7), and the request counts as stalled for the client's address.
    pub(super) async fn attend(
        &mut self,
        request: Request,
        reply: &mut Reply,
    ) -> Result<Response<WasiBody>, HandlerError> {
        let mut slot = self.slot.take();
        let handled = {
            let mut handled = pin!(self.handle(request));
            tokio::select! {
                biased;
                handled = &mut handled => handled,
                () = reply.left() => {
                    if let Some(slot) = &mut slot {
                        slot.abandon(reply.address());
                    }
                    handled.await
                }
            }
        };
        self.slot = slot;
        handled
    }
}
