//! Which component a request reaches, and what it is told of the request: as in Spin, over HTTP/1.1 and HTTP/2 alike.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use epilogue::testing::TestHost;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Collected, Empty};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{BOTH, Protocol, exchange};
use crate::guests;
use crate::process::folder;

/// The components, each the guest `mirror`, and their routes.
const ROUTES: [(&str, &str); 7] = [
    ("home", "/"),
    ("exact", "/users/me"),
    ("user", "/users/:user-id"),
    ("posts", "/users/:user-id/posts/..."),
    ("files", "/files/..."),
    ("deep", "/files/deep/..."),
    ("own", "/.well-known/..."),
];

#[test]
fn the_most_exact_route_wins() {
    let (_app, host) = mirrors();
    for protocol in BOTH {
        for (path, component) in [
            ("/", "home"),
            ("/users/me", "exact"),
            ("/users/me/", "exact"),
            ("/users/ada", "user"),
            ("/users/ada/posts", "posts"),
            ("/users/ada/posts/2026/may", "posts"),
            ("/files", "files"),
            ("/files/a/b", "files"),
            ("/files/deep", "deep"),
            ("/files/deep/er", "deep"),
            ("/files/deeper", "files"),
        ] {
            assert_eq!(mirrored(&host, protocol, path)["name"], component, "{path}");
        }
    }
}

#[test]
fn a_route_is_written_as_clients_send_it() {
    let app = mirrors_in(&[("encoded", "/gr%C3%BC%C3%9Fe/a%20b"), ("bare", "bare/...")]);
    let host = TestHost::manifest(manifest_in(app.path())).start();
    for protocol in BOTH {
        let seen = mirrored(&host, protocol, "/gr%C3%BC%C3%9Fe/a%20b");
        assert_eq!((&seen["name"], &seen["path"]), (&json!("encoded"), &json!("/gr%C3%BC%C3%9Fe/a%20b")));
        let seen = mirrored(&host, protocol, "/bare/1");
        assert_eq!((&seen["name"], &seen["headers"]["spin-matched-route"]), (&json!("bare"), &json!(["/bare/..."])));
    }
}

