//! A component sees only the parts of the system that the manifest grants, and nothing of the host. A task sees the
//! same as its handler.

use std::fs;

use epilogue::testing::TestHost;
use tempfile::TempDir;

use crate::client;
use crate::guests;
use crate::process::{Process, application, up};

#[test]
fn the_environment_is_the_manifests() {
    let app = application(guests::SYSTEM, "environment = { GREETING = \"hello\", LANG = \"en\" }");
    let host = TestHost::manifest(app.path().join("spin.toml")).start();
    both(&host, "/env?GREETING", "hello");
    both(&host, "/all-env", "GREETING=hello LANG=en");
}

#[test]
fn the_hosts_environment_is_invisible() {
    let app = application(guests::SYSTEM, "");
    let mut command = up(app.path(), []);
    command.env("SECRET", "do not tell");
    let host = Process::start(command);
    assert_eq!(client::get(host.address(), "/env?SECRET"), "unset");
    assert_eq!(client::get(host.address(), "/env?PATH"), "unset");
    assert_eq!(client::get(host.address(), "/all-env"), "");
}

#[test]
fn the_command_lines_environment_goes_before_the_manifests() {
    let app = application(guests::SYSTEM, "environment = { GREETING = \"hello\", NAME = \"Ada\" }");
    let host = Process::start(up(app.path(), ["--env", "GREETING=good = day", "--env", "MORE=1"]));
    assert_eq!(client::get(host.address(), "/env?GREETING"), "good = day");
    assert_eq!(client::get(host.address(), "/env?NAME"), "Ada");
    assert_eq!(client::get(host.address(), "/env?MORE"), "1");
}

#[test]
fn a_component_without_files_reads_none() {
    let app = application(guests::SYSTEM, "");
    let host = TestHost::manifest(app.path().join("spin.toml")).start();
    for file in ["/etc/passwd", "spin.toml", "/spin.toml", "/proc/self/environ"] {
        refused(&host, "/read", file);
    }
}

#[test]
fn files_are_read_where_the_manifest_places_them() {
    let (_app, host) = with_files("files = [{ source = \"assets\", destination = \"/static\" }, \"*.md\"]");
    both(&host, "/read?/static/a.txt", "an asset");
    both(&host, "/read?/static/deep/b.txt", "a deep one");
    both(&host, "/read?/README.md", "read me");
    both(&host, "/read?README.md", "read me");
}

#[test]
fn files_are_not_written() {
    // A folder that is mounted as it is, and files that are copied.
    for (files, path) in [
        ("files = [{ source = \"assets\", destination = \"/static\" }]", "/static/a.txt"),
        ("files = [\"assets/*.txt\"]", "/assets/a.txt"),
    ] {
        let (app, host) = with_files(files);
        refused(&host, "/write", path);
        refused(&host, "/write", path.replace("a.txt", "new.txt").as_str());
        both(&host, &format!("/read?{path}"), "an asset");
        assert_eq!(fs::read_to_string(app.path().join("assets/a.txt")).unwrap(), "an asset");
        assert!(!app.path().join("assets/new.txt").exists());
    }
}

#[test]
fn writes_that_are_allowed_go_to_a_copy() {
    let more = "files = [{ source = \"assets\", destination = \"/static\" }]\n\
                [component.app.tool.epilogue]\nallow-transient-write = true";
    let (app, host) = with_files(more);
    both(&host, "/write?/static/a.txt", "written");
    both(&host, "/read?/static/a.txt", "written");
    assert_eq!(fs::read_to_string(app.path().join("assets/a.txt")).unwrap(), "an asset");
}

#[test]
fn nothing_is_read_outside_the_mounts() {
    let (_app, host) = with_files("files = [{ source = \"assets\", destination = \"/static\" }]");
    for file in [
        "/secret.txt",
        "/static/../secret.txt",
        "/static/deep/../../secret.txt",
        "/static/link.txt",
        "/static/absolute.txt",
        "/etc/passwd",
    ] {
        refused(&host, "/read", file);
        refused(&host, "/write", file);
    }
}

