//! Makes the host keep as much as possible, until the host refuses. Answers how much it got, and the error. The path
//! says what it takes: `/fields?BYTES` header fields of that size, `/clones?BYTES`, `/tcp`, `/udp` and `/udp2` sockets
//! (`2` is WASI 0.2), `/files?PATH` and `/files2?PATH`, `/reads?PATH` and `/connections?PORT` streams of files and
//! sockets that it closes, `/listings?COUNT` and `/listings2` of a folder (`/names` reads one whole), `/hold?URL` files
//! until the URL answers, `/requests?URL`, `/random?BYTES` and `/random2?BYTES`, `/list?COUNT`. `/keep?COUNT` keeps so
//! many handles, and says which request of its instance's it is. `/turns?PATH` opens and closes one of each again and
//! again.

use std::cell::Cell;
use std::fs::File;
use std::future::poll_fn;
use std::mem;
use std::net::UdpSocket as StdUdpSocket;
use std::pin::pin;
use std::task::Poll;

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::filesystem::preopens;
use spin_sdk::wasip3::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use spin_sdk::wasip3::http::types::Fields;
use spin_sdk::wasip3::random::random::get_random_bytes;
use spin_sdk::wasip3::sockets::types::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket};
use spin_sdk::wasip3::wit_stream;

thread_local! {
    static SERVED: Cell<u32> = const { Cell::new(0) };
}

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    SERVED.set(SERVED.get() + 1);
    let query = request.uri().query().unwrap_or_default();
    let number = query.parse().unwrap_or_default();
    Ok(match request.uri().path() {
        "/fields" => until_refused(|| fields(number)),
        "/clones" => {
            let original = fields(number).map_err(|error| anyhow::anyhow!("{error:?}"))?;
            until_refused(|| Ok::<_, ()>(original.clone()))
        }
        "/tcp" => until_refused(|| TcpSocket::create(IpAddressFamily::Ipv4)),
        "/udp" => until_refused(|| UdpSocket::create(IpAddressFamily::Ipv4)),
        "/udp2" => until_refused(|| StdUdpSocket::bind("0.0.0.0:0").map_err(|error| error.kind())),
        "/files2" => until_refused(|| File::open(query).map_err(|error| error.kind())),
        "/files" => files(query).await,
        "/reads" => reads(query).await,
        "/connections" => connections(query.parse()?).await,
        "/listings" => listings(number).await,
        "/listings2" => {
            let mounts = wasip2::filesystem::preopens::get_directories();
            until_refused(|| mounts[0].0.read_directory())
        }
        "/names" => names().await,
        "/hold" => {
            let taken = files("file").await;
            let answer = spin_sdk::http::get(query).await.map(drop);
            format!("{taken}, {answer:?}")
        }
        "/requests" => requests(query).await,
        "/random" => get_random_bytes(number as u64).len().to_string(),
        "/random2" => wasip2::random::random::get_random_bytes(number as u64).len().to_string(),
        "/list" => format!("{:?}", Fields::from_list(&vec![(String::new(), Vec::new()); number]).map(drop)),
        "/keep" => {
            mem::forget((0..number).map(|_| Fields::new()).collect::<Vec<_>>());
            SERVED.get().to_string()
        }
        "/turns" => turns(query).await?,
        _ => "here".to_owned(),
    })
}

/// Takes one thing after the other and keeps all of them. Returns how many it got until the host refused one, and the
/// error.
fn until_refused<T, E: std::fmt::Debug>(mut take: impl FnMut() -> Result<T, E>) -> String {
    let mut taken = Vec::new();
    loop {
        match take() {
            Ok(one) => taken.push(one),
            Err(error) => {
                let count = taken.len();
                // They stay open as long as the instance lives.
                mem::forget(taken);
                return format!("{count} {error:?}");
            }
        }
    }
}

fn fields(bytes: usize) -> Result<Fields, impl std::fmt::Debug> {
    let fields = Fields::new();
    fields.append("x", &vec![b'x'; bytes]).map(|()| fields)
}

async fn files(path: &str) -> String {
    let mut files = Vec::new();
    loop {
        match open(path).await {
            Ok(file) => files.push(file),
            Err(error) => {
                let count = files.len();
                mem::forget(files);
                return format!("{count} {error:?}");
            }
        }
    }
}

/// Reads the file in streams that outlive it.
async fn reads(path: &str) -> String {
    let mut streams = Vec::new();
    loop {
        match open(path).await {
            Ok(file) => streams.push(file.read_via_stream(0)),
            Err(error) => return format!("{} {error:?}", streams.len()),
        }
    }
}

/// Reads from connections to this port of 127.0.0.1 in streams that outlive their sockets. Each second one also writes.
async fn connections(port: u16) -> String {
    let address = IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) });
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    loop {
        let socket = match TcpSocket::create(IpAddressFamily::Ipv4) {
            Ok(socket) => socket,
            Err(error) => return format!("{} {error:?}", reads.len()),
        };
        if let Err(error) = socket.connect(address).await {
            return format!("{} connect: {error:?}", reads.len());
        }
        if reads.len() % 2 == 0 {
            let (data, stream) = wit_stream::new();
            writes.push((data, socket.send(stream)));
        }
        reads.push(socket.receive());
    }
}

/// How many entries the guest's only mount has, to WASI 0.3 and to the standard library.
async fn names() -> String {
    let [(mount, path)] = &preopens::get_directories()[..] else { panic!("there should be one mount") };
    let (entries, end) = mount.read_directory();
    let (count, end) = (entries.collect().await.len(), end.await);
    let std = std::fs::read_dir(path).map(Iterator::count);
    format!("{count} {end:?} {std:?}")
}

/// Begins to list the guest's only mount so many times before it reads any of the entries. Says how often it could, and
/// how the last listing ended.
async fn listings(count: usize) -> String {
    let mounts = preopens::get_directories();
    let listings: Vec<_> = (0..count).map(|_| mounts[0].0.read_directory()).collect();
    let (mut whole, mut last) = (0, String::new());
    for (entries, end) in listings {
        whole += entries.collect().await.len();
        last = format!("{:?}", end.await);
    }
    format!("{whole} {last}")
}

/// Opens the file in the guest's only mount.
async fn open(path: &str) -> Result<Descriptor, spin_sdk::wasip3::filesystem::types::ErrorCode> {
    let [(mount, _)] = &preopens::get_directories()[..] else { panic!("there should be one mount") };
    let (follow, open, read) = (PathFlags::empty(), OpenFlags::empty(), DescriptorFlags::READ);
    mount.open_at(follow, path.to_owned(), open, read).await
}

/// Sends requests that nobody answers, until one fails at once.
async fn requests(url: &str) -> String {
    let mut sent = Vec::new();
    loop {
        let mut request = Box::pin(spin_sdk::http::get(url));
        let answer = poll_fn(|cx| Poll::Ready(pin!(&mut request).poll(cx))).await;
        match answer {
            Poll::Pending => sent.push(request),
            Poll::Ready(answer) => return format!("{} {:?}", sent.len(), answer.map(drop)),
        }
    }
}

async fn turns(path: &str) -> anyhow::Result<String> {
    for _ in 0..1_000 {
        drop(fields(100_000).map_err(|error| anyhow::anyhow!("{error:?}"))?);
        drop(TcpSocket::create(IpAddressFamily::Ipv4)?);
        drop(open(path).await?);
    }
    Ok("done".to_owned())
}
