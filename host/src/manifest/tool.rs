//! The `tool.epilogue` tables: what Spin leaves to tools, and this host reads.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Spanned, de::DeValue};

use crate::settings::{HostOverlay, SettingsOverlay};

use super::reader::{Entry, Section};

/// A setting's value, as TOML may write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(i64),
    Flag(bool),
}

/// Reads `[application.tool.epilogue]`: the host's options, and settings for every component.
pub(super) fn application(
    application: &mut Section<'_>,
    folder: &Path,
) -> anyhow::Result<(HostOverlay, SettingsOverlay)> {
    let (mut host, mut settings) = (HostOverlay::default(), SettingsOverlay::default());
    let Some(mut table) = epilogue_table(application)? else {
        return Ok((host, settings));
    };
    for entry in table.take_rest() {
        set(
            &table,
            entry,
            |key, value| Ok(host.set(key, value)? || settings.set(key, value)?),
            || [HostOverlay::names(), SettingsOverlay::names()].concat(),
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

/// What `[component.ID.tool.epilogue]` says.
#[derive(Default)]
pub(super) struct Tool<'a> {
    /// What `epilogue up` runs instead of the component's source.
    pub(super) source: Option<PathBuf>,
    /// What is around it, not read yet: it may name components that come later.
    pub(super) middleware: Option<OwnMiddleware<'a>>,
    pub(super) settings: SettingsOverlay,
}

/// The table that a component's own middleware is in, and the value.
pub(super) type OwnMiddleware<'a> = (Section<'a>, Spanned<DeValue<'a>>);

/// Reads `[component.ID.tool.epilogue]`.
pub(super) fn component<'a>(component: &mut Section<'a>, folder: &Path) -> anyhow::Result<Tool<'a>> {
    let Some(mut table) = epilogue_table(component)? else {
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
            || [vec!["source".to_owned(), "middleware".to_owned()], SettingsOverlay::names()].concat(),
        )?;
    }
    Ok(Tool { source, middleware: middleware.map(|value| (table, value)), settings })
}

fn epilogue_table<'a>(parent: &mut Section<'a>) -> anyhow::Result<Option<Section<'a>>> {
    match parent.section("tool")? {
        Some(mut tools) => tools.section("epilogue"),
        None => Ok(None),
    }
}

fn set<'a>(
    table: &Section<'a>,
    entry: Entry<'a>,
    mut set: impl FnMut(&str, &str) -> Result<bool, String>,
    names: impl Fn() -> Vec<String>,
) -> anyhow::Result<()> {
    let at = entry.value.span();
    let value = match table.decode(&entry.key, entry.value) {
        Ok(Scalar::Text(text)) => text,
        Ok(Scalar::Number(number)) => number.to_string(),
        Ok(Scalar::Flag(flag)) => flag.to_string(),
        // The key may be the mistake; then its value does not matter.
        Err(_) if !names().contains(&entry.key) => String::new(),
        Err(_) => {
            let message = format_args!("{:?} in {} must be a text, a number, true or false", entry.key, table.name());
            return Err(table.error(&at, message));
        }
    };
    match set(&entry.key, &value) {
        Ok(true) => Ok(()),
        Ok(false) => Err(table.unknown_key(&entry.key, &entry.span, &names())),
        Err(message) => Err(table.error(&at, format_args!("{:?} in {}: {message}", entry.key, table.name()))),
    }
}
