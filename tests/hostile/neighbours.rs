//! Others on the same thread have their answers, complete and right, while guests misbehave at every step (S14).

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::{Hostile, STUCK, TRAPS};
use crate::support::ends;

#[test]
fn s14_other_requests_do_not_notice() {
    let hostile = Hostile::with(|host| {
        ["request-timeout", "response-timeout", "task-timeout", "teardown-timeout"]
            .into_iter()
            .fold(host, |host, setting| host.setting(setting, "300ms"))
    });
    let host = &hostile.host;
    let misbehave = &|place| {
        for what in [TRAPS, STUCK].concat() {
            host.get(&format!("/?do={what}&at={place}")).drained();
        }
    };
    let busy = AtomicBool::new(true);
    let ask = &|letter: &str| {
        let mut exchanges = Vec::new();
        while busy.load(Relaxed) {
            let body = letter.repeat(100_000 + exchanges.len());
            let exchange = host.post("/", body.clone());
            assert!(exchange.response().status() == 200 && exchange.text() == body, "not its own answer");
            exchanges.push(exchange);
        }
        exchanges
    };
    let exchanges = std::thread::scope(|scope| {
        let misdeeds = ["handler", "body", "task", "teardown"].map(|place| scope.spawn(move || misbehave(place)));
        let neighbours = ["a", "b"].map(|letter| scope.spawn(move || ask(letter)));
        let ended = misdeeds.map(|misdeed| misdeed.join());
        busy.store(false, Relaxed);
        assert!(ended.iter().all(Result::is_ok));
        neighbours.map(|neighbour| neighbour.join().unwrap())
    });
    for exchange in exchanges.iter().flatten() {
        assert_eq!(ends(&exchange.drained()), ["after succeeded"]);
    }
    let served = exchanges.map(|exchanges| exchanges.len());
    assert!(served.iter().all(|served| *served > 20), "only {served:?} were served meanwhile");
}
