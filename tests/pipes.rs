//! A host whose output nobody reads: it loses what it cannot write, and nothing else (S3, S13).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::guests;

/// The command itself, with one worker.
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
            .args(["up", "--listen", "127.0.0.1:0", "--workers", "1", "--grace", grace, "--from"])
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
        write!(client, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
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
    host.get("/?run=ok,ok,ok").read_to_end(&mut Vec::new()).unwrap();
    while host.line() != "ok\n" {}
    assert_eq!([host.line(), host.line()], ["ok\n", "ok\n"]);

    host.terminate();
    assert!(host.child.wait().unwrap().success());
}

#[test]
fn s13_a_host_stuck_in_its_output_still_stops() {
    let mut host = Binary::start(guests::TASKS, "100ms");
    // More than a pipe holds, of events and of what the tasks print, and nobody reads either.
    host.get(&format!("/?run={}", ["ok"; 1000].join(","))).read_to_end(&mut Vec::new()).unwrap();

    host.terminate();
    assert_eq!(host.child.wait().unwrap().code(), Some(3));
}
