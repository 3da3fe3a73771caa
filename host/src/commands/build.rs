//! Runs the build commands of a manifest.
//!
//! This module prints its messages and the output of the build commands to stderr. Therefore, the first line on stdout
//! is `Serving URL` even with `epilogue up --build`.

use std::{
    env,
    ffi::OsString,
    io::{self, ErrorKind, Write as _},
    iter,
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use epilogue_manifest::Manifest;

use crate::commands::cli::{ApplicationArgs, BuildArgs};

/// Runs `epilogue build`.
pub(super) fn run(args: BuildArgs) -> anyhow::Result<()> {
    let ApplicationArgs { from, profile, component_ids } = args.application;
    let manifest = Manifest::load_profile(&Manifest::find(from.as_deref())?, profile.as_deref())?;
    build(&manifest, &component_ids)
}

/// Builds the components that `only` names, or all components if `only` is empty. Builds the components in the
/// manifest's order, and stops when a build command fails.
pub(super) fn build(manifest: &Manifest, only: &[String]) -> anyhow::Result<()> {
    manifest.check_ids(only)?;
    let chosen = manifest.components.iter().filter(|component| only.is_empty() || only.contains(&component.id));
    let mut any = false;
    for component in chosen {
        let Some(build) = &component.build else { continue };
        for command in &build.commands {
            any = true;
            run_command(&component.id, command, &build.workdir)?;
        }
    }
    if !any {
        say(format_args!("Nothing to build: no component has a build command"));
    }
    Ok(())
}

fn run_command(component: &str, command: &str, workdir: &Path) -> anyhow::Result<()> {
    ensure!(workdir.is_dir(), "cannot build {component}: there is no folder {}", workdir.display());
    for target in wasm_targets(command) {
        provide_target(component, target, workdir)?;
    }
    say(format_args!("Building {component}: {command}"));
    let status = spawn(Command::new("sh").args(["-c", command]).current_dir(workdir).envs(path_to_this_command()))
        .with_context(|| format!("cannot build {component}: cannot run the shell"))?;
    ensure!(status.success(), "building {component} failed: `{command}` ended with {status}{}", hint(command));
    Ok(())
}

/// Returns a hint for the error message of a build command that failed. The hint says what the user may have forgotten.
fn hint(command: &str) -> &'static str {
    let is_active = ["CONDA_PREFIX", "VIRTUAL_ENV"].iter().any(|variable| env::var_os(variable).is_some());
    if command.starts_with("python") && !is_active {
        ". No Python environment is active. If there is one in .venv, run `. .venv/bin/activate`. If not, make one: the \
         project's README.md says how"
    } else {
        ""
    }
}

/// Returns the environment variable `PATH`, with the folder of the running `epilogue` command added at the beginning.
/// With this `PATH`, build commands can call `epilogue` even if `epilogue` is not installed.
fn path_to_this_command() -> Option<(&'static str, OsString)> {
    let own = env::current_exe().ok()?.parent()?.to_owned();
    let others = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(iter::once(own).chain(env::split_paths(&others))).ok()?;
    Some(("PATH", path))
}

/// Returns the Rust targets for WebAssembly that a build command mentions.
fn wasm_targets(command: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut targets: Vec<&str> = command.split(|c| !is_name(c)).filter(|word| word.starts_with("wasm32-")).collect();
    targets.sort_unstable();
    targets.dedup();
    targets
}

/// Installs the standard library of a Rust target if the toolchain of `workdir` does not have this library. rustup does
/// not always install the library by itself: the user may have turned off automatic installation, or the toolchain file
/// may not list the target.
fn provide_target(component: &str, target: &str, workdir: &Path) -> anyhow::Result<()> {
    let rustc = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(workdir)
        .stderr(Stdio::null())
        .output();
    let folder = match rustc {
        Ok(output) if output.status.success() => output.stdout,
        // If there is no rustc, or if rustc does not know the target, the build command prints a better error.
        _ => return Ok(()),
    };
    if Path::new(String::from_utf8_lossy(&folder).trim()).is_dir() {
        return Ok(());
    }
    say(format_args!(
        "Installing the Rust target {target}, which {component} is built for: rustup target add {target}"
    ));
    match spawn(Command::new("rustup").args(["target", "add", target]).current_dir(workdir)) {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("cannot build {component}: `rustup target add {target}` ended with {status}"),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "cannot build {component}: the Rust toolchain has no {target}, and there is no rustup to add it: install the \
             target's standard library (a package such as libstd-rust-dev-wasm32), or Rust through rustup"
        ),
        Err(error) => Err(error).with_context(|| format!("cannot build {component}: cannot run rustup")),
    }
}

