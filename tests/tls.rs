//! HTTPS: with a certificate and its key the same application is served over TLS, by HTTP/2 to whoever speaks it.

use std::fs;
use std::sync::Arc;

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::client::{Protocol, send_on, talk};
use crate::guests;
use crate::process::{Process, application, up};

#[test]
fn https_is_served_with_a_certificate_and_its_key() {
    let app = application(guests::MIRROR, "");
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (app.path().join("cert.pem"), app.path().join("key.pem"));
    fs::write(&certificate, cert.pem()).unwrap();
    fs::write(&key, signing_key.serialize_pem()).unwrap();
    let mut command = up(app.path(), []);
    command.arg("--tls-cert").arg(certificate).arg("--tls-key").arg(key);
    let host = Process::start(command);
    let address = host.address();
    assert_eq!(host.printed("Serving"), format!("Serving https://{address}"));

    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    for (protocol, name) in [(Protocol::Http1, "http/1.1"), (Protocol::Http2, "h2")] {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![name.into()];
        let seen: Value = talk(async {
            let stream = TcpStream::connect(address).await.unwrap();
            let server = ServerName::try_from("localhost").unwrap();
            let stream = TlsConnector::from(Arc::new(config)).connect(server, stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(name.as_bytes()));
            let request = Request::get("/a?b").body(Empty::new()).unwrap();
            let response = send_on(stream, "localhost", protocol, request).await;
            serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
        });
        assert_eq!(seen["scheme"], "https", "{protocol:?}");
        assert_eq!(seen["authority"], "localhost");
        assert_eq!(seen["headers"]["spin-full-url"][0], "https://localhost/a?b");
    }
}

#[test]
fn half_of_the_pair_is_refused() {
    let app = application(guests::MIRROR, "");
    let ended = Process::start(up(app.path(), ["--tls-cert", "cert.pem"])).ended();
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr, ["Error: tls-cert is set but tls-key is not: https needs both"]);
}
