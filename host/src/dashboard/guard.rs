//! Decides which requests may use the dashboard, and limits what a browser may do with the dashboard's pages.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use sha2::{Digest as _, Sha256};

use super::Body;

/// The content security policy of all answers. A page may load only the dashboard's own files and JSON interface, and
/// no page of another website may embed the dashboard.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);
const NAME: &str = "epilogue-dashboard";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Decides which requests to the dashboard are allowed.
pub(crate) struct Guard {
    /// The hash of the token. The value is `None` if the dashboard has no token.
    token: Option<String>,
    /// True if operators may retry and drop dead tasks in the dashboard.
    pub(super) actions: bool,
}

impl Guard {
    pub(crate) fn new(token: Option<&str>, actions: bool) -> Self {
        Self { token: token.map(hash), actions }
    }

    /// Returns the URL at which a person opens the dashboard. The URL does not contain the token.
    pub(crate) fn url(&self, address: SocketAddr) -> String {
        let token = if self.token.is_some() { "?token=…" } else { "" };
        format!("http://{address}/{token}")
    }

    /// Returns the answer to a request that the dashboard refuses, because the request comes from a page of another
    /// website or has no token. Returns `None` if the request is allowed. If a request has the right token in its URL,
    /// the answer sets a cookie and redirects to the dashboard's first page.
    pub(super) fn refusal<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        // A page of another website cannot set this header.
        if !matches!(header(FETCH_SITE), None | Some("same-origin" | "none")) {
            return Some(text(StatusCode::FORBIDDEN, "this request comes from a page of another site\n"));
        }
        let Some(token) = &self.token else {
            // An attacker can make the host name of another website point to this machine. For the browser, the
            // website's pages would then have the same origin as the dashboard.
            return match header(HOST) {
                Some(host) if is_this_machine(host) => None,
                _ => Some(text(StatusCode::FORBIDDEN, "open the dashboard as 127.0.0.1 or localhost\n")),
            };
        };
        let query = request.uri().query().unwrap_or_default();
        if let Some(given) = query.split('&').find_map(|pair| pair.strip_prefix("token=")) {
            if hash(given) == *token {
                let mut response = text(StatusCode::SEE_OTHER, "");
                let cookie = format!("{NAME}={token}; Path=/; HttpOnly; SameSite=Strict");
                if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                    response.headers_mut().insert(SET_COOKIE, cookie);
                }
                response.headers_mut().insert(LOCATION, HeaderValue::from_static("/"));
                return Some(response);
            }
            return Some(text(StatusCode::UNAUTHORIZED, "the token is wrong\n"));
        }
        let cookies = header(COOKIE).unwrap_or_default();
        let has_token = cookies.split("; ").filter_map(|cookie| cookie.split_once('=')).any(|(name, value)| {
            // The cookie contains the hash of the token. The guard compares hashes of both values, so that the time of
            // the comparison reveals nothing about the token.
            name == NAME && hash(value) == hash(token)
        });
        (!has_token).then(|| text(StatusCode::UNAUTHORIZED, "open the dashboard at /?token=TOKEN\n"))
    }
}

/// Adds headers to an answer that limit what a browser may do with the answer.
pub(super) fn protect(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Reports whether a `host` header names this machine, with or without a port.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn hash(token: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(token.as_bytes()).iter().fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(guard: &Guard, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        guard.refusal(&request.body(()).unwrap()).map_or(200, |refusal| refusal.status().as_u16())
    }

    #[test]
    fn without_a_token_only_this_machine_and_the_page_itself_may_ask() {
        let guard = Guard::new(None, false);
        for host in ["127.0.0.1:1", "localhost", "LOCALHOST:80", "[::1]:3000", "127.0.0.2"] {
            assert_eq!(status(&guard, "/", &[("host", host)]), 200, "{host}");
        }
        for host in ["example.com", "127.0.0.1.example.com", "10.0.0.1", "", "localhost.example.com:80"] {
            assert_eq!(status(&guard, "/", &[("host", host)]), 403, "{host}");
        }
        assert_eq!(status(&guard, "/", &[]), 403);
        let site = |site| [("host", "localhost"), ("sec-fetch-site", site)];
        assert_eq!(["same-origin", "none"].map(|is| status(&guard, "/", &site(is))), [200, 200]);
        assert_eq!(["cross-site", "same-site", "x"].map(|is| status(&guard, "/", &site(is))), [403, 403, 403]);
    }

    #[test]
    fn with_a_token_only_who_knows_it_may_ask() {
        let guard = Guard::new(Some("secret"), false);
        let cookie = format!("a=b; {NAME}={}", hash("secret"));
        assert_eq!(status(&guard, "/", &[("host", "example.com")]), 401);
        assert_eq!(status(&guard, "/?token=wrong", &[]), 401);
        assert_eq!(status(&guard, "/?token=secret", &[]), 303);
        assert_eq!(status(&guard, "/", &[("cookie", &cookie)]), 200);
        assert_eq!(status(&guard, "/", &[("cookie", &format!("{NAME}=secret"))]), 401);
    }
}
