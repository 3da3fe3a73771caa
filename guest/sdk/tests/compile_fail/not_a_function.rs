use epilogue_sdk::task;

#[task]
struct WriteLog;

fn main() {}
