//! Makes components for other versions of WASI 0.3 run on this host, which implements 0.3.0. The other versions are the
//! release candidate that Spin 4.0's SDKs use, and versions after 0.3.0.
//!
//! The release candidate of Spin's SDKs has the same types and functions as 0.3.0. Later versions of WASI 0.3 only add
//! types and functions to 0.3.0. However, wasmtime links an import of a release candidate only with the same release
//! candidate, and `wac` links only equal names. To let wasmtime and `wac` link such components, the host replaces the
//! versions in the names of a component's imports and exports. The host does not change core modules or their data.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use wasmparser::{
    BinaryReader, ComponentAlias, ComponentAliasSectionReader, ComponentExportSectionReader,
    ComponentImportSectionReader, ComponentInstance, ComponentInstanceSectionReader, ComponentType,
    ComponentTypeDeclaration, ComponentTypeSectionReader, InstanceTypeDeclaration, Result,
};

use super::nesting::{MAX_DEPTH, is_too_deep};
use super::sections::{
    ALIASES, COMPONENT, EXPORTS, HEADER, IMPORTS, INSTANCES, TYPES, sections, write_length, write_section,
};

/// The version of WASI that the host implements.
const OWN: &str = "@0.3.0";
/// The release candidate of WASI 0.3.0 that this host also accepts.
const CANDIDATE: &str = "@0.3.0-rc-2026-03-15";
/// The replacement for [`CANDIDATE`] if a component imports an interface both in the release candidate and in 0.3.0.
/// The replacement cannot be `@0.3.0`, because a component cannot import the same name twice. The part after `+` is
/// build metadata, which wasmtime ignores, so wasmtime links the replacement with 0.3.0.
const CANDIDATE_BESIDE: &str = "@0.3.0+rc-2026-03-15";

/// Replaces other versions of WASI 0.3 by 0.3.0 in the names of the component's imports and exports. If the component
/// cannot be read, returns the component unchanged, because the host reports the error when it compiles the component.
///
/// # Errors
///
/// Returns an error if the component nests components or types so deeply that reading it would use up the stack.
pub(crate) fn normalize(component: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    ensure!(!is_too_deep(&component), "its components or types are nested more than {MAX_DEPTH} deep");
    let mut names = BTreeSet::new();
    if collect(&component, &mut names).is_err() {
        return Ok(component);
    }
    let mut replacements = BTreeMap::new();
    let mut taken: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    for name in names {
        if let Some(replacement) = replacement(name, &taken) {
            taken.insert(replacement.clone());
            replacements.insert(name, replacement);
        }
    }
    if replacements.is_empty() {
        return Ok(component);
    }
    Ok(rewrite(&component, &replacements).unwrap_or(component))
}

/// Returns the name that replaces `name` in a component that already has the names in `taken`. Returns `None` if `name`
/// stays the same.
fn replacement(name: &str, taken: &BTreeSet<String>) -> Option<String> {
    let (interface, version) = name.split_at(name.find('@')?);
    let is_candidate = version == CANDIDATE;
    let is_later =
        || version.strip_prefix("@0.3.").is_some_and(|patch| patch.parse().is_ok_and(|patch: u32| patch > 0));
    if !interface.starts_with("wasi:") || !(is_candidate || is_later()) {
        return None;
    }
    let own = format!("{interface}{OWN}");
    match taken.contains(&own) {
        false => Some(own),
        true => is_candidate.then(|| format!("{interface}{CANDIDATE_BESIDE}")),
    }
}

/// Adds all names in a component and in its nested components to `names`.
fn collect<'a>(component: &'a [u8], names: &mut BTreeSet<&'a str>) -> Result<()> {
    for section in sections(component) {
        let (id, body) = section?;
        match id {
            COMPONENT => collect(body, names)?,
            _ => names.extend(names_of(id, body)?),
        }
    }
    Ok(())
}

/// Returns a copy of the component in which names are replaced as `replacements` says.
fn rewrite(component: &[u8], replacements: &BTreeMap<&str, String>) -> Result<Vec<u8>> {
    let mut rewritten = component.get(..HEADER).unwrap_or(component).to_vec();
    for section in sections(component) {
        let (id, body) = section?;
        let body = match id {
            COMPONENT => rewrite(body, replacements)?,
            _ => with_names(body, &names_of(id, body)?, replacements),
        };
        write_section(&mut rewritten, id, &body);
    }
    Ok(rewritten)
}

