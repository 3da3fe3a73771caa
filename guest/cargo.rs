//! Builds crates for the WebAssembly target of the guests. Several build scripts include this file.

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Command;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Returns a command that runs `cargo build` for the WebAssembly target of the guests. The command does not inherit the
/// variables `RUSTC_WORKSPACE_WRAPPER` and `CARGO_ENCODED_RUSTFLAGS`, which the outer cargo sets for its own build.
/// `target` must not be the usual target directory, because the outer cargo has locked the usual directory.
pub(crate) fn cargo_build(root: &Path, target: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).env_remove("RUSTC_WORKSPACE_WRAPPER").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.args(["build", "--locked", "--target", TARGET, "--target-dir"]).arg(target);
    cargo
}

/// If the WebAssembly target of the guests is missing, installs the target with rustup. The target can be missing if
/// rustup's automatic installation is off.
pub(crate) fn add_target() -> Result<()> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let libraries = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    if Path::new(String::from_utf8(libraries.stdout)?.trim()).exists() {
        return Ok(());
    }
    println!("cargo::warning=adding the Rust target {TARGET}");
    run(Command::new("rustup").args(["target", "add", TARGET]))
        .map_err(|error| format!("the Rust target {TARGET} is missing and cannot be added: {error}").into())
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}
