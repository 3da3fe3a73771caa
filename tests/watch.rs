//! `epilogue up --watch` builds and loads the components that change. If a build or a load fails, the old application
//! goes on.

use std::fs;
use std::path::Path;

use crate::client::get;
use crate::guests;
use crate::process::{Process, application, up};

const HELLO: &str = "Hello, world!";
const OUTBOUND: &str = "here I am, at ";

#[test]
fn a_component_that_is_replaced_is_reloaded() {
    let app = application("app.wasm", "");
    put(guests::HELLO, &app.path().join("app.wasm"));
    let host = Process::start(up(app.path(), ["--watch"]));
    assert_eq!(get(host.address(), "/"), HELLO);
    let line = host.logged("watching ");
    assert!(line.ends_with("watching app.wasm, spin.toml"), "{line}");

    put(guests::OUTBOUND, &app.path().join("app.wasm"));
    host.logged("reloaded test (1 component)");
    assert!(get(host.address(), "/").starts_with(OUTBOUND));

    // The manifest now names another file, which is watched from then on.
    put(guests::HELLO, &app.path().join("sub/other.wasm"));
    let manifest = fs::read_to_string(app.path().join("spin.toml")).unwrap();
    fs::write(app.path().join("spin.toml"), manifest.replace("app.wasm", "sub/other.wasm")).unwrap();
    host.logged_times("reloaded", 2);
    assert_eq!(get(host.address(), "/"), HELLO);
    put(guests::OUTBOUND, &app.path().join("sub/other.wasm"));
    host.logged_times("reloaded", 3);
    assert!(get(host.address(), "/").starts_with(OUTBOUND));
}

#[test]
fn a_change_of_the_sources_is_built_and_then_reloaded() {
    let build = "build = { command = \"cp src/deep/app app.wasm\", watch = [\"src/**/a*\"] }";
    let app = application("app.wasm", build);
    let source = app.path().join("src/deep/app");
    put(guests::HELLO, &source);
    let host = Process::start(up(app.path(), ["--build", "--watch"]));
    assert_eq!(get(host.address(), "/"), HELLO);
    let line = host.logged("watching ");
    assert!(line.ends_with("watching app.wasm, spin.toml, src/**/a*"), "{line}");

    put(guests::OUTBOUND, &source);
    host.logged("rebuilding because src/deep/app changed");
    host.logged("rebuilt app");
    host.logged("reloaded test (1 component)");
    assert!(get(host.address(), "/").starts_with(OUTBOUND));

    fs::remove_file(&source).unwrap();
    let line = host.logged("the old version keeps running");
    assert!(line.contains("ERROR"), "{line}");
    assert!(line.contains("building app failed: `cp src/deep/app app.wasm` ended with exit status: 1"), "{line}");
    assert!(get(host.address(), "/").starts_with(OUTBOUND));

    put(guests::HELLO, &source);
    host.logged_times("reloaded", 2);
    assert_eq!(get(host.address(), "/"), HELLO);
    // Only its last build was one that changed the component.
    host.signal("TERM");
    let ended = host.ended();
    assert_eq!(ended.stderr.iter().filter(|line| line.contains("reloaded")).count(), 2, "{:?}", ended.stderr);
}

#[test]
fn what_cannot_be_seen_is_said() {
    let build = "build = { command = \"true\" }";
    let app = application(guests::HELLO, build);
    let host = Process::start(up(app.path(), ["--build", "--watch"]));
    let line = host.logged("no build.watch");
    assert!(line.contains("WARN") && line.contains("component \"app\" has no build.watch"), "{line}");

    let app = application(guests::HELLO, "build = { command = \"true\", watch = [\"none/*.rs\"] }");
    let host = Process::start(up(app.path(), ["--build", "--watch"]));
    let line = host.logged("cannot watch the folder ");
    assert!(line.ends_with("/none: it does not exist"), "{line}");
}

/// Replaces a component by renaming a new file, as build tools do.
fn put(component: &str, file: &Path) {
    let folder = file.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    let new = folder.join("new");
    fs::copy(component, &new).unwrap();
    fs::rename(new, file).unwrap();
}
