use std::borrow::Cow;

use epilogue_sdk::task;

#[task]
fn write_log(_message: &str) {}

#[task]
fn write_lines(_lines: Vec<&str>) {}

#[task]
fn write_bytes(_bytes: &[u8]) {}

#[task]
fn write_text(_text: Cow<'_, str>) {}

fn main() {}
