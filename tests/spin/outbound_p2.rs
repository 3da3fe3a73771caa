//! Requests that a guest sends through `wasi:http/outgoing-handler` of WASI 0.2. The same rules hold as for those of 0.3.

use epilogue::testing::{TaskState, TestHost};

use crate::guests;
use crate::process::folder;
use crate::upstream::Upstream;

#[test]
fn handlers_and_tasks_send_requests() {
    let upstream = Upstream::start();
    let host = TestHost::component(guests::OUTBOUND_P2).allow(&upstream.url()).start();
    let now = host.get(&format!("/now?{}/path?query", upstream.url()));
    let call = upstream.call();
    assert_eq!(call.line, "GET /path?query HTTP/1.1");
    call.answer("hello");
    assert_eq!(now.text(), "200 hello");
    let later = host.get(&format!("/later?{}", upstream.url()));
    upstream.call().answer("again");
    later.drained();
    assert_eq!(host.stdout(), "task: 200 again\n");
}

#[test]
fn nothing_is_reached_by_default() {
    let host = TestHost::start(guests::OUTBOUND_P2);
    let denied = host.get("/now?http://127.0.0.1:1/");
    assert_eq!(denied.text(), "Some(Ok(Err(ErrorCode::HttpRequestDenied)))");
    host.get("/later?http://127.0.0.1:1/").drained();
    assert_eq!(host.stdout(), "task: Some(Ok(Err(ErrorCode::HttpRequestDenied)))\n");
}

#[test]
fn another_component_is_called() {
    let folder = folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\n\
         [[trigger.http]]\nroute = {{ private = true }}\ncomponent = \"hello\"\n\
         [component.app]\nsource = {:?}\nallowed_outbound_hosts = [\"http://hello.spin.internal\"]\n\
         [component.hello]\nsource = {:?}\n",
        guests::OUTBOUND_P2,
        guests::HELLO
    ));
    let host = TestHost::manifest(folder.path().join("spin.toml")).start();
    assert_eq!(host.get("/now?http://hello.spin.internal/").text(), "200 Hello, world!");
}

#[test]
fn s11_header_fields_have_a_limit() {
    let host = TestHost::start(guests::OUTBOUND_P2);
    let record = host.get("/hoard").drained();
    assert_eq!(record.tasks[0].state, TaskState::Trapped);
    let error = record.tasks[0].error.as_deref().unwrap_or_default();
    assert!(error.contains("bytes of header fields"), "{error}");
}
