//! Checks the status that a guest gives a response.

use http::StatusCode;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p3::Response;

/// The last status that a guest set, if that status is not valid in HTTP.
#[derive(Debug, Default)]
pub(crate) struct RefusedStatus(Option<u16>);

impl RefusedStatus {
    /// Returns the refused status, and forgets it.
    pub(crate) fn take(&mut self) -> Option<u16> {
        self.0.take()
    }
}

/// Replaces `response.set-status-code` of `wasi:http/types`. Like wasmtime, the replacement returns an error for a
/// status that HTTP does not have.
///
/// Many guests ignore this error, also guests with wasip3 or spin-sdk. With wasmtime's own function, the response of
/// such a guest would have status 200. The replacement sets status 500 instead. The replacement keeps the refused
/// status in the store's data, where `get` finds it. If the guest sets a valid status afterwards, the response gets the
/// valid status.
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

/// Returns the operator's message about a refused status.
pub(crate) fn refusal(status: u16) -> String {
    format!("the handler set the status {status}, but HTTP has 100 to 599 only")
}