#[test]
fn a_link_out_of_the_application_is_refused() {
    for (more, link) in [
        ("files = [\"site/*\"]", "site/abs"),
        (
            "files = [{ source = \"site\", destination = \"/\" }]\ntool.epilogue.allow-transient-write = true",
            "site/abs",
        ),
        ("files = [{ source = \"etc\", destination = \"/\" }]", "etc"),
    ] {
        let app = application(guests::SYSTEM, more);
        fs::create_dir(app.path().join("site")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", app.path().join("site/abs")).unwrap();
        std::os::unix::fs::symlink("/etc", app.path().join("etc")).unwrap();
        let ended = Process::start(up(app.path(), [])).ended();
        assert_eq!(ended.code, Some(1));
        let stderr = ended.stderr.join("\n");
        assert!(stderr.contains(&format!("{link} goes through a symbolic link to /etc")), "{stderr}");
    }
}

/// The error `io`, which a guest's libc returns for each write that fails, whatever the cause.
const IO: &str = "Some(29)";

#[test]
fn s11_writes_are_limited() {
    let more = "files = [\"assets/*\"]\n[component.app.tool.epilogue]\nallow-transient-write = true\nmax-transient-write = \"4MiB\"";
    let (_app, host) = with_files(more);
    let fill = |file: &str| host.get(&format!("/fill?/assets/{file}")).text().to_owned();
    let quota = fill("a.txt");
    let (written, error) = quota.split_once(" MiB, ").unwrap();
    assert!((2..=4).contains(&written.parse::<u32>().unwrap()) && error == IO, "{quota}");
    assert!(fill("new.txt").starts_with("0 MiB, "));
    // What is written over is there again.
    let again = fill("a.txt");
    assert!(!again.starts_with("0 ") && again.ends_with(IO), "{again}");
}

#[test]
fn s11_what_is_written_again_and_again_is_not_full() {
    let more = "files = [\"assets/*\"]\n[component.app.tool.epilogue]\nallow-transient-write = true\nmax-transient-write = \"1MiB\"";
    let (_app, host) = with_files(more);
    assert_eq!(host.get("/again?/assets/a.txt").text(), "all of it was written");
}

#[test]
fn s11_links_are_limited() {
    let more = "files = [\"assets/*\"]\n[component.app.tool.epilogue]\nallow-transient-write = true\nmax-transient-write = \"1MiB\"";
    let (_app, host) = with_files(more);
    let told = host.get("/link?/assets/a.txt").text().to_owned();
    let (made, _) = told.split_once(" links, ").unwrap_or_else(|| panic!("{told}"));
    // 4 KiB each.
    assert!((128..=256).contains(&made.parse::<u32>().unwrap()), "{told}");
}

/// An application whose folder has assets, two links that lead out of them, and a secret. `more` is the part of the manifest that
/// says what the component may see.
fn with_files(more: &str) -> (TempDir, TestHost) {
    let app = application(guests::SYSTEM, more);
    fs::create_dir_all(app.path().join("assets/deep")).unwrap();
    for (file, content) in [
        ("assets/a.txt", "an asset"),
        ("assets/deep/b.txt", "a deep one"),
        ("README.md", "read me"),
        ("secret.txt", "a secret"),
    ] {
        fs::write(app.path().join(file), content).unwrap();
    }
    std::os::unix::fs::symlink("../secret.txt", app.path().join("assets/link.txt")).unwrap();
    std::os::unix::fs::symlink(app.path().join("secret.txt"), app.path().join("assets/absolute.txt")).unwrap();
    let host = TestHost::manifest(app.path().join("spin.toml")).start();
    (app, host)
}

/// Checks that the handler sees this, and its task too.
fn both(host: &TestHost, path: &str, expected: &str) {
    let before = host.stdout().len();
    let exchange = host.get(path);
    assert_eq!(exchange.text(), expected, "{path}");
    exchange.drained();
    assert_eq!(host.stdout()[before..], format!("{expected}\n"), "{path}, in the task");
}

/// Checks that neither the handler nor its task may do this.
fn refused(host: &TestHost, what: &str, file: &str) {
    let before = host.stdout().len();
    let exchange = host.get(&format!("{what}?{file}"));
    assert!(exchange.text().starts_with("no "), "{what}?{file}: {}", exchange.text());
    exchange.drained();
    assert!(host.stdout()[before..].starts_with("no "), "{what}?{file}, in the task");
}
