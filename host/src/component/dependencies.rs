//! Joins a component with its dependencies, as Spin does. A dependency is a component that implements imports of
//! another component.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use epilogue_manifest::manifest::{Dependency, Inherited};
use wac_graph::types::are_semver_compatible;
use wasmtime::component::Linker;

use crate::component::composition::{Composed, Composition};
use crate::component::state::State;
use crate::contract::check::{UNBUILT, read};

/// Joins the component in `bytes` with its dependencies. Returns `None` if the component has no dependencies.
///
/// # Errors
///
/// Returns an error if a dependency implements no import of the component, does not match the import's type, or has a
/// forbidden import.
pub(crate) fn compose(
    dependencies: &[Dependency],
    bytes: &[u8],
    linker: &Linker<State>,
) -> anyhow::Result<Option<Composed>> {
    if dependencies.is_empty() {
        return Ok(None);
    }
    let mut composition = Composition::new(linker);
    let (dependent, world) = composition.instantiate("dependent", bytes, Inherited::EVERYTHING)?;
    let mut satisfied = BTreeMap::new();
    for (place, dependency) in dependencies.iter().enumerate() {
        let Dependency { name, id, source, .. } = dependency;
        let imports: Vec<&String> = world.imports.keys().filter(|import| dependency.satisfies(import)).collect();
        ensure!(!imports.is_empty(), "the dependency {name:?} satisfies none of its imports");
        for import in &imports {
            if let Some(other) = satisfied.insert(*import, name) {
                bail!("its import {import} is satisfied by two dependencies, {other:?} and {name:?}");
            }
        }
        let exports = provide(&mut composition, place, dependency, &imports)
            .with_context(|| format!("{id:?} ({}) cannot be the dependency {name:?}", source.display()))?;
        for (import, export) in imports.into_iter().zip(exports) {
            let fits = composition.graph.set_instantiation_argument(dependent, import, export);
            fits.with_context(|| format!("the dependency {name:?} does not fit the import {import}"))?;
        }
    }
    for name in world.exports.keys() {
        let export = composition.graph.alias_instance_export(dependent, name)?;
        composition.graph.export(export, name)?;
    }
    composition.finish().map(Some)
}

/// Adds `dependency` to `composition`, and returns the dependency's exports that implement `imports`.
fn provide(
    composition: &mut Composition,
    place: usize,
    dependency: &Dependency,
    imports: &[&String],
) -> anyhow::Result<Vec<wac_graph::NodeId>> {
    let bytes = read(&dependency.source, UNBUILT, "cannot be used")?;
    let place = format!("dependency-{place}");
    let (instance, world) = composition.instantiate(&place, &bytes, dependency.inherits)?;
    for (import, kind) in world.imports {
        composition.withhold(instance, &import, kind, dependency.inherits, &place)?;
    }
    let export_of = |import: &String| {
        let wanted = dependency.export.as_ref().unwrap_or(import);
        let compatible = || world.exports.keys().find(|export| are_semver_compatible(export, wanted));
        let export = world.exports.get_key_value(wanted).map(|(export, _)| export).or_else(compatible);
        export.with_context(|| format!("it does not export {wanted}"))
    };
    let exports = imports.iter().map(|import| export_of(import)).collect::<anyhow::Result<Vec<_>>>()?;
    exports.into_iter().map(|export| Ok(composition.graph.alias_instance_export(instance, export)?)).collect()
}
