//! A guest that misbehaves in the teardown: the tasks keep their states, and the next request has another instance.

use super::{Hostile, STUCK, TRAPS};
use crate::support::ends;

#[test]
fn s14_a_teardown_that_traps_is_reported() {
    let hostile = Hostile::with(|host| host);
    for what in TRAPS {
        let record = hostile.misbehave(what, "teardown");
        assert_eq!((record.status.as_u16(), ends(&record)), (200, vec!["after succeeded".to_owned()]), "{what}");
        assert!(record.errors[0].starts_with("the teardown was cut short: "), "{what}: {:?}", record.errors);
    }
}

#[test]
fn s10_a_teardown_that_does_not_end_is_stopped() {
    let hostile = Hostile::start("teardown-timeout");
    for what in STUCK {
        let record = hostile.misbehave(what, "teardown");
        assert_eq!((record.status.as_u16(), ends(&record)), (200, vec!["after succeeded".to_owned()]), "{what}");
        assert_eq!(record.errors, ["the teardown was cut short: still running after 500ms"], "{what}");
    }
}
