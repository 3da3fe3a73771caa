//! Reads the key `dependencies` of a component, which lists the components whose functions the component imports.

use std::path::PathBuf;

use toml::{Spanned, de::DeValue};

use super::{
    Component, Inherited, Manifest, Notice,
    check::own_configuration,
    component, download, middleware,
    reader::{Entry, Section},
    triggers,
};

/// A component that exports functions which another component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The name of the imports that the dependency satisfies. `a:b` stands for all interfaces of the package `a:b`.
    /// `a:b/c` stands for the interface `c` of this package. `a:b` and `a:b/c` may end with a version, as in
    /// `a:b@1.0.0`. A name without a colon stands for the import with exactly this name.
    pub name: String,
    /// The dependency's id in the manifest. If the manifest names the dependency by a file or an address, the id is the
    /// file's path or the address.
    pub id: String,
    /// The absolute path of the dependency's WebAssembly file.
    pub source: PathBuf,
    /// The name of the dependency's export that satisfies the import. If the export has the same name as the import,
    /// the value is `None`.
    pub export: Option<String>,
    /// The configuration that the dependency inherits from the component that imports the dependency's functions. The
    /// dependency has only this configuration.
    pub inherits: Inherited,
}

impl Dependency {
    /// Returns true if the dependency satisfies the import with this name, by the same rules as in Spin. If the
    /// dependency's name has a version, the import must have the same version. If the dependency's name has no version,
    /// the import may have any version. If the dependency's name is the name of a package, the import may be any
    /// interface of the package.
    pub fn satisfies(&self, import: &str) -> bool {
        if !self.name.contains(':') {
            return self.name == import;
        }
        let (wanted, wanted_version) = split(&self.name, '@');
        let (package, interface) = split(wanted, '/');
        let (import, version) = split(import, '@');
        let (its_package, its_interface) = split(import, '/');
        package == its_package
            && its_interface.is_some()
            && (interface.is_none() || interface == its_interface)
            && (wanted_version.is_none() || wanted_version == version)
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((first, second)) => (first, Some(second)),
        None => (text, None),
    }
}

/// The table `dependencies` of a component, which the host has not read yet. The host reads this table after it has
/// read all components, because the table may name components that come later in the manifest.
pub(super) struct Unread<'a> {
    table: Section<'a>,
    /// The value of `dependencies_inherit_configuration`. If true, each dependency inherits all configuration of the
    /// component.
    inherit_all: Option<bool>,
}

impl Unread<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

/// Removes the keys `dependencies` and `dependencies_inherit_configuration` from a component's table, and returns their
/// values.
pub(super) fn take<'a>(component: &mut Section<'a>) -> anyhow::Result<Option<Unread<'a>>> {
    let inherit_all = component.take("dependencies_inherit_configuration")?;
    Ok(component.section("dependencies")?.map(|table| Unread { table, inherit_all }))
}

/// Reads the dependencies of a component. `dependents` are the ids of all components that have dependencies.
pub(super) fn of_component(
    id: &str,
    unread: Unread<'_>,
    dependents: &[String],
    manifest: &mut Manifest,
) -> anyhow::Result<()> {
    let Unread { mut table, inherit_all } = unread;
    let mut dependencies = Vec::new();
    for Entry { key, span, value } in table.take_rest() {
        if !is_name(&key) {
            let message = format_args!(
                "{key:?} in {} must be the name of an import, such as \"a:b/c\", \"a:b@1.0.0\" or \"a-b\"",
                table.name()
            );
            return Err(table.error(&span, message));
        }
        match dependency(&table, key, value, inherit_all, dependents, manifest)? {
            Ok(dependency) => dependencies.push(dependency),
            Err(message) => manifest.unsupported.push(Notice { component: Some(id.to_owned()), message }),
        }
    }
    if let Some(component) = manifest.components.iter_mut().find(|component| component.id == id) {
        component.dependencies = dependencies;
    }
    Ok(())
}

/// Reads one dependency. If the manifest has a mistake, returns `Err`. If the manifest is correct, but this host cannot
/// load the dependency, returns `Ok(Err(message))` with a message for the author.
fn dependency<'a>(
    table: &Section<'a>,
    name: String,
    value: Spanned<DeValue<'a>>,
    inherit_all: Option<bool>,
    dependents: &[String],
    manifest: &mut Manifest,
) -> anyhow::Result<Result<Dependency, String>> {
    let place = format!("{name:?} in {}", table.name());
    if value.get_ref().is_str() {
        return Ok(Err(table.notice(&value.span(), download::of_registry(&place))));
    }
    let mut entry = table.open(place, value)?;
    if inherit_all.is_some() && entry.has("inherit_configuration") {
        let message = format_args!(
            "{} has inherit_configuration, and its component has dependencies_inherit_configuration: use one of the two",
            entry.name()
        );
        return Err(entry.error(entry.span(), message));
    }
    let inherits = match inherit_all {
        Some(true) => Inherited::EVERYTHING,
        _ => middleware::inherits(&mut entry)?,
    };
    let export = entry.take_spanned::<String>("export")?;
    if let Some((_, at)) = export.as_ref().filter(|_| name.contains(':') && !name.contains('/')) {
        let message = format_args!("{} names a whole package, so it cannot have an \"export\"", entry.name());
        return Err(entry.error(at, message));
    }
    let component = entry.take_spanned::<String>("component")?;
    let path = entry.take::<String>("path")?;
    let (download, refused) = (download::read(&mut entry)?, download::registry(&mut entry));
    let (id, source) = match (component, path, download, refused) {
        (Some((id, at)), None, None, None) => {
            let Some(component) = manifest.components.iter().find(|component| component.id == id) else {
                return Err(triggers::unknown_component(&entry, &at, &id, manifest));
            };
            if let Some(key) = configuration(component, dependents) {
                let message = format_args!(
                    "{} is the component {id:?}, which has {key:?}: remove this key, because a dependency gets its \
                     configuration only through inherit_configuration",
                    entry.name()
                );
                return Err(entry.error(&at, message));
            }
            (id, component.source.clone())
        }
        (None, Some(path), None, None) => (path.clone(), manifest.folder.join(path)),
        (None, None, Some(download), None) => (download.shown(), download.add_to(&mut manifest.downloads)),
        (None, None, None, Some(refused)) => return Ok(Err(refused)),
        (None, None, None, None) => return Err(entry.missing("path")),
        _ => {
            let message = format_args!("{} must have exactly one of \"component\", \"path\" and \"url\"", entry.name());
            return Err(entry.error(entry.span(), message));
        }
    };
    entry.finish()?;
    Ok(Ok(Dependency { name, id, source, export: export.map(|(export, _)| export), inherits }))
}

/// Returns the first key of the component that a dependency must not have, such as `files`. If the component has no
/// such key, returns `None`. As in Spin, a dependency must not have a configuration of its own.
fn configuration(component: &Component, dependents: &[String]) -> Option<&'static str> {
    let has_dependencies = !component.dependencies.is_empty() || dependents.contains(&component.id);
    own_configuration(component).next().or(has_dependencies.then_some("dependencies"))
}

/// Returns true if this text can be the name of an import: a plain name, or the name of a package or of an interface.
fn is_name(name: &str) -> bool {
    if !name.contains(':') {
        return component::check_id(name).is_ok();
    }
    let (name, version) = split(name, '@');
    let (package, interface) = split(name, '/');
    let parts = [Some(package), interface, version];
    package.split(':').all(|part| !part.is_empty()) && parts.into_iter().flatten().all(|part| !part.is_empty())
}
