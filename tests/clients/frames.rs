//! Writes HTTP/2 frames by hand, for requests that no client library would send.

use crate::socket::Socket;

/// The preface with which a client begins a connection, and an empty frame of settings.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// The headers of a GET request, as HPACK with the static table writes them.
pub(super) fn get(path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).unwrap();
    assert!(length < 127, "a longer path takes more than a byte for its length");
    [&b"\x82\x86\x01\x04test\x04"[..], &[length], path.as_bytes()].concat()
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Reads the host's frames until there is one of this kind for this stream.
pub(super) fn read_until(client: &mut Socket, kind: u8, stream: u32) {
    loop {
        let head = client.take(9);
        client.take(u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize);
        if head[3] == kind && head[5..] == stream.to_be_bytes() {
            return;
        }
    }
}

/// The error in the GOAWAY frame with which the host ended a connection, if there is one.
pub(super) fn goaway(mut sent: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = sent.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        sent = rest;
    }
    None
}

/// The settings with which the host begins a connection.
pub(super) fn settings(sent: &[u8]) -> Vec<(u16, u32)> {
    let length = u32::from_be_bytes([0, sent[0], sent[1], sent[2]]) as usize;
    assert_eq!(sent[3], SETTINGS);
    let (settings, _) = sent[9..9 + length].as_chunks::<6>();
    settings
        .iter()
        .map(|[a, b, c, d, e, f]| (u16::from_be_bytes([*a, *b]), u32::from_be_bytes([*c, *d, *e, *f])))
        .collect()
}
