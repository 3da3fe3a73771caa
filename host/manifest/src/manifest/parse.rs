//! Converts the text of a `spin.toml` into a [`Manifest`].

use std::path::Path;

use serde::Deserialize;

use super::{
    Manifest, Notice, Variables, component,
    reader::{Document, Section},
    targets, tool, triggers, variables,
};

/// Reads a manifest. If there is a `profile`, uses the profile's values for the components that have this profile.
/// Relative paths in the manifest start at `folder`.
pub(super) fn manifest(path: &Path, folder: &Path, text: &str, profile: Option<&str>) -> anyhow::Result<Manifest> {
    let document = Document::new(path, text);
    let mut root = document.root("the manifest")?;
    check_version(&mut root)?;
    let Some(mut application) = root.section("application")? else {
        return Err(root.missing("application"));
    };
    let mut warnings = Vec::new();
    let (host, settings) = tool::application(&mut application, folder, &mut warnings)?;
    let mut manifest = Manifest {
        path: path.to_owned(),
        folder: folder.to_owned(),
        name: application.require("name")?,
        version: application.take("version")?.unwrap_or_default(),
        profile: profile.map(str::to_owned),
        host,
        settings,
        variables: Variables::new(),
        components: Vec::new(),
        triggers: Vec::new(),
        downloads: Vec::new(),
        unsupported: Vec::new(),
        profiles: Vec::new(),
        warnings: warnings.into_iter().map(|message| Notice { component: None, message }).collect(),
    };
    application.take::<String>("description")?;
    application.take::<Vec<String>>("authors")?;
    targets::check(&mut application)?;
    triggers::application_options(&mut application, &mut manifest)?;
    application.finish()?;
    manifest.variables = variables::declared(&mut root)?;
    let mut later = Vec::new();
    if let Some(mut components) = root.section("component")? {
        for entry in components.take_rest() {
            let table = components.open(components.child_name(&entry.key), entry.value)?;
            component::check_id(&entry.key).map_err(|message| {
                components.error(&entry.span, format_args!("the component name {:?} {message}", entry.key))
            })?;
            later.push((component::read(entry.key.clone(), table, &mut manifest)?, entry.key));
        }
    }
    let has_dependencies = |(later, id): &(component::Later<'_>, String)| later.has_dependencies().then(|| id.clone());
    let dependents: Vec<String> = later.iter().filter_map(has_dependencies).collect();
    for (later, component) in later {
        later.read(&component, &dependents, &mut manifest)?;
    }
    triggers::read(&mut root, &mut manifest)?;
    root.finish()?;
    manifest.check_profile()?;
    Ok(manifest)
}

/// Checks that the manifest's format is version 2. This check comes before all others, because the meaning of all other
/// keys depends on the version.
fn check_version(root: &mut Section<'_>) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Version {
        Number(i64),
        Text(String),
    }
    let first_line = 0..0;
    let version = root.take_spanned("spin_manifest_version")?;
    let version = match version {
        None => root.take_spanned("spin_version")?,
        version => version,
    };
    match version {
        Some((Version::Number(2), _)) => Ok(()),
        None => Err(root.error(
            &first_line,
            "there is no spin_manifest_version: a manifest begins with \"spin_manifest_version = 2\"",
        )),
        Some((Version::Text(text), at)) if text == "2" => {
            Err(root.error(&at, "spin_manifest_version is a number: write \"spin_manifest_version = 2\""))
        }
        Some((Version::Number(1), at)) => Err(old_version(root, &at)),
        Some((Version::Text(text), at)) if text == "1" => Err(old_version(root, &at)),
        Some((Version::Number(version), at)) => Err(wrong_version(root, &at, &version.to_string())),
        Some((Version::Text(version), at)) => Err(wrong_version(root, &at, &version)),
    }
}

fn old_version(root: &Section<'_>, at: &std::ops::Range<usize>) -> anyhow::Error {
    root.error(at, "this is a manifest of version 1; this host reads version 2: \"spin doctor\" converts it")
}

fn wrong_version(root: &Section<'_>, at: &std::ops::Range<usize>, version: &str) -> anyhow::Error {
    root.error(at, format_args!("this host reads manifests of version 2, not {version}"))
}
