//! Classifies connection errors: after a mistake of the operator, the host must not start. Other errors may pass.

use std::error::Error as _;
use std::io;

use async_nats::{ConnectError, ConnectErrorKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::connection::unavailable;
use super::{Error, Nats};

impl Nats {
    /// The error for a connection that could not be made.
    pub(super) async fn not_connected(&self, error: ConnectError) -> Error {
        let another = || self.mistake("another program than NATS answers there");
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                self.mistake("the server refuses the user, password or token of the URL")
            }
            ConnectErrorKind::Tls | ConnectErrorKind::ServerParse => self.mistake(&error.to_string()),
            ConnectErrorKind::Dns if !is_passing(&error) => self.mistake(&format!("the host is not known ({error})")),
            // The first line cannot be read.
            ConnectErrorKind::Io if io_kind(&error) == Some(io::ErrorKind::InvalidInput) => another(),
            // A certificate that is not accepted.
            ConnectErrorKind::Io if io_kind(&error) == Some(io::ErrorKind::InvalidData) => {
                self.mistake(&error.to_string())
            }
            ConnectErrorKind::TimedOut if self.is_another_program().await => another(),
            _ => unavailable(&error),
        }
    }

    /// The error for streams that cannot be used.
    pub(super) fn not_opened(&self, error: async_nats::Error) -> Error {
        let text = error.to_string();
        // The client reports the first kind for a server without JetStream.
        match ["resource does not exist", "not enabled"].iter().any(|word| text.contains(word)) {
            true => self.mistake("JetStream is not enabled there: start the server with `--jetstream`"),
            false => unavailable(&text),
        }
    }

    /// The error for an operator's mistake, with the URL, which has no password here.
    fn mistake(&self, why: &str) -> Error {
        Error::Config(format!("{}: {why}", self.address.as_url_str()))
    }

    /// Whether another program than NATS answers at the address. NATS speaks first, and other programs wait for the
    /// client.
    async fn is_another_program(&self) -> bool {
        let spoken = async {
            let mut stream = TcpStream::connect((self.address.host(), self.address.port())).await?;
            stream.write_all(b"PING\r\n\r\n").await?;
            let mut answer = [0; 5];
            let length = stream.read(&mut answer).await?;
            Ok::<_, io::Error>(answer.get(..length).unwrap_or_default().to_owned())
        };
        // The caller limits the time.
        spoken.await.is_ok_and(|answer| !answer.is_empty() && !b"INFO ".starts_with(&answer))
    }
}

/// Whether the name resolver reports a temporary failure.
fn is_passing(error: &ConnectError) -> bool {
    error.to_string().contains("Temporary failure")
}

fn io_kind(error: &ConnectError) -> Option<io::ErrorKind> {
    error.source()?.downcast_ref::<io::Error>().map(io::Error::kind)
}