/// Returns a copy of the component with renamed imports. If `rename` returns a name for an import, the import gets this
/// name. The imports of nested components do not change.
///
/// # Errors
///
/// Returns an error if the component cannot be read.
pub(crate) fn rename_imports(component: &[u8], rename: impl Fn(&str) -> Option<&'static str>) -> Result<Vec<u8>> {
    let mut renamed = component.get(..HEADER).unwrap_or(component).to_vec();
    for section in sections(component) {
        let (id, body) = section?;
        if id == IMPORTS {
            let names = names_of(id, body)?;
            let replaced = names.iter().filter_map(|name| Some((*name, rename(name)?.to_owned()))).collect();
            write_section(&mut renamed, id, &with_names(body, &names, &replaced));
        } else {
            write_section(&mut renamed, id, body);
        }
    }
    Ok(renamed)
}

/// Returns a copy of a section's body in which all `names` that have a replacement are replaced.
fn with_names(body: &[u8], names: &[&str], replacements: &BTreeMap<&str, String>) -> Vec<u8> {
    let (mut rewritten, mut copied) = (Vec::with_capacity(body.len()), 0);
    for name in names {
        let Some(replacement) = replacements.get(name) else { continue };
        // In the body, each name comes after its length, which is a number in LEB128. Only the last byte of a LEB128
        // number is below 128. The byte before the length is below 128 too, because that byte is the end of another
        // number or encodes a kind.
        let start = name.as_ptr().addr() - body.as_ptr().addr();
        let length = body[..start - 1].iter().rposition(|byte| *byte < 0x80).map_or(0, |before| before + 1);
        rewritten.extend(&body[copied..length]);
        write_length(&mut rewritten, replacement.len());
        rewritten.extend(replacement.as_bytes());
        copied = start + name.len();
    }
    rewritten.extend(&body[copied..]);
    rewritten
}

/// Returns the names in a section, in the order of the section.
fn names_of(id: u8, body: &[u8]) -> Result<Vec<&str>> {
    let (reader, mut names) = (BinaryReader::new(body, 0), Vec::new());
    match id {
        IMPORTS => {
            for import in ComponentImportSectionReader::new(reader)? {
                names.push(import?.name.name);
            }
        }
        EXPORTS => {
            for export in ComponentExportSectionReader::new(reader)? {
                names.push(export?.name.name);
            }
        }
        ALIASES => {
            for alias in ComponentAliasSectionReader::new(reader)? {
                names.extend(name_of_alias(&alias?));
            }
        }
        INSTANCES => {
            for instance in ComponentInstanceSectionReader::new(reader)? {
                match instance? {
                    ComponentInstance::Instantiate { args, .. } => names.extend(args.iter().map(|arg| arg.name)),
                    ComponentInstance::FromExports(exports) => {
                        names.extend(exports.iter().map(|export| export.name.name))
                    }
                }
            }
        }
        TYPES => {
            for ty in ComponentTypeSectionReader::new(reader)? {
                names_of_type(&ty?, &mut names);
            }
        }
        _ => {}
    }
    Ok(names)
}

fn names_of_type<'a>(ty: &ComponentType<'a>, names: &mut Vec<&'a str>) {
    match ty {
        ComponentType::Component(declarations) => {
            for declaration in declarations {
                match declaration {
                    ComponentTypeDeclaration::Type(ty) => names_of_type(ty, names),
                    ComponentTypeDeclaration::Alias(alias) => names.extend(name_of_alias(alias)),
                    ComponentTypeDeclaration::Export { name, .. } => names.push(name.name),
                    ComponentTypeDeclaration::Import(import) => names.push(import.name.name),
                    ComponentTypeDeclaration::CoreType(_) => {}
                }
            }
        }
        ComponentType::Instance(declarations) => {
            for declaration in declarations {
                match declaration {
                    InstanceTypeDeclaration::Type(ty) => names_of_type(ty, names),
                    InstanceTypeDeclaration::Alias(alias) => names.extend(name_of_alias(alias)),
                    InstanceTypeDeclaration::Export { name, .. } => names.push(name.name),
                    InstanceTypeDeclaration::CoreType(_) => {}
                }
            }
        }
        ComponentType::Defined(_) | ComponentType::Func(_) | ComponentType::Resource { .. } => {}
    }
}

