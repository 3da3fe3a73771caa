//! `docs/guide/five-minutes.md`: its commands print what the page shows, except for times, ids and folders.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use http::Request;

use crate::guests;
use crate::process::{Ended, Process, epilogue, folder, up};
use crate::stock::host::StockHost;
use crate::support::ends;

const PAGE: &str = include_str!("../../docs/guide/five-minutes.md");
const TEMPLATE: &str = include_str!("../../host/templates/new/spin.toml");
const EXAMPLE: &str = include_str!("../../spin.toml");

#[test]
fn the_example_prints_what_the_page_shows() {
    let manifest = EXAMPLE.replace("target/wasm/wasm32-wasip2/release/notify.wasm", guests::NOTIFY);
    let app = folder(&manifest);
    let host = Process::start(up(app.path(), []));
    let (command, output) = &sessions("curl")[0];
    assert_eq!(curl(&host, command), *output);
    host.signal("TERM");
    assert_shown(&host.ended(), 0);
}

#[test]
fn a_new_app_prints_what_the_page_shows() {
    let manifest = TEMPLATE.replace("target/wasm32-wasip2/release/my_app.wasm", guests::TEMPLATE);
    for (session, tasks) in [(1, &["write_log"][..]), (2, &["call_back", "send_receipt"])] {
        let app = folder(&manifest);
        let host = Process::start(up(app.path(), []));
        let (command, output) = &sessions("curl")[session];
        assert_eq!(curl(&host, command), *output);
        // The tasks of different kinds may end in any order, and one of them calls the host itself.
        for task in tasks {
            host.logged(&format!("name=\"{task}\" state="));
        }
        host.signal("TERM");
        assert_shown(&host.ended(), session);
    }
}

#[test]
fn a_new_app_is_made_as_the_page_shows() {
    let folder = tempfile::tempdir().unwrap();
    let command = Path::new(env!("CARGO_BIN_EXE_epilogue")).parent().unwrap();
    let mut new = epilogue(["new", "my-app"]);
    new.current_dir(&folder).env("PATH", command).env_remove("SPIN_BIN_PATH");
    let printed = String::from_utf8(new.output().unwrap().stderr).unwrap();
    let (shown_command, output) = &sessions("epilogue new")[0];
    assert_eq!(shown_command, "epilogue new my-app");
    let masked = |text: &str| -> Vec<String> {
        let without_folder = |line: &str| line.split(" takes it from ").next().unwrap_or_default().to_owned();
        text.trim_end().lines().map(without_folder).collect()
    };
    assert_eq!(masked(&printed), masked(output));
}

#[test]
fn a_new_app_runs_its_durable_task_on_a_host_without_a_task_engine() {
    let stock = StockHost::start(guests::TEMPLATE);
    let order = Request::post("/orders").header("content-type", "application/json");
    let response = stock.send(order.body(Bytes::from(r#"{"id":7,"email":"a@b.c"}"#)).unwrap());
    assert_eq!(response.status(), 200);
    assert_eq!(ends(&stock.next_record()), ["send_receipt succeeded"]);
    assert_eq!(stock.stdout(), "order 7: receipt to a@b.c\norder 7: closed\n");
}

/// The commands of the page's sessions that begin with this, and what they print.
fn sessions(start: &str) -> Vec<(String, String)> {
    let blocks = PAGE.split("```console\n$ ").skip(1).filter_map(|block| block.split("```").next());
    let sessions = blocks.filter_map(|block| block.split_once('\n'));
    let wanted = sessions.filter(|(command, _)| command.starts_with(start));
    wanted.map(|(command, output)| (command.to_owned(), output.to_owned())).collect()
}

/// What a command with the page's address prints here. A line ends where the page's line ends.
fn curl(host: &Process, command: &str) -> String {
    let command = command.replace("127.0.0.1:3000", &host.address().to_string());
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.trim_end().to_owned() + "\n"
}

/// Compares what a host printed with a block of the page, the events and the guests' lines each in any order: several tasks may
/// run at once.
#[track_caller]
fn assert_shown(ended: &Ended, block: usize) {
    let blocks = PAGE.split("```text\n").skip(1).filter_map(|block| block.split("```").next());
    let lines: Vec<&str> = blocks.skip(block).take(1).flat_map(str::lines).collect();
    let (events, printed): (Vec<&str>, Vec<&str>) = lines.into_iter().partition(|line| line.starts_with('…'));
    let sorted = |lines: Vec<String>| {
        let mut lines = lines;
        lines.sort();
        lines
    };
    let own = |lines: &[&str]| sorted(lines.iter().map(|line| masked(line)).collect());
    let stderr = ended.stderr.iter().filter(|line| line.contains(" epilogue::task: ")).map(|line| masked(line));
    assert_eq!(sorted(stderr.collect()), own(&events));
    assert_eq!(sorted(ended.stdout[3..].to_vec()), sorted(printed.into_iter().map(str::to_owned).collect()));
}

/// An event without what differs from run to run.
fn masked(event: &str) -> String {
    let words = event.split_whitespace().skip(1).map(|word| {
        let (key, _) = word.split_once('=').unwrap_or((word, ""));
        if ["request", "elapsed_us"].contains(&key) { key } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}
