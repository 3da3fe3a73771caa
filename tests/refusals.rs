//! An application that cannot run here says why, in words that help, and ends with code 1 before it serves anything.

use std::fs;
use std::path::Path;

use epilogue::testing::TestHost;

use crate::client::get;
use crate::guests;
use crate::process::{Process, application, epilogue, folder, up};

#[test]
fn no_manifest() {
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(refusal(empty.path()), "Error: the folder DIR has no spin.toml");
    assert_eq!(refusal(&empty.path().join("app.toml")), "Error: no such file or folder: DIR/app.toml");
    // The temporary folder is in no repository, so that nothing above it is looked at.
    fs::create_dir(empty.path().join(".git")).unwrap();
    let mut here = epilogue(["up"]);
    here.current_dir(empty.path());
    let ended = Process::start(here).ended();
    assert_eq!(
        ended.stderr,
        ["Error: there is no spin.toml here: name the application with --from <FILE or FOLDER>, or see --help"]
    );
}

#[test]
fn an_unknown_key() {
    let app = application(guests::HELLO, "enviroment = { A = \"1\" }");
    assert_eq!(
        refusal(app.path()),
        "Error: DIR/spin.toml:9: unknown key \"enviroment\" in [component.app] (did you mean \"environment\"?)"
    );
}

#[test]
fn what_spin_provides_and_this_host_does_not() {
    let app = application(guests::HELLO, "key_value_stores = [\"default\"]");
    assert_eq!(
        refusal(app.path()),
        "Error: DIR/spin.toml:9: \"key_value_stores\" in [component.app] can't work on this host: key-value stores are \
         not provided"
    );
}

#[test]
fn nothing_to_serve() {
    let app = folder("spin_manifest_version = 2\napplication.name = \"empty\"\n");
    assert_eq!(
        refusal(app.path()),
        "Error: DIR/spin.toml: there is nothing to serve: no [[trigger.http]] has a public route"
    );
}

#[test]
fn a_component_that_is_not_built() {
    let app = application("target/app.wasm", "");
    assert_eq!(
        refusal(app.path()),
        "Error: component \"app\" cannot be loaded: cannot read DIR/target/app.wasm: if it is not built yet, run \
         `epilogue build` or add `--build`: No such file or directory (os error 2)"
    );
}

#[test]
fn a_file_that_is_mentioned_but_missing() {
    let app = application(guests::HELLO, "files = [\"logo.png\"]");
    assert_eq!(
        refusal(app.path()),
        "Error: component \"app\" cannot have its files: the file \"logo.png\" does not exist in DIR"
    );
}

#[test]
fn a_core_module_instead_of_a_component() {
    let app = application("app.wasm", "");
    fs::write(app.path().join("app.wasm"), wat::parse_str("(module)").unwrap()).unwrap();
    assert_eq!(
        refusal(app.path()),
        "Error: component \"app\" cannot be loaded: DIR/app.wasm is a core WebAssembly module, not a component: build \
         it for the target wasm32-wasip2"
    );
}

#[test]
fn a_file_that_is_no_component_at_all() {
    let app = application("app.wasm", "");
    fs::write(app.path().join("app.wasm"), "<html>404</html>").unwrap();
    let refusal = refusal(app.path());
    let expected = "Error: component \"app\" cannot be loaded: DIR/app.wasm is not a valid WebAssembly component: ";
    assert!(refusal.starts_with(expected), "{refusal}");
}

#[test]
fn an_import_that_this_host_does_not_provide() {
    let app = application("app.wasm", "");
    let component = r#"(component (import "made-up:stars/align@1.0.0" (instance (export "align" (func)))))"#;
    fs::write(app.path().join("app.wasm"), wat::parse_str(component).unwrap()).unwrap();
    let refusal = refusal(app.path());
    let expected = "Error: component \"app\" (DIR/app.wasm) imports something that this host does not provide; it \
                    provides WASI 0.2 and 0.3, wasi:http@0.3.0, and epilogue:background@0.1.0: ";
    assert!(refusal.starts_with(expected), "{refusal}");
    assert!(refusal.contains("`made-up:stars/align@1.0.0`"), "{refusal}");
}

#[test]
fn a_component_without_an_http_handler() {
    let app = application("app.wasm", "");
    fs::write(app.path().join("app.wasm"), wat::parse_str("(component)").unwrap()).unwrap();
    assert_eq!(
        refusal(app.path()),
        "Error: component \"app\" (DIR/app.wasm) cannot serve requests: it does not export wasi:http/handler@0.3.0"
    );
}

#[test]
fn a_component_of_wasi_02() {
    let app = application("app.wasm", "");
    let component = r#"(component (instance $none) (export "wasi:http/incoming-handler@0.2.3" (instance $none)))"#;
    fs::write(app.path().join("app.wasm"), wat::parse_str(component).unwrap()).unwrap();
    assert_eq!(
        refusal(app.path()),
        "Error: component \"app\" (DIR/app.wasm) cannot serve requests: it exports wasi:http/incoming-handler of WASI \
         0.2, and this host runs WASI 0.3: build it with an SDK that exports wasi:http/handler@0.3.0, such as spin-sdk 7"
    );
}

#[test]
fn two_tasks_of_one_name() {
    let app = application(guests::NAMESAKES, "");
    let refusal = refusal(app.path());
    let why = "two tasks are named `send`, namesakes::mail::send (tests/guests/examples/namesakes.rs:12) and \
               namesakes::post::send_letter (tests/guests/examples/namesakes.rs:17): name one of them with \
               `#[task(name = \"…\")]`";
    let guest = guests::NAMESAKES;
    assert_eq!(refusal, format!("Error: component \"app\" cannot be loaded: {guest} cannot be used: {why}"));

    let composed = epilogue::compose::compose(Path::new(guest), &[]).err().unwrap();
    assert_eq!(format!("{composed:#}"), format!("{guest} cannot be composed: {why}"));
}

#[test]
fn a_component_that_is_not_there() {
    let app = application(guests::HELLO, "");
    let ended = Process::start(up(app.path(), ["--component-id", "ap"])).ended();
    assert_eq!(ended.code, Some(1));
    let expected = format!("Error: {}/spin.toml has no component \"ap\", but: app", app.path().display());
    assert_eq!(ended.stderr, [expected]);
}

#[test]
fn tasks_without_a_runner_are_refused_and_the_rest_is_served() {
    let host = TestHost::start(guests::NO_RUNNER);
    let exchange = host.get("/");
    assert_eq!(exchange.text(), "no-runner");
    assert!(exchange.drained().tasks.is_empty());

    let app = application(guests::NO_RUNNER, "");
    let host = Process::start(up(app.path(), []));
    assert_eq!(get(host.address(), "/"), "no-runner");
    host.logged(
        "component \"app\" can enqueue tasks but does not export epilogue:background/runner: none will be accepted",
    );
}

/// The only line that `up` prints about this application, with its folder as `DIR`.
fn refusal(application: &Path) -> String {
    let ended = Process::start(up(application, ["--log", "error"])).ended();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.is_empty(), "{:?}", ended.stdout);
    let folder = if application.is_dir() { application } else { application.parent().unwrap() };
    ended.stderr.join("\n").replace(&folder.display().to_string(), "DIR")
}
