//! Calls the host's imports with the largest arguments that they take, and answers how long each took: a line for each,
//! with its name, and the shortest and the median time in microseconds. `cargo bench --bench imports` prints them.
//!
//! It needs a file `/data/file` in a writable mount, and `*://127.0.0.1:*` among its allowed hosts.

#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]

use std::fmt::Write as _;
use std::time::Instant;

use epilogue::background::queue;
use epilogue::background::types::{RunWhen, TaskOptions};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::cli::environment;
use spin_sdk::wasip3::clocks::{monotonic_clock, system_clock};
use spin_sdk::wasip3::filesystem::preopens;
use spin_sdk::wasip3::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use spin_sdk::wasip3::http::types::{Fields, Method, Request as Outgoing, Scheme};
use spin_sdk::wasip3::random::{insecure, random};
use spin_sdk::wasip3::sockets::ip_name_lookup::resolve_addresses;
use spin_sdk::wasip3::sockets::types::{IpAddressFamily, TcpSocket, UdpSocket};
use spin_sdk::wasip3::wit_future;
use wasip2::io::poll;

wit_bindgen::generate!({
    inline: "package test:imports; world imports { import epilogue:background/queue@0.1.0; }",
    path: "../../wit",
    generate_all,
});

/// How often each import is called.
const TIMES: usize = 20;
/// The most bytes that one call may pass, with the default settings, less some for what else it passes.
const LARGEST: usize = (3 << 19) - (8 << 10);

#[http_service]
async fn handle(_request: Request) -> anyhow::Result<impl IntoResponse> {
    let mut times = Times::default();
    headers(&mut times);
    requests(&mut times);
    system(&mut times);
    files(&mut times).await?;
    files2(&mut times)?;
    sockets(&mut times).await;
    tasks(&mut times);
    Ok(times.0)
}

/// The lines of the answer.
#[derive(Default)]
struct Times(String);

impl Times {
    /// Measures `call` on what `prepare` makes.
    fn add<P, R>(&mut self, name: &str, mut prepare: impl FnMut() -> P, mut call: impl FnMut(&mut P) -> R) {
        let mut took = Vec::new();
        for _ in 0..TIMES {
            let mut prepared = prepare();
            let start = Instant::now();
            let result = call(&mut prepared);
            took.push(start.elapsed());
            drop(result);
        }
        self.push(name, took);
    }

    /// Measures `call`, which may wait.
    async fn add_async<P, R>(&mut self, name: &str, prepare: impl Fn() -> P, mut call: impl AsyncFnMut(P) -> R) {
        let mut took = Vec::new();
        for _ in 0..TIMES {
            let prepared = prepare();
            let start = Instant::now();
            let result = call(prepared).await;
            took.push(start.elapsed());
            drop(result);
        }
        self.push(name, took);
    }

    fn push(&mut self, name: &str, mut took: Vec<std::time::Duration>) {
        took.sort_unstable();
        let (shortest, median) = (took[0].as_micros(), took[TIMES / 2].as_micros());
        _ = writeln!(self.0, "{name}\t{shortest}\t{median}");
    }
}

/// A text of nearly so many bytes, of the kind that takes the longest to check.
fn text(bytes: usize) -> String {
    "ä.".repeat(bytes / "ä.".len())
}

/// As many small fields as fit.
fn small_fields() -> Vec<(String, Vec<u8>)> {
    (0..1_500).map(|number| (format!("x{number}"), Vec::new())).collect()
}

fn headers(times: &mut Times) {
    let full = || Fields::from_list(&small_fields()).ok();
    let large = || Fields::from_list(&[("x".to_owned(), vec![b'x'; 120_000])]).ok();
    times.add("fields.from-list, 1,500 fields", small_fields, |list| Fields::from_list(list));
    times.add(
        "fields.from-list, 32,000 empty names",
        || vec![Default::default(); 32_000],
        |list| Fields::from_list(list),
    );
    times.add(
        "fields.append, 120 kB",
        || (Fields::new(), text(120_000)),
        |(fields, value)| fields.append("x", value.as_bytes()),
    );
    times.add(
        "fields.append, a name of 1.5 MiB",
        || (Fields::new(), text(LARGEST)),
        |(fields, name)| fields.append(name, b""),
    );
    times.add(
        "fields.append, a value of 1.5 MiB",
        || (Fields::new(), text(LARGEST)),
        |(fields, value)| fields.append("x", value.as_bytes()),
    );
    times.add(
        "fields.set, 1,500 values",
        || (Fields::new(), vec![Vec::new(); 1_500]),
        |(fields, values)| fields.set("x", values),
    );
    times.add("fields.get, 120 kB", large, |fields| fields.as_ref().map(|fields| fields.get("x")));
    times.add("fields.has, a name of 1.5 MiB", || (Fields::new(), text(LARGEST)), |(fields, name)| fields.has(name));
    times.add("fields.copy-all, 1,500 fields", full, |fields| fields.as_ref().map(|fields| fields.copy_all()));
    times.add("fields.clone, 1,500 fields", full, |fields| fields.as_ref().map(Fields::clone));
    times.add(
        "fields.append to a copy of 1,500 fields",
        || full().map(|fields| (fields.clone(), fields)),
        |copies| copies.as_ref().map(|(copy, _)| copy.append("x", b"")),
    );
    times.add("fields.drop, 1,500 fields", || Some(full()), |fields| drop(fields.take()));
}

