//! A guest prints a very long text without an end of line. The whole text arrives, and other requests do not wait.

use crate::client::get;
use crate::guests;
use crate::process::{Process, application, up};

#[test]
fn what_a_guest_prints_may_be_long() {
    let app = application(guests::EXCESS, "");
    let host = Process::start(up(app.path(), ["--threads", "1"]));
    let length = 16 << 20;
    get(host.address(), &format!("/print?{length}"));
    let line = host.printed("xxx");
    assert_eq!(line.len(), length);
}
