//! `epilogue new`: what it makes can be built, served, tested and deployed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use epilogue::testing::TestHost;
use http::Request;
use http_body_util::Empty;
use tempfile::TempDir;

use crate::client::{Protocol, exchange};
use crate::guests;
use crate::process::{Process, epilogue, up};
use crate::stock::host::StockHost;
use crate::support::ends;

#[test]
fn a_new_project_is_built_served_tested_and_composed() {
    let (_folder, project) = project("thank-you");
    for file in ["Cargo.toml", "README.md", "spin.toml"] {
        let text = fs::read_to_string(project.join(file)).unwrap();
        assert!(text.contains("thank-you") && !text.contains("my-app") && !text.contains("my_app"), "{text}");
    }
    share_what_is_built(&project);
    // As the test guests are built, with which it shares what it uses.
    let shared = [
        ("CARGO_NET_OFFLINE", "true"),
        ("CARGO_PROFILE_RELEASE_LTO", "false"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ];
    let guest = fs::read_to_string(project.join("src/lib.rs")).unwrap();
    assert!(!guest.contains("ANCHOR"), "{guest}");
    let (said, worked) = run(epilogue(["build"]).current_dir(&project).envs(shared));
    assert!(worked, "{said}");

    let host = Process::start(up(&project, []));
    let request = Request::post("/send-notification/ada@example.com").body(Empty::new()).unwrap();
    let response = exchange(host.address(), Protocol::Http1, request);
    assert_eq!(response.into_body().to_bytes(), "Notification sent\n");
    assert!(host.logged("epilogue::task").contains("component=\"thank-you\" task=1 name=\"write_log\""));
    host.signal("TERM");
    let ended = host.ended();
    assert_eq!(ended.stdout[3..], ["message to ada@example.com"]);
    assert_eq!(ended.code, Some(0));

    its_tests_pass(&project.join("spin.toml"));

    // What Spin is told to run is what a host runs that knows only WASI.
    let manifest: toml::Table = fs::read_to_string(project.join("spin.toml")).unwrap().parse().unwrap();
    let portable = manifest["component"]["thank-you"]["source"].as_str().unwrap();
    let stock = StockHost::run(&fs::read(project.join(portable)).unwrap(), &[]);
    let response = stock.send(Request::post("/send-notification/a@b.c").body(Bytes::new()).unwrap());
    assert_eq!(response.body(), "Notification sent\n");
    assert_eq!(ends(&stock.next_record()), ["write_log succeeded"]);
    assert_eq!(stock.stdout(), "message to a@b.c\n");
}

/// Runs the bodies of the template's tests here, with another first line. A test in the new project would build wasmtime again.
fn its_tests_pass(manifest: &Path) {
    let template = include_str!("../host/templates/new/tests/app.rs");
    let mut bodies = template.split("TestHost::manifest(\"spin.toml\").start();\n");
    assert!(bodies.next().unwrap().contains("\nuse epilogue::testing::TestHost;\n"), "{template}");
    let bodies: Vec<_> = bodies.map(|body| body.split_once("\n}\n").unwrap().0).collect();
    assert_eq!(bodies.len(), 2);
    for body in bodies {
        assert!(include_str!("new.rs").contains(body), "the template's test is another: {body}");
    }
    its_first_test_passes(manifest);
    its_second_test_passes(manifest);
}

fn its_first_test_passes(manifest: &Path) {
    let host = TestHost::manifest(manifest).start();
    let exchange = host.post("/send-notification/a@b.c", "");
    assert_eq!(exchange.text(), "Notification sent\n");
    let record = exchange.drained();
    assert_eq!(record.tasks.len(), 1);
    assert_eq!(record.tasks[0].state.as_str(), "succeeded");
    assert_eq!(host.stdout(), "message to a@b.c\n");
}

fn its_second_test_passes(manifest: &Path) {
    let host = TestHost::manifest(manifest).start();
    let path = format!("/orders?callback=http://{}/callback", host.address());
    let order = r#"{"id":7,"email":"a@b.c"}"#;
    let request = Request::post(path).header("content-type", "application/json");
    let exchange = host.send(request.body(order.into()).unwrap());
    assert_eq!(exchange.text(), order);
    let record = exchange.drained();
    for task in &record.tasks {
        assert_eq!(task.state.as_str(), "succeeded", "{}", task.name);
    }
    let expected = format!("order 7: receipt to a@b.c\ncalled back: {order}\norder 7: closed\n");
    assert_eq!(host.stdout(), expected);
}

/// `guest/typescript/tests/new.test.js` builds and runs such a project, which needs npm.
#[test]
fn a_new_typescript_project_takes_the_package_from_the_clone() {
    let folder = tempfile::tempdir().unwrap();
    let (said, worked) = run(epilogue(["new", "--ts", "thank-you"]).current_dir(&folder));
    assert!(worked, "{said}");
    let clone = fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
    let clone = clone.display();
    let expected = format!("the npm package epilogue is not published yet: package.json takes it from {clone}\n");
    assert!(said.contains(&expected), "{said}");
    let text = |file: &str| fs::read_to_string(folder.path().join("thank-you").join(file)).unwrap();
    assert!(text("package.json").contains(&format!("\"epilogue\": \"file:{clone}/guest/typescript\"")));
    for file in ["README.md", "package.json", "spin.toml", "src/index.ts"] {
        let text = text(file);
        assert!(!text.contains("my-app") && !text.contains("ANCHOR"), "{text}");
    }
    assert!(text("spin.toml").contains("source = \"dist/thank-you.wasm\""));
}

#[test]
fn what_to_do_next_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (said, worked) = run(epilogue(["new", "one"]).current_dir(&folder).env("PATH", "").env_remove("SPIN_BIN_PATH"));
    assert!(worked, "{said}");
    assert!(said.starts_with("Created one in one: Cargo.toml, "), "{said}");
    let next = format!("\ncd one\n{} up --build ", env!("CARGO_BIN_EXE_epilogue"));
    assert!(said.contains(&next), "{next:?} should be in {said}");

    // As a plugin of Spin, and where it is on the search path.
    let mut plugin = epilogue(["new", "two", "--path", "deep/down"]);
    let (said, _) = run(plugin.current_dir(&folder).env("SPIN_BIN_PATH", "/bin/spin"));
    assert!(said.contains("\ncd deep/down\nspin epilogue up --build "), "{said}");
    assert!(folder.path().join("deep/down/src/lib.rs").is_file());
    let command = Path::new(env!("CARGO_BIN_EXE_epilogue"));
    let mut installed = epilogue(["new", "three"]);
    installed.current_dir(&folder).env("PATH", command.parent().unwrap()).env_remove("SPIN_BIN_PATH");
    let (said, _) = run(&mut installed);
    assert!(said.contains("\nepilogue up --build "), "{said}");
}

