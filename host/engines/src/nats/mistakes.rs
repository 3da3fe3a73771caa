//! Decides whether a mistake of the operator has caused a connection error. If the operator's configuration has a
//! mistake, the host must not start. If the error has another cause, the host starts, because the failure may be
//! temporary.

use std::error::Error as _;
use std::io;

use async_nats::{ConnectError, ConnectErrorKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::connection::unavailable;
use super::{Error, Nats};

impl Nats {
    /// Converts the NATS client's error into the engine's error, after the client could not connect to the server.
    pub(super) async fn not_connected(&self, error: ConnectError) -> Error {
        let another = || self.mistake("a program other than NATS answers there: correct the host or the port");
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                self.mistake("the server refuses the user, password or token of the URL")
            }
            ConnectErrorKind::Tls | ConnectErrorKind::ServerParse => self.mistake(&error.to_string()),
            ConnectErrorKind::Dns if !is_passing(&error) => self.mistake(&format!("the host is not known ({error})")),
            // The client cannot parse the server's first line.
            ConnectErrorKind::Io if io_kind(&error) == Some(io::ErrorKind::InvalidInput) => another(),
            // The client does not accept the server's certificate.
            ConnectErrorKind::Io if io_kind(&error) == Some(io::ErrorKind::InvalidData) => {
                self.mistake(&error.to_string())
            }
            ConnectErrorKind::TimedOut if self.is_another_program().await => another(),
            _ => unavailable(&error),
        }
    }

    /// Converts the NATS client's error into the engine's error, after the engine could not open its streams.
    pub(super) fn not_opened(&self, error: async_nats::Error) -> Error {
        let text = error.to_string();
        // If the server has no JetStream, the client reports that the resource does not exist.
        match ["resource does not exist", "not enabled"].iter().any(|word| text.contains(word)) {
            true => self.mistake("JetStream is not enabled there: start the server with `--jetstream`"),
            false => unavailable(&text),
        }
    }

    /// Returns the error for an operator's mistake. The error contains the server's URL without a password.
    fn mistake(&self, why: &str) -> Error {
        Error::Config(format!("{}: {why}", self.address.as_url_str()))
    }

    /// Returns true if a program other than NATS answers at the address. A NATS server sends a line as soon as a client
    /// connects, but many other programs wait for a line from the client. So the function sends a line, and then checks
    /// the answer.
    async fn is_another_program(&self) -> bool {
        let spoken = async {
            let mut stream = TcpStream::connect((self.address.host(), self.address.port())).await?;
            stream.write_all(b"PING\r\n\r\n").await?;
            let mut answer = [0; 5];
            let length = stream.read(&mut answer).await?;
            Ok::<_, io::Error>(answer.get(..length).unwrap_or_default().to_owned())
        };
        // The caller sets the time limit for this function.
        spoken.await.is_ok_and(|answer| !answer.is_empty() && !b"INFO ".starts_with(&answer))
    }
}

/// Returns true if the name resolver reports a temporary failure.
fn is_passing(error: &ConnectError) -> bool {
    error.to_string().contains("Temporary failure")
}

fn io_kind(error: &ConnectError) -> Option<io::ErrorKind> {
    error.source()?.downcast_ref::<io::Error>().map(io::Error::kind)
}