fn name_of_alias<'a>(alias: &ComponentAlias<'a>) -> Option<&'a str> {
    match alias {
        ComponentAlias::InstanceExport { name, .. } => Some(name),
        ComponentAlias::CoreInstanceExport { .. } | ComponentAlias::Outer { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::Engine;
    use wasmtime::component::Component;

    use super::*;

    /// Replaces the names in a component, checks that the component is still valid, and returns the names of its
    /// imports and exports.
    fn names(text: &str) -> Vec<String> {
        let engine = Engine::default();
        let component = Component::new(&engine, normalize(wat::parse_str(text).unwrap()).unwrap()).unwrap();
        let ty = component.component_type();
        ty.imports(&engine)
            .map(|(name, _)| name)
            .chain(ty.exports(&engine).map(|(name, _)| name))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn other_versions_are_replaced_wherever_they_are_names() {
        for version in ["0.3.0-rc-2026-03-15", "0.3.1", "0.3.12"] {
            // The text has a nested component, with imports, exports, a type of an instance, aliases and arguments.
            let text = format!(
                r#"(component
                (import "wasi:io/own@0.2.6" (instance))
                (import "wasi:http/types@{version}" (instance $types (export "wasi:a/b@{version}" (instance))))
                (import "other:http/types@{version}" (instance))
                (alias export $types "wasi:a/b@{version}" (instance $b))
                (component $inner
                    (import "wasi:a/b@{version}" (instance $b))
                    (export "wasi:http/handler@{version}" (instance $b)))
                (instance $guest (instantiate $inner (with "wasi:a/b@{version}" (instance $b))))
                (alias export $guest "wasi:http/handler@{version}" (instance $handler))
                (export "wasi:http/handler@{version}" (instance $handler)))"#
            );
            let other = format!("other:http/types@{version}");
            assert_eq!(
                names(&text),
                ["wasi:io/own@0.2.6", "wasi:http/types@0.3.0", &other, "wasi:http/handler@0.3.0"],
                "{version}"
            );
        }
    }

    #[test]
    fn an_interface_in_two_versions_stays_two_imports() {
        let text = |version| {
            format!(r#"(component (import "wasi:a/b@0.3.0" (instance)) (import "wasi:a/b@{version}" (instance)))"#)
        };
        assert_eq!(names(&text("0.3.0-rc-2026-03-15")), ["wasi:a/b@0.3.0", "wasi:a/b@0.3.0+rc-2026-03-15"]);
        assert_eq!(names(&text("0.3.1")), ["wasi:a/b@0.3.0", "wasi:a/b@0.3.1"]);
        let later = text("0.3.1").replace("0.3.0", "0.3.2");
        assert_eq!(names(&later), ["wasi:a/b@0.3.2", "wasi:a/b@0.3.0"]);
        let both = text("0.3.1").replace("0.3.0", "0.3.0-rc-2026-03-15");
        assert_eq!(names(&both), ["wasi:a/b@0.3.0", "wasi:a/b@0.3.1"]);
    }

    #[test]
    fn what_has_no_such_names_stays_as_it_is() {
        let text = r#"(component (core module (data "wasi:http/types@0.3.1")) (import "wasi:a/b@0.3.0" (instance))
            (import "wasi:a/b@0.4.0" (instance)) (import "wasi:a/b@0.3.0-rc-2026-01-01" (instance)))"#;
        let component = wat::parse_str(text).unwrap();
        assert_eq!(normalize(component.clone()).unwrap(), component);
        for broken in [&b""[..], b"\0asm", b"\0asm\x0d\0\x01\0\x0a\xff", b"\0asm\x0d\0\x01\0\x04\x02\x01"] {
            assert_eq!(normalize(broken.to_vec()).unwrap(), broken);
        }
    }

    #[test]
    fn a_length_may_have_more_bytes_than_it_needs() {
        let name = format!("wasi:a/{}@0.3.1", "b".repeat(200));
        for name in ["wasi:a/b@0.3.1", &name] {
            let mut component = wat::parse_str(format!("(component (import \"{name}\" (instance)))")).unwrap();
            let replaced = normalize(component.clone()).unwrap();
            // The import section has its id and length, one import, the import's kind, and the name with its length.
            let start = memchr::memmem::find(&component, name.as_bytes()).unwrap();
            let section = component[..start].iter().rposition(|byte| *byte == IMPORTS).unwrap();
            let mut body = vec![1, 0, (name.len() & 0x7f) as u8 | 0x80, (name.len() >> 7) as u8 | 0x80, 0x80, 0];
            body.extend(component.split_off(start));
            component.truncate(section + 1);
            // The import's type, of two bytes, ends the section.
            write_length(&mut component, 6 + name.len() + 2);
            component.extend(body);
            assert_eq!(normalize(component).unwrap(), replaced, "{name}");
        }
    }
}
