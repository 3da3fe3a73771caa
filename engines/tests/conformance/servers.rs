//! Servers of the tests' own: on a free port, in a folder that goes with them, ended by their process id.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) struct Server {
    program: &'static str,
    scheme: &'static str,
    port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Server {
    pub(crate) fn redis() -> Self {
        Self::start("redis-server", "redis")
    }

    pub(crate) fn nats() -> Self {
        Self::start("nats-server", "nats")
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Ends it as `kill -9` does; what is stored stays.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again, on the same port and folder.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.launch(), "{} did not start again", self.program);
    }

    /// Another process may take the free port first; then there is another.
    fn start(program: &'static str, scheme: &'static str) -> Self {
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut server = Self { program, scheme, port, folder: tempfile::tempdir().unwrap(), child: None };
            if server.launch() {
                return server;
            }
        }
        panic!("{program} did not start five times");
    }

    /// False if the server ended instead of accepting connections.
    fn launch(&mut self) -> bool {
        let (folder, port) = (self.folder.path().to_str().unwrap(), self.port.to_string());
        let mut command = Command::new(self.program);
        match self.scheme {
            "redis" => command.args(["--bind", "127.0.0.1", "--port", &port, "--dir", folder]).args([
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--save",
                "",
            ]),
            _ => command.args(["-js", "-sd", folder, "-a", "127.0.0.1", "-p", &port]),
        };
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = spawned.unwrap_or_else(|error| {
            panic!("{0} can't be run ({error}): install Debian's package {0}", self.program);
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "{} does not listen", self.program);
            // There is no event to wait for.
            thread::yield_now();
        }
        self.child = Some(child);
        true
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
