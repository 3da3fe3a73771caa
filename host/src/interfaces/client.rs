//! Replaces `client.send` of `wasi:http/client`, and two functions of `wasi:http/types`. `client.send` counts the
//! headers of each response that a guest receives for the instance's limit on header fields.

use epilogue_manifest::outbound::SELF_HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi_http::p3::bindings::http::client::HostWithStore as _;
use wasmtime_wasi_http::p3::bindings::http::types::{ErrorCode, Host as _, HostRequest as _, Method};
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{WasiHttp, WasiHttpView};

use crate::budget::instance::{Budgeted, size_of_fields};

/// The longest method or authority that the host accepts, in bytes. The crate `http` accepts URIs up to this length.
const MAX_TEXT: usize = 65_534;

/// Replaces `client.send`. As in Spin, a request without an authority (host and port) goes to the application itself.
/// If the response's headers exceed the instance's limit on header fields, the guest gets
/// `error-code.HTTP-response-header-section-size`.
///
/// Also replaces `request.set-method` and `request.set-authority`, because wasmtime's own functions block the thread
/// for milliseconds while they parse a very long text. The new functions refuse a text that is longer than
/// [`MAX_TEXT`].
pub(crate) fn add_to_linker<T: WasiHttpView + Budgeted + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.instance("wasi:http/client@0.3.0")?.func_wrap_concurrent(
        "send",
        |accessor: &Accessor<T>, (request,): (Resource<Request>,)| {
            let http = accessor.with_getter::<WasiHttp>(T::http);
            Box::pin(async move {
                accessor.with(|mut access| complete(access.data_mut(), &request))?;
                let response = match WasiHttp::send(&http, request).await {
                    Ok(response) => response,
                    Err(error) => {
                        let error = http.with(|mut access| access.get().convert_error_code(error));
                        return Ok((Err(error?),));
                    }
                };
                accessor.with(|mut access| Ok((charge(access.data_mut(), response)?,)))
            })
        },
    )?;
    let mut types = linker.instance("wasi:http/types@0.3.0")?;
    types.func_wrap(
        "[method]request.set-method",
        |mut store: StoreContextMut<'_, T>, (request, method): (Resource<Request>, Method)| {
            if matches!(&method, Method::Other(name) if name.len() > MAX_TEXT) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_method(request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]request.set-authority",
        |mut store: StoreContextMut<'_, T>, (request, authority): (Resource<Request>, Option<String>)| {
            if authority.as_ref().is_some_and(|authority| authority.len() > MAX_TEXT) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_authority(request, authority)?,))
        },
    )?;
    Ok(())
}

/// If a request has no authority (host and port), sets the authority of the application itself.
fn complete<T: WasiHttpView>(state: &mut T, request: &Resource<Request>) -> wasmtime::Result<()> {
    let request = state.http().table.get_mut(request)?;
    if request.authority.is_none() {
        request.scheme = Some(Scheme::HTTP);
        request.authority = Some(Authority::from_static(SELF_HOST));
        request.path_with_query.get_or_insert(PathAndQuery::from_static("/"));
    }
    Ok(())
}

/// Counts the headers of a response for the instance's limit on header fields. If the headers exceed this limit, drops
/// the response and returns an error.
fn charge<T: WasiHttpView + Budgeted>(
    state: &mut T,
    response: Resource<Response>,
) -> wasmtime::Result<Result<Resource<Response>, ErrorCode>> {
    let size = size_of_fields(&state.http().table.get(&response)?.headers);
    if state.charge_fields(size).is_ok() {
        return Ok(Ok(response));
    }
    state.http().table.delete(response)?;
    Ok(Err(ErrorCode::HttpResponseHeaderSectionSize(u32::try_from(size).ok())))
}
