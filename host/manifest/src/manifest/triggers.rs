//! The triggers of an application. An HTTP trigger gives a component a route. An application with triggers of other
//! types cannot run on this host.

use std::ops::Range;

use serde::Deserialize;
use toml::{Spanned, de::DeValue};

use crate::routes;

use super::{HttpTrigger, Manifest, Notice, Target, component, middleware, reader::Section, static_response};

/// The route of an HTTP trigger.
#[derive(Deserialize)]
#[serde(untagged)]
enum Route {
    Path(String),
    /// A table, which must be `{ private = true }`.
    Options(toml::Table),
}

/// The way in which a trigger calls its component.
#[derive(Deserialize)]
#[serde(untagged)]
enum Executor {
    Name(String),
    /// A table, such as `{ type = "http" }`.
    Options(toml::Table),
}

/// Reads `[application.trigger]`, which has options for each type of trigger.
pub(super) fn application_options(application: &mut Section<'_>, manifest: &mut Manifest) -> anyhow::Result<()> {
    let Some(mut types) = application.section("trigger")? else { return Ok(()) };
    let Some(mut http) = types.section("http")? else { return Ok(()) };
    if let Some((base, at)) = http.take_spanned::<String>("base")? {
        if base != "/" {
            let message = "\"base\" is obsolete: write it at the beginning of the route of each [[trigger.http]]";
            return Err(http.error(&at, message));
        }
        let message = http.notice(&at, "\"base\" is obsolete, because it is always \"/\": remove it");
        manifest.warnings.push(Notice { component: None, message });
    }
    http.finish()
}

/// Reads the triggers of the application, `[[trigger.TYPE]]`.
pub(super) fn read(root: &mut Section<'_>, manifest: &mut Manifest) -> anyhow::Result<()> {
    let Some(mut types) = root.section("trigger")? else { return Ok(()) };
    for kind in types.take_rest() {
        let name = format!("[[trigger.{}]]", kind.key);
        let DeValue::Array(triggers) = kind.value.into_inner() else {
            return Err(types.error(&kind.span, format_args!("write {name}, in double brackets")));
        };
        for (index, trigger) in triggers.into_iter().enumerate() {
            let table = types.open(name.clone(), trigger)?;
            match kind.key.as_str() {
                "http" => http(table, index + 1, manifest)?,
                _ => other(table, manifest)?,
            }
        }
    }
    Ok(())
}

fn http(mut table: Section<'_>, number: usize, manifest: &mut Manifest) -> anyhow::Result<()> {
    let id: String = table.take("id")?.unwrap_or_else(|| format!("http-trigger{number}"));
    let route = route(&mut table)?;
    let executor = executor(&mut table)?;
    let target = match table.take_value("component") {
        Some(value) => Some(target(&table, &id, value, manifest)?),
        None => None,
    };
    let mut unsupported: Vec<String> = executor.into_iter().collect();
    let mut middleware = middleware::of_trigger(&mut table, manifest, &mut unsupported)?;
    if let Some(component) = manifest.components.iter().find(|component| Some(&component.id) == target.as_ref()) {
        middleware.extend_from_slice(&component.middleware);
    }
    if let Some(value) = table.take_value("components") {
        let message =
            format_args!("\"components\" in {} has no effect: HTTP triggers have one \"component\"", table.name());
        let message = table.notice(&value.span(), message);
        manifest.warnings.push(Notice { component: target.clone(), message });
    }
    let notices = unsupported.into_iter().map(|message| Notice { component: target.clone(), message });
    manifest.unsupported.extend(notices);
    let response = static_response::read(&mut table)?;
    let target = match (target, response) {
        (Some(id), None) => Target::Component { id, middleware },
        (None, Some(response)) if middleware.is_empty() => Target::Static { id, response },
        (None, None) => return Err(table.missing("component")),
        (None, Some(_)) => {
            let message = format_args!(
                "{} has a static_response, which cannot have middleware: remove one of the two",
                table.name()
            );
            return Err(table.error(table.span(), message));
        }
        (Some(_), Some(_)) => {
            let message = format_args!("{} must have either a \"component\" or a \"static_response\"", table.name());
            return Err(table.error(table.span(), message));
        }
    };
    manifest.triggers.push(HttpTrigger { target, route });
    table.finish()
}

