//! Finds the component for a request's path, by Spin's rules. If several routes match, an exact route wins. If no exact
//! route matches, a route with a `:parameter` wins over a route with a trailing wildcard `/...`. If several wildcards
//! match, the longest route wins. A trailing slash of a route or a path makes no difference.

use std::fmt::Write as _;

use anyhow::{Context as _, bail, ensure};
use http::HeaderName;
use http::header::InvalidHeaderName;

/// The prefix of the paths that the host itself answers. Components get no requests for these paths.
pub const RESERVED: &str = "/.well-known/spin/";

/// The prefix of the request headers that contain the values of a route's `:parameter`s.
pub const PARAMETER_HEADERS: &str = "spin-path-match-";

/// Finds the route that matches a request's path. Each route has a target of type `T`, such as a component.
#[derive(Debug)]
pub struct Router<T> {
    routes: routefinder::Router<Route<T>>,
}

/// A route and its target.
#[derive(Clone, Debug)]
struct Route<T> {
    /// The route's text, for example `/users/:id/...`.
    pattern: String,
    target: T,
}

/// The route that matches a path, with the values of the route's parameters and wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMatch<'router, T> {
    /// The route's target.
    pub target: &'router T,
    /// The route's text, for example `/users/:id/...`.
    pub pattern: &'router str,
    /// The part of the path that matches the trailing wildcard, with its leading slash. If the route has no wildcard,
    /// `path_info` is empty.
    pub path_info: String,
    /// The header name and the value of each `:parameter`, in the order of the route.
    pub parameters: Vec<(HeaderName, String)>,
}

impl<T> Router<T> {
    /// Builds a router. If two routes differ only in a slash at the beginning or end, the router uses the later route,
    /// as Spin does.
    pub fn new(routes: impl IntoIterator<Item = (String, T)>) -> anyhow::Result<Self> {
        let mut distinct: Vec<Route<T>> = Vec::new();
        for (pattern, target) in routes {
            let route = Route { pattern, target };
            match distinct.iter_mut().find(|other| same_route(&other.pattern, &route.pattern)) {
                Some(earlier) => *earlier = route,
                None => distinct.push(route),
            }
        }
        let mut router = routefinder::Router::new();
        for route in distinct {
            let spec = parse_pattern(&route.pattern).with_context(|| format!("{:?} is not a route", route.pattern))?;
            router.add(spec, route).map_err(anyhow::Error::msg)?;
        }
        Ok(Self { routes: router })
    }

    /// Finds the route for a request. `path` is the path of the request's URI, without the query.
    pub fn route(&self, path: &str) -> Option<RouteMatch<'_, T>> {
        let found = self.routes.best_match(path)?;
        let captures = found.captures();
        let route = found.handler();
        Some(RouteMatch {
            target: &route.target,
            pattern: &route.pattern,
            path_info: captures.wildcard().map(|rest| path_info(rest, path)).unwrap_or_default(),
            parameters: captures
                .iter()
                .filter_map(|(name, value)| Some((parameter_header(name).ok()?, value.to_owned())))
                .collect(),
        })
    }
}

impl<T> RouteMatch<'_, T> {
    /// Returns the route's text without the wildcard `/...` at its end.
    pub fn prefix(&self) -> &str {
        self.pattern.strip_suffix("/...").unwrap_or(self.pattern)
    }
}

/// Returns true if two routes differ at most in a slash at the beginning or end.
pub fn same_route(one: &str, other: &str) -> bool {
    fn plain(route: &str) -> &str {
        let route = route.strip_prefix('/').unwrap_or(route);
        route.strip_suffix('/').unwrap_or(route)
    }
    plain(one) == plain(other)
}

/// Checks that a route in a manifest is valid.
pub fn check_pattern(pattern: &str) -> anyhow::Result<()> {
    parse_pattern(pattern).map(|_| ())
}

/// Returns the name of the header for a route's `:parameter`.
fn parameter_header(parameter: &str) -> Result<HeaderName, InvalidHeaderName> {
    HeaderName::try_from(format!("{PARAMETER_HEADERS}{}", parameter.replace('_', "-")))
}

fn parse_pattern(pattern: &str) -> anyhow::Result<routefinder::RouteSpec> {
    let (path, wildcard) = match pattern.strip_suffix("/...").or(pattern.strip_suffix("/*")) {
        Some(path) => (path, "/*"),
        None => (pattern, ""),
    };
    // This check is necessary because the routefinder crate panics on a wildcard in the middle of a route.
    ensure!(path.split(['/', '.']).all(|segment| segment != "*"), "a wildcard can only be the last segment");
    if path.split('/').any(|segment| segment == "...") {
        bail!("a wildcard can only be the last segment");
    }
    for segment in path.split(['/', '.']) {
        if let Some(name) = segment.strip_prefix(':').filter(|name| !name.is_empty()) {
            parameter_header(name)
                .with_context(|| format!("the parameter :{name} cannot be part of a header's name"))?;
        }
    }
    let encoded = percent_encoded(pattern);
    ensure!(
        encoded == pattern,
        "it would match no request, since clients percent-encode such characters: write {encoded:?}{}",
        if pattern.contains('{') { ", or \":name\" where a parameter is meant" } else { "" }
    );
    format!("{path}{wildcard}").parse().map_err(anyhow::Error::msg)
}

