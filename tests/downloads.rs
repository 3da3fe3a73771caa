//! Components from the network: `source = { url, digest }`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::client::get;
use crate::guests;
use crate::process::{Process, folder, up};
use crate::upstream::Upstream;

/// A server with two guests, which notes the paths that it is asked for.
struct Files {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Files {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let path = answer(stream).unwrap_or_default();
                noted.lock().unwrap().push(path);
            }
        });
        Self { address, asked }
    }

    /// The paths that were asked for since the last call.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// `url` and `digest` of a file.
    fn source(&self, path: &str, digest: &str) -> String {
        format!("{{ url = \"http://{}{path}\", digest = \"{digest}\" }}", self.address)
    }
}

/// Answers a request, and returns its path.
fn answer(mut stream: TcpStream) -> std::io::Result<String> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let line = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, body) = match path.as_str() {
        "/moved" => ("302 Found\r\nlocation: /hello.wasm", Vec::new()),
        "/round" => ("302 Found\r\nlocation: /round", Vec::new()),
        "/hello.wasm" | "/hello.wasm?key=s3cret" => ("200 OK", fs::read(guests::HELLO)?),
        "/middleware.wasm" => ("200 OK", fs::read(guests::MIDDLEWARE)?),
        _ => ("404 Not Found", Vec::new()),
    };
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)?;
    Ok(path)
}

fn digest(file: &str) -> String {
    format!("sha256:{:x}", Sha256::digest(fs::read(file).unwrap()))
}

fn application(source: &str, more: &str) -> TempDir {
    folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\n{more}\n[component.app]\nsource = {source}\n"
    ))
}

fn start(app: &Path, cache: &Path) -> Process {
    let mut command = up(app, ["--watch"]);
    command.env("XDG_CACHE_HOME", cache);
    Process::start(command)
}

#[test]
fn a_component_is_downloaded_once() {
    let (files, cache) = (Files::start(), tempfile::tempdir().unwrap());
    let app = application(&files.source("/moved", &digest(guests::HELLO)), "");
    for (asked, corrupt) in [(&["/moved", "/hello.wasm"][..], false), (&[], false), (&["/moved", "/hello.wasm"], true)]
    {
        if corrupt {
            let kept = fs::read_dir(cache.path().join("epilogue/wasm")).unwrap().next().unwrap().unwrap().path();
            fs::write(kept, "cut short").unwrap();
        }
        let host = start(app.path(), cache.path());
        assert!(get(host.address(), "/").contains("ello"));
        assert_eq!(files.asked(), asked);
    }
    let kept: Vec<_> = fs::read_dir(cache.path().join("epilogue/wasm")).unwrap().collect();
    assert_eq!(kept.len(), 1, "nothing else is left there: {kept:?}");
}

#[test]
fn a_middleware_is_downloaded_too() {
    let (files, cache) = (Files::start(), tempfile::tempdir().unwrap());
    let around = files.source("/middleware.wasm", &digest(guests::MIDDLEWARE));
    let more = format!("dependencies.middleware = [{around}]");
    let app = application(&files.source("/hello.wasm", &digest(guests::HELLO)), &more);
    let host = start(app.path(), cache.path());
    assert!(get(host.address(), "/").contains("ello"));
    let mut asked = files.asked();
    asked.sort();
    assert_eq!(asked, ["/hello.wasm", "/middleware.wasm"]);
}

#[test]
fn a_secret_in_an_address_is_not_shown() {
    let (files, cache) = (Files::start(), tempfile::tempdir().unwrap());
    let app = application(&files.source("/hello.wasm?key=s3cret#s3cret", &digest(guests::HELLO)), "");
    let host = start(app.path(), cache.path());
    host.logged(&format!("loading component \"app\" from http://{}/hello.wasm", files.address));
    assert!(get(host.address(), "/").contains("ello"));
    assert_eq!(files.asked(), ["/hello.wasm?key=s3cret"]);
    host.signal("TERM");
    let served = host.ended().stderr.join("\n");
    let app = application(&files.source("/none?key=s3cret", &digest(guests::MIDDLEWARE)), "");
    let refused = start(app.path(), cache.path()).ended().stderr.join("\n");
    assert!(refused.contains(&format!("cannot download http://{}/none: the server answered 404", files.address)));
    assert!(!served.contains("s3cret") && !refused.contains("s3cret"), "{served}\n{refused}");
}

#[test]
fn a_download_that_takes_long_is_logged() {
    let (server, cache) = (Upstream::start(), tempfile::tempdir().unwrap());
    let source = format!(
        "{{ url = \"{}/a.wasm?key=s3cret\", digest = \"sha256:{:x}\" }}",
        server.url(),
        Sha256::digest("no component")
    );
    let app = application(&source, "");
    let host = start(app.path(), cache.path());
    let call = server.call();
    host.logged(&format!("downloading {}/a.wasm, once: the file is cached", server.url()));
    call.answer("no component");
    host.logged(&format!("downloaded {}/a.wasm: 1 KiB in ", server.url()));
    assert!(host.ended().stderr.iter().all(|line| !line.contains("s3cret")));
}

#[test]
fn a_download_that_fails_is_explained() {
    let (files, cache) = (Files::start(), tempfile::tempdir().unwrap());
    let (right, wrong) = (digest(guests::HELLO), format!("sha256:{}", "0".repeat(64)));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Files { address: free, asked: Arc::default() };
    for (source, path, expected) in [
        (
            files.source("/hello.wasm", &wrong),
            "/hello.wasm",
            format!("its digest is {right}, but the manifest has {wrong}"),
        ),
        (files.source("/none", &right), "/none", "the server answered 404 Not Found".to_owned()),
        (files.source("/round", &right), "/round", "the server redirects more than 10 times".to_owned()),
        (nobody.source("/a", &right), "/a", "refused".to_owned()),
    ] {
        let app = application(&source, "");
        let ended = start(app.path(), cache.path()).ended();
        let stderr = ended.stderr.join("\n");
        assert_eq!(ended.code, Some(1), "{stderr}");
        let address = if path == "/a" { free } else { files.address };
        assert!(stderr.contains(&format!("cannot download http://{address}{path}: ")), "{stderr}");
        assert!(stderr.contains(&expected), "{expected} should be in {stderr}");
    }
    let kept = fs::read_dir(cache.path().join("epilogue/wasm")).map_or(0, Iterator::count);
    assert_eq!(kept, 0, "nothing is kept of what failed");
}
