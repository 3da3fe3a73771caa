//! The guests that are measured. Part of each benchmark.
#![allow(dead_code, reason = "the tests use the others")]

test_artifacts::guests!();
