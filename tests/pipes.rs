//! A host whose output is not read. It loses only the output that it cannot write (S3, S13).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::guests;
use crate::process::retry;

/// How long a test waits for a response.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process of `epilogue up` with one thread, whose outputs are pipes.
struct Binary {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Binary {
    fn start(component: &str, grace: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("spin.toml");
        let text = format!(
            "spin_manifest_version = 2\n[application]\nname = \"pipes\"\n\
             [[trigger.http]]\nroute = \"/...\"\ncomponent = \"pipes\"\n[component.pipes]\nsource = {component:?}\n"
        );
        std::fs::write(&manifest, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_epilogue"))
            .args(["up", "--listen", "127.0.0.1:0", "--threads", "1", "--grace", grace, "--from"])
            .arg(&manifest)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address =
            line.trim_end().strip_prefix("Serving http://").expect("the first line is the address").to_owned();
        Self { child, stdout, address }
    }

    /// Sends a request.
    fn get(&self, path: &str) -> TcpStream {
        let mut client = TcpStream::connect(&self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(client, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
        client
    }

    /// Sends a request, and waits for the whole response.
    fn answer(&self, path: &str) -> String {
        let mut answer = String::new();
        self.get(path).read_to_string(&mut answer).unwrap();
        answer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// The processor time of the threads that write to stdout and stderr what could not be written at once.
    fn ticks_of_output(&self) -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let stats = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap());
        let ticks = |stat: String| {
            let (name, fields) = stat.rsplit_once(") ")?;
            let mut fields = name.ends_with("(epilogue-output").then(|| fields.split(' '))?.skip(11);
            Some(fields.next()?.parse::<u64>().unwrap() + fields.next()?.parse::<u64>().unwrap())
        };
        stats.filter_map(ticks).sum()
    }

    fn terminate(&self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[test]
fn s3_s13_a_host_whose_stderr_is_closed_runs_every_task_and_stops_when_told() {
    let mut host = Binary::start(guests::TASKS, "1m");
    drop(host.child.stderr.take());
    host.answer("/?run=ok,ok,ok");
    while host.line() != "ok\n" {}
    assert_eq!([host.line(), host.line()], ["ok\n", "ok\n"]);

    host.terminate();
    assert!(host.child.wait().unwrap().success());
}

#[test]
fn s12_a_host_that_has_lost_events_and_then_its_stderr_comes_to_rest() {
    let mut host = Binary::start(guests::TASKS, "1m");
    let tasks = ["ok"; 1000].join(",");
    for _ in 0..50 {
        while !host.answer(&format!("/?run={tasks}")).starts_with("HTTP/1.1 200 ") {}
    }
    let mut ran = 0;
    while ran < 50_000 {
        ran += usize::from(host.line() == "ok\n");
    }
    drop(host.child.stderr.take());
    let rests = || {
        let before = host.ticks_of_output();
        // For long enough that a thread which is busy meanwhile is seen to be.
        (0..100).for_each(|_| _ = host.answer("/"));
        (host.ticks_of_output() == before).then_some(())
    };
    retry(rests);
    host.terminate();
    assert!(host.child.wait().unwrap().success());
}

#[test]
fn s3_s13_a_host_whose_output_nobody_reads_runs_every_task_and_stops_when_told() {
    let mut host = Binary::start(guests::TASKS, "1m");
    // More than a pipe holds, of events and of what the tasks print.
    for _ in 0..3 {
        host.answer(&format!("/?run={}", ["ok"; 1000].join(",")));
    }
    host.terminate();
    assert!(host.child.wait().unwrap().success());
}

#[test]
fn s12_a_guest_whose_output_nobody_reads_holds_up_no_other_and_loses_nothing() {
    let length = 1 << 20;
    let mut host = Binary::start(guests::EXCESS, "1m");
    let task = host.get(&format!("/print?{length}"));
    // On the same thread.
    for _ in 0..3 {
        assert!(host.answer("/").starts_with("HTTP/1.1 200 "));
    }
    drop(task);
    // Now somebody reads.
    while host.line() != format!("{}\n", "x".repeat(length)) {}
    host.terminate();
    assert!(host.child.wait().unwrap().success());
}

#[test]
fn s13_a_guest_whose_output_nobody_reads_is_stopped_when_told() {
    let mut host = Binary::start(guests::EXCESS, "100ms");
    host.answer("/print?1000000");
    host.terminate();
    assert_eq!(host.child.wait().unwrap().code(), Some(3));
}

#[test]
fn s3_events_that_nobody_reads_are_counted_and_told_once_somebody_does() {
    let mut host = Binary::start(guests::TASKS, "1m");
    let stderr = host.child.stderr.take().unwrap();
    // Each task's event is more than a hundred bytes, and four mebibytes are kept.
    let tasks = ["ok"; 1000].join(",");
    for _ in 0..50 {
        // With so many tasks on its way the host refuses some.
        while !host.answer(&format!("/?run={tasks}")).starts_with("HTTP/1.1 200 ") {}
    }
    let mut ran = 0;
    while ran < 50_000 {
        let line = host.line();
        assert_ne!(line, "");
        ran += usize::from(line == "ok\n");
    }
    let somebody = thread::spawn(move || {
        let (mut told, mut lost) = (0, 0);
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            told += usize::from(line.contains("epilogue::task"));
            if let Some(count) = line.split("nothing read stderr lost=").nth(1) {
                lost += count.parse::<usize>().unwrap();
            }
        }
        (told, lost)
    });
    host.terminate();
    let (told, lost) = somebody.join().unwrap();
    assert!(lost > 0 && told + lost >= 50_000, "{told} told, {lost} lost");
    assert!(host.child.wait().unwrap().success());
}
