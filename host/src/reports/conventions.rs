//! Attribute values that OpenTelemetry's semantic conventions for HTTP define.

use http::{Method, Version};

/// Returns the method's name if the conventions know the method. Clients can invent any number of other methods.
pub(super) fn method(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 10] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"];
    KNOWN.into_iter().find(|known| known == method)
}

/// The attribute value for a method that the conventions do not know.
pub(super) const OTHER_METHOD: &str = "_OTHER";

/// Returns the version of HTTP, in the form of the attribute `network.protocol.version`.
pub(super) fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}
