//! Tests with hyper over a pipe that holds only one byte. Because the pipe is so small, the client has always read all
//! bytes that the server has sent, except at most one byte.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;

use bytes::Buf as _;
use futures::FutureExt as _;
use futures::stream;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::unflushed::HOST_LEFT;
use super::*;

/// A text that is larger than one HTTP/2 frame.
const LONG: &str = include_str!("tests.rs");
/// A text that is so large that h2 writes the text's buffer directly instead of copying it.
const CHUNK: &str = LONG.split_at(1000).0;

fn full(text: &'static str) -> Response<WasiBody> {
    Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync())
}

fn empty(status: StatusCode) -> Response<WasiBody> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(status).body(body).unwrap()
}

fn frames(frames: Vec<Result<Frame<Bytes>, Error>>) -> Response<WasiBody> {
    Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync())
}

/// Makes a body that yields to other work `pause` times before each frame and before its end, so that the connection
/// can write the earlier frames.
fn slow(pause: usize, frames: Vec<Result<Frame<Bytes>, Error>>) -> Response<WasiBody> {
    let frames = stream::unfold(frames.into_iter(), move |mut frames| async move {
        for _ in 0..pause {
            tokio::task::yield_now().await;
        }
        Some((frames.next()?, frames))
    });
    Response::new(StreamBody::new(frames).boxed_unsync())
}

fn data(text: &'static str) -> Result<Frame<Bytes>, Error> {
    Ok(Frame::data(Bytes::from(text)))
}

fn trailers() -> Result<Frame<Bytes>, Error> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    Ok(Frame::trailers(trailers))
}

fn with_length(mut response: Response<WasiBody>, length: u64) -> Response<WasiBody> {
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

/// Serves one HTTP/1 connection, and answers with `response`. The client reads one byte at a time, and at most
/// `patience` bytes. Returns the bytes that the client read, the response's outcome, and the number of bytes that the
/// client had read when the outcome was set.
async fn read_bytewise(
    method: &'static str,
    response: Response<WasiBody>,
    patience: usize,
) -> (String, usize, ResponseOutcome) {
    let (mut client, server) = tokio::io::duplex(1);
    let (sents, mut sent) = mpsc::unbounded_channel();
    let connection = Unflushed::default();
    let response = Mutex::new(Some(response));
    let tracked = connection.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let response = response.lock().unwrap().take().unwrap();
        let (response, sent) = track(&tracked, request.method(), request.version(), response);
        sents.send(sent).unwrap();
        async move { Ok::<_, Infallible>(response) }
    });
    let io = TokioIo::new(TrackedIo::new(Rc::new(RefCell::new(server)), connection));
    let server = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
    let server = tokio::task::spawn_local(server);

    let request = format!("{method} / HTTP/1.1\r\nhost: test\r\nte: trailers\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut sent = sent.recv().await.unwrap();
    let (mut read, mut settled) = (Vec::new(), None);
    while read.len() < patience {
        if settled.is_none() {
            settled = sent.outcome().now_or_never().map(|outcome| (read.len(), outcome));
        }
        match client.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(_) => break,
        }
    }
    drop(client);
    _ = server.await;
    let (length, outcome) = match settled {
        Some(settled) => settled,
        None => (read.len(), sent.outcome().await),
    };
    (String::from_utf8(read).unwrap(), length, outcome)
}

fn http1(method: &'static str, response: Response<WasiBody>, patience: usize) -> (String, usize, ResponseOutcome) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    LocalSet::new().block_on(&runtime, read_bytewise(method, response, patience))
}

#[tokio::test]
async fn s11_empty_pieces_of_a_body_are_no_frames() {
    let empty = || (0..100).map(|_| data(""));
    let pieces = empty().chain([data("a")]).chain(empty()).collect();
    let (response, _sent) = track(&Unflushed::default(), &Method::GET, Version::HTTP_2, frames(pieces));
    let mut body = response.into_body();
    let mut sizes = Vec::new();
    while let Some(frame) = body.frame().await {
        sizes.push(frame.unwrap().into_data().unwrap_or_else(|_| panic!("there are no trailers")).remaining());
    }
    // The last frame shows that the body has ended.
    assert_eq!(sizes, [1, 0]);
}