fn other(mut table: Section<'_>, manifest: &mut Manifest) -> anyhow::Result<()> {
    let component = table.take_value("component").and_then(|value| value.into_inner().as_str().map(str::to_owned));
    let message = format_args!("{} cannot work on this host, which runs HTTP triggers only", table.name());
    let message = table.notice(table.span(), message);
    manifest.unsupported.push(Notice { component, message });
    Ok(())
}

fn route(table: &mut Section<'_>) -> anyhow::Result<Option<String>> {
    match table.take_spanned("route")? {
        None => Err(table.missing("route")),
        Some((Route::Path(path), at)) => {
            // As in Spin, the manifest may omit the leading slash of a route.
            let path = if path.starts_with('/') { path } else { format!("/{path}") };
            routes::check_pattern(&path).map_err(|error| {
                table.error(&at, format_args!("the route {path:?} in {} is wrong: {error:#}", table.name()))
            })?;
            Ok(Some(path))
        }
        Some((Route::Options(options), at)) => {
            let private = options.get("private").and_then(toml::Value::as_bool) == Some(true);
            if !private || options.len() != 1 {
                let message = format_args!("\"route\" in {} must be a path or {{ private = true }}", table.name());
                return Err(table.error(&at, message));
            }
            Ok(None)
        }
    }
}

/// Reads `executor`, which says how the host calls the component. If this host does not support the executor, returns a
/// message for the author.
fn executor(table: &mut Section<'_>) -> anyhow::Result<Option<String>> {
    let Some((executor, at)) = table.take_spanned("executor")? else { return Ok(None) };
    let kind = match &executor {
        Executor::Name(name) => Some(name.as_str()),
        Executor::Options(options) => options.get("type").and_then(toml::Value::as_str),
    };
    match kind {
        Some("http" | "spin") => Ok(None),
        Some("wagi") => {
            let message = "the executor \"wagi\" cannot work on this host, which runs wasi:http components only";
            Ok(Some(table.notice(&at, message)))
        }
        _ => Err(table.error(&at, format_args!("\"executor\" in {} must be {{ type = \"http\" }}", table.name()))),
    }
}

/// Returns the error for an id that no component has.
pub(super) fn unknown_component(
    table: &Section<'_>,
    at: &Range<usize>,
    id: &str,
    manifest: &Manifest,
) -> anyhow::Error {
    let ids: Vec<&str> = manifest.components.iter().map(|component| component.id.as_str()).collect();
    let hint = match super::reader::nearest(id, &ids) {
        Some(near) => format!(": did you mean {near:?}?"),
        None => format!(": there is no [component.{id}]"),
    };
    table.error(at, format_args!("unknown component {id:?} in {}{hint}", table.name()))
}

/// Returns the id of a trigger's component. If the trigger contains the component's table itself, adds the component to
/// the manifest.
fn target(
    table: &Section<'_>,
    trigger_id: &str,
    value: Spanned<DeValue<'_>>,
    manifest: &mut Manifest,
) -> anyhow::Result<String> {
    let known = |manifest: &Manifest, id: &str| manifest.components.iter().any(|component| component.id == id);
    if let Some(id) = value.get_ref().as_str() {
        if known(manifest, id) {
            return Ok(id.to_owned());
        }
        return Err(unknown_component(table, &value.span(), id, manifest));
    }
    let natural = format!("{trigger_id}-component");
    let counted = (1..).map(|number| format!("inline-component{number}"));
    let id = std::iter::once(natural)
        .chain(counted)
        .find(|id| component::check_id(id).is_ok() && !known(manifest, id))
        .unwrap_or_default();
    let name = format!("\"component\" in {}", table.name());
    component::read(id.clone(), table.open(name, value)?, manifest)?.read(&id, &[], manifest)?;
    Ok(id)
}
