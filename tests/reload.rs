//! SIGHUP: the application is loaded anew, without a request or a task being lost.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::client::get;
use crate::guests;
use crate::process::{Process, application, retry, up};
use crate::upstream::{Call, Upstream};

const OLD_VERSION_RUNS: &str = "the old version keeps running";

#[test]
fn under_load_each_request_gets_one_version_whole_and_no_task_is_lost() {
    let versions = ["one", "two", "three"];
    let app = application(guests::SYSTEM, "environment = { VERSION = \"one\" }");
    let host = Process::start(up(app.path(), ["--threads", "2"]));
    let clients = Clients::start(host.address(), "/env?VERSION");
    for (times, version) in (1..).zip(&versions[1..]) {
        clients.wait_for(100);
        rewrite(app.path(), guests::SYSTEM, &format!("environment = {{ VERSION = {version:?} }}"));
        host.signal("HUP");
        host.logged_times("reloaded test (1 component)", times);
        // From here on nobody gets the old one.
        assert_eq!(get(host.address(), "/env?VERSION"), *version);
    }
    clients.wait_for(100);
    let answers = clients.stop();
    for answers in &answers {
        assert!(answers.is_sorted_by_key(|answer| versions.iter().position(|version| version == answer)));
    }
    let mut answers: Vec<String> = answers.into_iter().flatten().collect();
    answers.extend(versions[1..].iter().map(|version| (*version).to_owned()));

    host.signal("TERM");
    let ended = host.ended();
    assert_eq!(ended.code, Some(0));
    let count = answers.len();
    let summary = format!("stopped after {count} requests and {count} tasks; the stop abandoned 0 of them");
    assert!(ended.stderr.last().unwrap().ends_with(&summary), "{count}: {:?}", ended.stderr.last());
    for version in versions {
        let answered = answers.iter().filter(|answer| *answer == version).count();
        let printed = ended.stdout.iter().filter(|line| *line == version).count();
        assert!(answered > 0, "{version} should have answered");
        assert_eq!(printed, answered, "each task should be of its request's version, {version}");
    }
}

#[test]
fn what_has_begun_ends_on_the_old_instances_which_go_as_they_become_idle() {
    let upstream = Upstream::start();
    let (app, host) = with_a_folder(&upstream, "{ source = \"assets\", destination = \"/assets\" }", &[]);
    let folder = app.path().join("assets");
    let (first, second) = (later(&host, &upstream), later(&host, &upstream));
    // A third instance, which is idle then.
    get(host.address(), "/");
    assert_eq!(host.has_open(&folder), 3);

    rewrite(app.path(), guests::HELLO, "");
    host.signal("HUP");
    host.logged("reloaded");
    assert_eq!(get(host.address(), "/"), "Hello, world!");
    retry(|| (host.has_open(&folder) == 2).then_some(()));
    first.answer("the first");
    retry(|| (host.has_open(&folder) == 1).then_some(()));
    second.answer("the second");
    retry(|| (host.has_open(&folder) == 0).then_some(()));

    host.signal("TERM");
    let ended = host.ended();
    assert_eq!(ended.stdout[3..], ["task: the first", "task: the second"]);
    assert_eq!(ended.code, Some(0));
}

#[test]
fn copied_files_last_as_long_as_a_request_of_their_version() {
    let upstream = Upstream::start();
    let scratch = tempfile::tempdir().unwrap();
    let copies = || fs::read_dir(scratch.path()).unwrap().count();
    let (app, host) = with_a_folder(&upstream, "\"assets/*\"", &[("TMPDIR", scratch.path())]);
    let task = later(&host, &upstream);
    assert_eq!(copies(), 1);

    rewrite(app.path(), guests::HELLO, "");
    host.signal("HUP");
    host.logged("reloaded");
    assert_eq!(get(host.address(), "/"), "Hello, world!");
    assert_eq!(copies(), 1);
    task.answer("in time");
    retry(|| (copies() == 0).then_some(()));
}

