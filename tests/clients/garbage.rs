//! Bytes that are not HTTP. Those that are not TLS are in `tls.rs`.

use epilogue::testing::TestHost;

use super::{assert_serves, frames};
use crate::guests;
use crate::socket::Socket;

#[test]
fn garbage_is_answered_400_or_not_at_all() {
    let host = TestHost::start(guests::BODY);
    let noise: Vec<u8> =
        (0..64 << 10_u32).map(|number: u32| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for garbage in [
        &noise[..],
        b"\0\0\0\0",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n",
        &[frames::PREFACE, &noise].concat(),
        &[frames::PREFACE, &[0xff; 9]].concat(),
    ] {
        let mut client = Socket::connect(&host);
        client.try_write(garbage);
        client.finish();
        let answer = client.remains();
        let expected = answer.is_empty() || answer.starts_with(b"HTTP/1.1 4") || frames::goaway(&answer).is_some();
        assert!(expected, "{:?}: {:?}", String::from_utf8_lossy(garbage), String::from_utf8_lossy(&answer));
    }
    assert_serves(&host);
}
