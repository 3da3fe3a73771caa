//! A guest that misbehaves in the handler: the client gets a response, and those tasks run that asked to run after a failure.

use std::fs;

use epilogue::testing::TestHost;

use super::{Hostile, STUCK, TRAPS};
use crate::process::application;
use crate::support::ends;

#[test]
fn s14_a_handler_that_traps_is_answered_for() {
    let hostile = Hostile::with(|host| host);
    for what in TRAPS {
        let record = hostile.misbehave(what, "handler");
        assert_eq!(record.status, 500, "{what}");
        assert_eq!(ends(&record), ["after succeeded"], "{what}: in a fresh instance");
    }
}

#[test]
fn s10_a_handler_that_does_not_end_is_stopped() {
    let hostile = Hostile::start("request-timeout");
    for what in STUCK {
        let record = hostile.misbehave(what, "handler");
        assert_eq!(record.status, 504, "{what}");
        assert_eq!(ends(&record), ["after succeeded"], "{what}: in a fresh instance");
    }
}

#[test]
fn s10_an_instance_whose_start_does_not_end_is_stopped() {
    let app = application("app.wasm", "");
    let component = r#"
        (component
            (core module $module (func $start loop br 0 end) (start $start) (func (export "handle")))
            (core instance $instance (instantiate $module))
            (func $handle (canon lift (core func $instance "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/handler@0.3.0" (instance $handler)))"#;
    fs::write(app.path().join("app.wasm"), wat::parse_str(component).unwrap()).unwrap();
    let host = TestHost::manifest(app.path().join("spin.toml")).setting("request-timeout", "200ms").start();
    let exchange = host.get("/");
    assert_eq!((exchange.response().status().as_u16(), exchange.text()), (504, "Gateway Timeout"));
}
