//! Sets Spin's request headers, which describe a request's URL, route and client.

use std::net::SocketAddr;

use epilogue_manifest::routes::{PARAMETER_HEADERS, RouteMatch};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");
static NAMES: [HeaderName; 7] =
    [PATH_INFO, FULL_URL, MATCHED_ROUTE, BASE_PATH, RAW_COMPONENT_ROUTE, COMPONENT_ROUTE, CLIENT_ADDR];

/// The URL of a request and the address of the request's client, for Spin's headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    /// The request's whole URI.
    pub(crate) uri: &'a Uri,
    /// The address of the client's end of the connection.
    pub(crate) client: SocketAddr,
}

/// Removes all headers that the client has sent under the names of Spin's headers, so that a component can trust these
/// names. If `origin` is given, sets Spin's headers.
pub(crate) fn set_spin_headers<T>(headers: &mut HeaderMap, origin: Option<Origin<'_>>, matched: &RouteMatch<'_, T>) {
    for name in headers.keys().filter(|name| is_spins(name)).cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
    let Some(origin) = origin else { return };
    for (name, value) in spin_headers(origin, matched) {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// Reports whether a header has the name of one of Spin's headers. In this comparison, `_` equals `-`, because a guest
/// that reads headers as CGI variables cannot distinguish the two characters. A [`HeaderName`] is always in lower case.
fn is_spins(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    let begins = |start: &[u8]| name.len() >= start.len() && name.iter().zip(start).all(|(a, b)| is_same(*a, *b));
    begins(b"spin-")
        && (begins(PARAMETER_HEADERS.as_bytes())
            || NAMES.iter().any(|spins| spins.as_str().len() == name.len() && begins(spins.as_str().as_bytes())))
}

/// Reports whether a character of a header's name equals the character `spins` of one of Spin's names. In this
/// comparison, `_` equals `-`.
fn is_same(letter: u8, spins: u8) -> bool {
    letter == spins || (letter == b'_' && spins == b'-')
}

fn spin_headers<T>(origin: Origin<'_>, matched: &RouteMatch<'_, T>) -> impl Iterator<Item = (HeaderName, Vec<u8>)> {
    [
        (PATH_INFO, matched.path_info.clone().into_bytes()),
        (FULL_URL, full_url(origin.uri)),
        (MATCHED_ROUTE, matched.pattern.into()),
        // Spin no longer has base paths for applications, but still sends this header.
        (BASE_PATH, b"/".to_vec()),
        (RAW_COMPONENT_ROUTE, matched.pattern.into()),
        (COMPONENT_ROUTE, matched.prefix().into()),
        (CLIENT_ADDR, origin.client.to_string().into_bytes()),
    ]
    .into_iter()
    .chain(matched.parameters.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())))
}

fn full_url(uri: &Uri) -> Vec<u8> {
    let host = uri.authority().map_or("", Authority::as_str);
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    [uri.scheme_str().unwrap_or("http"), "://", host, path].concat().into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use epilogue_manifest::routes::Router;

    use super::*;

    fn headers_for(pattern: &str, uri: &str, mut headers: HeaderMap) -> HeaderMap {
        let router = Router::new([(pattern.to_owned(), ())]).unwrap();
        let uri: Uri = format!("https://fermyon.dev{uri}").parse().unwrap();
        let origin = Origin { uri: &uri, client: "127.0.0.1:8777".parse().unwrap() };
        set_spin_headers(&mut headers, Some(origin), &router.route(uri.path()).unwrap());
        headers
    }

    #[test]
    fn tell_what_spin_tells() {
        let headers = headers_for("/foo/:userid/...", "/foo/42/bar?key1=value1&key2=value2", HeaderMap::new());
        for (name, expected) in [
            ("spin-full-url", "https://fermyon.dev/foo/42/bar?key1=value1&key2=value2"),
            ("spin-path-info", "/bar"),
            ("spin-matched-route", "/foo/:userid/..."),
            ("spin-base-path", "/"),
            ("spin-raw-component-route", "/foo/:userid/..."),
            ("spin-component-route", "/foo/:userid"),
            ("spin-client-addr", "127.0.0.1:8777"),
            ("spin-path-match-userid", "42"),
        ] {
            assert_eq!(headers.get(name).map(HeaderValue::as_bytes), Some(expected.as_bytes()), "{name}");
        }
        assert_eq!(headers.len(), 8);
    }

    #[test]
    fn a_client_cannot_forge_them() {
        let mut headers = HeaderMap::new();
        headers.append("spin-client-addr", HeaderValue::from_static("10.0.0.1:1"));
        headers.append("spin-client-addr", HeaderValue::from_static("10.0.0.2:1"));
        headers.append("spin-path-match-admin", HeaderValue::from_static("yes"));
        for underscored in ["spin_client_addr", "spin-client_addr", "spin_full-url", "spin_path_match_admin"] {
            headers.append(underscored, HeaderValue::from_static("10.0.0.3:1"));
        }
        headers.append("x-own", HeaderValue::from_static("kept"));
        headers.append("spin_own", HeaderValue::from_static("kept"));
        let headers = headers_for("/...", "/x", headers);
        assert_eq!(headers.get_all("spin-client-addr").iter().count(), 1);
        assert_eq!(headers["spin-client-addr"], "127.0.0.1:8777");
        let left = headers.keys().filter(|name| !NAMES.contains(name)).map(HeaderName::as_str);
        assert_eq!(left.collect::<BTreeSet<_>>(), BTreeSet::from(["spin_own", "x-own"]));
    }

    #[test]
    fn a_component_that_wants_none_has_none() {
        let router = Router::new([("/:a/...".to_owned(), ())]).unwrap();
        let names = NAMES.iter().map(HeaderName::as_str).chain(["spin-path-match-a", "spin-own", "host"]);
        let mut headers = names.map(|name| (name.parse().unwrap(), HeaderValue::from_static("forged"))).collect();
        set_spin_headers(&mut headers, None, &router.route("/x/y").unwrap());
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert!(left.len() == 2 && left.contains(&"spin-own") && left.contains(&"host"), "{left:?}");
    }
}
