//! The host limits the data that it keeps for a guest. Beyond a limit, the guest gets a typed error, and other requests
//! are not affected (S11).

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use epilogue::testing::TestHost;

use crate::client::get;
use crate::gate::Gate;
use crate::guests;
use crate::monitor::address;
use crate::process::{Process, application, up};

/// A guest's only mount, with a file `file` in it.
const MOUNT: &str = "files = [{ source = \"data\", destination = \"/data\" }]";

/// Starts a host whose guest takes as much as it can get.
fn start(more: &str) -> (Process, tempfile::TempDir) {
    let app = application(guests::HOARD, &format!("{MOUNT}\n{more}"));
    std::fs::create_dir(app.path().join("data")).unwrap();
    std::fs::write(app.path().join("data/file"), "").unwrap();
    let host = Process::start(up(app.path(), ["--threads", "1", "--metrics-listen", "127.0.0.1:0"]));
    (host, app)
}

/// How often the metrics say that this limit was reached.
fn hits(host: &Process, limit: &str) -> u64 {
    let start = format!("epilogue_limit_hits_total{{limit=\"{limit}\"}} ");
    let metrics = get(address(host), "/metrics");
    metrics.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |count| count.parse().unwrap())
}

#[test]
fn s11_header_fields_are_limited_in_total() {
    let (host, _app) = start("");
    assert_eq!(get(host.address(), "/"), "here");
    let before = host.memory();
    for _ in 0..8 {
        let taken = get(host.address(), "/fields?120000");
        let (count, error) = taken.split_once(' ').unwrap();
        let count: usize = count.parse().unwrap();
        assert!((60..=70).contains(&count), "{taken}: 8 MiB in fields of 120 kB");
        assert!(error.contains("SizeExceeded"), "{taken}");
    }
    assert_eq!(hits(&host, "fields"), 8);
    let growth = host.memory() - before;
    assert!(growth < 96 << 20, "{} MiB more than before", growth >> 20);
}

#[test]
fn s11_copies_of_header_fields_are_limited_in_total() {
    let (host, _app) = start("");
    get(host.address(), "/clones?120000");
    host.logged("this instance has reached the limit of 8388608 bytes of header fields");
    assert_eq!(get(host.address(), "/"), "here");
}

#[test]
fn s11_without_an_allowed_destination_there_is_no_socket() {
    let (host, _app) = start("allowed_outbound_hosts = [\"http://127.0.0.1:1\"]");
    for (path, answer) in
        [("/tcp", "0 ErrorCode::AccessDenied"), ("/udp", "0 ErrorCode::AccessDenied"), ("/udp2", "0 PermissionDenied")]
    {
        assert_eq!(get(host.address(), path), answer);
    }
    for scheme in ["tcp", "udp"] {
        let line = host.logged(&format!("a {scheme} socket is not allowed: "));
        assert!(
            line.contains(&format!("add \"{scheme}://<host>:<port>\" to allowed_outbound_hosts of [component.app]")),
            "{line}"
        );
    }
}

#[test]
fn s11_sockets_are_limited() {
    for path in ["/tcp", "/udp", "/udp2"] {
        // A host each, since an instance may keep them open.
        let (host, _app) = start("allowed_outbound_hosts = [\"*://127.0.0.1:1\"]");
        let taken = get(host.address(), path);
        assert!(taken.starts_with("32 "), "{path}: {taken}");
        assert_eq!(hits(&host, "sockets"), 1);
    }
}

#[test]
fn s11_open_files_are_limited() {
    let (host, _app) = start("");
    for path in ["/files?file", "/files2?/data/file"] {
        let taken = get(host.address(), path);
        let (count, error) = taken.split_once(' ').unwrap();
        assert!(count == "128" && error.contains("Quota"), "{path}: {taken}");
    }
    assert_eq!(hits(&host, "files"), 2);
}

#[test]
fn s11_a_stream_keeps_its_file_open() {
    let (host, _app) = start("");
    for _ in 0..2 {
        assert_eq!(get(host.address(), "/reads?file"), "128 ErrorCode::Quota", "they end with their request");
    }
    assert_eq!(hits(&host, "files"), 2);
}

#[test]
fn s11_a_stream_keeps_its_socket_open() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let (host, _app) = start(&format!("allowed_outbound_hosts = [\"tcp://127.0.0.1:{port}\"]"));
    for _ in 0..2 {
        let taken = get(host.address(), &format!("/connections?{port}"));
        assert!(taken.starts_with("32 ") && taken.contains("32 open sockets"), "they end with their request: {taken}");
    }
    assert_eq!(hits(&host, "sockets"), 2);
}

#[test]
fn s11_a_listing_counts_as_an_open_file() {
    let (host, _app) = start("");
    assert_eq!(get(host.address(), "/listings?128"), "128 Ok(())");
    assert_eq!(get(host.address(), "/listings?130"), "128 Err(ErrorCode::Quota)");
    assert_eq!(hits(&host, "files"), 2);
    let taken = get(host.address(), "/listings2");
    assert!(taken.starts_with("128 ") && taken.contains("quota"), "{taken}");
}