#[test]
fn a_path_without_a_route_is_not_found() {
    let (_app, host) = mirrors();
    for protocol in BOTH {
        for path in ["/nowhere", "/users", "/users/ada/friends"] {
            assert_eq!(ask(&host, protocol, path).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}

#[test]
fn the_hosts_own_paths_reach_no_component() {
    let (_app, host) = mirrors();
    for protocol in BOTH {
        let health = ask(&host, protocol, "/.well-known/spin/health");
        assert_eq!(health.status(), StatusCode::OK);
        assert_eq!(health.into_body().to_bytes(), "OK");
        assert_eq!(ask(&host, protocol, "/.well-known/spin/other").status(), StatusCode::NOT_FOUND);
        assert_eq!(mirrored(&host, protocol, "/.well-known/else")["name"], "own");
    }
}

#[test]
fn spins_headers_tell_how_the_component_was_reached() {
    let (_app, host) = mirrors();
    for protocol in BOTH {
        let headers = mirrored(&host, protocol, "http://example.com/users/ada/posts/2026?page=2")["headers"].take();
        for (name, expected) in [
            ("spin-path-info", "/2026"),
            ("spin-full-url", "http://example.com/users/ada/posts/2026?page=2"),
            ("spin-matched-route", "/users/:user-id/posts/..."),
            ("spin-raw-component-route", "/users/:user-id/posts/..."),
            ("spin-component-route", "/users/:user-id/posts"),
            ("spin-base-path", "/"),
            ("spin-path-match-user-id", "ada"),
        ] {
            assert_eq!(headers[name], json!([expected]), "{name} over {protocol:?}");
        }
        let client = headers["spin-client-addr"][0].as_str().unwrap();
        assert!(client.starts_with("127.0.0.1:"), "{client}");
    }
}

#[test]
fn a_client_cannot_forge_spins_headers() {
    let (_app, host) = mirrors();
    for protocol in BOTH {
        let request = Request::get("/files/a")
            .header("spin-client-addr", "10.0.0.1:1")
            .header("spin-client-addr", "10.0.0.2:1")
            .header("spin-path-info", "/forged")
            .header("spin-full-url", "http://forged")
            .header("spin-path-match-admin", "yes")
            .header("Spin_Client_Addr", "10.0.0.3:1")
            .header("spin-client_addr", "10.0.0.4:1")
            .header("spin_path_info", "/forged")
            .header("spin_path_match-admin", "forged")
            .header("x-own", "kept");
        let response = exchange(host.address(), protocol, request.body(Empty::new()).unwrap());
        let headers = json_of(response)["headers"].take();
        assert_eq!(headers["spin-path-info"], json!(["/a"]));
        assert_eq!(headers["spin-client-addr"].as_array().unwrap().len(), 1);
        assert_eq!(headers["x-own"], json!(["kept"]));
        assert!(!headers.to_string().contains("forged") && !headers.to_string().contains("10.0.0."), "{headers}");
        assert!(headers.get("spin-path-match-admin").is_none(), "{headers}");
    }
}

#[test]
fn a_component_that_wants_none_of_spins_headers_has_none() {
    let app = mirrors_in(&ROUTES);
    let host = TestHost::manifest(manifest_in(app.path())).setting("spin-headers", "false").start();
    for protocol in BOTH {
        let request = Request::get("/users/ada").header("spin-path-info", "/forged").header("x-own", "kept");
        let headers =
            json_of(exchange(host.address(), protocol, request.body(Empty::new()).unwrap()))["headers"].take();
        assert_eq!(headers["x-own"], json!(["kept"]));
        assert!(!headers.to_string().contains("spin-"), "{headers}");
    }
}

#[test]
fn a_component_sees_the_request_as_the_client_sent_it() {
    let (_app, host) = mirrors();
    for protocol in BOTH {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::from_bytes(b"PURGE").unwrap()] {
            let request = Request::builder().method(&method).uri("http://example.com:8080/files/a%20b?q=%C3%A9&r");
            let response = exchange(host.address(), protocol, request.body(Empty::new()).unwrap());
            let seen = json_of(response);
            assert_eq!(seen["method"], method.as_str());
            assert_eq!(seen["scheme"], "http");
            assert_eq!(seen["authority"], "example.com:8080", "{protocol:?}");
            assert_eq!(seen["path"], "/files/a%20b?q=%C3%A9&r");
        }
    }
}

#[test]
fn of_two_equal_routes_the_later_holds() {
    let app = mirrors_in(&[("first", "/same"), ("second", "/same/")]);
    let host = TestHost::manifest(manifest_in(app.path())).start();
    assert_eq!(mirrored(&host, Protocol::Http1, "/same")["name"], "second");
}

#[test]
fn a_static_response_is_the_same_each_time() {
    let app = folder(
        "spin_manifest_version = 2\n[application]\nname = \"static\"\n\
         [[trigger.http]]\nroute = \"/tea/...\"\nstatic_response = { status_code = 418, headers = { X-Kind = \"green\" }, \
         body = \"short\" }\n[[trigger.http]]\nroute = \"/empty\"\nstatic_response = { status_code = 204 }\n",
    );
    let mut host = TestHost::manifest(manifest_in(app.path())).start();
    for protocol in BOTH {
        for method in [Method::GET, Method::POST, Method::HEAD] {
            let request = Request::builder().method(&method).uri("/tea/pot?x");
            let (head, body) = exchange(host.address(), protocol, request.body(Empty::new()).unwrap()).into_parts();
            assert_eq!((head.status, &head.headers["x-kind"]), (StatusCode::IM_A_TEAPOT, &"green".parse().unwrap()));
            assert_eq!(head.headers["content-length"], "5", "{method} over {protocol:?}");
            assert_eq!(body.to_bytes(), if method == Method::HEAD { "" } else { "short" });
        }
        let empty = ask(&host, protocol, "/empty");
        assert_eq!((empty.status(), empty.into_body().to_bytes().len()), (StatusCode::NO_CONTENT, 0));
        assert_eq!(ask(&host, protocol, "/other").status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(host.shut_down(Duration::ZERO).requests, 0, "no component served a request");
}

fn mirrors() -> (TempDir, TestHost) {
    let app = mirrors_in(&ROUTES);
    let host = TestHost::manifest(manifest_in(app.path())).start();
    (app, host)
}

/// A folder with an application of these components and their routes.
fn mirrors_in(routes: &[(&str, &str)]) -> TempDir {
    let mut manifest = "spin_manifest_version = 2\n[application]\nname = \"mirrors\"\n".to_owned();
    for (name, route) in routes {
        manifest += &format!(
            "[[trigger.http]]\nroute = {route:?}\ncomponent = {name:?}\n\
             [component.{name}]\nsource = {:?}\nenvironment = {{ NAME = {name:?} }}\n",
            guests::MIRROR
        );
    }
    folder(&manifest)
}

fn manifest_in(folder: &Path) -> std::path::PathBuf {
    folder.join("spin.toml")
}

fn ask(host: &TestHost, protocol: Protocol, uri: &str) -> Response<Collected<Bytes>> {
    exchange(host.address(), protocol, Request::get(uri).body(Empty::new()).unwrap())
}

/// The request as the component saw it.
fn mirrored(host: &TestHost, protocol: Protocol, uri: &str) -> Value {
    json_of(ask(host, protocol, uri))
}

fn json_of(response: Response<Collected<Bytes>>) -> Value {
    let (head, body) = response.into_parts();
    assert_eq!(head.status, StatusCode::OK);
    serde_json::from_slice(&body.to_bytes()).expect("the mirror should answer in JSON")
}
