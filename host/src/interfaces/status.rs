//! Checks the status that a guest sets for a response.

use http::StatusCode;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p3::Response;

/// The last status that a guest has set, if HTTP does not allow this status.
#[derive(Debug, Default)]
pub(crate) struct RefusedStatus(Option<u16>);

impl RefusedStatus {
    /// Takes the refused status. This value then contains no status, so the next call returns `None`.
    pub(crate) fn take(&mut self) -> Option<u16> {
        self.0.take()
    }
}

/// Replaces `response.set-status-code` of `wasi:http/types`. Like wasmtime's own function, this function returns an
/// error for a status that HTTP does not allow.
///
/// Many guests ignore the error, for example all guests that use wasip3 or spin-sdk. After such an error, wasmtime's
/// own function keeps the response's earlier status, which is usually 200. The host's function sets status 500 instead.
/// The host's function also keeps the refused status in the store's data, in the place that `get` finds. If the guest
/// later sets a valid status, the response gets the valid status.
pub(crate) fn add_to_linker<T: WasiHttpView + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> &mut RefusedStatus,
) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:http/types@0.3.0")?;
    types.func_wrap(
        "[method]response.set-status-code",
        move |mut store: StoreContextMut<'_, T>, (response, status): (Resource<Response>, u16)| {
            let state = store.data_mut();
            let wanted = Some(status).filter(|status| (100..=599).contains(status));
            let wanted = wanted.and_then(|status| StatusCode::from_u16(status).ok());
            get(state).0 = if wanted.is_none() { Some(status) } else { None };
            let response: &mut Response = state.http().table.get_mut(&response)?;
            response.status = wanted.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Ok((wanted.map(drop).ok_or(()),))
        },
    )?;
    Ok(())
}

/// Returns the message for the operator about a refused status.
pub(crate) fn refusal(status: u16) -> String {
    format!("the handler set the status {status}, but HTTP has 100 to 599 only")
}
