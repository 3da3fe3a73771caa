//! Reads the table of a component, `[component.ID]`.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    outbound::{AllowedHost, AllowedHosts},
    template::Template,
};

use super::{
    Build, Component, Files, Manifest, Notice, dependencies, download,
    files::FilesEntry,
    middleware, profile,
    reader::Section,
    targets,
    tool::{self, OwnMiddleware, Tool},
    variables,
};

/// The keys of a component's table that this host cannot support, each with the reason. The reason says which feature
/// is missing, or which key replaces an obsolete key.
const UNSUPPORTED: [(&str, &str); 3] = [
    ("sqlite_databases", "SQLite databases are not provided"),
    ("ai_models", "AI models are not provided"),
    ("allowed_http_hosts", "the key is obsolete: use allowed_outbound_hosts"),
];

/// The value of `command` in a component's `build` table: one shell command, or a list of shell commands.
#[derive(Deserialize)]
#[serde(untagged)]
enum Commands {
    One(String),
    Several(Vec<String>),
}

/// The parts of a component's table that may name other components. The host reads these parts last, because the other
/// components may come later in the manifest.
#[derive(Default)]
pub(super) struct Later<'a> {
    middleware: Option<OwnMiddleware<'a>>,
    dependencies: Option<dependencies::Unread<'a>>,
}

impl Later<'_> {
    /// Returns true if the component has dependencies.
    pub(super) fn has_dependencies(&self) -> bool {
        self.dependencies.as_ref().is_some_and(|unread| !unread.is_empty())
    }

    /// Reads the middleware and the dependencies of the component `id`, after all components are known. `dependents`
    /// are the ids of all components that have dependencies.
    pub(super) fn read(self, id: &str, dependents: &[String], manifest: &mut Manifest) -> anyhow::Result<()> {
        if let Some(dependencies) = self.dependencies {
            dependencies::of_component(id, dependencies, dependents, manifest)?;
        }
        self.middleware.map_or(Ok(()), |own| middleware::of_component(id, own, manifest))
    }
}

/// Reads a component's table and adds the component to the manifest. Returns the parts of the table that the caller
/// must read after all components are known.
pub(super) fn read<'a>(id: String, mut table: Section<'a>, manifest: &mut Manifest) -> anyhow::Result<Later<'a>> {
    let mut warnings = Vec::new();
    let has_other_source = profile::apply(&mut table, manifest)?;
    let Tool { source: native, middleware, settings } = tool::component(&mut table, &manifest.folder, &mut warnings)?;
    if native.is_some() && has_other_source {
        let message = format_args!(
            "\"source\" of the profile has no effect in {}: its tool.epilogue table names the file",
            table.name()
        );
        warnings.push(table.notice(table.span(), message));
    }
    let own = source(&mut table, &id, native.is_none(), manifest)?;
    let source = native.unwrap_or(own);
    let (allowed_outbound_hosts, templated_outbound_hosts) =
        allowed_outbound_hosts(&mut table, &id, manifest, &mut warnings)?;
    let component = Component {
        source,
        environment: variables::environment(&mut table, &manifest.variables)?,
        variables: variables::of_component(&mut table, &manifest.variables)?,
        key_value_stores: table.take("key_value_stores")?.unwrap_or_default(),
        files: files(&mut table, &manifest.folder, &mut warnings)?,
        allowed_outbound_hosts,
        templated_outbound_hosts,
        middleware: Vec::new(),
        dependencies: Vec::new(),
        build: build(&mut table, &manifest.folder)?,
        settings,
        id,
    };
    for (key, reason) in UNSUPPORTED {
        if let Some((value, at)) = table.take_spanned::<toml::Value>(key)?
            && !is_empty(&value)
        {
            let message = format!("{key:?} in {} cannot work on this host: {reason}", table.name());
            manifest
                .unsupported
                .push(Notice { component: Some(component.id.clone()), message: table.notice(&at, message) });
        }
    }
    let notices = warnings.into_iter().map(|message| Notice { component: Some(component.id.clone()), message });
    manifest.warnings.extend(notices);
    table.take::<String>("description")?;
    let dependencies = dependencies::take(&mut table)?;
    targets::check(&mut table)?;
    table.finish()?;
    manifest.components.push(component);
    Ok(Later { middleware, dependencies })
}

