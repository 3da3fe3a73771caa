//! HTTPS: with a certificate and its key, the host serves the same application over TLS, with HTTP/2 if the client
//! supports it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::client::{BOTH, Protocol, send_on, talk};
use crate::guests;
use crate::process::{Process, application, up};
use crate::socket::Socket;

/// An application that is served over TLS.
struct Https {
    app: TempDir,
    host: Process,
    roots: RootCertStore,
}

impl Https {
    fn start() -> Self {
        let app = application(guests::MIRROR, "");
        let roots = new_certificate(app.path());
        let mut command = up(app.path(), []);
        command.arg("--tls-cert").arg(app.path().join("cert.pem")).arg("--tls-key").arg(app.path().join("key.pem"));
        Self { app, host: Process::start(command), roots }
    }

    async fn connect(&self, protocol: Protocol) -> TlsStream<TcpStream> {
        let name: &[u8] = if protocol == Protocol::Http1 { b"http/1.1" } else { b"h2" };
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![name.into()];
        let stream = TcpStream::connect(self.host.address()).await.unwrap();
        let server = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(server, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(name));
        stream
    }

    /// Sends a request, and returns it as the guest saw it.
    fn get(&self, protocol: Protocol) -> Value {
        talk(async {
            let stream = self.connect(protocol).await;
            let request = Request::get("/a?b").body(Empty::new()).unwrap();
            let response = send_on(stream, "localhost", protocol, request).await;
            serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
        })
    }
}

/// Writes a certificate and its key into this folder. Returns a store of root certificates that has only this one.
fn new_certificate(folder: &Path) -> RootCertStore {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    roots
}

#[test]
fn https_is_served_with_a_certificate_and_its_key() {
    let https = Https::start();
    let address = https.host.address();
    assert_eq!(https.host.printed("Serving"), format!("Serving https://{address}"));
    for protocol in BOTH {
        let seen = https.get(protocol);
        assert_eq!(seen["scheme"], "https", "{protocol:?}");
        assert_eq!(seen["authority"], "localhost");
        assert_eq!(seen["headers"]["spin-full-url"][0], "https://localhost/a?b");
    }
}

#[test]
fn an_early_answer_reaches_a_client_that_writes_first() {
    let https = Https::start();
    talk(async {
        let mut stream = https.connect(Protocol::Http1).await;
        // More than all buffers on the way, and the guest reads nothing of it.
        let body = vec![b'x'; 10 << 20];
        let head = format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.expect("the host should read on");
        stream.flush().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the answer should not be lost");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    });
}

#[test]
fn what_is_not_tls_ends_its_own_connection_only() {
    let https = Https::start();
    // The head of a record with a ClientHello in it, which is never sent.
    let promise = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let mut silent = Socket::connect_to(https.host.address());
    silent.try_write(promise);
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64 << 10], b"\x16\x03\x01\xff\xff", promise] {
        let mut client = Socket::connect_to(https.host.address());
        client.try_write(garbage);
        client.finish();
        let answer = client.remains();
        // An alert, or nothing.
        assert!(answer.first().is_none_or(|kind| *kind == 0x15), "{answer:?}");
        assert_eq!(https.get(Protocol::Http1)["scheme"], "https");
    }
    assert_eq!(https.get(Protocol::Http2)["scheme"], "https");
}

#[test]
fn a_reload_brings_a_new_certificate() {
    let mut https = Https::start();
    assert_eq!(https.get(Protocol::Http1)["scheme"], "https");
    https.roots = new_certificate(https.app.path());
    https.host.signal("HUP");
    https.host.logged("reloaded");
    // A client that knows only the new one.
    for protocol in BOTH {
        assert_eq!(https.get(protocol)["scheme"], "https", "{protocol:?}");
    }

    fs::write(https.app.path().join("key.pem"), "no key").unwrap();
    https.host.signal("HUP");
    let line = https.host.logged("the old version keeps running");
    assert!(line.contains("key.pem"), "{line}");
    assert_eq!(https.get(Protocol::Http1)["scheme"], "https");
}

#[test]
fn half_of_the_pair_is_refused() {
    let app = application(guests::MIRROR, "");
    let ended = Process::start(up(app.path(), ["--tls-cert", "cert.pem"])).ended();
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr, ["Error: tls-cert is set but tls-key is not: https needs both"]);
}
