//! Reads the tables `tool.epilogue` of a manifest, which contain settings for this host. Spin ignores the tables
//! `tool.epilogue`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Spanned, de::DeValue};

use crate::settings::{HostOverlay, SettingsOverlay};

use super::reader::{Entry, Section, nearest};

/// A setting's value in TOML: a text, a number, or a boolean.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(i64),
    Flag(bool),
}

/// The keys of `[component.ID.tool.epilogue]` that are not settings.
const OF_COMPONENT: [&str; 2] = ["source", "middleware"];

/// Reads `[application.tool.epilogue]`, which contains the host's options, and settings for every component.
pub(super) fn application(
    application: &mut Section<'_>,
    folder: &Path,
    warnings: &mut Vec<String>,
) -> anyhow::Result<(HostOverlay, SettingsOverlay)> {
    let (mut host, mut settings) = (HostOverlay::default(), SettingsOverlay::default());
    let Some(mut table) = epilogue_table(application, warnings)? else {
        return Ok((host, settings));
    };
    for entry in table.take_rest() {
        set(
            &table,
            entry,
            |key, value| Ok(host.set(key, value)? || settings.set(key, value)?),
            || [HostOverlay::names(), SettingsOverlay::names()].concat(),
            |key| {
                OF_COMPONENT
                    .contains(&key)
                    .then_some("it is a component's own, and belongs in [component.ID.tool.epilogue]")
            },
        )?;
    }
    for path in [&mut host.tls_cert, &mut host.tls_key].into_iter().flatten() {
        *path = folder.join(&path);
    }
    if let Some(file) = host.engine.as_deref().and_then(|engine| engine.strip_prefix("sqlite:"))
        && !file.is_empty()
    {
        host.engine = Some(format!("sqlite:{}", folder.join(file).display()));
    }
    Ok((host, settings))
}

/// The content of `[component.ID.tool.epilogue]`.
#[derive(Default)]
pub(super) struct Tool<'a> {
    /// The file that `epilogue up` runs instead of the component's source.
    pub(super) source: Option<PathBuf>,
    /// The list of middleware around the component, which the host has not read yet. The host reads this list after it
    /// has read all components, because the list may name components that come later in the manifest.
    pub(super) middleware: Option<OwnMiddleware<'a>>,
    pub(super) settings: SettingsOverlay,
}

/// The table that contains a component's own middleware, and the value of the key `middleware`.
pub(super) type OwnMiddleware<'a> = (Section<'a>, Spanned<DeValue<'a>>);

/// Reads `[component.ID.tool.epilogue]`.
pub(super) fn component<'a>(
    component: &mut Section<'a>,
    folder: &Path,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Tool<'a>> {
    let Some(mut table) = epilogue_table(component, warnings)? else {
        return Ok(Tool::default());
    };
    let source = table.take::<String>("source")?.map(|source| folder.join(source));
    let middleware = table.take_value("middleware");
    let mut settings = SettingsOverlay::default();
    for entry in table.take_rest() {
        set(
            &table,
            entry,
            |key, value| settings.set(key, value),
            || [OF_COMPONENT.map(str::to_owned).to_vec(), SettingsOverlay::names()].concat(),
            |key| {
                let is_host = HostOverlay::names().iter().any(|name| name == key);
                is_host.then_some("it is an option of the host, and belongs in [application.tool.epilogue]")
            },
        )?;
    }
    Ok(Tool { source, middleware: middleware.map(|value| (table, value)), settings })
}

/// Removes the table `tool.epilogue` from `parent`, and returns this table. Ignores the tables of other tools. If a
/// table's name is probably a misspelled `epilogue`, adds a warning.
fn epilogue_table<'a>(parent: &mut Section<'a>, warnings: &mut Vec<String>) -> anyhow::Result<Option<Section<'a>>> {
    let Some(mut tools) = parent.section("tool")? else { return Ok(None) };
    let own = tools.section("epilogue")?;
    for other in tools.take_rest() {
        if nearest(&other.key, &["epilogue"]).is_some() {
            let (name, right) = (tools.child_name(&other.key), tools.child_name("epilogue"));
            warnings.push(tools.notice(&other.span, format_args!("{name} has no effect: did you mean {right}?")));
        }
    }
    Ok(own)
}

/// If `key` is a setting in a wrong table, returns a text that names the right table.
pub(super) fn misplaced(key: &str) -> Option<&'static str> {
    let is_one_of = |names: Vec<String>| names.iter().any(|name| name == key);
    if is_one_of(SettingsOverlay::names()) {
        Some("it belongs in [component.ID.tool.epilogue], or in [application.tool.epilogue] for all components")
    } else {
        is_one_of(HostOverlay::names()).then_some("it belongs in [application.tool.epilogue]")
    }
}

fn set<'a>(
    table: &Section<'a>,
    entry: Entry<'a>,
    mut set: impl FnMut(&str, &str) -> Result<bool, String>,
    names: impl Fn() -> Vec<String>,
    elsewhere: impl Fn(&str) -> Option<&'static str>,
) -> anyhow::Result<()> {
    let at = entry.value.span();
    let value = match table.decode(&entry.key, entry.value) {
        Ok(Scalar::Text(text)) => text,
        Ok(Scalar::Number(number)) => number.to_string(),
        Ok(Scalar::Flag(flag)) => flag.to_string(),
        // If the key itself is unknown, the error below is about the key, so the value does not matter.
        Err(_) if !names().contains(&entry.key) => String::new(),
        Err(_) => {
            let message = format_args!("{:?} in {} must be a text, a number, true or false", entry.key, table.name());
            return Err(table.error(&at, message));
        }
    };
    match set(&entry.key, &value) {
        Ok(true) => Ok(()),
        Ok(false) => match elsewhere(&entry.key) {
            Some(place) => Err(table.misplaced_key(&entry.key, &entry.span, place)),
            None => Err(table.unknown_key(&entry.key, &entry.span, &names())),
        },
        Err(message) => Err(table.error(&at, format_args!("{:?} in {}: {message}", entry.key, table.name()))),
    }
}
