//! Requests at once: a stock host sends up to sixteen of them into one instance (S9).

use std::collections::HashMap;
use std::thread;

use super::host::StockHost;
use crate::guests;

#[test]
fn s9_composed_sixteen_requests_at_once_never_mix_their_queues_or_scopes() {
    let host = StockHost::start(guests::TURNS);
    take_turns(&host, 16, 1);
}

#[test]
fn s9_composed_a_thousand_requests_lose_nothing_and_mix_nothing() {
    let host = StockHost::start(guests::TURNS);
    take_turns(&host, 32, 32);
}

/// Has several clients send several requests each. Checks that each request's tasks and teardown were its own, complete and in
/// order.
fn take_turns(host: &StockHost, clients: usize, requests: usize) {
    let numbers: Vec<_> = (0..clients * requests).map(|number| format!("{number:04}")).collect();
    thread::scope(|scope| {
        for own in numbers.chunks(requests) {
            scope.spawn(move || {
                for number in own {
                    assert_eq!(host.get(&format!("/?{number}")).body(), number.as_bytes());
                }
            });
        }
    });
    let mut served = Vec::new();
    for record in host.next_records(numbers.len()) {
        let tasks: Vec<_> = record.tasks.iter().map(|task| (task.id, task.state.as_str())).collect();
        assert_eq!(tasks, [(1, "succeeded"), (2, "succeeded")], "{record:?}");
        assert_eq!(record.teardowns, 1);
        served.push(record.tasks[1].name.clone());
    }
    served.sort();
    assert_eq!(served, numbers);

    let stdout = host.stdout();
    let mut said: HashMap<_, Vec<_>> = HashMap::new();
    for (number, what) in stdout.lines().filter_map(|line| line.split_once(' ')) {
        said.entry(number).or_default().push(what);
    }
    assert_eq!(said.len(), numbers.len());
    for (number, said) in said {
        assert_eq!(said, ["begins", "ends", "named", "closure", "teardown"], "{number}");
    }
}
