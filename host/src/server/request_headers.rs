//! Normalizes a request's headers before other code reads the headers. A normalized request has one `host` header, at
//! most one `cookie` header, and no headers that describe only the connection. The host refuses a request if the
//! headers contradict each other, or if the host cannot find the end of the request's body.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};

/// The addresses of a connection's two ends, and the scheme of the connection: http or https.
pub(crate) struct Peer {
    pub(crate) scheme: Scheme,
    pub(crate) client: SocketAddr,
    pub(crate) local: SocketAddr,
}

/// The status of the answer to a request that the host refuses, and the reason as a text for the operator.
pub(crate) type Refusal = (StatusCode, &'static str);

/// Normalizes a request: makes the URI absolute, sets the `host` header to the URI's host and port, joins the `cookie`
/// headers, and removes headers that describe only the connection.
///
/// # Errors
///
/// Returns an error if the request names no host or several hosts, or if the request asks for a tunnel. Also returns an
/// error if the request has a body (`has_body`) in a transfer coding other than `chunked`.
pub(crate) fn set_right(request: &mut Parts, has_body: bool, peer: &Peer) -> Result<(), Refusal> {
    if request.method == Method::CONNECT {
        return Err((StatusCode::NOT_IMPLEMENTED, "this host opens no tunnels"));
    }
    if has_body && request.version < Version::HTTP_2 {
        check_codings(&request.headers)?;
    }
    let authority = authority(request, peer)?;
    join_cookies(&mut request.headers);
    // Spin also removes this header, because a guest that forwards the request could not send the header.
    request.headers.remove(CONNECTION);
    // The host has decoded the body, so the header no longer describes it.
    if has_body {
        request.headers.remove(TRANSFER_ENCODING);
    }
    if request.headers.get(HOST).is_none_or(|host| host.as_bytes() != authority.as_str().as_bytes())
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers.insert(HOST, host);
    }
    let mut parts = std::mem::take(&mut request.uri).into_parts();
    parts.scheme = Some(peer.scheme.clone());
    parts.authority = Some(authority);
    request.uri = Uri::from_parts(parts).map_err(|_| (StatusCode::BAD_REQUEST, "the request has no path"))?;
    Ok(())
}

/// Refuses a request with a transfer coding that the host does not know, with status 501 (RFC 9112 section 6.1). hyper
/// checks only the last coding in the header, and would pass the body on without decoding the other codings.
fn check_codings(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err((StatusCode::NOT_IMPLEMENTED, "the only transfer coding that this host knows is `chunked`")),
    }
}

/// Returns the host and port to which the client has addressed the request. RFC 9112 section 3.2 and RFC 9113 section
/// 8.3.1 say where a request names the host and the port, and which requests a server must refuse.
fn authority(request: &Parts, peer: &Peer) -> Result<Authority, Refusal> {
    let bad = |reason| Err((StatusCode::BAD_REQUEST, reason));
    let mut hosts = request.headers.get_all(HOST).iter();
    let (host, other) = (hosts.next(), hosts.next());
    if other.is_some() {
        return bad("the request has more than one Host header");
    }
    let host = match host.map(|host| Authority::try_from(host.as_bytes())) {
        Some(Ok(host)) if is_host(&host) => Some(host),
        Some(_) => return bad("the Host header must be HOST or HOST:PORT"),
        None => None,
    };
    let target = request.uri.authority();
    if target.is_some_and(|target| !is_host(target)) {
        return bad("the request's target must be HOST or HOST:PORT");
    }
    match (target, host) {
        (Some(target), Some(host)) if request.version == Version::HTTP_2 && !same(target, &host, &peer.scheme) => {
            bad("the Host header and :authority name different hosts")
        }
        // If the request's target names a host, the host ignores the `host` header. But in HTTP/1.1, the header must
        // still exist.
        (_, None) if request.version == Version::HTTP_11 => bad("the request has no Host header"),
        (Some(target), _) => Ok(target.clone()),
        (None, Some(host)) => Ok(host),
        (None, None) if request.version < Version::HTTP_11 => {
            peer.local.to_string().parse().or(bad("the request names no host"))
        }
        (None, None) => bad("the request has neither :authority nor a Host header"),
    }
}

/// Reports whether an authority consists of a host, with or without a port. If the authority has a user name or a
/// password, the result is false.
fn is_host(authority: &Authority) -> bool {
    let host = authority.host();
    let Some(rest) = authority.as_str().strip_prefix(host).filter(|_| !host.is_empty()) else { return false };
    match rest.strip_prefix(':') {
        None => rest.is_empty(),
        Some(port) => {
            port.bytes().all(|byte| byte.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok())
        }
    }
}

/// Reports whether two authorities name the same host and port.
fn same(one: &Authority, other: &Authority, scheme: &Scheme) -> bool {
    let default = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    one.host().eq_ignore_ascii_case(other.host()) && port(one) == port(other)
}

