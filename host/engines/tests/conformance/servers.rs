//! Starts servers for tests. Each server has a free port and its own temporary folder. The tests end a server by its
//! process id.

use std::io::{BufRead as _, BufReader, PipeReader, Read as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The number of separate stores in a server.
const APART: usize = 1_000;

pub(crate) struct Server {
    program: &'static str,
    /// The text of NATS's configuration file.
    config: String,
    scheme: &'static str,
    port: u16,
    folder: TempDir,
    running: Option<(Child, BufReader<PipeReader>)>,
}

impl Server {
    pub(crate) fn redis() -> Self {
        Self::start("redis-server", "redis", String::new())
    }

    pub(crate) fn nats() -> Self {
        Self::nats_with(accounts())
    }

    /// Starts a NATS server with this configuration.
    pub(crate) fn nats_with(config: String) -> Self {
        Self::start("nats-server", "nats", config)
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Returns the pattern for the URLs of the separate stores in this server. The caller replaces the text `{}` in the
    /// URL with a number below [`APART`].
    pub(crate) fn url_apart(&self) -> String {
        match self.scheme {
            "redis" => format!("{}/{{}}", self.url()),
            _ => format!("{}://user{{}}:a%20secret@127.0.0.1:{}", self.scheme, self.port),
        }
    }

    /// Kills the server as `kill -9` does. The stored data stays.
    pub(crate) fn kill(&mut self) {
        if let Some((mut child, _log)) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Kills the server, and removes the data that NATS has stored.
    #[allow(dead_code, reason = "the host's tests have this file too, and empty no server")]
    pub(crate) fn kill_and_empty(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.folder.path().join("jetstream")).unwrap();
    }

    /// Pauses the server with `SIGSTOP` until the returned value is dropped. A paused server accepts connections and
    /// answers nothing.
    #[allow(dead_code, reason = "the engines' tests have this file too, and stop no server")]
    pub(crate) fn stopped(&self) -> Stopped {
        let (child, _) = self.running.as_ref().unwrap();
        Stopped::new(child.id())
    }

    /// Starts the server again, with the same port and folder. If another test has taken the port while the server was
    /// down, waits until the port is free.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let end = Instant::now() + Duration::from_secs(60);
        while !self.launch() {
            assert!(Instant::now() < end, "{} did not start again", self.program);
        }
    }

    /// Starts a server on a free port. If another process takes the port first, tries another port.
    fn start(program: &'static str, scheme: &'static str, config: String) -> Self {
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let (config, folder) = (config.clone(), tempfile::tempdir().unwrap());
            let mut server = Self { program, config, scheme, port, folder, running: None };
            if server.launch() {
                return server;
            }
        }
        panic!("{program} did not start five times");
    }

    /// Starts the server, and waits until the server is ready. If the server ends instead, returns false.
    fn launch(&mut self) -> bool {
        let (folder, port) = (self.folder.path().to_str().unwrap(), self.port.to_string());
        let mut command = Command::new(self.program);
        let ready = match self.scheme {
            "redis" => {
                command.args(["--bind", "127.0.0.1", "--port", &port, "--dir", folder, "--save", ""]);
                // If only the process is killed, the operating system keeps the written data. Redis would have to sync
                // its file only for a power cut.
                command.args(["--appendonly", "yes", "--appendfsync", "no"]);
                // Each database number in a URL is a separate store.
                command.args(["--databases", &APART.to_string()]);
                "Ready to accept connections"
            }
            _ => {
                let config = self.folder.path().join("config");
                std::fs::write(&config, &self.config).unwrap();
                command.args(["-js", "-sd", folder, "-a", "127.0.0.1", "-p", &port]).arg("-c").arg(config);
                "Server is ready"
            }
        };
        let (log, writer) = std::io::pipe().unwrap();
        command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
        let spawned = command.spawn();
        // `command` has the write end of the pipe. This end would keep the pipe open after the server has ended.
        drop(command);
        let child = spawned.unwrap_or_else(|error| {
            panic!("{0} cannot be run ({error}): install Debian's package {0}", self.program);
        });
        let mut log = BufReader::new(log);
        let started = log.by_ref().lines().map_while(Result::ok).any(|line| line.contains(ready));
        // This value keeps the read end of the pipe open, because a server may end if nobody reads its log.
        self.running = Some((child, log));
        if !started {
            self.kill();
        }
        started
    }
}

/// A server that is paused with `SIGSTOP`, and answers nothing until this value is dropped.
#[allow(dead_code, reason = "the engines' tests have this file too, and stop no server")]
pub(crate) struct Stopped(String);

#[allow(dead_code, reason = "the engines' tests have this file too, and stop no server")]
impl Stopped {
    fn new(process: u32) -> Self {
        let stopped = Self(process.to_string());
        stopped.signal("STOP");
        stopped
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.0]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal should be sent");
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal("CONT");
    }
}

/// Returns a configuration of NATS with [`APART`] accounts. Each account has its own streams, so each account is a
/// separate store. A client without a user gets the first account.
fn accounts() -> String {
    let account = |number| {
        format!("a{number} {{ jetstream: enabled, users: [{{ user: user{number}, password: \"a secret\" }}] }}\n")
    };
    format!("no_auth_user: user0\naccounts {{\n{}}}\n", (0..APART).map(account).collect::<String>())
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