#[test]
fn s11_a_folder_is_listed_whole() {
    let (host, app) = start("");
    let folder = app.path().join("data");
    let mut files = 1;
    for count in [1, 64, 65, 1_000, 16_385] {
        while files < count {
            std::fs::write(folder.join(files.to_string()), "").unwrap();
            files += 1;
        }
        assert_eq!(get(host.address(), "/names"), format!("{count} Ok(()) Ok({count})"));
    }
}

#[test]
fn s11_requests_of_a_guest_are_limited() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let (host, _app) = start(&format!("allowed_outbound_hosts = [\"{url}\"]"));
    let taken = get(host.address(), &format!("/requests?{url}"));
    assert!(taken.starts_with("256 ") && taken.contains("ConnectionLimitReached"), "{taken}");
    assert_eq!(hits(&host, "outgoing-requests"), 1);
}

#[test]
fn s11_paths_are_limited_in_all_functions_that_take_them() {
    let mount = "files = [{ source = \"data\", destination = \"/\" }]\ntool.epilogue.allow-transient-write = true";
    let app = application(guests::PATHS, mount);
    std::fs::create_dir(app.path().join("data")).unwrap();
    std::fs::write(app.path().join("data/file"), "").unwrap();
    let host = TestHost::manifest(app.path().join("spin.toml")).start();
    // The versions of WASI print errors differently.
    for (length, results) in [(4_095, ["Ok(())"; 2]), (4_096, ["NameTooLong", "name-too-long"])] {
        let exchange = host.get(&format!("/?{length}"));
        let lines: Vec<_> = exchange.text().lines().collect();
        assert_eq!(lines.len(), 28, "14 calls in each version: {lines:#?}");
        let others: Vec<_> = lines.iter().filter(|line| !results.iter().any(|result| line.contains(result))).collect();
        assert!(others.is_empty(), "paths of {length} bytes: {others:#?}");
    }
}

#[test]
fn s11_who_closes_what_it_opened_is_not_limited() {
    let (host, _app) = start("allowed_outbound_hosts = [\"*://127.0.0.1:1\"]");
    for _ in 0..3 {
        assert_eq!(get(host.address(), "/turns?file"), "done");
    }
    for limit in ["fields", "sockets", "files"] {
        assert_eq!(hits(&host, limit), 0, "{limit}");
    }
}

#[test]
fn s11_random_bytes_are_limited_in_one_call() {
    let host = TestHost::start(guests::HOARD);
    assert_eq!(host.get("/random?65536").text(), "65536");
    assert_eq!(host.get("/random?65537").text(), "65536");
    assert_eq!(host.get("/random2?65536").text(), "65536");
    let refused = host.get("/random2?65537");
    assert_eq!(refused.response().status(), 500);
    let outcome = format!("{:?}", refused.drained().outcome);
    assert!(outcome.contains("exceeds limit 65536"), "{outcome}");
    assert_eq!(host.get("/").text(), "here");
}

#[test]
fn s11_what_one_call_passes_is_limited() {
    let host = TestHost::start(guests::HOARD);
    assert!(host.get("/list?1000").text().contains("InvalidSyntax"));
    assert_eq!(host.get("/list?1000000").response().status(), 500);
    assert_eq!(host.get("/").text(), "here");
}

#[test]
fn s9_an_instance_that_keeps_much_after_its_first_request_is_retired() {
    let host = TestHost::component(guests::HOARD).threads(1).start();
    for _ in 0..3 {
        assert_eq!(host.get("/keep?1000").text(), "1", "a fresh instance each time");
    }
    let served: Vec<_> = ["1", "2", "3"].map(|_| host.get("/keep?0").text().to_owned()).into();
    assert_eq!(served, ["1", "2", "3"], "one that keeps nothing is kept");
}

#[test]
fn s14_file_descriptors_are_left_for_clients() {
    let gate = Gate::new();
    let allowed = format!("{MOUNT}\nallowed_outbound_hosts = [\"{}\"]", gate.url());
    let app = application(guests::HOARD, &allowed);
    std::fs::create_dir(app.path().join("data")).unwrap();
    std::fs::write(app.path().join("data/file"), "").unwrap();
    let host = Process::start(limited(up(app.path(), ["--threads", "1"]), 512));
    let (address, path) = (host.address(), format!("/hold?{}", gate.url()));
    thread::scope(|scope| {
        let holding: Vec<_> = (0..3)
            .map(|_| {
                let client = scope.spawn(|| get(address, &path));
                (gate.wait(), client)
            })
            .collect();
        // Those hold their 128 each. The next gets what is left, and cannot connect any more.
        let taken = get(address, &path);
        let (count, errors) = taken.split_once(' ').unwrap();
        assert!(count.parse::<usize>().unwrap() < 100, "{taken}");
        assert!(errors.contains("Quota") && errors.contains("ConnectionLimitReached"), "{taken}");
        let clients: Vec<_> = (0..32).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert_eq!(get(address, "/"), "here");
        drop(clients);
        for (waiting, client) in holding {
            waiting.open();
            let taken = client.join().unwrap();
            assert!(taken.contains("Quota") && taken.ends_with("Ok(())"), "{taken}");
        }
    });
}

/// The same command in a process that may have `files` file descriptors.
fn limited(command: Command, files: u32) -> Command {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={files}:{files}")).arg("--").arg(command.get_program()).args(command.get_args());
    limited
}
