use epilogue_sdk::task;

#[task(retries = 3)]
fn write_log(_message: String) {}

#[task(name = "")]
fn write_line(_message: String) {}

fn main() {}
