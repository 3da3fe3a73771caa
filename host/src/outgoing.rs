//! The requests that components send: only to where the manifest allows, for tasks as for handlers.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::outbound::{AllowedHosts, is_self};

/// The address under which the application itself is reached, once it is known. It never is while the application serves
/// https: a component would have no reason to trust the certificate.
pub(crate) type OwnAddress = Arc<OnceLock<SocketAddr>>;

type BoxFuture<T> = Box<dyn Future<Output = T> + Send>;

/// Sends one component's requests.
pub(crate) struct Outgoing {
    component: String,
    allowed: Arc<AllowedHosts>,
    own_address: OwnAddress,
}

impl Outgoing {
    pub(crate) fn new(component: String, allowed: Arc<AllowedHosts>, own_address: OwnAddress) -> Self {
        Self { component, allowed, own_address }
    }

    /// Where a request may go, or that it may not.
    fn direct(&self, uri: &Uri) -> Result<Uri, Error> {
        let scheme = uri.scheme().cloned().unwrap_or(Scheme::HTTP);
        match uri.host().filter(|host| !is_self(host)) {
            Some(host) if self.allowed.allows(scheme.as_str(), host, uri.port_u16()) => Ok(uri.clone()),
            None if self.allowed.allows_self(scheme.as_str()) => self.own(uri).ok_or_else(|| {
                tracing::error!(component = self.component, "requests to the application itself need it to serve http");
                Error::DestinationUnavailable
            }),
            host => {
                let url =
                    format!("{scheme}://{}", host.map_or("self", |_| uri.authority().map_or("", Authority::as_str)));
                tracing::error!(
                    component = self.component,
                    "a request to {url} is not allowed; to allow it, add \"{url}\" to allowed_outbound_hosts of \
                     [component.{}]",
                    self.component
                );
                Err(Error::HttpRequestDenied)
            }
        }
    }

    /// The same resource of the application itself.
    fn own(&self, uri: &Uri) -> Option<Uri> {
        let mut parts = uri.clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.own_address.get()?.to_string().parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_error: BoxFuture<Result<(), Error>>,
    ) -> BoxFuture<Result<(Response<WasiBody>, BoxFuture<Result<(), Error>>), Error>> {
        let directed = self.direct(request.uri());
        Box::new(async move {
            let uri = directed?;
            // The header that wasmtime has set would still name the application's own host, which only this host knows.
            if let Some(host) = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
                request.headers_mut().insert(HOST, host);
            }
            *request.uri_mut() = uri;
            let (response, io) = default_send_request(request, options).await?;
            Ok((response.map(BodyExt::boxed_unsync), Box::new(io) as BoxFuture<_>))
        })
    }
}
