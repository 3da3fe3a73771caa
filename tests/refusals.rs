//! An application that cannot run: `epilogue up` says why and what to do, and ends with code 1 before it serves anything.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

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
    let app = application(guests::HELLO, "sqlite_databases = [\"default\"]");
    assert_eq!(
        refusal(app.path()),
        "Error: DIR/spin.toml:9: \"sqlite_databases\" in [component.app] cannot work on this host: SQLite databases are \
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
        "Error: component \"app\" cannot have its files: the file or folder \"logo.png\" does not exist in DIR"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_not_called_missing() {
    let cannot = "Error: component \"app\" cannot have its files: ";
    for (files, expected) in [
        ("[\"circle\"]", "cannot read DIR/circle: Too many levels of symbolic links (os error 40)"),
        ("[\"spin.toml/x\"]", "cannot read DIR/spin.toml/x: Not a directory (os error 20)"),
        (
            "[{ source = \"circle\", destination = \"/\" }]",
            "cannot read DIR/circle: Too many levels of symbolic links (os error 40)",
        ),
        ("[\"pipe\"]", "\"pipe\" is neither a file nor a folder"),
    ] {
        let app = application(guests::HELLO, &format!("files = {files}"));
        symlink("circle", app.path().join("circle")).unwrap();
        assert!(Command::new("mkfifo").arg(app.path().join("pipe")).status().unwrap().success());
        assert_eq!(refusal(app.path()), format!("{cannot}{expected}"), "{files}");
    }
    let app = application("circle.wasm", "");
    symlink("circle.wasm", app.path().join("circle.wasm")).unwrap();
    assert_eq!(
        refusal(app.path()),
        "Error: component \"app\" cannot be loaded: cannot read DIR/circle.wasm: Too many levels of symbolic links (os error 40)"
    );
    let empty = tempfile::tempdir().unwrap();
    symlink("spin.toml", empty.path().join("spin.toml")).unwrap();
    assert_eq!(
        refusal(empty.path()),
        "Error: cannot read the manifest DIR/spin.toml: Too many levels of symbolic links (os error 40)"
    );
}

#[test]
fn a_pattern_that_matches_no_file_is_told_and_the_rest_is_served() {
    let app = application(guests::HELLO, "files = [\"static/**/*.png\", \"spin.*\"]");
    let host = Process::start(up(app.path(), []));
    assert_eq!(get(host.address(), "/"), "Hello, world!");
    let folder = app.path().display();
    host.logged(&format!("component \"app\": \"static/**/*.png\" in files matches no file in {folder}"));
    host.signal("TERM");
    assert_eq!(host.ended().stderr.iter().filter(|line| line.contains("matches no file")).count(), 1);
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
    assert_eq!(
        refusal(app.path()),
        "Error: component \"app\" cannot be loaded: DIR/app.wasm is an HTML or XML document, not WebAssembly"
    );
    fs::write(app.path().join("app.wasm"), b"\0asm\x0d\0\x01\0\xff").unwrap();
    let refusal = refusal(app.path());
    let expected = "Error: component \"app\" cannot be loaded: DIR/app.wasm is not a valid WebAssembly component: ";
    assert!(refusal.starts_with(expected) && refusal.lines().count() == 1, "{refusal}");
}

#[test]
fn a_component_with_types_of_the_gc_proposal() {
    let app = application("app.wasm", "");
    // wasmtime 48.0.8 would abort the process at this call (GHSA-rc4p-x33f-vpr2).
    let component = r#"
        (component
            (core module $module
                (type $plain (func)) (type $open (sub (func))) (type $other (func (param i32)))
                (table 1 funcref) (func $target (type $other)) (elem (i32.const 0) func $target)
                (func $start (type $plain) (call_indirect (type $open) (i32.const 0))) (start $start)
                (func (export "handle") (type $plain)))
            (core instance $instance (instantiate $module))
            (func $handle (canon lift (core func $instance "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/handler@0.3.0" (instance $handler)))"#;
    fs::write(app.path().join("app.wasm"), wat::parse_str(component).unwrap()).unwrap();
    let refusal = refusal(app.path());
    assert!(refusal.contains("gc proposal must be enabled"), "{refusal}");
}

#[test]
fn an_import_that_this_host_does_not_provide() {
    let app = application("app.wasm", "");
    let component = r#"(component
        (import "made-up:stars/align@1.0.0" (instance (export "align" (func))))
        (instance $none) (export "wasi:http/handler@0.3.0" (instance $none)))"#;
    fs::write(app.path().join("app.wasm"), wat::parse_str(component).unwrap()).unwrap();
    let refusal = refusal(app.path());
    let expected = "Error: component \"app\" (DIR/app.wasm) imports something that this host does not provide; it \
                    provides WASI 0.2 and 0.3, Spin's interfaces, and epilogue:background@0.1.0: ";
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
    // As spin-sdk 5 makes them: what it imports is not there either.
    let component = r#"(component
        (import "wasi:http/types@0.2.3" (instance (export "fields" (type (sub resource)))))
        (instance $none) (export "wasi:http/incoming-handler@0.2.3" (instance $none)))"#;
    fs::write(app.path().join("app.wasm"), wat::parse_str(component).unwrap()).unwrap();
    let why = "it exports wasi:http/incoming-handler of WASI 0.2, not wasi:http/handler@0.3.0: build it with an SDK for WASI 0.3, \
               such as spin-sdk 7";
    let up = format!("Error: component \"app\" (DIR/app.wasm) cannot serve requests: {why}");
    assert_eq!(refusal(app.path()), up);
    // And the same words of the other command.
    let ended = Process::start({
        let mut compose = epilogue(["compose", "app.wasm", "-o", "out.wasm"]);
        compose.current_dir(app.path());
        compose
    })
    .ended();
    assert_eq!(ended.stderr, [format!("Error: app.wasm cannot be composed: {why}")]);
}

#[test]
fn less_memory_than_a_component_starts_with() {
    let app = application(guests::HELLO, "tool.epilogue.memory = \"64KiB\"");
    let refusal = refusal(app.path());
    let expected = format!(
        "Error: component \"app\" ({}) cannot start: memory is 64KiB, but the component starts with ",
        guests::HELLO
    );
    let rest = refusal.strip_prefix(&expected).unwrap_or_else(|| panic!("{refusal}"));
    let (least, _) = rest.split_once(": set memory to at least ").unwrap();
    // It is as much as it says.
    let host = TestHost::component(guests::HELLO).setting("memory", least).start();
    assert_eq!(host.get("/").text(), "Hello, world!");
}

#[test]
fn what_is_composed_where_its_tasks_should_be_stored() {
    let app = application("composed.wasm", "");
    let composed = epilogue::testing::compose(Path::new(guests::TASKS), &[]).unwrap();
    fs::write(app.path().join("composed.wasm"), composed.bytes).unwrap();
    let expected = "Error: component \"app\" (DIR/composed.wasm) is composed for other hosts and runs its own tasks, so no \
                    task engine can store these tasks: set tool.epilogue.source of the component to the guest's file \
                    from before `epilogue compose`";
    let engine = format!("sqlite:{}", app.path().join("tasks.db").display());
    assert_eq!(refusal_with(app.path(), &["--engine", &engine, "--durable", "--work"]), expected);
    assert_eq!(refusal_with(app.path(), &["--engine", &engine]), expected);
    let mut worker = self::epilogue(["worker", "--log", "error", "--engine", &engine, "--from"]);
    worker.arg(app.path());
    let ended = Process::start(worker).ended();
    assert_eq!(
        (ended.code, ended.stderr.join("\n").replace(&app.path().display().to_string(), "DIR")),
        (Some(1), expected.to_owned())
    );

    // Without an engine it does here what it does elsewhere.
    let host = Process::start(up(app.path(), []));
    get(host.address(), "/?run=ok");
    host.logged(
        "component \"app\" is composed for other hosts and runs its own tasks, so this host cannot see these tasks: ",
    );
    host.logged("name=\"ok\" state=\"succeeded\"");

    // With the guest that it was made from, its tasks are stored.
    let native = application("composed.wasm", &format!("tool.epilogue.source = {:?}", guests::TASKS));
    let host = Process::start(up(native.path(), ["--engine", &engine, "--durable", "--work"]));
    get(host.address(), "/?run=ok");
    host.logged("stored");
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

    let composed = epilogue::testing::compose(Path::new(guest), &[]).err().unwrap();
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
        "component \"app\" imports epilogue:background/queue but does not export epilogue:background/runner, \
         so it cannot add tasks: build it with the SDK",
    );
}

/// The only line that `up` prints about this application, with its folder as `DIR`.
fn refusal(application: &Path) -> String {
    refusal_with(application, &[])
}

fn refusal_with(application: &Path, arguments: &[&str]) -> String {
    let mut command = up(application, ["--log", "error"]);
    command.args(arguments);
    let ended = Process::start(command).ended();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.is_empty(), "{:?}", ended.stdout);
    let folder = if application.is_dir() { application } else { application.parent().unwrap() };
    ended.stderr.join("\n").replace(&folder.display().to_string(), "DIR")
}
