use epilogue_sdk::task;

struct Mailer;

impl Mailer {
    #[task]
    fn send(&self, _to: String) {}
}

fn main() {}
