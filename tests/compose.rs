//! `epilogue compose`, as a user calls it.

use std::path::Path;
use std::process::Command;

use epilogue::testing::TestHost;

use crate::guests;

/// Composes `guest` into `output`. Returns the command's output, and whether it succeeded.
fn compose(guest: &str, output: &Path) -> (String, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_epilogue"));
    let ended = command.args(["compose", guest, "-o"]).arg(output).output().unwrap();
    assert!(ended.stdout.is_empty());
    (String::from_utf8(ended.stderr).unwrap(), ended.status.success())
}

#[test]
fn a_guest_with_tasks_becomes_a_component_that_needs_only_wasi() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("portable.wasm");
    let (said, worked) = compose(guests::NOTIFY, &output);
    assert!(worked, "{said}");
    assert!(said.starts_with(&format!("Composed {} from {}: ", output.display(), guests::NOTIFY)), "{said}");
    let size = |file: &Path| std::fs::metadata(file).unwrap().len();
    let added = size(&output) - size(Path::new(guests::NOTIFY));
    assert!(added <= 160 << 10, "{added} bytes were added");

    // To the native host it is a component like any other.
    let host = TestHost::start(&output);
    let exchange = host.post("/send-notification/a@b.c?q=x", "");
    assert_eq!(exchange.text(), r#"{"message":"Message sent"}"#);
    assert!(exchange.drained().tasks.is_empty());
    assert_eq!(host.stdout(), "found query: x\nmessage to a@b.c\nsession closed\n");

    let (said, worked) = compose(output.to_str().unwrap(), &folder.path().join("again.wasm"));
    assert!(!worked);
    assert!(said.ends_with("portable.wasm is composed already: it runs on any WASI 0.3 host as it is\n"), "{said}");
}

#[test]
fn middleware_is_composed_around_a_guest() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("portable.wasm");
    let output = output.to_str().unwrap();
    let (middleware, guest) = (guests::MIDDLEWARE, guests::NOTIFY);
    let compose = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_epilogue"));
        let ended = command.arg("compose").args(arguments).args(["-o", output]).output().unwrap();
        (String::from_utf8(ended.stderr).unwrap(), ended.status.success())
    };
    let (said, worked) = compose(&[guest, "--middleware", middleware, "--middleware", middleware]);
    assert!(worked, "{said}");
    assert!(said.starts_with(&format!("Composed {output} from {guest} behind {middleware} behind ")), "{said}");

    let (said, worked) = compose(&[guest, "--middleware", guests::PLAIN]);
    assert!(!worked);
    let plain = guests::PLAIN;
    let expected = format!("Error: {plain} cannot be a middleware: it does not import wasi:http/handler@0.3.0, so ");
    assert!(said.replace("\n\nCaused by:\n    ", ": ").starts_with(&expected), "{said}");
}

#[test]
fn a_guest_without_tasks_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("same.wasm");
    let (said, worked) = compose(guests::PLAIN, &output);
    assert!(worked, "{said}");
    let (guest, file) = (guests::PLAIN, output.display());
    assert_eq!(said, format!("{guest} has no background tasks: {file} is the same component\n"));
    assert_eq!(std::fs::read(output).unwrap(), std::fs::read(guest).unwrap());
}

#[test]
fn a_file_that_is_missing_or_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (said, worked) = compose("nowhere.wasm", &folder.path().join("out.wasm"));
    assert!(!worked);
    assert!(said.starts_with("Error: cannot read nowhere.wasm: is it built?"), "{said}");

    let (said, worked) = compose(guests::NOTIFY, &folder.path().join("no/folder.wasm"));
    assert!(!worked);
    assert!(said.contains("cannot write") && said.contains("no/folder.wasm"), "{said}");
}

#[test]
fn no_input_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let guest = folder.path().join("guest.wasm");
    std::fs::copy(guests::NOTIFY, &guest).unwrap();
    let content = std::fs::read(&guest).unwrap();
    std::os::unix::fs::symlink("guest.wasm", folder.path().join("link.wasm")).unwrap();
    std::fs::hard_link(&guest, folder.path().join("other.wasm")).unwrap();
    for output in ["guest.wasm", "./guest.wasm", "../NAME/guest.wasm", "link.wasm", "other.wasm"] {
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        let output = folder.path().join(output.replace("NAME", name));
        let (said, worked) = compose(guest.to_str().unwrap(), &output);
        assert!(!worked);
        let (guest, output) = (guest.display(), output.display());
        let expected = format!("Error: {guest} would be overwritten by the output, {output}: name another file\n");
        assert_eq!(said, expected);
    }
    let (middleware, output) = (folder.path().join("link.wasm"), guest.to_str().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_epilogue"));
    let ended =
        command.args(["compose", guests::PLAIN, "-o", output, "--middleware"]).arg(&middleware).output().unwrap();
    assert!(!ended.status.success());
    assert_eq!(std::fs::read(&guest).unwrap(), content);
}
