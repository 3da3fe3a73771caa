//! Any bytes as a stored batch: it is one that can be written again and is the same then, or an error, and never a panic.

#![no_main]
#![allow(dead_code, unused_imports, reason = "these are the engines' own modules, of which only the envelope is used")]

use libfuzzer_sys::fuzz_target;

/// Only what the envelope needs: no engine.
#[path = "../../host/engines/src"]
mod engines {
    pub(crate) mod batch;
    pub(crate) mod error;
}

// The paths that they have there.
use engines::batch::Batch;
use engines::error::{Error, Result};

fuzz_target!(|envelope: &[u8]| {
    match Batch::from_envelope(envelope) {
        Ok(batch) => {
            let written = batch.to_envelope().expect("what was read can be written");
            assert_eq!(Batch::from_envelope(&written), Ok(batch.clone()));
            // What a worker asks of it.
            let only = batch.only(0);
            assert_eq!(only.idempotency_key(&only.tasks[0]), batch.idempotency_key(&batch.tasks[0]));
        }
        Err(error) => assert!(matches!(error, Error::Corrupt(_) | Error::TooLarge { .. }), "{error:?}"),
    }
});
