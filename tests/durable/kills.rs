//! `kill -9` of hosts that run their own tasks. If a client has got its response, the stored tasks still run.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;

use super::fixture::{Fixture, Set, ask, in_order, words};
use crate::process::Process;

/// Requests of one run; `DURABLE_REQUESTS=1000` makes it a long one.
const REQUESTS: usize = 60;
const CLIENTS: usize = 4;

super::on_each_engine! {
    the_tasks_of_a_killed_host_run_on_the_next,
    tasks_of_every_request_that_succeeded_run_though_hosts_are_killed_at_any_moment,
}

fn the_tasks_of_a_killed_host_run_on_the_next(fixture: &mut Fixture) {
    let host = fixture.host([]);
    assert_eq!(ask(host.address(), "run=ok,bill").0, StatusCode::OK);
    host.signal("KILL");
    host.ended();
    let host = fixture.host(["--work"]);
    host.printed("bill 1 ");
    fixture.wait_until_done();
}

fn tasks_of_every_request_that_succeeded_run_though_hosts_are_killed_at_any_moment(fixture: &mut Fixture) {
    fixture.visibility = "2s";
    let requests = std::env::var("DURABLE_REQUESTS").ok().and_then(|count| count.parse().ok()).unwrap_or(REQUESTS);
    let mut host = fixture.host(["--work"]);
    // Where the host is, and the how manieth it is.
    let (serving, moved) = (Mutex::new((host.address(), 0)), Condvar::new());
    let (next, accepted, stop) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicBool::new(false));
    let (sender, answers) = mpsc::channel();
    let (mut lines, mut kills) = (Vec::new(), 0);
    let client = |answered: Sender<()>| {
        while accepted.lock().unwrap().len() < requests && !stop.load(Ordering::SeqCst) {
            // Each number once: a request that failed may have been stored or not, and nobody was told.
            let number = next.fetch_add(1, Ordering::Relaxed);
            let (address, host) = *serving.lock().unwrap();
            match status(address, number) {
                Ok(true) => accepted.lock().unwrap().push(number),
                Ok(false) => {}
                Err(_) => {
                    let killed = |serving: &mut (SocketAddr, usize)| serving.1 == host;
                    _ = moved.wait_timeout_while(serving.lock().unwrap(), Duration::from_secs(60), killed).unwrap();
                }
            }
            _ = answered.send(());
        }
    };
    thread::scope(|scope| {
        let _clients_end = Set(&stop);
        for _ in 0..CLIENTS {
            let sender = sender.clone();
            scope.spawn(|| client(sender));
        }
        drop(sender);
        let mut until_kill = 1 + random(20);
        while answers.recv_timeout(Duration::from_secs(60)).is_ok() {
            until_kill = until_kill.saturating_sub(1);
            if until_kill == 0 {
                until_kill = 1 + random(requests as u32 / 5);
                kills += 1;
                lines.extend(kill(&mut host, fixture));
                *serving.lock().unwrap() = (host.address(), kills);
                moved.notify_all();
            }
        }
    });
    fixture.wait_until_done();
    host.signal("TERM");
    lines.extend(host.ended().stdout);

    let mut seen = BTreeMap::<&str, Vec<u64>>::new();
    for line in lines.iter().filter(|line| line.starts_with("ok")) {
        let [tag, _, _, key] = words(line);
        seen.entry(tag).or_default().push(key.rsplit(':').next().unwrap().parse().unwrap());
    }
    let accepted = accepted.into_inner().unwrap();
    assert!(accepted.len() >= requests && kills > 0, "{} of {requests}, {kills} kills", accepted.len());
    let mut again = 0;
    for number in accepted {
        let ran = seen.remove(&*format!("ok-{number}")).unwrap_or_default();
        again += ran.len().saturating_sub(3);
        assert_eq!(in_order(ran), [1, 2, 3], "request {number}");
    }
    // Each kill can fall into one task of each batch that is running.
    assert!(again <= kills * 16, "{again} tasks ran again after {kills} kills");
}

/// Kills the host and starts the next; returns what the guests had printed.
fn kill(host: &mut Process, fixture: &Fixture) -> Vec<String> {
    host.signal("KILL");
    let killed = std::mem::replace(host, fixture.host(["--work"]));
    killed.ended().stdout
}

/// Whether a request gets a successful response. Returns an error if the response is not complete.
fn status(address: SocketAddr, number: usize) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let path = format!("/?run=ok,ok,ok&tag=-{number}&attempts=1000");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.ends_with("\r\n0\r\n\r\n") && !answer.contains("content-length") {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(answer.starts_with("HTTP/1.1 200 "))
}

fn random(below: u32) -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_micros() % below
}
