use epilogue_sdk::task;

#[task(backoff = "often")]
fn write_log(_message: String) {}

#[task(backoff = "5m..1s")]
fn write_line(_message: String) {}

#[task(backoff = "0s..1s")]
fn write_page(_message: String) {}

#[task(backoff = 3)]
fn write_book(_message: String) {}

#[task(backoff = "1s..5m", backoff = "1s..5m")]
fn write_list(_message: String) {}

fn main() {}
