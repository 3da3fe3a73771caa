use epilogue_sdk::{BackgroundTasks, task};

#[task]
fn write_log(_message: String) {}

fn main() {
    let _ = BackgroundTasks::current().add_task(write_log, (7,));
}
