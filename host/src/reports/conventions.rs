//! Values of attributes, as OpenTelemetry's semantic conventions for HTTP define them.

use http::{Method, Version};

/// Returns the method's name if the conventions list the method. Returns `None` for all other methods, because clients
/// can send any text as a method.
pub(super) fn method(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 10] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"];
    KNOWN.into_iter().find(|known| known == method)
}

/// The attribute value for a method that the conventions do not list.
pub(super) const OTHER_METHOD: &str = "_OTHER";

/// Returns the version of HTTP as text for the attribute `network.protocol.version`.
pub(super) fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}
