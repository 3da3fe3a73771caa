//! Builds the adapters that `epilogue compose` puts around a guest. The host's executable contains the adapters.

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
    cargo::run(&mut build).map_err(|error| format!("the adapters of `epilogue compose` cannot be built: {error}"))?;
    for name in adapters {
        let built = target.join(cargo::TARGET).join("adapter").join(format!("epilogue_adapter_{name}.wasm"));
        let adapter = fs::read(&built).map_err(|error| format!("cannot read {}: {error}", built.display()))?;
        let adapter = without_names(&adapter).ok_or_else(|| format!("{} is not a component", built.display()))?;
        fs::write(Path::new(&env::var("OUT_DIR")?).join(format!("{name}.wasm")), adapter)?;
    }
    shrink_pages(&root.join("host/src/dashboard/page"))
}

/// Copies the files of the dashboard's page without comments and indentation, which only authors read.
fn shrink_pages(from: &Path) -> cargo::Result<()> {
    println!("cargo::rerun-if-changed={}", from.display());
    let to = Path::new(&env::var("OUT_DIR")?).join("page");
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::write(to.join(entry.file_name()), without_comments(&fs::read_to_string(entry.path())?))?;
    }
    Ok(())
}

/// Removes all lines that contain only a comment, and the indentation of the other lines.
fn without_comments(source: &str) -> String {
    let mut kept = String::new();
    let mut is_comment = false;
    for line in source.lines().map(str::trim_start) {
        is_comment |= line.starts_with("/*");
        if !is_comment && !line.is_empty() && !line.starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
        is_comment &= !line.ends_with("*/");
    }
    kept
}

/// Removes the names of a component's parts, which only debuggers read. In an adapter, the names take a twentieth of
/// the size. The linker strips the names in a module, but not the names in a component.
///
/// After its first eight bytes, a component is a list of sections. Each section has a kind, a size in LEB128, and its
/// contents. A section of kind 0 begins with its name. Returns `None` if the bytes are not a list of sections.
fn without_names(component: &[u8]) -> Option<Vec<u8>> {
    let (preamble, mut rest) = component.split_at_checked(8)?;
    let mut kept = preamble.to_vec();
    while let Some(kind) = rest.first() {
        let (mut size, mut header) = (0, 1);
        loop {
            let byte = *rest.get(header)?;
            size |= usize::from(byte & 0x7f) << (7 * (header - 1));
            header += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (section, behind) = rest.split_at_checked(header + size)?;
        if *kind != 0 || !section[header..].starts_with(b"\x0ecomponent-name") {
            kept.extend_from_slice(section);
        }
        rest = behind;
    }
    Some(kept)
}
