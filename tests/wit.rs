//! The WASI packages in `wit/deps/` are exactly those that the locked wasmtime implements.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn the_vendored_wasi_packages_are_wasmtimes() {
    let checked = check(&root().join("wit/deps"));
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn a_package_that_drifted_is_noticed() {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(root().join("wit/deps")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    assert!(check(copy.path()).status.success());

    let clocks = copy.path().join("clocks.wit");
    fs::write(&clocks, fs::read_to_string(&clocks).unwrap().replace("duration = u64", "duration = u32")).unwrap();
    let checked = check(copy.path());
    assert_eq!(checked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&checked.stdout).contains("duration = u32"));
    assert!(String::from_utf8_lossy(&checked.stderr).contains("run wit/vendor.sh"));

    fs::remove_file(clocks).unwrap();
    assert_eq!(check(copy.path()).status.code(), Some(1));
}

/// A toolchain without asynchronous imports cannot build a guest for an interface that has one.
#[test]
fn only_the_stop_signal_is_an_asynchronous_import() {
    let is_asynchronous = |interface: &&str| {
        let text = fs::read_to_string(root().join("wit").join(format!("{interface}.wit"))).unwrap();
        text.contains(": async func(")
    };
    let asynchronous = ["queue", "context", "stop-signal"].into_iter().filter(is_asynchronous);
    assert_eq!(asynchronous.collect::<Vec<_>>(), ["stop-signal"]);
}

fn check(packages: &Path) -> Output {
    let script = root().join("wit/vendor.sh");
    Command::new(script).arg("--check").arg(packages).output().expect("the script should run")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