/// Joins the `cookie` headers into one. HTTP/2 clients send each cookie as a separate header (RFC 9113 section 8.2.3),
/// but guests expect one header.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(crumbs.join(&b"; "[..]))) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn peer() -> Peer {
        let local = "127.0.0.1:3000".parse().unwrap();
        Peer { scheme: Scheme::HTTP, client: local, local }
    }

    /// Normalizes a request, and returns the host and port in the request's URI, or the status of the refusal. Checks
    /// that the `host` header names the same host and port as the URI.
    fn received(version: Version, uri: &str, headers: &[(&str, &[u8])]) -> Result<String, u16> {
        let mut request = Request::get(uri).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        set_right(&mut parts, true, &peer()).map_err(|(status, _)| status.as_u16())?;
        let authority = parts.uri.authority().unwrap().as_str();
        let hosts: Vec<_> = parts.headers.get_all(HOST).iter().collect();
        assert_eq!(hosts, [authority]);
        Ok(authority.to_owned())
    }

    #[test]
    fn the_host_has_one_value_or_the_request_is_refused() {
        let (http10, http11, http2) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        let host = |value: &'static [u8]| vec![("host", value)];
        for (version, uri, hosts, expected) in [
            (http11, "/", host(b"a.example"), Ok("a.example")),
            (http11, "/", host(b"a.example:81"), Ok("a.example:81")),
            (http11, "/", host(b"[::1]:81"), Ok("[::1]:81")),
            (http11, "/", host(b"[::1]"), Ok("[::1]")),
            (http11, "/", host(b"a.example:"), Ok("a.example:")),
            (http11, "/", vec![], Err(400)),
            (http11, "/", host(b""), Err(400)),
            (http11, "/", host(b"a/b?c#d"), Err(400)),
            (http11, "/", host(b"a b"), Err(400)),
            (http11, "/", host(b"\xff\xfe"), Err(400)),
            (http11, "/", host(b"user:pw@a"), Err(400)),
            (http11, "/", host(b"a@a:80"), Err(400)),
            (http11, "/", host(b"a:+80"), Err(400)),
            (http11, "/", host(b"a:999999"), Err(400)),
            (http11, "/", host(b"a:b"), Err(400)),
            (http11, "/", host(b":80"), Err(400)),
            (http11, "/", host(b"[::1]x"), Err(400)),
            (http11, "/", vec![("host", b"a"), ("host", b"b")], Err(400)),
            (http11, "/", vec![("host", b"a"), ("host", b"a")], Err(400)),
            (http11, "http://a.example:81/", host(b"b.example"), Ok("a.example:81")),
            (http11, "http://a.example/", vec![], Err(400)),
            (http11, "http://a.example/", host(b"a/b"), Err(400)),
            (http11, "http://user@a.example/", host(b"a.example"), Err(400)),
            (http10, "/", vec![], Ok("127.0.0.1:3000")),
            (http10, "/", host(b"a.example"), Ok("a.example")),
            (http10, "/", host(b""), Err(400)),
            (http10, "http://a.example/", vec![], Ok("a.example")),
            (http2, "http://a.example/", vec![], Ok("a.example")),
            (http2, "http://a.example/", host(b"A.example:80"), Ok("a.example")),
            (http2, "http://a.example/", host(b"a.example:81"), Err(400)),
            (http2, "http://a.example/", host(b"evil.example"), Err(400)),
            (http2, "http://user:pw@a.example/", vec![], Err(400)),
            (http2, "/", host(b"a.example"), Ok("a.example")),
            (http2, "/", vec![], Err(400)),
        ] {
            assert_eq!(received(version, uri, &hosts), expected.map(str::to_owned), "{version:?} {uri} {hosts:?}");
        }
    }

    #[test]
    fn a_body_in_a_coding_that_nobody_would_decode_is_refused() {
        let host: (&str, &[u8]) = ("host", b"a");
        for (codings, accepted) in [
            (&["chunked"][..], true),
            (&["Chunked"], true),
            (&["gzip, chunked"], false),
            (&["gzip", "chunked"], false),
            (&["chunked, chunked"], false),
            (&["chunked", "gzip"], false),
        ] {
            let codings = codings.iter().map(|coding| ("transfer-encoding", coding.as_bytes()));
            let headers: Vec<_> = std::iter::once(host).chain(codings).collect();
            assert_eq!(received(Version::HTTP_11, "/", &headers).err(), (!accepted).then_some(501), "{headers:?}");
        }
    }

    #[test]
    fn cookies_are_joined_and_other_headers_stay_apart() {
        let cookies = [("cookie", "a=1"), ("x", "1"), ("cookie", "b=2; c=3"), ("x", "2"), ("cookie", "d=4")];
        let mut headers =
            cookies.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>();
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3; d=4"]);
        assert_eq!(headers.get_all("x").iter().collect::<Vec<_>>(), ["1", "2"]);
    }
}
