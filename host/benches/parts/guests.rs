//! The guests that the benchmarks measure. Each benchmark includes this file.
#![allow(dead_code, reason = "the tests use the others")]

test_artifacts::guests!();