/// Percent-encodes a path as clients do. The function encodes the characters of the set "path percent-encode set" in
/// the URL standard. The function does not encode a `%` that already begins a code such as `%20`.
fn percent_encoded(path: &str) -> String {
    let is_code = |rest: &[u8]| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit);
    let mut encoded = String::with_capacity(path.len());
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            b'%' if is_code(&path.as_bytes()[at + 1..]) => encoded.push('%'),
            0..=b' ' | b'"' | b'#' | b'%' | b'<' | b'>' | b'?' | b'`' | b'{' | b'}' | 0x7f.. => {
                _ = write!(encoded, "%{byte:02X}");
            }
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

/// Returns the text of [`RouteMatch::path_info`]. `rest` is the part of `path` that matches the wildcard, without
/// slashes at its beginning and end. The function adds the slashes of `path` to `rest`, because guests for Spin expect
/// the slashes.
fn path_info(rest: &str, path: &str) -> String {
    match (rest.is_empty(), path.ends_with('/')) {
        (true, false) => String::new(),
        (true, true) => "/".to_owned(),
        (false, false) => format!("/{rest}"),
        (false, true) => format!("/{rest}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(patterns: &[&str]) -> Router<String> {
        Router::new(patterns.iter().map(|pattern| ((*pattern).to_owned(), (*pattern).to_owned()))).unwrap()
    }

    #[test]
    fn finds_the_route_that_spin_finds() {
        let everything =
            ["/", "/...", "/foo", "/foo/bar", "/one/...", "/one/two/...", "/one/:id", "/users/:id/posts/..."];
        let reversed: Vec<&str> = everything.iter().rev().copied().collect();
        for (path, expected) in [
            ("/", "/"),
            ("/foo", "/foo"),
            ("/foo/", "/foo"),
            ("/foo/bar", "/foo/bar"),
            ("/foo/baz", "/..."),
            ("/other", "/..."),
            ("/one", "/one/..."),
            ("/one/7", "/one/:id"),
            ("/one/7/8", "/one/..."),
            ("/one/two", "/one/two/..."),
            ("/one/two/three/four", "/one/two/..."),
            ("/users/7", "/..."),
            ("/users/7/posts", "/users/:id/posts/..."),
            ("/users/7/posts/1", "/users/:id/posts/..."),
        ] {
            for patterns in [&everything[..], &reversed[..]] {
                let router = router(patterns);
                assert_eq!(router.route(path).map(|found| found.pattern), Some(expected), "{path}");
            }
        }
    }

    #[test]
    fn an_encoded_route_matches_an_encoded_path() {
        let router = router(&["/gr%C3%BC%C3%9Fe/a%20b", "/~a/b;c=d,e/[f]|'g'"]);
        for path in ["/gr%C3%BC%C3%9Fe/a%20b", "/~a/b;c=d,e/[f]|'g'"] {
            assert_eq!(router.route(path).map(|found| found.pattern), Some(path));
        }
    }

    #[test]
    fn no_route_no_match() {
        let router = router(&["/foo", "/bar/:id"]);
        for path in ["/", "/foobar", "/foo/bar", "/bar", "/bar/1/2", "/Foo"] {
            assert_eq!(router.route(path), None, "{path}");
        }
    }

    #[test]
    fn a_wildcard_keeps_its_slashes() {
        for (pattern, path, expected) in [
            ("/...", "/1/2/3", "/1/2/3"),
            ("/...", "/", "/"),
            ("/1/...", "/1/2/3", "/2/3"),
            ("/1/*", "/1/2/3", "/2/3"),
            ("/test/...", "/test", ""),
            ("/test/...", "/test/", "/"),
            ("/test/...", "/test/hello", "/hello"),
            ("/test/...", "/test/hello/", "/hello/"),
            ("/test", "/test", ""),
        ] {
            let router = router(&[pattern]);
            assert_eq!(router.route(path).unwrap().path_info, expected, "{pattern} {path}");
        }
    }

    #[test]
    fn parameters_are_captured() {
        let router = router(&["/1/:two/:user_id/..."]);
        let found = router.route("/1/2/ada/4").unwrap();
        let parameters: Vec<(&str, &str)> =
            found.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(parameters, [("spin-path-match-two", "2"), ("spin-path-match-user-id", "ada")]);
        assert_eq!(found.path_info, "/4");
        assert_eq!(found.prefix(), "/1/:two/:user_id");
    }

    #[test]
    fn of_equal_routes_the_later_holds() {
        let routes = [("/foo", 1), ("/...", 2), ("/foo/", 3)].map(|(route, target)| (route.to_owned(), target));
        let router = Router::new(routes).unwrap();
        assert_eq!(router.route("/foo").map(|found| *found.target), Some(3));
        assert_eq!(router.route("/bar").map(|found| *found.target), Some(2));
    }

    #[test]
    fn bad_routes_are_refused() {
        for (pattern, expected) in [
            ("/a/.../b", "a wildcard can only be the last segment"),
            ("/a/*/b", "a wildcard can only be the last segment"),
            ("/a/:/b", "params must be named"),
            ("/a/:b c", "the parameter :b c cannot be part of a header's name"),
            (
                "/grüße/a b",
                "it would match no request, since clients percent-encode such characters: write \"/gr%C3%BC%C3%9Fe/a%20b\"",
            ),
            (
                "/100%/%zz/%C3",
                "it would match no request, since clients percent-encode such characters: write \"/100%25/%25zz/%C3\"",
            ),
            (
                "/users/{id}",
                "it would match no request, since clients percent-encode such characters: write \"/users/%7Bid%7D\", or \
                 \":name\" where a parameter is meant",
            ),
        ] {
            assert_eq!(check_pattern(pattern).unwrap_err().to_string(), expected, "{pattern}");
        }
    }
}
