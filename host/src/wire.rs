//! A request's body on its way in, and its response on its way out.

pub(crate) mod activity;
pub(crate) mod answer;
pub(crate) mod incoming;
pub(crate) mod reply;
pub(crate) mod sent;
