//! Limits and settings: a composed guest has the same limits as on the native host, and gets the same messages (S11).

use bytes::Bytes;
use epilogue::testing::{RequestRecord, TestHost};
use http::Request;

use super::host::StockHost;
use super::{same, same_with};
use crate::guests;

#[test]
fn s11_composed_limits_are_the_same() {
    let (most, more) = (1 << 20, (1 << 20) + 1);
    for sizes in ["1000x5".to_owned(), "1001x5".to_owned(), format!("{most},{more}")] {
        same(guests::LIMITS, &format!("/?sizes={sizes}"));
    }
    same_with(guests::LIMITS, "/?sizes=40,60,4", &[("max-request-args", "100")]);
    same_with(guests::TASKS, "/?run=endless", &[("max-tasks", "10")]);
}

/// Puts a text where the guest names a task by it, or fails with it, on both hosts, and compares what they tell.
fn same_text(native: &TestHost, composed: &StockHost, place: &str, text: &str) -> RequestRecord {
    let exchange = native.post(place, text.to_owned());
    let response = composed.send(Request::post(place).body(Bytes::from(text.to_owned())).unwrap());
    assert_eq!(response.body(), exchange.response().body(), "{place}");
    let told = |record: &RequestRecord| {
        let tasks: Vec<_> = record.tasks.iter().map(|task| (task.name.clone(), task.error.clone())).collect();
        (tasks, record.errors.clone())
    };
    let record = composed.next_record();
    assert_eq!(told(&record), told(&exchange.drained()), "{place}");
    record
}

#[test]
fn s11_composed_names_and_errors_have_the_same_limits() {
    let native = TestHost::component(guests::TEXTS).threads(1).start();
    let composed = StockHost::start(guests::TEXTS);
    let tell = |place: &str, text: &str| same_text(&native, &composed, place, text);
    assert_eq!(tell("/name", &"n".repeat(1024)).tasks.len(), 1);
    assert_eq!(tell("/name", &"n".repeat(1025)).tasks.len(), 0, "the name is too long");
    tell("/name", "\0 \u{7f} \u{200b} e\u{301} é \" \\ '");

    let longest = "é".repeat(2048);
    assert_eq!(tell("/task", &longest).tasks[0].error, Some(longest.clone()));
    let cut = tell("/task", &longest.repeat(3)).tasks[0].error.clone().unwrap();
    assert!(cut.starts_with(&longest) && cut.ends_with(" … (8192 more bytes)"), "{cut}");
    let torn_down = &tell("/teardown", &longest.repeat(3)).errors[0];
    assert!(torn_down.ends_with(" … (8192 more bytes)"), "{torn_down}");
}

#[test]
fn s11_a_composed_handler_s_error_has_the_same_limit() {
    let record = same(guests::EXCESS, "/error?100001");
    assert!(format!("{:?}", record.outcome).contains(" more bytes)"), "{record:?}");
}

#[test]
fn composed_durable_tasks_are_refused_for_the_same_reasons() {
    same(guests::DURABLE, "/?run=ok,closure,leaving");
}

#[test]
fn composed_settings_have_the_same_spellings() {
    same_with(guests::TASKS, "/?run=sleep", &[("task-timeout", "0.2s")]);
    same_with(guests::TASKS, "/?run=sleep", &[("task-timeout", " 100msec100ms")]);
    same_with(guests::LIMITS, "/?sizes=1000,20,10", &[("max-request-args", " 1 kib ")]);
}
