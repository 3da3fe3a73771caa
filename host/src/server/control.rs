//! Serves a local socket, on which `epilogue status` asks this process for its state.
//!
//! Only the user of this process may enter the folder of the socket. The process answers each connection with one JSON
//! object and then closes the connection.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::io::Errno;
use rustix::process::{Pid, getuid, test_kill_process};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::time::{sleep, timeout};

use crate::server::overview::{Overview, Status};

/// The longest time for sending or receiving one answer.
const LIMIT: Duration = Duration::from_secs(5);
/// The pause after the host could not accept a connection, for example because the process has too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// The socket file of this process. Dropping this value deletes the file.
pub(crate) struct Control(PathBuf);

impl Drop for Control {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

/// Starts a separate thread that reports the state of this process on the process's socket.
///
/// # Errors
///
/// Returns an error if another user owns or can enter the folder of the sockets, or if the system refuses the
/// socket or the thread.
pub(crate) fn listen(overview: Overview) -> anyhow::Result<Control> {
    let folder = folder();
    make(&folder).with_context(|| format!("cannot use {}", folder.display()))?;
    // Remove the socket files of processes that were killed. An earlier process may have had the same number as this
    // process.
    sockets().filter(|(pid, _)| !exists(*pid) || *pid == std::process::id()).for_each(|(_, left)| {
        _ = fs::remove_file(left);
    });
    let path = folder.join(format!("{}.sock", std::process::id()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _context = runtime.enter();
        UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?
    };
    let thread = std::thread::Builder::new().name("epilogue-status".into());
    thread.spawn(move || runtime.block_on(answer_all(listener, overview))).context("cannot start a thread")?;
    Ok(Control(path))
}

async fn answer_all(listener: UnixListener, overview: Overview) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        // No client waits for the answer of another client, because an answer can take as long as the task engine takes.
        tokio::spawn(answer(stream, overview.clone()));
    }
}

async fn answer(mut stream: tokio::net::UnixStream, overview: Overview) {
    if let Ok(status) = serde_json::to_vec(&overview.status().await) {
        // Errors are ignored, because only the client itself needs the answer.
        _ = timeout(LIMIT, stream.write_all(&status)).await;
    }
}

/// Returns the numbers of all processes of this user that have a socket for `epilogue status`.
pub(crate) fn processes() -> Vec<u32> {
    let mut pids: Vec<u32> = sockets().map(|(pid, _)| pid).filter(|pid| exists(*pid)).collect();
    pids.sort_unstable();
    pids
}

/// Asks the process with the number `pid` for its state.
///
/// # Errors
///
/// Returns an error if no process with this number has a socket for `epilogue status`, if the process does not answer
/// in time, or if the process is another version of Epilogue.
pub(crate) fn ask(pid: u32) -> anyhow::Result<Status> {
    let path = folder().join(format!("{pid}.sock"));
    let mut stream = UnixStream::connect(&path)
        .with_context(|| format!("no host with the process id {pid} answers on {}", path.display()))?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).with_context(|| format!("process {pid} did not answer in time"))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("process {pid} is another version of epilogue: use the command of that version"))
}

/// Returns the folder with the sockets of this user's processes.
fn folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) if Path::new(&runtime).is_dir() => PathBuf::from(runtime).join("epilogue"),
        // The folder is not in `$TMPDIR`, because a socket's path must be short, and because `$TMPDIR` may have another
        // value for `epilogue status`.
        _ => PathBuf::from(format!("/tmp/.epilogue-{}", getuid().as_raw())),
    }
}

/// Makes the folder for the sockets, and checks that only this user can enter the folder. Because of this check, no
/// other user can put a socket into the folder.
fn make(folder: &Path) -> anyhow::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    let found = fs::symlink_metadata(folder)?;
    let own = found.is_dir() && found.uid() == getuid().as_raw();
    ensure!(own && found.permissions().mode() & 0o077 == 0, "it is not a folder that only this user can enter");
    Ok(())
}

/// Returns the sockets in the folder, each with the number of its process.
fn sockets() -> impl Iterator<Item = (u32, PathBuf)> {
    fs::read_dir(folder()).into_iter().flatten().flatten().filter_map(|file| {
        let pid = file.file_name().to_str()?.strip_suffix(".sock")?.parse().ok()?;
        Some((pid, file.path()))
    })
}

/// Reports whether a process with this number exists.
fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}