#[test]
fn a_python_project_takes_its_package_from_the_clone() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, extras) in [
        (["new", "--python", "shop"].as_slice(), "[fastapi,test]"),
        (["new", "--python", "--plain", "stall"].as_slice(), "[test]"),
    ] {
        let (said, worked) = run(epilogue(arguments.iter().copied()).current_dir(&folder));
        let name = arguments.last().unwrap();
        assert!(worked && said.starts_with(&format!("Created {name} in {name}: requirements.txt, ")), "{said}");
        assert!(said.contains("\npip install -r requirements.txt\n"), "{said}");
        let project = folder.path().join(name);
        let text = |file: &str| fs::read_to_string(project.join(file)).unwrap();
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("guest/python");
        assert_eq!(text("requirements.txt"), format!("epilogue{extras} @ file://{}\n", package.display()));
        assert!(text("spin.toml").contains(&format!("[component.{name}.build]")));
        assert!(!text("app.py").contains("ANCHOR") && !text("tests/test_app.py").contains("ANCHOR"));
    }
}

#[test]
fn a_build_without_a_python_environment_says_how_to_activate_one() {
    let (_folder, project) = project("old");
    let manifest = fs::read_to_string(project.join("spin.toml")).unwrap();
    let python = manifest.replace("cargo build", "python -m no_such_module_of_epilogue");
    fs::write(project.join("spin.toml"), python).unwrap();
    let mut build = epilogue(["build"]);
    let (said, worked) = run(build.current_dir(&project).env_remove("VIRTUAL_ENV").env_remove("CONDA_PREFIX"));
    assert!(!worked && said.contains("run `. .venv/bin/activate`"), "{said}");
}

#[test]
fn nothing_is_overwritten_and_nothing_made_that_cannot_be_built() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("full")).unwrap();
    fs::write(folder.path().join("full/file"), "mine").unwrap();
    for (arguments, expected) in [
        (["full", "-o", "full"], "full is not empty: name another folder with --output"),
        (["file", "-o", "full/file"], "full/file is not a folder: name another folder with --output"),
        (["My_App", "-o", "new"], "A word has only lowercase letters and digits, and begins with a letter"),
        (["app", "--sdk", "full"], "full is not a clone of Epilogue: it has no guest/sdk/Cargo.toml"),
    ] {
        let (said, worked) = run(epilogue(["new"].into_iter().chain(arguments)).current_dir(&folder));
        assert!(!worked && said.starts_with("Error: ") && said.trim_end().ends_with(expected), "{said}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("full/file")).unwrap(), "mine");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else should have been made");
}

/// A new project, in a folder of its own.
fn project(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (said, worked) = run(epilogue(["new", name]).current_dir(&folder));
    assert!(worked, "{said}");
    let project = folder.path().join(name);
    (folder, project)
}

/// Lets the project's build use the workspace's lock file and target folder, so that it builds no dependency again.
fn share_what_is_built(project: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::copy(root.join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    let target = Path::new(guests::NOTIFY).ancestors().nth(3).unwrap();
    symlink(target, project.join("target")).unwrap();
}

/// What a command printed to stderr, and whether it succeeded.
fn run(command: &mut Command) -> (String, bool) {
    let ended = command.output().unwrap();
    assert!(ended.stdout.is_empty());
    (String::from_utf8(ended.stderr).unwrap(), ended.status.success())
}
