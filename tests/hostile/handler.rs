//! In the handler: the client has an answer, and those tasks run that run after a failure too.

use super::{Hostile, STUCK, TRAPS};
use crate::support::ends;

#[test]
fn s14_a_handler_that_traps_is_answered_for() {
    let hostile = Hostile::with(|host| host);
    for what in TRAPS {
        let record = hostile.misbehave(what, "handler");
        assert_eq!(record.status, 500, "{what}");
        assert_eq!(ends(&record), ["after succeeded"], "{what}: in a fresh instance");
    }
}

#[test]
fn s10_a_handler_that_does_not_end_is_stopped() {
    let hostile = Hostile::start("request-timeout");
    for what in STUCK {
        let record = hostile.misbehave(what, "handler");
        assert_eq!(record.status, 504, "{what}");
        assert_eq!(ends(&record), ["after succeeded"], "{what}: in a fresh instance");
    }
}
