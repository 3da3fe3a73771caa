//! Reads and writes the sections of a component's file.

use wasmparser::{BinaryReader, Result};

/// The number of bytes before the first section of a component. These bytes are the magic number, the version and the
/// layer.
pub(super) const HEADER: usize = 8;

/// The id of a section that contains a nested component. The other constants below are ids of sections that contain
/// names.
pub(super) const COMPONENT: u8 = 4;
pub(super) const INSTANCES: u8 = 5;
pub(super) const ALIASES: u8 = 6;
pub(super) const TYPES: u8 = 7;
pub(super) const IMPORTS: u8 = 10;
pub(super) const EXPORTS: u8 = 11;

/// Iterates over the sections of a component. Each item has the id and the contents of a section.
pub(super) fn sections(component: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8])>> {
    let mut reader = BinaryReader::new(component.get(HEADER..).unwrap_or_default(), HEADER);
    std::iter::from_fn(move || {
        (!reader.eof()).then(|| {
            let (id, length) = (reader.read_u8()?, reader.read_var_u32()?);
            Ok((id, reader.read_bytes(length as usize)?))
        })
    })
}

/// Appends a section to `component`.
pub(super) fn write_section(component: &mut Vec<u8>, id: u8, body: &[u8]) {
    component.push(id);
    write_length(component, body.len());
    component.extend(body);
}

/// Appends a length to `bytes`, encoded as LEB128.
pub(super) fn write_length(bytes: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        bytes.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    bytes.push(length.to_le_bytes()[0]);
}
