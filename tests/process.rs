//! The real executable, as a user starts it, and folders with applications for it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a test waits for a process.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `epilogue`. Dropping it kills it and, if the test has failed, shows what it printed.
pub(crate) struct Process {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// What a process printed, and how it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

/// Describes `epilogue` with these arguments, without this process' own `EPILOGUE_…` and `OTEL_…` variables.
pub(crate) fn epilogue<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_epilogue"));
    for (name, _) in std::env::vars_os() {
        if ["EPILOGUE_", "OTEL_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

/// Lets a command have its socket for `epilogue status` in this folder, or look for one there.
pub(crate) fn sockets_in(folder: &Path) -> impl Fn(Command) -> Command {
    move |mut command| {
        command.env("XDG_RUNTIME_DIR", folder);
        command
    }
}

/// Calls `ask` until it returns an answer, for at most a minute.
pub(crate) fn retry<T>(ask: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "there should be an answer in time");
        // Who is waited for needs the processor.
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Describes `epilogue up` of the application in `folder`, on a free port.
pub(crate) fn up<'a>(folder: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = epilogue(["up", "--listen", "127.0.0.1:0", "--from"]);
    command.arg(folder).args(arguments);
    command
}

/// A folder with this `spin.toml`.
pub(crate) fn folder(manifest: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("there should be room for a folder");
    fs::write(folder.path().join("spin.toml"), manifest).unwrap();
    folder
}

/// A folder with an application of one component, `app`, on all paths; `more` is more of its table.
pub(crate) fn application(component: &str, more: &str) -> TempDir {
    folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\n\
         [component.app]\nsource = {component:?}\n{more}\n"
    ))
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the executable should start");
        let stdout = Lines::read(child.stdout.take().unwrap());
        let stderr = Lines::read(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// The address at which the host serves, as its first line says.
    pub(crate) fn address(&self) -> SocketAddr {
        let line = self.stdout.wait_for(|lines| lines.first().cloned());
        let (_, address) = line.split_once("://").unwrap_or_else(|| panic!("{line:?} should have an address"));
        address.parse().expect("the address should be one")
    }

    /// Waits for the line of stdout that contains this.
    pub(crate) fn printed(&self, text: &str) -> String {
        self.stdout.wait_for(|lines| lines.iter().find(|line| line.contains(text)).cloned())
    }

    /// How many lines of stdout begin with this, so far.
    pub(crate) fn printed_so_far(&self, start: &str) -> usize {
        self.stdout.so_far().lines().filter(|line| line.starts_with(start)).count()
    }

    /// The lines of stderr, so far.
    pub(crate) fn logged_so_far(&self) -> Vec<String> {
        self.stderr.so_far().lines().map(str::to_owned).collect()
    }

    /// Waits for the line of stderr that contains this.
    pub(crate) fn logged(&self, text: &str) -> String {
        self.stderr.wait_for(|lines| lines.iter().find(|line| line.contains(text)).cloned())
    }

    /// Waits until so many lines of stderr contain this, and returns the last of them.
    pub(crate) fn logged_times(&self, text: &str, times: usize) -> String {
        self.stderr.wait_for(|lines| lines.iter().filter(|line| line.contains(text)).nth(times - 1).cloned())
    }

    /// How many times the process has this folder open.
    pub(crate) fn has_open(&self, folder: &Path) -> usize {
        self.open().filter(|open| open == folder).count()
    }

    /// How many sockets the process has open.
    pub(crate) fn sockets(&self) -> usize {
        self.open().filter(|open| open.to_string_lossy().starts_with("socket:")).count()
    }

    /// What the process has open.
    fn open(&self) -> impl Iterator<Item = PathBuf> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        descriptors.flatten().filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
    }

    /// The most memory that the process has had in use, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// Sends a signal to the process, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal should be sent");
    }

    /// Limits the size of files that the process writes, in bytes. The process has to ignore `SIGXFSZ`; then a write fails as on a
    /// full disk.
    pub(crate) fn limit_files(&self, bytes: &str) {
        let pid = self.child.id().to_string();
        let limited = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status();
        assert!(limited.is_ok_and(|status| status.success()), "the limit should be set");
    }

    /// Limits how many files the process may have open. The limit may be raised again up to that of its start.
    pub(crate) fn limit_open_files(&self, files: usize) {
        let pid = self.child.id().to_string();
        let limited = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={files}:")]).status();
        assert!(limited.is_ok_and(|status| status.success()), "the limit should be set");
    }

    /// Limits the data of the process to `more` bytes than it has now. None lifts the limit.
    pub(crate) fn limit_data(&self, more: Option<usize>) {
        let pid = self.child.id().to_string();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
        let data = line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10;
        let limit = more.map_or("unlimited".to_owned(), |more| (data + more).to_string());
        let limited = Command::new("prlimit").args(["--pid", &pid, &format!("--data={limit}:")]).status();
        assert!(limited.is_ok_and(|status| status.success()), "the limit should be set");
    }

    /// Waits for the process to end.
    pub(crate) fn ended(mut self) -> Ended {
        let stdout = self.stdout.to_the_end();
        let stderr = self.stderr.to_the_end();
        let status = self.child.wait().expect("the process should be waited for once");
        Ended { code: status.code(), stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- stdout\n{}\n--- stderr\n{}\n---", self.stdout.so_far(), self.stderr.so_far());
        }
    }
}

/// One output of a process, read by a thread of its own.
struct Lines(Arc<(Mutex<Seen>, Condvar)>);

#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn read(output: impl Read + Send + 'static) -> Self {
        let seen = Arc::new((Mutex::new(Seen::default()), Condvar::new()));
        let reader = seen.clone();
        thread::spawn(move || {
            let (seen, changed) = &*reader;
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                seen.lock().unwrap().lines.push(line);
                changed.notify_all();
            }
            seen.lock().unwrap().ended = true;
            changed.notify_all();
        });
        Self(seen)
    }

    fn wait_for<T>(&self, find: impl Fn(&[String]) -> Option<T>) -> T {
        let (seen, changed) = &*self.0;
        let seen = seen.lock().unwrap();
        let looks = |seen: &mut Seen| !seen.ended && find(&seen.lines).is_none();
        let (seen, _) = changed.wait_timeout_while(seen, PATIENCE, looks).unwrap();
        let (found, lines) = (find(&seen.lines), seen.lines.join("\n"));
        // Not under the lock: whoever shows the output takes it too.
        drop(seen);
        found.unwrap_or_else(|| panic!("what was waited for should have been printed, but only this was:\n{lines}"))
    }

    fn to_the_end(&self) -> Vec<String> {
        let (seen, changed) = &*self.0;
        let (seen, late) = changed.wait_timeout_while(seen.lock().unwrap(), PATIENCE, |seen| !seen.ended).unwrap();
        let lines = seen.lines.clone();
        drop(seen);
        assert!(!late.timed_out(), "the process should have ended");
        lines
    }

    fn so_far(&self) -> String {
        self.0.0.lock().unwrap().lines.join("\n")
    }
}
