use epilogue_sdk::task;

#[task]
fn write_log(_message: impl Into<String>) {}

fn main() {}
