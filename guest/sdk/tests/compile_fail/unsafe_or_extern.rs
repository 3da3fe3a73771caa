use epilogue_sdk::task;

#[task]
unsafe fn write_log(_message: String) {}

#[task]
extern "C" fn write_line(_message: String) {}

fn main() {}