#[test]
fn s2_http1_responses_are_sent_with_their_last_byte_and_not_before() {
    for (method, response, end) in [
        ("GET", full("hello"), "hello"),
        ("GET", full(""), "\r\n\r\n"),
        ("GET", with_length(frames(vec![data("hel"), data("lo")]), 5), "hello"),
        ("GET", frames(vec![data("hel"), data("lo")]), "\r\n0\r\n\r\n"),
        ("GET", frames(vec![data(""), data("hello"), data("")]), "\r\n0\r\n\r\n"),
        ("GET", frames(vec![]), "\r\n0\r\n\r\n"),
        ("GET", empty(StatusCode::NO_CONTENT), "\r\n\r\n"),
        ("GET", empty(StatusCode::NOT_MODIFIED), "\r\n\r\n"),
        ("HEAD", full("hello"), "\r\n\r\n"),
        ("HEAD", with_length(frames(vec![data("hello")]), 5), "\r\n\r\n"),
    ] {
        let (read, length, outcome) = http1(method, response, usize::MAX);
        assert!(read.ends_with(end), "{read:?}");
        assert!(matches!(outcome, ResponseOutcome::Delivered), "{outcome:?} of {read:?}");
        assert!(length + 1 >= read.len(), "sent after {length} of {}: {read:?}", read.len());
    }
}

#[test]
fn s2_http1_trailers_are_part_of_the_response() {
    let mut response = frames(vec![data("hello"), trailers()]);
    response.headers_mut().insert(header::TRAILER, HeaderValue::from_static("grpc-status"));
    let (read, length, outcome) = http1("GET", response, usize::MAX);
    assert!(read.ends_with("grpc-status: 0\r\n\r\n"), "{read:?}");
    assert!(matches!(outcome, ResponseOutcome::Delivered));
    assert!(length + 1 >= read.len(), "sent after {length} of {}", read.len());
}

#[test]
fn s2_a_client_that_leaves_before_the_last_byte_is_gone() {
    for (response, patience) in [(full("hello"), 10), (full("hello"), 97), (frames(vec![data("hello")]), 110)] {
        let (read, _, outcome) = http1("GET", response, patience);
        assert_eq!(read.len(), patience, "{read:?}");
        assert!(matches!(outcome, ResponseOutcome::ClientGone), "{outcome:?} after {read:?}");
    }
}

#[test]
fn s2_a_body_that_fails_is_reported() {
    let broken = frames(vec![data("hel"), Err(Error::InternalError(Some("no more".to_owned())))]);
    let (_, _, outcome) = http1("GET", broken, usize::MAX);
    assert!(matches!(&outcome, ResponseOutcome::ResponseFailed(why) if why.contains("no more")), "{outcome:?}");
}

#[test]
fn s2_a_body_shorter_than_announced_is_a_failure() {
    let (_, _, outcome) = http1("GET", with_length(frames(vec![data("hel")]), 5), usize::MAX);
    assert!(matches!(&outcome, ResponseOutcome::ResponseFailed(why) if why.contains("wrote 3 bytes")), "{outcome:?}");
}

#[test]
fn the_answer_to_head_announces_what_the_one_to_get_would() {
    for (method, response, length) in [
        ("HEAD", full("hello"), Some("5")),
        ("HEAD", with_length(frames(vec![data("hello")]), 5), Some("5")),
        ("HEAD", frames(vec![data("hello")]), None),
        ("GET", empty(StatusCode::NO_CONTENT), None),
        ("GET", empty(StatusCode::NOT_MODIFIED), None),
        ("GET", empty(StatusCode::RESET_CONTENT), Some("0")),
    ] {
        let (read, ..) = http1(method, response, usize::MAX);
        let announced = read.lines().find_map(|line| line.strip_prefix("content-length: "));
        assert_eq!(announced, length, "{read:?}");
    }
}

