//! Reads the server's TLS certificate and key.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, ensure};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
    },
};

/// Makes an acceptor for TLS connections. `certificate` is a PEM file with the certificate chain, and `key` is a PEM
/// file with the private key. The acceptor offers HTTP/2 and HTTP/1.1.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain = read_certificates(certificate)?;
    let private_key = read_key(key)?;
    // The code names the provider, because another crate in the process may have installed a different provider.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private_key)
        .with_context(|| {
            format!("the certificate in {} and the key in {} cannot be used", certificate.display(), key.display())
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}

fn read_certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read the certificate in {}", file.display()))?;
    ensure!(!chain.is_empty(), "there is no certificate in {} (looked for BEGIN CERTIFICATE)", file.display());
    Ok(chain)
}

fn read_key(file: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    match PrivateKeyDer::from_pem_file(file) {
        Err(pem::Error::NoItemsFound) => {
            anyhow::bail!("there is no private key in {} (looked for BEGIN PRIVATE KEY)", file.display())
        }
        key => key.with_context(|| format!("cannot read the private key in {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio_rustls::{
        TlsConnector,
        rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
    };

    use super::*;

    struct Files {
        folder: tempfile::TempDir,
        certificate: CertificateDer<'static>,
    }

    impl Files {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            fs::write(folder.path().join("cert.pem"), cert.pem()).unwrap();
            fs::write(folder.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
            fs::write(folder.path().join("other.pem"), other.signing_key.serialize_pem()).unwrap();
            fs::write(folder.path().join("empty.pem"), "").unwrap();
            fs::write(folder.path().join("broken.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
            Self { folder, certificate: cert.der().clone() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }
    }

    #[tokio::test]
    async fn a_client_gets_http2_if_it_can() {
        let files = Files::new();
        let acceptor = acceptor(&files.path("cert.pem"), &files.path("key.pem")).unwrap();
        for (offered, expected) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"], "http/1.1")] {
            let mut roots = RootCertStore::empty();
            roots.add(files.certificate.clone()).unwrap();
            let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
            let (client, server) = tokio::io::duplex(1 << 16);
            let connector = TlsConnector::from(Arc::new(config));
            let name = ServerName::try_from("localhost").unwrap();
            let (client, server) = tokio::join!(connector.connect(name, client), acceptor.accept(server));
            assert_eq!(client.unwrap().get_ref().1.alpn_protocol(), Some(expected.as_bytes()));
            server.unwrap();
        }
    }

    #[test]
    fn mistakes_name_the_file() {
        let files = Files::new();
        for (certificate, key, expected) in [
            ("none.pem", "key.pem", "cannot read the certificate in DIR/none.pem: "),
            ("empty.pem", "key.pem", "there is no certificate in DIR/empty.pem (looked for BEGIN CERTIFICATE)"),
            ("broken.pem", "key.pem", "cannot read the certificate in DIR/broken.pem: "),
            ("cert.pem", "none.pem", "cannot read the private key in DIR/none.pem: "),
            ("cert.pem", "cert.pem", "there is no private key in DIR/cert.pem (looked for BEGIN PRIVATE KEY)"),
            (
                "cert.pem",
                "other.pem",
                "the certificate in DIR/cert.pem and the key in DIR/other.pem cannot be used: keys may not be consistent",
            ),
        ] {
            let error = acceptor(&files.path(certificate), &files.path(key)).err().unwrap();
            let message = format!("{error:#}").replace(&files.folder.path().display().to_string(), "DIR");
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
