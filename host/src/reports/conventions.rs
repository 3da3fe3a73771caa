//! Values of attributes that OpenTelemetry's conventions for HTTP fix.

use http::{Method, Version};

/// The method, if the conventions know it. Clients can invent others without end.
pub(super) fn method(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 10] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"];
    KNOWN.into_iter().find(|known| known == method)
}

/// The value for a method that the conventions do not know.
pub(super) const OTHER_METHOD: &str = "_OTHER";

/// The version of HTTP, as in `network.protocol.version`.
pub(super) fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}