fn spawn(command: &mut Command) -> io::Result<ExitStatus> {
    command.stdin(Stdio::null()).stdout(io::stderr()).status()
}

fn say(message: std::fmt::Arguments<'_>) {
    // Not `eprintln!`, which panics if stderr is closed.
    _ = writeln!(std::io::stderr(), "{message}");
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Makes a folder with a manifest and a subfolder `sub`. Each pair in `components` is a component's id and a line
    /// of the component's table.
    fn manifest(components: &[(&str, &str)]) -> (tempfile::TempDir, Manifest) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        let mut text = "spin_manifest_version = 2\napplication.name = \"app\"\n".to_owned();
        for (id, build) in components {
            text += &format!("[component.{id}]\nsource = \"{id}.wasm\"\n{build}\n");
        }
        let path = folder.path().join("spin.toml");
        fs::write(&path, text).unwrap();
        let manifest = Manifest::load(&path).unwrap();
        (folder, manifest)
    }

    #[test]
    fn commands_run_in_order_in_their_folder() {
        let (folder, manifest) = manifest(&[
            ("one", "build = { command = [\"echo 1 > order\", \"echo 2 >> order\"], workdir = \"sub\" }"),
            ("two", "build.command = \"echo 3 >> sub/order\""),
            ("three", ""),
        ]);
        build(&manifest, &[]).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("sub/order")).unwrap(), "1\n2\n3\n");
    }

    #[test]
    fn a_command_finds_this_very_command_first() {
        let (folder, manifest) = manifest(&[("one", "build.command = \"echo $PATH > path\"")]);
        build(&manifest, &[]).unwrap();
        let path = fs::read_to_string(folder.path().join("path")).unwrap();
        assert!(path.starts_with(&format!("{}:", env::current_exe().unwrap().parent().unwrap().display())), "{path}");
    }

    #[test]
    fn only_the_named_components_are_built() {
        let (folder, manifest) =
            manifest(&[("one", "build.command = \"touch one\""), ("two", "build.command = \"touch two\"")]);
        build(&manifest, &["two".to_owned()]).unwrap();
        assert!(!folder.path().join("one").exists());
        assert!(folder.path().join("two").exists());
        let error = build(&manifest, &["three".to_owned()]).unwrap_err().to_string();
        assert!(error.ends_with("has no component \"three\", but: one, two"), "{error}");
    }

    #[test]
    fn the_first_failure_ends_the_build() {
        let (folder, manifest) = manifest(&[
            ("one", "build.command = [\"exit 3\", \"touch later\"]"),
            ("two", "build.command = \"touch later\""),
        ]);
        let error = build(&manifest, &[]).unwrap_err().to_string();
        assert_eq!(error, "building one failed: `exit 3` ended with exit status: 3");
        assert!(!folder.path().join("later").exists());
    }

    #[test]
    fn a_missing_folder_is_named() {
        let (_folder, manifest) = manifest(&[("one", "build = { command = \"true\", workdir = \"none\" }")]);
        let error = build(&manifest, &[]).unwrap_err().to_string();
        assert!(error.starts_with("cannot build one: there is no folder"), "{error}");
    }

    #[test]
    fn targets_are_recognized_in_commands() {
        for (command, expected) in [
            ("cargo build --target wasm32-wasip2 --release", vec!["wasm32-wasip2"]),
            ("cargo build --target=wasm32-unknown-unknown", vec!["wasm32-unknown-unknown"]),
            ("cp target/wasm32-wasip1/release/a.wasm . && cargo build --target 'wasm32-wasip1'", vec!["wasm32-wasip1"]),
            ("npm run build", vec![]),
            ("my-wasm32-tool", vec![]),
        ] {
            assert_eq!(wasm_targets(command), expected, "{command}");
        }
    }
}
