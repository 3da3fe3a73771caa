use epilogue_sdk::task;

#[task]
fn write_log((_to, _message): (String, String)) {}

fn main() {}
