//! Reads the lists of middleware around a component. An HTTP trigger can list middleware in its key
//! `dependencies.middleware`. A component can list middleware in the key `middleware` of its `tool.epilogue` table.

use serde::Deserialize;
use toml::{Spanned, de::DeValue};

use super::{Inherited, Manifest, Middleware, Notice, download, reader::Section, tool::OwnMiddleware, triggers};

/// The keys that `inherit_configuration` may list, as in Spin. The host ignores the keys `ai_models` and
/// `sqlite_databases`, because this host does not support AI models and SQLite databases.
const CONFIGURATION: [&str; 7] = [
    "ai_models",
    "allowed_outbound_hosts",
    "environment",
    "files",
    "key_value_stores",
    "sqlite_databases",
    "variables",
];

/// The value of `inherit_configuration`: true, false, or a list of keys.
#[derive(Deserialize)]
#[serde(untagged)]
enum Inherit {
    All(bool),
    Some(Vec<String>),
}

/// Reads the key `middleware` of a component's `tool.epilogue` table. Only this host reads the key, and puts the
/// middleware around the component. For other hosts, the component's normal `source` names a composed file: a file that
/// contains the component and the middleware.
pub(super) fn of_component(
    component: &str,
    (table, value): OwnMiddleware<'_>,
    manifest: &mut Manifest,
) -> anyhow::Result<()> {
    let mut unsupported = Vec::new();
    let name = format!("\"middleware\" in {}", table.name());
    let middleware = list(&table, name, value, manifest, &mut unsupported)?;
    let notices = unsupported.into_iter().map(|message| Notice { component: Some(component.to_owned()), message });
    manifest.unsupported.extend(notices);
    if let Some(component) = manifest.components.iter_mut().find(|known| known.id == component) {
        component.middleware = middleware;
    }
    Ok(())
}

/// Reads the middleware in the key `dependencies` of a trigger. For each middleware that this host cannot load, adds a
/// message to `unsupported`.
pub(super) fn of_trigger(
    trigger: &mut Section<'_>,
    manifest: &mut Manifest,
    unsupported: &mut Vec<String>,
) -> anyhow::Result<Vec<Middleware>> {
    let name = format!("dependencies in {}", trigger.name());
    let Some(value) = trigger.take_value("dependencies") else { return Ok(Vec::new()) };
    let mut dependencies = trigger.open(name, value)?;
    let Some(entries) = dependencies.take_value("middleware") else {
        dependencies.finish()?;
        return Ok(Vec::new());
    };
    let name = format!("dependencies.middleware in {}", trigger.name());
    let middleware = list(&dependencies, name, entries, manifest, unsupported)?;
    dependencies.finish()?;
    Ok(middleware)
}

fn list<'a>(
    table: &Section<'a>,
    name: String,
    entries: Spanned<DeValue<'a>>,
    manifest: &mut Manifest,
    unsupported: &mut Vec<String>,
) -> anyhow::Result<Vec<Middleware>> {
    let at = entries.span();
    let DeValue::Array(entries) = entries.into_inner() else {
        return Err(table.error(&at, format_args!("{name} must be a list, such as [{{ component = \"…\" }}]")));
    };
    let mut middleware = Vec::new();
    for entry in entries {
        middleware.extend(self::entry(table.open(name.clone(), entry)?, manifest, unsupported)?);
    }
    Ok(middleware)
}

fn entry(
    mut table: Section<'_>,
    manifest: &mut Manifest,
    unsupported: &mut Vec<String>,
) -> anyhow::Result<Option<Middleware>> {
    let inherits = inherits(&mut table)?;
    let component = table.take_spanned::<String>("component")?;
    let path = table.take::<String>("path")?;
    let download = download::read(&mut table)?;
    let refused = download::registry(&mut table);
    let middleware = match (component, path, download, refused) {
        (Some((id, at)), None, None, None) => {
            let source = match manifest.components.iter().find(|component| component.id == id) {
                Some(component) => component.source.clone(),
                None => return Err(triggers::unknown_component(&table, &at, &id, manifest)),
            };
            Some(Middleware { id, source, inherits })
        }
        (None, Some(path), None, None) => Some(Middleware { source: manifest.folder.join(&path), id: path, inherits }),
        (None, None, Some(download), None) => {
            let id = download.shown();
            Some(Middleware { id, source: download.add_to(&mut manifest.downloads), inherits })
        }
        (None, None, None, Some(refused)) => {
            unsupported.push(refused);
            None
        }
        (None, None, None, None) => return Err(table.missing("component")),
        _ => {
            let message = format_args!("{} must have exactly one of \"component\", \"path\" and \"url\"", table.name());
            return Err(table.error(table.span(), message));
        }
    };
    table.finish()?;
    Ok(middleware)
}

/// Reads the key `inherit_configuration` of a middleware or a dependency. As in Spin, the middleware or dependency
/// inherits only the configuration that `inherit_configuration` names.
pub(super) fn inherits(table: &mut Section<'_>) -> anyhow::Result<Inherited> {
    let mut inherited = Inherited::default();
    let Some((inherit, at)) = table.take_spanned("inherit_configuration")? else { return Ok(inherited) };
    match inherit {
        Inherit::All(false) => {}
        Inherit::All(true) => {
            inherited = Inherited::EVERYTHING;
        }
        Inherit::Some(keys) => {
            for key in keys {
                match key.as_str() {
                    "environment" => inherited.environment = true,
                    "files" => inherited.files = true,
                    "allowed_outbound_hosts" => inherited.outbound_hosts = true,
                    "variables" => inherited.variables = true,
                    "key_value_stores" => inherited.key_value_stores = true,
                    other if CONFIGURATION.contains(&other) => {}
                    other => return Err(table.unknown_key(other, &at, &CONFIGURATION)),
                }
            }
        }
    }
    Ok(inherited)
}