/// Reads the key `source` of a component, and returns the path of the file. If the component's `tool.epilogue` table
/// names a file, the host runs that file. `is_needed` is then false, and this function adds no download to the
/// manifest.
fn source(table: &mut Section<'_>, id: &str, is_needed: bool, manifest: &mut Manifest) -> anyhow::Result<PathBuf> {
    let Some(value) = table.take_value("source") else { return Err(table.missing("source")) };
    if let Some(file) = value.get_ref().as_str() {
        return Ok(manifest.folder.join(file));
    }
    let mut source = table.open(format!("\"source\" in {}", table.name()), value)?;
    let (download, refused) = (download::read(&mut source)?, download::registry(&mut source));
    if download.is_none() && refused.is_none() {
        return Err(source.missing("url"));
    }
    source.finish()?;
    if !is_needed {
        return Ok(PathBuf::new());
    }
    let notices = refused.into_iter().map(|message| Notice { component: Some(id.to_owned()), message });
    manifest.unsupported.extend(notices);
    Ok(download.map(|download| download.add_to(&mut manifest.downloads)).unwrap_or_default())
}

/// Checks that a component's id follows Spin's rule. An id consists of words with dashes between them. The letters of a
/// word are all lower case or all upper case.
pub fn check_id(id: &str) -> Result<(), &'static str> {
    if id.contains('_') {
        return Err("must separate its words with \"-\", not \"_\"");
    }
    let is_word = |word: &str| {
        let upper = word.starts_with(|c: char| c.is_ascii_uppercase());
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_digit() || (c.is_ascii_alphabetic() && c.is_ascii_uppercase() == upper))
    };
    if id.split('-').all(is_word) {
        Ok(())
    } else {
        Err(
            "must be words joined by \"-\": a word has only letters and digits, begins with a letter, and does not mix \
             upper and lower case",
        )
    }
}

fn files(table: &mut Section<'_>, folder: &Path, warnings: &mut Vec<String>) -> anyhow::Result<Files> {
    let (entries, at) = table.take_spanned::<Vec<FilesEntry>>("files")?.unwrap_or_default();
    let (exclude, exclude_at) = table.take_spanned::<Vec<String>>("exclude_files")?.unwrap_or_default();
    for warning in entries.iter().filter_map(FilesEntry::warning) {
        warnings.push(table.notice(&at, format_args!("\"files\" in {}: {warning}", table.name())));
    }
    Files::new(folder, entries, &exclude).map_err(|error| {
        let at: Range<usize> = if at.is_empty() { exclude_at } else { at };
        table.error(&at, format_args!("\"files\" in {}: {error:#}", table.name()))
    })
}

/// Reads the entries of `allowed_outbound_hosts`. Returns two lists: the entries without variables, and the entries
/// with variables, as templates. If an entry is not valid, this function returns no error, but adds a message to
/// `Manifest::unsupported`. Because of the message, `epilogue up` fails. `epilogue build` ignores the message.
fn allowed_outbound_hosts(
    table: &mut Section<'_>,
    id: &str,
    manifest: &mut Manifest,
    warnings: &mut Vec<String>,
) -> anyhow::Result<(AllowedHosts, Vec<Template>)> {
    let entries: Vec<toml::Spanned<String>> = table.take("allowed_outbound_hosts")?.unwrap_or_default();
    let (mut hosts, mut templates) = (Vec::with_capacity(entries.len()), Vec::new());
    for entry in entries {
        let template = variables::template(table, &entry.span(), entry.get_ref(), &manifest.variables)?;
        if !template.is_literal() {
            templates.push(template);
            continue;
        }
        match AllowedHost::parse(entry.get_ref()) {
            Ok(host) => {
                let warning = host.warning().map(|warning| {
                    table.notice(
                        &entry.span(),
                        format_args!("\"allowed_outbound_hosts\" in {}: {warning}", table.name()),
                    )
                });
                warnings.extend(warning);
                hosts.push(host);
            }
            Err(error) => {
                let message = format!("\"allowed_outbound_hosts\" in {}: {error:#}", table.name());
                let message = table.notice(&entry.span(), message);
                manifest.unsupported.push(Notice { component: Some(id.to_owned()), message });
            }
        }
    }
    Ok((AllowedHosts::new(hosts), templates))
}

fn build(table: &mut Section<'_>, folder: &Path) -> anyhow::Result<Option<Build>> {
    let Some(mut build) = table.section("build")? else { return Ok(None) };
    let commands = match build.require("command")? {
        Commands::One(command) => vec![command],
        Commands::Several(commands) => commands,
    };
    let (workdir, at) = build.take_spanned::<String>("workdir")?.unwrap_or_default();
    if Path::new(&workdir).has_root() {
        let message = format_args!("\"workdir\" in {} must be relative to the manifest", build.name());
        return Err(build.error(&at, message));
    }
    // If `workdir` is empty, `join` would add a slash to the end of the path.
    let workdir = if workdir.is_empty() { folder.to_owned() } else { folder.join(workdir) };
    let watch = build.take("watch")?.unwrap_or_default();
    build.finish()?;
    Ok(Some(Build { commands, workdir, watch }))
}

fn is_empty(value: &toml::Value) -> bool {
    match value {
        toml::Value::Array(values) => values.is_empty(),
        toml::Value::Table(table) => table.is_empty(),
        _ => false,
    }
}
