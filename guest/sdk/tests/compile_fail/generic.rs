use epilogue_sdk::task;

#[task]
fn write_log<T: std::fmt::Display>(_message: T) {}

fn main() {}
