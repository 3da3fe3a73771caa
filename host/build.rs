//! Builds the adapters that `epilogue compose` puts around a guest, for the host to carry.

#[path = "../guest/cargo.rs"]
mod cargo;

use std::env;
use std::fs;
use std::path::Path;

fn main() -> cargo::Result<()> {
    let root = fs::canonicalize(Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(".."))?;
    for input in ["Cargo.lock", "Cargo.toml", "guest/adapter", "guest/cargo.rs", "wit"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    cargo::add_target()?;
    let target = root.join("target/adapters");
    let adapters = ["layer", "queue", "responder", "router"];
    let mut build = cargo::cargo_build(&root, &target);
    build.args(["--profile", "adapter"]).args(adapters.map(|name| format!("--package=epilogue-adapter-{name}")));
    cargo::run(&mut build).map_err(|error| format!("the adapters of `epilogue compose` can't be built: {error}"))?;
    for name in adapters {
        let built = target.join(cargo::TARGET).join("adapter").join(format!("epilogue_adapter_{name}.wasm"));
        fs::copy(&built, Path::new(&env::var("OUT_DIR")?).join(format!("{name}.wasm")))
            .map_err(|error| format!("cannot copy {}: {error}", built.display()))?;
    }
    Ok(())
}
