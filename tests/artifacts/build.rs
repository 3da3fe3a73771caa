//! Builds the example app and the test guests for wasm32-wasip2. Writes the macro `guests!`, which defines a constant
//! for each component, with the component's path.

#[path = "../../guest/cargo.rs"]
mod cargo;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use cargo::{Result, TARGET};

fn main() -> Result<()> {
    let root = fs::canonicalize(Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../.."))?;
    // Of `guest` only what is in Rust.
    let guest = ["guest/cargo.rs", "guest/macro", "guest/notify", "guest/sdk"];
    for input in ["Cargo.lock", "Cargo.toml", "host/templates", "tests/guests", "wit"].iter().chain(&guest) {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    cargo::add_target()?;
    // The directory that `spin.toml` builds into, so what the two share is built once.
    let target = root.join("target/wasm");
    let packages = ["--package=notify", "--package=test-guest*", "--lib", "--examples"];
    cargo::run(cargo::cargo_build(&root, &target).arg("--release").args(packages))?;

    let release = target.join(TARGET).join("release");
    let mut guests = vec![
        constant("notify", &release.join("notify.wasm")),
        constant("spin6", &release.join("test_guest_spin6.wasm")),
        // Its source is elsewhere.
        constant("template", &release.join("examples/template.wasm")),
    ];
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
