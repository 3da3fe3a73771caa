//! A server that cannot be reached, under load. The host responds to each request in time, and stores all of its tasks or none. Once
//! the server is back, everything goes on by itself.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::fixture::{Fixture, Set, ask, in_order, words};
use super::network::{Link, Network};
use crate::process::retry;
use crate::upstream::Upstream;

const CLIENTS: usize = 4;
/// A call of the engine waits five seconds; a busy machine may add much to that, and a call that hangs adds more.
const BOUND: Duration = Duration::from_secs(20);

super::on_each_server! {
    a_network_that_refuses_means_503_in_time_and_loses_nothing,
    a_network_that_swallows_means_503_in_time_and_loses_nothing,
    a_server_that_is_killed_under_load_means_503_in_time_and_loses_nothing,
    a_task_that_runs_while_the_engine_is_away_does_not_run_again,
}

fn a_network_that_refuses_means_503_in_time_and_loses_nothing(fixture: &mut Fixture) {
    behind_a_network(fixture, Link::Refused);
}

fn a_network_that_swallows_means_503_in_time_and_loses_nothing(fixture: &mut Fixture) {
    behind_a_network(fixture, Link::Silent);
}

fn a_server_that_is_killed_under_load_means_503_in_time_and_loses_nothing(fixture: &mut Fixture) {
    under_load(fixture, Fixture::pause, Fixture::resume);
}

fn behind_a_network(fixture: &mut Fixture, link: Link) {
    let (scheme, server) = fixture.url.split_once("://").unwrap();
    let network = Network::before(server.parse().unwrap());
    fixture.url = format!("{scheme}://{}", network.address());
    under_load(fixture, |_| network.set(link), |_| network.set(Link::Open));
}

/// Clients send requests while the link between the server and the host with its worker is cut and restored.
fn under_load(fixture: &mut Fixture, take: impl FnOnce(&mut Fixture), give: impl FnOnce(&mut Fixture)) {
    fixture.visibility = "2s";
    let (host, worker) = (fixture.host([]), fixture.worker([]));
    let address = host.address();
    let (accepted, refused) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let client = || {
        while !stop.load(SeqCst) {
            let (number, start) = (next.fetch_add(1, SeqCst), Instant::now());
            let (status, _) = ask(address, &format!("run=ok,plain,ok,ok&tag=-{number}&attempts=1000"));
            assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
            match status {
                StatusCode::OK => accepted.lock().unwrap().push(number),
                StatusCode::SERVICE_UNAVAILABLE => refused.lock().unwrap().push(number),
                other => panic!("request {number} was answered {other}"),
            }
        }
    };
    let more = |answers: &Mutex<Vec<usize>>, more: usize| {
        let enough = answers.lock().unwrap().len() + more;
        retry(|| (answers.lock().unwrap().len() >= enough).then_some(()));
    };
    thread::scope(|scope| {
        // Also if something below fails, which would wait for them for ever.
        let _clients_end = Set(&stop);
        for _ in 0..CLIENTS {
            scope.spawn(client);
        }
        more(&accepted, 20);
        take(fixture);
        more(&refused, 2 * CLIENTS);
        assert_eq!(ask(address, "run=plain").0, StatusCode::OK, "what needs no engine is served");
        give(fixture);
        more(&accepted, 20);
    });
    fixture.wait_until_done();
    worker.signal("TERM");
    host.signal("TERM");
    let (worker, host) = (worker.ended(), host.ended());
    assert_eq!((worker.code, host.code), (Some(0), Some(0)));

    let mut seen = BTreeMap::<&str, Vec<u64>>::new();
    for line in &worker.stdout {
        let [tag, _, _, key] = words(line);
        seen.entry(tag).or_default().push(key.rsplit(':').next().unwrap().parse().unwrap());
    }
    let (accepted, refused) = (accepted.into_inner().unwrap(), refused.into_inner().unwrap());
    for number in &accepted {
        let ran = seen.remove(&*format!("ok-{number}")).unwrap_or_default();
        assert_eq!(in_order(ran), [1, 3, 4], "request {number}");
    }
    // Their tasks may have been stored, and the answer may be what was lost; but then all of them.
    for number in &refused {
        let ran = seen.remove(&*format!("ok-{number}")).unwrap_or_default();
        assert!(ran.is_empty() || in_order(ran.clone()) == [1, 3, 4], "request {number}: {ran:?}");
    }
    // What runs here on success has run for those alone that succeeded.
    let plain = host.stdout.iter().filter(|line| line.starts_with("plain ")).count();
    assert_eq!(plain, accepted.len() + 1);
}

/// The worker goes on calling the engine for as long as the lease lasts: to extend it, and then to record that the task has ended.
fn a_task_that_runs_while_the_engine_is_away_does_not_run_again(fixture: &mut Fixture) {
    fixture.visibility = "20s";
    let gate = Upstream::start();
    let host = fixture.host([]);
    ask(host.address(), &format!("run=knock,bill&gate={}", gate.url()));
    // One that is busy leases nothing more.
    let worker = fixture.worker(["--concurrency", "1"]);
    let held = gate.call();
    fixture.pause();
    worker.logged("a lease is not extended: the task engine is not available");
    held.answer("go on");
    worker.logged("epilogue::worker: the task engine is not available");
    fixture.resume();
    worker.printed("bill 1 ");
    fixture.wait_until_done();
    worker.signal("TERM");
    let lines = worker.ended().stdout;
    let names: Vec<_> = lines.iter().map(|line| words(line)[..2].join(" ")).collect();
    assert_eq!(names, ["knock 1", "opened 1", "bill 1"]);
}