#[test]
fn s2_a_response_that_hyper_never_took_is_not_delivered() {
    for response in [empty(StatusCode::NO_CONTENT), with_length(full(""), 0)] {
        let connection = Unflushed::default();
        let (response, mut sent) = track(&connection, &Method::GET, Version::HTTP_2, response);
        // If the client reset the stream just before, hyper drops the response like this.
        drop(response);
        connection.flushed();
        assert!(matches!(sent.outcome().now_or_never(), Some(ResponseOutcome::ClientGone)));
    }
}

#[test]
fn s7_a_client_that_leaves_leaves_a_dead_guest_too() {
    let connection = Unflushed::default();
    let tracked = |response| track(&connection, &Method::GET, Version::HTTP_11, response);
    let (left, mut sent) = tracked(frames(vec![data("hello")]));
    drop(left);
    assert!(matches!(sent.break_off("it died").now_or_never(), Some(Some(ResponseOutcome::ClientGone))));

    let (broken, mut sent) = tracked(frames(vec![]));
    let mut ended = pin!(sent.break_off("it died"));
    assert!(ended.as_mut().now_or_never().is_none());
    assert!(futures::executor::block_on(broken.into_body().collect()).is_err());
    assert!(matches!(ended.now_or_never(), Some(None)));

    // The guest had written the whole body.
    let (whole, mut sent) = tracked(full(""));
    drop(whole.into_body().collect().now_or_never());
    let mut ended = pin!(sent.break_off("it died"));
    assert!(ended.as_mut().now_or_never().is_none());
    connection.close();
    assert!(matches!(ended.now_or_never(), Some(Some(ResponseOutcome::ClientGone))));
}

/// Serves one HTTP/2 connection through a relay that takes one byte at a time. The client sends one request for each of
/// the `responses`, all at the same time. Returns the relayed bytes. For each response, also returns its outcome and
/// the number of bytes that were relayed when the outcome was set.
async fn http2(responses: Vec<Response<WasiBody>>) -> (Vec<u8>, Vec<(usize, ResponseOutcome)>) {
    let (client, client_end) = tokio::io::duplex(1 << 20);
    let (server_end, server) = tokio::io::duplex(1);
    let relayed = Arc::new(Mutex::new(Vec::new()));
    tokio::task::spawn_local(relay(client_end, server_end, relayed.clone()));

    let count = responses.len();
    let connection = Unflushed::default();
    let responses = Mutex::new(responses.into_iter().enumerate());
    let (settled, mut outcomes) = mpsc::unbounded_channel();
    let (tracked, taken) = (connection.clone(), relayed.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (index, response) = responses.lock().unwrap().next().unwrap();
        let (response, mut sent) = track(&tracked, request.method(), request.version(), response);
        let (settled, taken) = (settled.clone(), taken.clone());
        tokio::task::spawn_local(async move {
            let outcome = sent.outcome().await;
            _ = settled.send((index, taken.lock().unwrap().len(), outcome));
        });
        async move { Ok::<_, Infallible>(response) }
    });
    let io = TokioIo::new(TrackedIo::new(Rc::new(RefCell::new(server)), connection));
    let server = hyper::server::conn::http2::Builder::new(Local).serve_connection(io, service);
    tokio::task::spawn_local(server.map(|_| ()));

    let (mut requests, connection) = hyper::client::conn::http2::handshake(Local, TokioIo::new(client)).await.unwrap();
    tokio::task::spawn_local(connection.map(|_| ()));
    let responses: Vec<_> = (0..count).map(|_| requests.send_request(Request::new(Empty::<Bytes>::new()))).collect();
    for response in responses {
        tokio::task::spawn_local(async { response.await.unwrap().into_body().collect().await.unwrap() });
    }
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(outcomes.recv().await.unwrap());
    }
    all.sort_by_key(|(index, ..)| *index);
    let relayed = relayed.lock().unwrap().clone();
    (relayed, all.into_iter().map(|(_, length, outcome)| (length, outcome)).collect())
}

