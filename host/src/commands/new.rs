//! `epilogue new`: a project that can be built, run, tested and deployed.
//!
//! The project's files are copies of `host/templates/new`, with another name.

use std::env;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use epilogue_manifest::manifest::check_id;

use crate::commands::cli::NewArgs;

macro_rules! template {
    ($file:literal) => {
        include_str!(concat!("../../templates/new/", $file))
    };
}

const FILES: [(&str, &str); 7] = [
    // The file has another name in the repository, because cargo would treat the template as a package.
    ("Cargo.toml", template!("Cargo.toml.tmpl")),
    ("README.md", template!("README.md")),
    ("rust-toolchain.toml", template!("rust-toolchain.toml")),
    ("spin.toml", template!("spin.toml")),
    (".gitignore", template!(".gitignore")),
    ("src/lib.rs", template!("src/lib.rs")),
    ("tests/app.rs", template!("tests/app.rs")),
];

/// The template's name as a package, and in the name of the file that cargo builds.
const NAME: (&str, &str) = ("my-app", "my_app");
/// The text in lines that mark a part of the template for the guide.
const MARK: &str = "// ANCHOR";
/// The path in the template from which the project takes Epilogue's crates.
const SOURCE: &str = "/epilogue";
/// The folders of Epilogue's crates within its source.
const CRATES: [&str; 2] = ["guest/sdk", "host"];

/// Runs `epilogue new`.
///
/// # Errors
///
/// If the name cannot be a project's, the folder is in use or cannot be written, or the source of the SDK is not found.
pub(super) fn run(args: &NewArgs) -> anyhow::Result<()> {
    let name = args.name.as_str();
    check_name(name)?;
    let source = source(args.sdk.as_deref())?;
    let folder = args.output.as_deref().unwrap_or(Path::new(name));
    check_folder(folder)?;
    for (file, template) in FILES {
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        fs::write(&path, fill_in(template, name, &source))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let (files, folder) = (FILES.map(|(file, _)| file).join(", "), folder.display());
    // Not `eprintln!`, which panics if stderr is closed.
    _ = writeln!(
        io::stderr(),
        "Created {name} in {folder}: {files}\n\
         epilogue-sdk is not published yet: Cargo.toml takes it from {source}\n\n\
         cd {folder}\n\
         {} up --build    # build it, and serve it on http://127.0.0.1:3000\n\
         curl -X POST http://127.0.0.1:3000/send-notification/a@b.c",
        this_command()
    );
    Ok(())
}

/// Checks that a name can be a component's and a package's.
fn check_name(name: &str) -> anyhow::Result<()> {
    const RULE: &str = "must be words of lowercase letters and digits, each beginning with a letter, joined by \"-\"";
    let fits = |name: &str| check_id(name).is_ok() && name == name.to_ascii_lowercase();
    if !fits(name) {
        let other = name.to_ascii_lowercase().replace(['_', ' ', '.'], "-");
        let hint = if fits(&other) { format!(", such as {other:?}") } else { String::new() };
        bail!("{name:?} cannot be a project's name: it {RULE}{hint}");
    }
    // cargo can tell the two apart, but the code cannot.
    let manifest: toml::Table = template!("Cargo.toml.tmpl").parse()?;
    let uses = |table: &str| manifest.get(table).is_some_and(|table| table.get(name).is_some());
    ensure!(
        !uses("dependencies") && !uses("dev-dependencies"),
        "{name:?} cannot be a project's name: it is the name of a crate that the project uses"
    );
    Ok(())
}

/// Checks that the project's folder does not exist yet, or is empty.
fn check_folder(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            ensure!(entries.next().is_none(), "{shown} is not empty: name another folder with --output");
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            bail!("{shown} is not a folder: name another with --output")
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {shown}")),
    }
}

/// The folder of Epilogue's source: `named`, or else the folder that this command was built from.
fn source(named: Option<&Path>) -> anyhow::Result<String> {
    let folder = named.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), PathBuf::from);
    let is_source = CRATES.iter().all(|name| folder.join(name).join("Cargo.toml").is_file());
    match named {
        Some(named) => {
            ensure!(is_source, "{} is not a clone of Epilogue: it has no guest/sdk/Cargo.toml", named.display());
        }
        None => ensure!(
            is_source,
            "epilogue-sdk is not published yet, and the source that this command was built from is gone: name the \
             folder of a clone of Epilogue with --sdk"
        ),
    }
    let folder = fs::canonicalize(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    folder.into_os_string().into_string().map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))
}

fn fill_in(template: &str, name: &str, source: &str) -> String {
    // The guide includes the parts between these marks.
    let lines = template.split_inclusive('\n').filter(|line| !line.contains(MARK));
    let named = lines.collect::<String>().replace(NAME.0, name).replace(NAME.1, &name.replace('-', "_"));
    CRATES.iter().fold(named, |text, folder| {
        // TOML requires quotes and backslashes to be escaped.
        let path = toml::Value::from(format!("{source}/{folder}")).to_string();
        text.replace(&format!("\"{SOURCE}/{folder}\""), &path)
    })
}

/// The command line that runs this command again.
fn this_command() -> String {
    let Ok(own) = env::current_exe() else { return "epilogue".to_owned() };
    let found = || {
        let folders = env::var_os("PATH")?;
        env::split_paths(&folders).map(|folder| folder.join("epilogue")).find(|file| file.is_file())
    };
    // Spin sets this for its plugins.
    if env::var_os("SPIN_BIN_PATH").is_some() {
        "spin epilogue".to_owned()
    } else if found().and_then(|file| fs::canonicalize(file).ok()).is_some_and(|file| file == own) {
        "epilogue".to_owned()
    } else {
        own.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_packages_and_components() {
        for name in ["a", "my-app", "app2", "a1-b2"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for (name, hint) in [
            ("My_App", ", such as \"my-app\""),
            ("my app", ", such as \"my-app\""),
            ("", ""),
            ("1st", ""),
            ("a--b", ""),
            ("a/b", ""),
            ("../a", ""),
            ("é", ""),
        ] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name:?} cannot be a project's name: it must be words")), "{error}");
            assert!(error.ends_with(&format!("joined by \"-\"{hint}")), "{error}");
        }
        for name in ["axum", "epilogue", "epilogue-sdk"] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.ends_with("it is the name of a crate that the project uses"), "{error}");
        }
    }

    #[test]
    fn paths_are_written_as_toml_wants_them() {
        let filled = fill_in(template!("Cargo.toml.tmpl"), "other", "/a \"clone\"\\of");
        let manifest: toml::Table = filled.parse().unwrap();
        assert_eq!(manifest["dependencies"]["epilogue-sdk"]["path"].as_str(), Some("/a \"clone\"\\of/guest/sdk"));
        assert_eq!(manifest["dev-dependencies"]["epilogue"]["path"].as_str(), Some("/a \"clone\"\\of/host"));
        assert_eq!(manifest["package"]["name"].as_str(), Some("other"));
    }
}
