//! The facts about a request that stand in its timeline once.

use std::net::SocketAddr;
use std::time::SystemTime;

use http::Version;

use super::moment::Moment;
use super::texts::Text;

/// The facts about a request or a batch. [`Timeline::text`](super::Timeline::text) returns the texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// The request's properties, as the client sent them. The value is `None` for a batch on a worker.
    pub(crate) asked: Option<Asked>,
    /// The request's id. The text is empty if the host answered before the request got an id.
    pub(super) id: Text,
    /// The id of the trace. The text is empty if the request has no trace.
    pub(super) trace_id: Text,
    /// The id of the component that serves the request. The text is empty if the host answered without a component.
    pub(super) component: Text,
    /// The wall-clock time at which the request arrived, or at which the worker started the batch.
    pub(crate) time: SystemTime,
    /// The time at which the handler returned a response, or the host made its own response.
    pub(crate) responded: Option<Moment>,
    /// The HTTP status of the response, such as 200.
    pub(crate) status: u16,
    /// The time at which the operating system had the response's last byte, or at which the response failed.
    pub(crate) sent: Option<Moment>,
    /// The number of bytes of the response's body that the host has passed on to the connection.
    pub(crate) bytes: u64,
    pub(crate) outcome: Outcome,
    /// The number of times that a new instance has replaced an instance that has died.
    pub(crate) fresh_instances: u32,
    pub(crate) ended: Option<Moment>,
}

impl Facts {
    /// Returns the facts of a request that arrives now, or of a batch that a worker starts now.
    pub(super) fn begin(time: SystemTime) -> Self {
        Self {
            asked: None,
            id: Text::default(),
            trace_id: Text::default(),
            component: Text::default(),
            time,
            responded: None,
            status: 200,
            sent: None,
            bytes: 0,
            outcome: Outcome::Delivered,
            fresh_instances: 0,
            ended: None,
        }
    }
}

/// The properties of a request, from the request's headers and the client's connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) method: Text,
    pub(crate) path: Text,
    /// True if the client has used `https`, and false if the client has used `http`.
    pub(crate) is_https: bool,
    /// The version of HTTP that the client has used.
    pub(crate) version: Version,
    /// The host name and the port from the client's request, such as `example.com:3000`. The value is also
    /// `None` if the host exports no traces.
    pub(crate) authority: Option<Text>,
    /// The address of the other end of the connection, which is the client or a proxy in front of the host.
    pub(crate) client: SocketAddr,
    /// The route that serves the request, such as `/users/:id`. The text is empty if no route fits.
    pub(crate) route: Text,
    /// The header `traceparent` that the client has sent. The value is also `None` if the host exports no
    /// traces.
    pub(crate) traceparent: Option<Text>,
    /// The header `x-request-id` that the client has sent, if the operator lets the host use this header.
    pub(crate) request_id: Option<Text>,
}

impl Asked {
    /// Returns `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// Returns the version of HTTP in the form that OpenTelemetry's conventions use, such as `1.1`.
    pub(crate) fn protocol_version(&self) -> &'static str {
        match self.version {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            Version::HTTP_3 => "3",
            _ => "1.1",
        }
    }
}

/// How the response ended, and the reason if the response or the handler has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Delivered,
    ClientGone,
    ResponseFailed(Text),
    HandlerFailed(Text),
}
