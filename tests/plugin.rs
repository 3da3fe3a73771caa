//! `host/plugin/package` packs a plugin that Spin can install and run as `spin epilogue`.
//!
//! The tests do not use Spin itself. They install and start the plugin as Spin's source does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;

use crate::client::get;
use crate::guests;
use crate::process::{Process, application};
use crate::upstream::{Call, Upstream};

/// The keys that version 0.1 of Spin's schema for plugin manifests requires and allows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Manifest {
    name: String,
    description: String,
    version: String,
    spin_compatibility: String,
    license: String,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Package {
    os: String,
    arch: String,
    url: String,
    sha256: String,
}

#[test]
fn the_manifest_is_what_spin_reads_and_names_what_it_can_install() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = package(folder.path(), &[]);
    assert_eq!(manifest.name, "epilogue");
    assert!(!manifest.description.is_empty());
    assert_eq!(manifest.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest.spin_compatibility, ">=4.1");
    assert_eq!(manifest.license, "Apache-2.0 WITH LLVM-exception");

    let ended = Command::new(install(folder.path(), &manifest)).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), concat!("epilogue ", env!("CARGO_PKG_VERSION"), "\n"));
    assert!(folder.path().join("plugins/epilogue/epilogue.license").is_file());

    let released = package(folder.path(), &["--url", "https://example.com/v1/"]);
    let file = manifest.packages[0].url.rsplit('/').next().unwrap();
    assert_eq!(released.packages[0].url, format!("https://example.com/v1/{file}"));
    assert_eq!(released.packages[0].sha256, manifest.packages[0].sha256, "the archive should be the same each time");
}

#[test]
fn what_is_not_epilogue_is_not_packed() {
    let folder = tempfile::tempdir().unwrap();
    for (executable, expected) in [
        ("/nowhere", "/nowhere is no executable: build it first, with cargo build --profile dist -p epilogue"),
        ("/bin/echo", "/bin/echo is not epilogue: its version is "),
    ] {
        let ended = run_script(folder.path(), executable, &[]);
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && said.starts_with(&format!("host/plugin/package: {expected}")), "{said}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing should have been written");
}

#[test]
fn s13_spins_ctrl_c_lets_tasks_end() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = install(folder.path(), &package(folder.path(), &[]));
    let upstream = Upstream::start();
    for [one, other] in [["INT", "TERM"], ["TERM", "INT"]] {
        let (host, task) = with_a_running_task(&plugin, &upstream);
        host.signal(one);
        host.logged("stopping: ");
        host.signal(other);
        task.answer("in time");
        let ended = host.ended();
        assert_eq!(ended.stdout.last().unwrap(), "task: in time");
        assert_eq!(ended.code, Some(0));

        // A second Ctrl-C is a second signal.
        let (host, _task) = with_a_running_task(&plugin, &upstream);
        host.signal(one);
        host.logged("stopping: ");
        host.signal(other);
        host.signal(one);
        host.logged("stopping at once");
        assert_eq!(host.ended().code, Some(3));
    }
}

/// Starts the plugin's host, and a task on it that waits for the upstream's answer.
fn with_a_running_task(plugin: &Path, upstream: &Upstream) -> (Process, Call) {
    let app = application(guests::OUTBOUND, &format!("allowed_outbound_hosts = [{:?}]", upstream.url()));
    let mut command = Command::new(plugin);
    command.args(["up", "--listen", "127.0.0.1:0", "--from"]).arg(app.path()).env("SPIN_BIN_PATH", "/bin/spin");
    let host = Process::start(command);
    assert_eq!(get(host.address(), &format!("/later?{}", upstream.url())), "later");
    (host, upstream.call())
}

/// Packs a small script, which starts the real executable.
fn package(folder: &Path, options: &[&str]) -> Manifest {
    let executable = folder.join("stand-in");
    fs::write(&executable, format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_epilogue"))).unwrap();
    fs::set_permissions(&executable, fs::Permissions::from_mode(0o755)).unwrap();
    let ended = run_script(folder, executable.to_str().unwrap(), options);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&fs::read(folder.join("epilogue.json")).unwrap()).expect("Spin should be able to read it")
}

fn run_script(folder: &Path, executable: &str, options: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/plugin/package");
    Command::new(script).arg("--out").arg(folder).args(options).arg(executable).output().unwrap()
}

/// Installs a plugin as `spin plugins install` does, and returns what `spin epilogue` would run.
fn install(folder: &Path, manifest: &Manifest) -> PathBuf {
    let [package] = manifest.packages.as_slice() else { panic!("there should be one package") };
    let arch = if std::env::consts::ARCH == "x86_64" { "amd64" } else { std::env::consts::ARCH };
    assert_eq!([package.os.as_str(), package.arch.as_str()], [std::env::consts::OS, arch]);
    let archive = package.url.strip_prefix("file://").expect("it should be a file");
    let sum = Command::new("sha256sum").arg(archive).output().unwrap();
    assert!(String::from_utf8(sum.stdout).unwrap().starts_with(&format!("{} ", package.sha256)));

    let plugin = folder.join("plugins").join(&manifest.name);
    fs::create_dir_all(&plugin).unwrap();
    let unpacked = Command::new("tar").args(["xzf", archive, "-C"]).arg(&plugin).status().unwrap();
    assert!(unpacked.success());
    plugin.join(&manifest.name)
}
