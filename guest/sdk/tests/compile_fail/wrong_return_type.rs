use epilogue_sdk::task;

#[task]
fn count(_message: String) -> usize {
    0
}

#[task]
async fn count_later(_message: String) -> Result<usize, String> {
    Ok(0)
}

fn main() {}
