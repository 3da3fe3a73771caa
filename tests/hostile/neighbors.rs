//! Requests on the same thread get their complete and correct responses while other guests misbehave at every step (S14).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::{Hostile, STUCK, TRAPS};
use crate::support::ends;

/// The least number of responses that each neighbor gets while others misbehave.
const ANSWERS: usize = 20;

#[test]
fn s14_other_requests_do_not_notice() {
    let hostile = Hostile::with(|host| {
        ["request-timeout", "response-timeout", "task-timeout", "teardown-timeout"]
            .into_iter()
            .fold(host, |host, setting| host.setting(setting, "1s"))
    });
    let host = &hostile.host;
    let misbehave = &|place| {
        for what in [TRAPS, STUCK].concat() {
            host.get(&format!("/?do={what}&at={place}")).drained();
        }
    };
    let busy = AtomicBool::new(true);
    let served = [const { AtomicUsize::new(0) }; 2];
    let ask = &|letter: &str, served: &AtomicUsize| {
        let mut exchanges = Vec::new();
        while busy.load(Relaxed) {
            let body = letter.repeat(100_000 + exchanges.len());
            let exchange = host.post("/", body.clone());
            assert_eq!(exchange.response().status(), 200, "{}", exchange.text());
            assert!(exchange.text() == body, "not its own answer");
            exchanges.push(exchange);
            served.fetch_add(1, Relaxed);
        }
        exchanges
    };
    let exchanges = std::thread::scope(|scope| {
        let [first, second] = &served;
        let neighbors = [("a", first), ("b", second)].map(|(letter, served)| scope.spawn(move || ask(letter, served)));
        let mut ended = true;
        // One that has ended has failed.
        while ended
            && served.iter().any(|served| served.load(Relaxed) < ANSWERS)
            && !neighbors.iter().any(|neighbor| neighbor.is_finished())
        {
            let misdeeds = ["handler", "body", "task", "teardown"].map(|place| scope.spawn(move || misbehave(place)));
            ended = misdeeds.map(|misdeed| misdeed.join()).iter().all(Result::is_ok);
        }
        busy.store(false, Relaxed);
        assert!(ended);
        neighbors.map(|neighbor| neighbor.join().unwrap())
    });
    for exchange in exchanges.iter().flatten() {
        assert_eq!(ends(&exchange.drained()), ["after succeeded"]);
    }
}