#[test]
fn a_mistake_changes_nothing_and_is_named() {
    let app = application(guests::HELLO, "");
    let file = app.path().join("spin.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(app.path().join("broken.wasm"), "\0asm\x0d\0\x01\0broken").unwrap();
    let host = Process::start(up(app.path(), []));
    assert_eq!(get(host.address(), "/"), "Hello, world!");
    let mistakes = [
        (good.replace("[component.app]", "[component.app"), "spin.toml"),
        (good.replace("source =", "suorce ="), "\"suorce\""),
        (good.clone() + "tool.epilogue.reuse = 0\n", "reuse"),
        (
            good.clone() + "[application.tool.epilogue]\nmax-header-size = \"1KiB\"\n",
            "\"1KiB\" is too small: the least is 8KiB",
        ),
        (good.replace(guests::HELLO, "none.wasm"), "none.wasm"),
        (good.replace(guests::HELLO, "broken.wasm"), "broken.wasm is not a valid WebAssembly component"),
    ];
    for (times, (manifest, named)) in (1..).zip(mistakes) {
        fs::write(&file, &manifest).unwrap();
        host.signal("HUP");
        let line = host.logged_times(OLD_VERSION_RUNS, times);
        assert!(line.contains("ERROR") && line.contains("cannot reload the application: "), "{line}");
        assert!(line.contains(named), "{named} should be in {line}");
        assert_eq!(get(host.address(), "/"), "Hello, world!");
    }
    fs::write(&file, good.replace(guests::HELLO, guests::OUTBOUND)).unwrap();
    host.signal("HUP");
    host.logged("reloaded test (1 component)");
    assert!(get(host.address(), "/").starts_with("here I am, at "));
}

#[test]
fn what_cannot_change_is_said_and_the_rest_does() {
    let app = application(guests::HELLO, "");
    let host = Process::start(up(app.path(), []));
    let address = host.address();
    let options = "[application.tool.epilogue]\nthreads = 7\ngrace = \"1m\"\ntask-timeout = \"1s\"\n";
    rewrite(app.path(), guests::OUTBOUND, options);
    host.signal("HUP");
    let line = host.logged("cannot change");
    assert!(line.contains("WARN") && line.contains(": grace, threads cannot change while the host runs: "), "{line}");
    host.logged("reloaded");
    assert!(get(address, "/").starts_with("here I am, at "));
}

#[test]
fn s13_a_host_that_stops_goes_on_stopping() {
    let upstream = Upstream::start();
    let (_app, host) = with_a_folder(&upstream, "\"assets/*\"", &[]);
    let task = later(&host, &upstream);
    host.signal("TERM");
    host.logged("stopping: ");
    host.signal("HUP");
    task.answer("in time");
    let ended = host.ended();
    assert_eq!(ended.stdout.last().unwrap(), "task: in time");
    assert!(!ended.stderr.iter().any(|line| line.contains("reloaded")));
    assert_eq!(ended.code, Some(0));
}

#[test]
fn s13_a_terminal_that_is_closed_ends_the_host_in_order() {
    // Runs a command in a terminal, which it closes when it is told to.
    const IN_A_TERMINAL: &str = "\
import os, pty, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
out, err = os.dup(1), os.dup(2)
pid, terminal = pty.fork()
if pid == 0:
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.execv(sys.argv[1], sys.argv[1:])
signal.sigwait([signal.SIGUSR1])
os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";
    let upstream = Upstream::start();
    let app = application(guests::OUTBOUND, &format!("allowed_outbound_hosts = [{:?}]", upstream.url()));
    let inner = up(app.path(), []);
    let mut command = Command::new("python3");
    command.arg("-c").arg(IN_A_TERMINAL).arg(inner.get_program()).args(inner.get_args());
    let host = Process::start(command);
    let task = later(&host, &upstream);
    host.signal("USR1");
    host.logged("stopping: 1 request, 1 task left");
    task.answer("in time");
    let ended = host.ended();
    assert_eq!(ended.stdout.last().unwrap(), "task: in time");
    assert_eq!(ended.code, Some(0));
}

/// Writes the manifest of an `application` anew.
fn rewrite(folder: &Path, component: &str, more: &str) {
    let other = application(component, more);
    fs::rename(other.path().join("spin.toml"), folder.join("spin.toml")).unwrap();
}

/// A host of one worker, whose component may call the upstream and read `files`, and the folder of its application.
fn with_a_folder(upstream: &Upstream, files: &str, environment: &[(&str, &Path)]) -> (TempDir, Process) {
    let more = format!("allowed_outbound_hosts = [{:?}]\nfiles = [{files}]", upstream.url());
    let app = application(guests::OUTBOUND, &more);
    fs::create_dir(app.path().join("assets")).unwrap();
    fs::write(app.path().join("assets/a.txt"), "an asset").unwrap();
    let mut command = up(app.path(), ["--threads", "1"]);
    command.envs(environment.iter().copied());
    let host = Process::start(command);
    host.address();
    (app, host)
}

/// A task that runs until the test answers.
fn later(host: &Process, upstream: &Upstream) -> Call {
    assert_eq!(get(host.address(), &format!("/later?{}", upstream.url())), "later");
    upstream.call()
}

/// Clients that ask the same again and again: some on a connection that they keep, some on a new one each time.
struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Clients {
    fn start(address: SocketAddr, path: &'static str) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |kept: bool| {
            let (stop, answered) = (stop.clone(), answered.clone());
            thread::spawn(move || {
                let mut kept = kept.then(|| Connection::new(address));
                let mut answers = Vec::new();
                while !stop.load(SeqCst) {
                    answers.push(kept.as_mut().map_or_else(|| get(address, path), |connection| connection.get(path)));
                    answered.fetch_add(1, SeqCst);
                }
                answers
            })
        };
        let threads = [true, true, true, false].map(client).into();
        Self { stop, answered, threads }
    }

    /// Waits for so many more answers.
    fn wait_for(&self, more: usize) {
        let now = self.answered.load(SeqCst);
        retry(|| (self.answered.load(SeqCst) >= now + more).then_some(()));
    }

    /// Stops the clients, and returns the texts that each of them received.
    fn stop(self) -> Vec<Vec<String>> {
        self.stop.store(true, SeqCst);
        self.threads.into_iter().map(|thread| thread.join().expect("each request should be answered")).collect()
    }
}

/// A connection on which a client sends one request after the other.
struct Connection {
    runtime: tokio::runtime::Runtime,
    sender: http1::SendRequest<Empty<Bytes>>,
}

impl Connection {
    fn new(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    fn get(&mut self, path: &str) -> String {
        let request = Request::get(path).header("host", "test").body(Empty::new()).unwrap();
        self.runtime.block_on(async {
            self.sender.ready().await.expect("the connection should stay open");
            let response = self.sender.send_request(request).await.expect("there should be a response");
            let body = response.into_body().collect().await.expect("the body should come to its end");
            String::from_utf8(body.to_bytes().into()).unwrap()
        })
    }
}
