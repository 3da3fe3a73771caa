//! Sends the HTTP requests of components. Handlers and tasks may send requests only to the servers that the manifest
//! allows.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use epilogue_manifest::outbound::{AllowedHosts, chained_component, is_self};
use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt;
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::p3::bindings::http::types::{DnsErrorPayload, ErrorCode};
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::calls::Call;
use super::chaining::Chaining;
use super::send::{send, send_on};
use crate::budget::instance::places_for_requests;
use crate::budget::lookups::Lookups;
use crate::budget::places::Places;
use crate::interfaces::warnings::Warnings;
use crate::tasks::scope::Scope;

/// The application's own address. The host sets this address when it begins to serve. If the application uses https,
/// the host never sets the address, because a component cannot check the application's certificate.
pub(crate) type OwnAddress = Arc<OnceLock<SocketAddr>>;

/// The advice that the host logs if a component sends a request to a component without a trigger.
const NO_TRIGGER: &str = "only a component with a trigger can be called: add a trigger with route = { private = true }";
/// The number of bytes that a guest of WASI 0.2 can write to a body in one call. wasmtime's default of 1 MiB would take
/// too much memory, because an instance can hold thousands of bodies.
const MAX_P2_CHUNK: usize = 16 << 10;

type BoxFuture<T> = Box<dyn Future<Output = T> + Send>;

/// Sends the requests of one instance.
pub(crate) struct Outgoing {
    component: String,
    allowed: Arc<AllowedHosts>,
    own_address: OwnAddress,
    chaining: Chaining,
    lookups: Lookups,
    /// Limits the number of requests that the instance sends at the same time.
    requests: Places,
    warnings: Arc<Warnings>,
    /// The current request. The value is `None` while the instance serves no request.
    pub(crate) scope: Option<Arc<Scope>>,
}

impl Outgoing {
    pub(crate) fn new(
        component: String,
        allowed: Arc<AllowedHosts>,
        own_address: OwnAddress,
        chaining: Chaining,
        lookups: Lookups,
        warnings: Arc<Warnings>,
    ) -> Self {
        Self {
            component,
            allowed,
            own_address,
            chaining,
            lookups,
            requests: places_for_requests(),
            warnings,
            scope: None,
        }
    }

    /// Returns the URI to which the host sends the guest's request. `uri` is the URI that the guest has given. Returns
    /// an error if the manifest does not allow the request.
    fn direct(&self, uri: &Uri) -> Result<Uri, Error> {
        let scheme = uri.scheme_str().unwrap_or("http");
        let host = uri.host().unwrap_or_default();
        let own = is_self(host);
        let allowed = match own {
            true => self.allowed.allows_self(scheme),
            false => self.allowed.allows(scheme, host, uri.port_u16()),
        };
        if !allowed {
            let (component, origin) = (self.component.clone(), origin(uri));
            let advice = self.allowed.advice(&component, scheme, host, uri.port_u16());
            let (request, trace_id) = ids(self.scope.as_ref());
            self.warnings.requests_denied.log(&origin.clone(), move |times| {
                tracing::error!(
                    target: "epilogue::outgoing", request, component, times, trace_id, "a request to {origin} is not allowed: {advice}"
                );
            });
            return Err(Error::HttpRequestDenied);
        }
        if !own {
            return Ok(uri.clone());
        }
        self.own(uri).ok_or_else(|| {
            let (component, (request, trace_id)) = (self.component.clone(), ids(self.scope.as_ref()));
            self.warnings.requests_failed.log(host, move |times| {
                tracing::error!(
                    target: "epilogue::outgoing", request, component, times, trace_id,
                    "requests to the application itself work only if it serves http"
                );
            });
            Error::DestinationUnavailable
        })
    }

