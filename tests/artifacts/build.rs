//! Builds the example app and the test guests for wasm32-wasip2, and writes the macro `guests!`: a constant with the
//! component's path for each of them.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TARGET: &str = "wasm32-wasip2";

fn main() -> Result<()> {
    let root = fs::canonicalize(Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../.."))?;
    for input in ["Cargo.lock", "Cargo.toml", "guest", "tests/guests", "wit"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    add_target()?;
    // A target directory of its own: the outer Cargo holds the lock of the usual one. It is the one that `spin.toml`
    // builds into, so what the two share is built once.
    let target = root.join("target/wasm");
    run(cargo(&root)
        .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .args(["--package=notify", "--package=test-guests", "--lib", "--examples"]))?;

    let release = target.join(TARGET).join("release");
    let mut guests = vec![constant("notify", &release.join("notify.wasm"))];
    let mut scenarios: Vec<PathBuf> = fs::read_dir(root.join("tests/guests/examples"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    scenarios.sort();
    for scenario in scenarios {
        let name = scenario.file_stem().and_then(|stem| stem.to_str()).ok_or("a guest's name must be UTF-8")?;
        guests.push(constant(name, &release.join("examples").join(format!("{name}.wasm"))));
    }
    let macro_ = format!(
        "/// Defines the path of each guest's component. One that no test uses is reported as dead code.\n\
         #[macro_export]\nmacro_rules! guests {{\n    () => {{\n{}    }};\n}}\n",
        guests.concat()
    );
    fs::write(Path::new(&env::var("OUT_DIR")?).join("guests.rs"), macro_)?;
    Ok(())
}

fn constant(name: &str, component: &Path) -> String {
    format!("        pub(crate) const {}: &str = {:?};\n", name.to_uppercase(), component.display().to_string())
}

/// Cargo as a user would call it, without what the outer one has set for this script.
fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).env_remove("RUSTC_WORKSPACE_WRAPPER").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo
}

/// Adds the target if it is missing; automatic installation may be switched off.
fn add_target() -> Result<()> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let libraries = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    if Path::new(String::from_utf8(libraries.stdout)?.trim()).exists() {
        return Ok(());
    }
    eprintln!("adding the Rust target {TARGET}");
    run(Command::new("rustup").args(["target", "add", TARGET]))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}
