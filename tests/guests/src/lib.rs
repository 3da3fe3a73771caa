//! What the test guests share: see `examples/`, one guest a file.
//!
//! The contract: a guest answers 200, and prints to stdout what its test looks for, one line an event.
