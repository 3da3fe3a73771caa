//! Limits how deeply a component may nest other components and types.
//!
//! Parsers of components call themselves once for each level. A file of a few megabytes can have a million levels. If a
//! parser reads such a file, it uses up the stack, which ends the process. To prevent this, the host first measures the
//! depth, with a list instead of recursive calls.

use wasmparser::{BinaryReader, ComponentType, ComponentTypeDeclaration, Result};

use super::sections::{COMPONENT, TYPES, sections};

/// The largest allowed depth of nested components, and of nested types. The host checks the depth before it joins
/// components, so a joined component can be a few levels deeper.
pub(super) const MAX_DEPTH: usize = 100;

/// The byte that begins the type of a component.
const OF_COMPONENT: u8 = 0x41;
/// The byte that begins the type of an instance.
const OF_INSTANCE: u8 = 0x42;
/// The byte that begins a declaration of a type within another type.
const DECLARATION: u8 = 0x01;

/// Reports whether this component nests components or types deeper than [`MAX_DEPTH`]. Ignores parts that cannot be
/// read, because the host reports such parts when it compiles the component.
pub(super) fn is_too_deep(component: &[u8]) -> bool {
    is_deeper(component, MAX_DEPTH)
}

fn is_deeper(component: &[u8], depth: usize) -> bool {
    sections(component).filter_map(Result::ok).any(|(id, body)| match id {
        COMPONENT => depth == 0 || is_deeper(body, depth - 1),
        TYPES => has_deeper_types(body, MAX_DEPTH).unwrap_or(false),
        _ => false,
    })
}

/// Reports whether a section of types nests types deeper than `depth`.
fn has_deeper_types(body: &[u8], depth: usize) -> Result<bool> {
    let mut reader = BinaryReader::new(body, 0);
    // The number of items that are not yet read, first for the section, and then for each type that the loop has
    // entered.
    let mut open = vec![reader.read_var_u32()?];
    while let Some(left) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        let is_in_type = open.len() > 1;
        let mut start = reader.clone();
        let is_type = !is_in_type || start.read_u8()? == DECLARATION;
        if is_type && matches!(start.read_u8()?, OF_COMPONENT | OF_INSTANCE) {
            open.push(start.read_var_u32()?);
            reader = start;
        } else if is_in_type {
            reader.read::<ComponentTypeDeclaration<'_>>()?;
        } else {
            reader.read::<ComponentType<'_>>()?;
        }
        if open.len() > depth + 1 {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use wasmtime::Engine;
    use wasmtime::component::Component;

    use super::*;
    use crate::contract::sections::{HEADER, write_section};

    /// Makes a component with a single section.
    fn component(id: u8, body: &[u8]) -> Vec<u8> {
        let mut component = wat::parse_str("(component)").unwrap()[..HEADER].to_vec();
        write_section(&mut component, id, body);
        component
    }

    /// Makes a component whose types are nested `depth` levels deep.
    fn types(kind: u8, depth: usize) -> Vec<u8> {
        let mut body = vec![1, kind, 1];
        body.extend([DECLARATION, kind, 1].repeat(depth - 2));
        body.extend([DECLARATION, kind, 0]);
        component(TYPES, &body)
    }

    #[test]
    fn components_may_not_be_nested_without_end() {
        let nested = |depth| (0..depth).fold(wat::parse_str("(component)").unwrap(), |inner, _| component(4, &inner));
        assert!(!is_too_deep(&nested(MAX_DEPTH)));
        assert!(is_too_deep(&nested(MAX_DEPTH + 1)));
    }

    #[test]
    fn types_may_not_be_nested_without_end() {
        let engine = Engine::default();
        for kind in [OF_COMPONENT, OF_INSTANCE] {
            let most = types(kind, MAX_DEPTH);
            Component::new(&engine, &most).expect("it should be valid");
            assert!(!is_too_deep(&most));
            assert!(!is_too_deep(&component(COMPONENT, &most)));
            for depth in [MAX_DEPTH + 1, 500_000] {
                assert!(is_too_deep(&types(kind, depth)), "{depth}");
                assert!(is_too_deep(&component(COMPONENT, &types(kind, depth))), "{depth}");
            }
        }
    }

    #[test]
    fn what_comes_before_deep_types_is_read() {
        // The text has each kind of declaration, and other types before the nested types. The text parser has its own
        // depth limit.
        let text = r#"(component
            (type (func (param "a" u8) (result (list string))))
            (type (resource (rep i32)))
            (type $outer (component
                (core type (module))
                (type $own (record (field "a" u8)))
                (alias outer $outer 0 (type))
                (import "b" (func))
                (export "c" (type (eq $own)))
                (type (instance (type (instance)))))))"#;
        let component = wat::parse_str(text).unwrap();
        let deeper = |depth| {
            let mut types = sections(&component).map(Result::unwrap).filter(|(id, _)| *id == TYPES);
            types.any(|(_, body)| has_deeper_types(body, depth).unwrap())
        };
        assert!(!deeper(3));
        assert!(deeper(2));
    }
}
