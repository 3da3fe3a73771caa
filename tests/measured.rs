//! The guests that `host/benches` measures do what its figures are about.

use epilogue::testing::{TaskState, TestHost};

use crate::guests;

#[test]
fn the_measured_guest_runs_as_many_tasks_as_asked() {
    let host = TestHost::start(guests::BENCH);
    for (path, tasks) in [("/", 0), ("/?tasks=3", 3), ("/?tasks=2&sleep=1&burn=1", 2), ("/?work=1", 0)] {
        let exchange = host.get(path);
        assert_eq!(exchange.text(), "ok", "{path}");
        let record = exchange.drained();
        assert_eq!(record.tasks.len(), tasks, "{path}");
        assert!(record.tasks.iter().all(|task| task.state == TaskState::Succeeded), "{record:?}");
    }
}

#[test]
fn the_measured_guests_stream_the_same_body() {
    for guest in [guests::BENCH, guests::BENCH_PLAIN] {
        let host = TestHost::start(guest);
        let exchange = host.get("/?body=100000");
        assert_eq!(exchange.response().headers()["content-length"], "100000");
        assert_eq!(exchange.response().body().len(), 100_000);
    }
}