fn requests(times: &mut Times) {
    let request = || {
        let (trailers, result) = wit_future::new(|| Ok(None));
        drop(trailers);
        Outgoing::new(Fields::new(), None, result, None).0
    };
    let with_text = || (request(), text(LARGEST));
    times.add("request.set-path-with-query, 1.5 MiB", with_text, |(request, text)| {
        request.set_path_with_query(Some(text))
    });
    times.add("request.set-authority, 1.5 MiB", with_text, |(request, text)| request.set_authority(Some(text)));
    times.add(
        "request.set-method, 1.5 MiB",
        || (request(), Method::Other(text(LARGEST))),
        |(request, method)| request.set_method(method),
    );
    times.add(
        "request.set-scheme, 1.5 MiB",
        || (request(), Scheme::Other(text(LARGEST))),
        |(request, scheme)| request.set_scheme(Some(scheme)),
    );
}

fn system(times: &mut Times) {
    times.add("random.get-random-bytes, 64 KiB", || (), |()| random::get_random_bytes(64 << 10));
    times.add("insecure.get-insecure-random-bytes, 64 KiB", || (), |()| insecure::get_insecure_random_bytes(64 << 10));
    times.add("random.get-random-bytes (0.2), 64 KiB", || (), |()| wasip2::random::random::get_random_bytes(64 << 10));
    times.add("environment.get-environment", || (), |()| environment::get_environment());
    times.add("monotonic-clock.now", || (), |()| monotonic_clock::now());
    times.add("system-clock.now", || (), |()| system_clock::now());
    let ready = wasip2::clocks::monotonic_clock::subscribe_duration(0);
    let many = vec![&ready; 4_000];
    times.add("poll.poll (0.2), one pollable 4,000 times", || (), |()| poll::poll(&many));
    let stdout = wasip2::cli::stdout::get_stdout();
    times.add("output-stream.check-write (0.2)", || (), |()| stdout.check_write());
    times.add(
        "output-stream.write (0.2), 1.5 MiB or as much as allowed",
        || vec![b' '; (stdout.check_write().unwrap_or(0) as usize).min(LARGEST)],
        |bytes| stdout.write(bytes),
    );
}

async fn files(times: &mut Times) -> anyhow::Result<()> {
    let mounts = preopens::get_directories();
    let [(mount, _)] = &mounts[..] else { anyhow::bail!("there should be one mount") };
    times.add("preopens.get-directories", || (), |()| preopens::get_directories());
    let large = || text(LARGEST);
    times.add_async("descriptor.open-at, a path of 1.5 MiB", large, async |path| open(mount, path).await).await;
    let file = || "data/file".to_owned();
    times.add_async("descriptor.open-at", file, async |path| open(mount, path).await).await;
    let stat = async |path| mount.stat_at(PathFlags::empty(), path).await;
    times.add_async("descriptor.stat-at, a path of 1.5 MiB", large, stat).await;
    let half = || (text(LARGEST / 2), text(LARGEST / 2));
    let rename = async |(from, to)| mount.rename_at(from, mount, to).await;
    times.add_async("descriptor.rename-at, paths of 0.7 MiB", half, rename).await;
    Ok(())
}

/// Those of WASI 0.2.
fn files2(times: &mut Times) -> anyhow::Result<()> {
    use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

    let mounts = wasip2::filesystem::preopens::get_directories();
    let [(mount, _)] = &mounts[..] else { anyhow::bail!("there should be one mount") };
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let file = mount.open_at(PathFlags::empty(), "data/file", OpenFlags::empty(), flags)?;
    times.add("descriptor.write (0.2), 1.5 MiB", || vec![b'x'; LARGEST], |bytes| file.write(bytes, 0));
    times.add("descriptor.read (0.2), as much as there is", || (), |()| file.read(u64::MAX, 0));
    Ok(())
}

async fn open(mount: &Descriptor, path: String) -> Result<Descriptor, impl std::fmt::Debug> {
    mount.open_at(PathFlags::empty(), path, OpenFlags::empty(), DescriptorFlags::READ).await
}

async fn sockets(times: &mut Times) {
    times.add("tcp-socket.create", || (), |()| TcpSocket::create(IpAddressFamily::Ipv4));
    times.add("udp-socket.create", || (), |()| UdpSocket::create(IpAddressFamily::Ipv4));
    let name = |bytes| move || text(bytes);
    times.add_async("ip-name-lookup.resolve-addresses, 1.5 MiB", name(LARGEST), resolve_addresses).await;
    times.add_async("ip-name-lookup.resolve-addresses, 1 KiB", name(1 << 10), resolve_addresses).await;
}

fn tasks(times: &mut Times) {
    let options = || TaskOptions {
        run_when: RunWhen::Success,
        timeout: None,
        max_attempts: None,
        backoff: None,
        cancel_on_disconnect: false,
        instance_bound: false,
        durable: false,
    };
    // Without the SDK, which would make JSON of them.
    for (name, bytes) in [("add-task, arguments of 1 MiB", 1 << 20), ("add-task, arguments of 1.5 MiB", LARGEST)] {
        let arguments = || vec![b' '; bytes];
        times.add(name, arguments, |arguments| queue::add_task("nothing", arguments, options()));
    }
    times.add("add-task", || (), |()| queue::add_task("nothing", b"[]", options()));
}

#[epilogue_sdk::task]
async fn nothing() {}
