//! The body of an arriving request, and the response to the client.

pub(crate) mod activity;
pub(crate) mod answer;
pub(crate) mod incoming;
pub(crate) mod reply;
pub(crate) mod sent;