/// Copies bytes in both directions. The pipe of the server holds one byte, so the relay gets the server's bytes one by
/// one.
async fn relay(client: DuplexStream, server: DuplexStream, relayed: Arc<Mutex<Vec<u8>>>) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let up = async { _ = tokio::io::copy(&mut from_client, &mut to_server).await };
    let down = async {
        while let Ok(byte) = from_server.read_u8().await {
            relayed.lock().unwrap().push(byte);
            if to_client.write_u8(byte).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(up, down);
}

/// Finds the frames that end a stream, and returns the position after each of these frames, in the order of the streams
/// (RFC 9113, sections 4.1 and 6).
fn stream_ends(mut frames: &[u8]) -> Vec<usize> {
    const END_STREAM: u8 = 1;
    let (mut ends, mut position) = (Vec::new(), 0);
    while let &[a, b, c, kind, flags, ref stream @ ..] = frames {
        let length = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
        position += length;
        // The kinds 0 and 1 are `DATA` and `HEADERS`.
        if kind <= 1 && flags & END_STREAM != 0 {
            ends.push((u32::from_be_bytes(stream[..4].try_into().unwrap()), position));
        }
        frames = frames.get(length..).unwrap_or_default();
    }
    ends.sort();
    ends.into_iter().map(|(_, end)| end).collect()
}

#[derive(Clone)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

#[test]
fn s2_http2_responses_are_sent_with_end_stream_and_not_before() {
    let mut responses = vec![
        full("hello"),
        full(""),
        frames(vec![data("hel"), data("lo")]),
        with_length(frames(vec![data("hel"), data("lo")]), 5),
        full(CHUNK),
        full(LONG),
        empty(StatusCode::NO_CONTENT),
        frames(vec![data("hello"), trailers()]),
        frames(vec![data("hello"), Ok(Frame::trailers(HeaderMap::new()))]),
    ];
    for pause in 1..10 {
        responses.push(slow(pause, vec![data("hel"), data("lo")]));
        responses.push(slow(pause, vec![data(CHUNK)]));
        responses.push(slow(pause, vec![data(CHUNK), trailers()]));
        responses.push(slow(pause, vec![data(CHUNK), Ok(Frame::trailers(HeaderMap::new()))]));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (relayed, outcomes) = LocalSet::new().block_on(&runtime, http2(responses));
    let ends = stream_ends(&relayed);
    assert_eq!(ends.len(), outcomes.len());
    for (end, (sent, outcome)) in ends.iter().zip(outcomes) {
        assert!(matches!(outcome, ResponseOutcome::Delivered), "{outcome:?}");
        assert!(sent + 1 >= *end, "sent at byte {sent}, but the stream ends at {end} of {ends:?}");
    }
}

#[test]
fn s13_who_ended_the_connection_decides_whether_the_client_counts_as_gone() {
    for by_host in [false, true] {
        let lost = |cut: &dyn Fn(Unflushed, Response<TrackedBody>)| {
            let connection = Unflushed::default();
            let (response, mut sent) = track(&connection, &Method::GET, Version::HTTP_11, full("hello"));
            if by_host {
                connection.leave();
            }
            cut(connection, response);
            match sent.outcome().now_or_never() {
                Some(ResponseOutcome::ResponseFailed(why)) if why == HOST_LEFT => true,
                Some(ResponseOutcome::ClientGone) => false,
                other => panic!("{other:?}"),
            }
        };
        // The response is lost at three points: before hyper has taken anything, in the middle of a buffer, and when
        // only the flush is left.
        assert_eq!(lost(&|_, response| drop(response)), by_host);
        assert_eq!(lost(&|_, response| drop(frames_of(response))), by_host);
        assert_eq!(
            lost(&|connection, response| {
                frames_of(response).into_iter().for_each(|mut buffer| buffer.advance(buffer.remaining()));
                connection.close();
            }),
            by_host
        );
    }
}

/// Returns all buffers of a response, as if hyper had taken the buffers but not sent them.
fn frames_of(response: Response<TrackedBody>) -> Vec<TrackedBuf> {
    let mut body = pin!(response.into_body());
    let mut next = || body.as_mut().frame().now_or_never().flatten();
    std::iter::from_fn(|| next()?.ok()?.into_data().ok()).collect()
}
