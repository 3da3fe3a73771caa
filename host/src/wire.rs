//! Reads the bodies of requests, and sends responses.

pub(crate) mod activity;
pub(crate) mod answer;
pub(crate) mod incoming;
pub(crate) mod reply;
pub(crate) mod sent;
