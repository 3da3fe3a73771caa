//! Values of attributes, as OpenTelemetry's semantic conventions for HTTP define them.

/// Returns the method's name if the conventions list the method. Returns `None` for all other methods, because clients
/// can send any text as a method.
pub(super) fn method(method: &str) -> Option<&'static str> {
    const KNOWN: [&str; 10] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method)
}

/// The attribute value for a method that the conventions do not list.
pub(super) const OTHER_METHOD: &str = "_OTHER";
