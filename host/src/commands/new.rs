//! `epilogue new`: creates a project that a user can build, run, test and deploy.
//!
//! The command copies the files of a template in `host/templates`. In the copies, the project's name replaces the
//! template's name.

use std::env;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use epilogue_manifest::manifest::check_id;
use url::Url;

use crate::commands::cli::NewArgs;

mod template;

use template::{PYTHON, PYTHON_PLAIN, RUST, TYPESCRIPT, Template};

/// The project's name in a template, in two forms: as the name of a package, and as cargo writes it in the names of
/// files.
const NAME: (&str, &str) = ("my-app", "my_app");
/// Texts that mark the parts of a template that the guide shows. The command does not copy lines with these texts into
/// a project.
const MARKS: [&str; 2] = ["// ANCHOR", "# ANCHOR"];
/// The placeholder path in a template that stands for the folder of Epilogue's source.
const SOURCE: &str = "/epilogue";

/// Runs `epilogue new`.
///
/// # Errors
///
/// Returns an error if the project's name is not valid, if the folder is not empty or cannot be written, or if the
/// source of the SDK does not exist.
pub(super) fn run(args: &NewArgs) -> anyhow::Result<()> {
    let name = args.name.as_str();
    let template = match args {
        NewArgs { ts: true, .. } => &TYPESCRIPT,
        NewArgs { plain: true, .. } => &PYTHON_PLAIN,
        NewArgs { python: true, .. } => &PYTHON,
        _ => &RUST,
    };
    check_name(name, template)?;
    let source = source(args.sdk.as_deref(), template)?;
    let folder = args.output.as_deref().unwrap_or(Path::new(name));
    check_folder(folder)?;
    for (file, text) in template.files {
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        let text = fill_in(text, template, name, &source);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let files: Vec<_> = template.files.iter().map(|(file, _)| *file).collect();
    let (files, folder) = (files.join(", "), folder.display());
    let Template { sdk, manifest, setup, .. } = template;
    // Not `eprintln!`, which panics if stderr is closed.
    _ = writeln!(
        io::stderr(),
        "Created {name} in {folder}: {files}\n\
         {sdk} is not published yet: {manifest} takes it from {source}\n\n\
         cd {folder}\n\
         {setup}{} up --build    # build it, and serve it on http://127.0.0.1:3000\n\
         curl -X POST http://127.0.0.1:3000/send-notification/a@b.c",
        this_command()
    );
    Ok(())
}

/// Returns an error if a project cannot have this name: the name is not a valid component id, or the project uses a
/// package with the same name.
fn check_name(name: &str, template: &Template) -> anyhow::Result<()> {
    let fits = |name: &str| check_id(name).is_ok() && name == name.to_ascii_lowercase();
    if !fits(name) {
        let other = name.to_ascii_lowercase().replace(['_', ' ', '.'], "-");
        let hint = if fits(&other) { format!(", such as {other:?}") } else { String::new() };
        bail!(
            "{name:?} cannot be a project's name: it must be words joined by \"-\"{hint}. A word has only lowercase letters \
             and digits, and begins with a letter"
        );
    }
    // Package managers may be able to tell the two apart, but code that imports the package is not.
    ensure!(
        !(template.uses)(name)?,
        "{name:?} cannot be a project's name: it is the name of a package that the project uses"
    );
    Ok(())
}

/// Returns an error if the project's folder exists and is not empty.
fn check_folder(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            ensure!(entries.next().is_none(), "{shown} is not empty: name another folder with --output");
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            bail!("{shown} is not a folder: name another folder with --output")
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {shown}")),
    }
}

/// Returns the folder of Epilogue's source: `named`, or the clone of Epilogue from which this command was built if
/// `named` is `None`.
fn source(named: Option<&Path>, template: &Template) -> anyhow::Result<String> {
    let Template { sdk, sdk_file, .. } = template;
    let folder = named.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), PathBuf::from);
    let is_source = folder.join(sdk_file).is_file();
    match named {
        Some(named) => ensure!(is_source, "{} is not a clone of Epilogue: it has no {sdk_file}", named.display()),
        None => ensure!(
            is_source,
            "{sdk} is not published yet, and the source that this command was built from is gone: name the \
             folder of a clone of Epilogue with --sdk"
        ),
    }
    let folder = fs::canonicalize(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    folder.into_os_string().into_string().map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))
}

/// Returns the text of a template's file for a project. The project's name is `name`, and the project takes Epilogue's
/// packages from the folder `source`.
fn fill_in(text: &str, template: &Template, name: &str, source: &str) -> String {
    // The guide includes the parts between these marks.
    let lines = text.split_inclusive('\n').filter(|line| !MARKS.iter().any(|mark| line.contains(mark)));
    let named = lines.collect::<String>().replace(NAME.0, name).replace(NAME.1, &name.replace('-', "_"));
    let filled = template.paths.iter().fold(named, |text, path| {
        // TOML and JSON escape quotes and backslashes alike.
        let filled = serde_json::Value::from(path.replacen(SOURCE, source, 1)).to_string();
        text.replace(&format!("\"{path}\""), &filled)
    });
    // pip takes a URL.
    match Url::from_directory_path(source) {
        Ok(url) => filled.replace(&format!("file://{SOURCE}/"), url.as_str()),
        Err(()) => filled,
    }
}

/// Returns the text that a user types to run the program `epilogue` again: `epilogue`, `spin epilogue`, or the path of
/// the command's file.
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
            assert!(check_name(name, &RUST).is_ok(), "{name}");
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
            let error = check_name(name, &RUST).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name:?} cannot be a project's name: it must be words")), "{error}");
            assert!(error.contains(&format!(" joined by \"-\"{hint}. ")), "{error}");
        }
        let taken = [(&RUST, "axum"), (&RUST, "epilogue-sdk"), (&TYPESCRIPT, "hono"), (&TYPESCRIPT, "typescript")];
        for (template, name) in taken {
            let error = check_name(name, template).unwrap_err().to_string();
            assert!(error.ends_with("it is the name of a package that the project uses"), "{error}");
        }
        assert!(check_name("hono", &RUST).is_ok());
    }

    #[test]
    fn paths_are_written_as_the_manifests_want_them() {
        let source = "/a \"clone\"\\of";
        let text = |template: &Template, file| {
            let (_, text) = template.files.iter().find(|(name, _)| *name == file).unwrap();
            fill_in(text, template, "other", source)
        };
        let manifest: toml::Table = text(&RUST, "Cargo.toml").parse().unwrap();
        let path = |table: &str, name: &str| manifest[table][name]["path"].as_str().map(str::to_owned);
        assert_eq!(path("dependencies", "epilogue-sdk"), Some(format!("{source}/guest/sdk")));
        assert_eq!(path("dev-dependencies", "epilogue"), Some(format!("{source}/host")));
        assert_eq!(manifest["package"]["name"].as_str(), Some("other"));

        let manifest: serde_json::Value = serde_json::from_str(&text(&TYPESCRIPT, "package.json")).unwrap();
        let path = format!("file:{source}/guest/typescript");
        assert_eq!(manifest["dependencies"]["epilogue"].as_str(), Some(path.as_str()));
        assert_eq!(manifest["name"].as_str(), Some("other"));
    }

    #[test]
    fn paths_are_written_as_urls_for_pip() {
        let (_, text) = PYTHON.files.iter().find(|(name, _)| *name == "requirements.txt").unwrap();
        let filled = fill_in(text, &PYTHON, "other", "/a clone");
        assert_eq!(filled, "epilogue[fastapi,test] @ file:///a%20clone/guest/python\n");
    }
}