    /// Replaces the scheme and the authority of `uri` with the application's own address. Returns `None` if the host
    /// has not set the application's own address.
    fn own(&self, uri: &Uri) -> Option<Uri> {
        let mut parts = uri.clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.own_address.get()?.to_string().parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}

/// Returns the id of the request and the id of the request's trace, for an event in the log. If `scope` is `None`, both
/// ids are `None`.
fn ids(scope: Option<&Arc<Scope>>) -> (Option<String>, Option<String>) {
    let (request, trace_id) = scope.map(|scope| scope.ids().copied()).unzip();
    (request, trace_id.flatten())
}

/// Returns the part of a URL that the host may log: scheme, host and port. The user, the password, the path and the
/// query may be secret.
fn origin(uri: &Uri) -> String {
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", uri.scheme_str().unwrap_or("http"), uri.host().unwrap_or_default())
}

/// Converts the I/O error of a failed connection to the error code that the guest gets.
fn connect_error(error: &io::Error) -> ErrorCode {
    match error.kind() {
        ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => ErrorCode::ConnectionTerminated,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => ErrorCode::DestinationIpUnroutable,
        // `ErrorKind` has no value for a failed name lookup.
        _ if error.to_string().starts_with("failed to lookup address") => {
            ErrorCode::DnsError(DnsErrorPayload { rcode: None, info_code: None })
        }
        _ => ErrorCode::ConnectionRefused,
    }
}

/// Reports whether this header is forbidden for guests. Forbidden headers describe the connection, which the host
/// manages.
pub(crate) fn is_forbidden(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

/// Removes the headers that a guest must not set. A guest sends such headers by mistake if it forwards all headers of
/// the request that it handles.
pub(crate) fn remove_forbidden(headers: &mut HeaderMap) {
    while let Some(name) = headers.keys().find(|name| is_forbidden(name)).cloned() {
        headers.remove(name);
    }
}

/// The wasmtime hooks for requests that arrive from clients. As in Spin, the guest sees headers that it cannot set
/// itself, such as `host`. Before the guest gets a request, `request_headers.rs` removes the headers that the guest
/// must not see.
pub(crate) struct Arriving;

impl WasiHttpHooks for Arriving {
    fn is_forbidden_header(&mut self, _name: &HeaderName) -> bool {
        false
    }
}

impl WasiHttpHooks for Outgoing {
    // wasmtime's default has the same result, but allocates memory for each header.
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    // Each request that a guest of WASI 0.2 makes has a buffer of this size, even if the guest never sends the request.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        MAX_P2_CHUNK
    }

    // `send_request` logs the error with the URL. wasmtime's default would log the error without the URL.
    fn p3_error_from_connect(&mut self, error: &io::Error) -> ErrorCode {
        connect_error(error)
    }

    fn p2_error_from_connect(&mut self, error: &io::Error) -> p2::ErrorCode {
        match connect_error(error) {
            ErrorCode::ConnectionTimeout => p2::ErrorCode::ConnectionTimeout,
            ErrorCode::ConnectionTerminated => p2::ErrorCode::ConnectionTerminated,
            ErrorCode::DestinationIpUnroutable => p2::ErrorCode::DestinationIpUnroutable,
            ErrorCode::DnsError(_) => p2::ErrorCode::DnsError(p2::DnsErrorPayload { rcode: None, info_code: None }),
            _ => p2::ErrorCode::ConnectionRefused,
        }
    }

    fn p2_error_from_tls(&mut self, _error: &io::Error) -> p2::ErrorCode {
        p2::ErrorCode::TlsProtocolError
    }

    fn p2_error_from_hyper(&mut self, _error: &hyper::Error) -> p2::ErrorCode {
        p2::ErrorCode::HttpProtocolError
    }

    fn p3_error_from_tls(&mut self, _error: &io::Error) -> ErrorCode {
        ErrorCode::TlsProtocolError
    }

    fn p3_error_from_hyper(&mut self, _error: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }

    fn send_request(
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_error: BoxFuture<Result<(), Error>>,
    ) -> BoxFuture<Result<(Response<WasiBody>, BoxFuture<Result<(), Error>>), Error>> {
        let directed = self.direct(request.uri());
        let (component, warnings) = (self.component.clone(), self.warnings.clone());
        let (chaining, lookups, place) = (self.chaining.clone(), self.lookups.clone(), self.requests.take());
        let scope = self.scope.clone();
        Box::new(async move {
            let uri = directed?;
            let trace = scope.as_ref().and_then(|scope| scope.trace.clone());
            let mut call = trace.map(|trace| Call::begin(trace, &mut request, &uri));
            let origin = origin(&uri);
            let failed = move |error: Error| {
                let (component, origin, told) = (component.clone(), origin.clone(), error.to_string());
                let advice = matches!(error, Error::DestinationNotFound).then_some(NO_TRIGGER);
                let (id, trace_id) = ids(scope.as_ref());
                warnings.requests_failed.log(&origin.clone(), move |times| {
                    tracing::warn!(
                        target: "epilogue::outgoing", request = id, component, times, error = told, advice, trace_id,
                        "a request to {origin} failed"
                    );
                });
                error
            };
            remove_forbidden(request.headers_mut());
            // wasmtime has set `host` to the authority in the guest's URI, such as `self.alt`, which only this host
            // knows. So the host sets `host` to the real authority. The new value contains no user and no password, so
            // that the server does not log them.
            let host = uri.authority().and_then(|authority| authority.as_str().rsplit('@').next());
            if let Some(host) = host.and_then(|host| HeaderValue::from_str(host).ok()) {
                request.headers_mut().insert(HOST, host);
            }
            let called = uri.host().and_then(chained_component).map(str::to_owned);
            *request.uri_mut() = uri;
            let place = place.map_err(|_| failed(Error::ConnectionLimitReached))?;
            let sent = async {
                match called {
                    Some(component) => send_on(chaining.connect(component).await?, request, options).await,
                    None => send(request, options, lookups).await,
                }
            };
            let (response, connection) = sent.await.map_err(|error| {
                call.iter_mut().for_each(|call| call.failed(&error));
                failed(error)
            })?;
            call.iter_mut().for_each(|call| call.answered(response.status()));
            let connection = async move {
                let ended = connection.await;
                drop((place, call));
                ended
            };
            Ok((response.map(|body| body.map_err(failed).boxed_unsync()), Box::new(connection) as BoxFuture<_>))
        })
    }
}
