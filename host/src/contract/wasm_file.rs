//! Reads a file that should be a WebAssembly component. If the file contains something else, the error says what the
//! file contains.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{bail, ensure};

/// The number of bytes that the host reads to find out what a file contains.
const BEGINNING: usize = 512;
/// If a file contains text, the error quotes at most this number of bytes.
const QUOTED: usize = 40;

/// Reads a component's file. If the file does not exist, the error ends with `advice`.
///
/// # Errors
///
/// Returns an error if the file cannot be read, or is not a component. The error names the file and says what the file
/// contains.
pub(crate) fn read(file: &Path, advice: &str) -> anyhow::Result<Vec<u8>> {
    let name = file.display();
    let bytes = fs::read(file).map_err(|error| {
        let advice = if error.kind() == ErrorKind::NotFound { format!(": {advice}") } else { String::new() };
        anyhow::Error::from(error).context(format!("cannot read {name}{advice}"))
    })?;
    // A core module begins with these eight bytes: the magic number and the version. A component has other values in
    // the last two of its first eight bytes, which are the layer.
    ensure!(
        !bytes.starts_with(b"\0asm\x01\0\0\0"),
        "{name} is a core WebAssembly module, not a component: build it for the target wasm32-wasip2"
    );
    if !bytes.starts_with(b"\0asm") {
        bail!("{name} is {}", describe(&bytes));
    }
    Ok(bytes)
}

fn describe(bytes: &[u8]) -> String {
    let beginning = &bytes[..bytes.len().min(BEGINNING)];
    match beginning {
        [] => return "empty".to_owned(),
        [0x7f, b'E', b'L', b'F', ..] => {
            return "a program for this machine, not WebAssembly: build it for the target wasm32-wasip2".to_owned();
        }
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] => return "a packed archive, not WebAssembly: unpack it".to_owned(),
        _ => {}
    }
    // The quote may end in the middle of a character.
    let text = String::from_utf8_lossy(beginning);
    let text = text.trim_end_matches(char::REPLACEMENT_CHARACTER).trim_start();
    if text.chars().any(|c| c == char::REPLACEMENT_CHARACTER || c.is_control() && !c.is_whitespace()) {
        "not WebAssembly: it does not begin with \\0asm".to_owned()
    } else if text.starts_with("version https://git-lfs") {
        "a pointer of Git LFS, not WebAssembly: run `git lfs pull`".to_owned()
    } else if ["(component", "(module", ";;"].iter().any(|start| text.starts_with(start)) {
        "WebAssembly as text: convert it with `wasm-tools parse`".to_owned()
    } else if text.starts_with('<') {
        "an HTML or XML document, not WebAssembly".to_owned()
    } else {
        let line = text.lines().next().unwrap_or_default();
        let end = line.floor_char_boundary(QUOTED);
        format!("a text that begins with {:?}, not WebAssembly", &line[..end])
    }
}

/// Reports whether two paths lead to the same file.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let place = |file: &Path| fs::metadata(file).map(|found| (found.dev(), found.ino())).ok();
    place(one).is_some_and(|found| place(other) == Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_webassembly_is_told_apart() {
        for (content, expected) in [
            (&b""[..], "empty"),
            (b"\x7fELF\x02\x01", "a program for this machine, not WebAssembly: build it for the target wasm32-wasip2"),
            (b"\x1f\x8b\x08\0", "a packed archive, not WebAssembly: unpack it"),
            (b"PK\x03\x04", "a packed archive, not WebAssembly: unpack it"),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "a pointer of Git LFS, not WebAssembly: run `git lfs pull`",
            ),
            (b"\n (component)", "WebAssembly as text: convert it with `wasm-tools parse`"),
            (b"<html>404</html>", "an HTML or XML document, not WebAssembly"),
            (b"[package]\nname = \"x\"", "a text that begins with \"[package]\", not WebAssembly"),
            (b"\x89PNG\r\n\x1a\n", "not WebAssembly: it does not begin with \\0asm"),
        ] {
            assert_eq!(describe(content), expected, "{content:?}");
        }
        let long = "é".repeat(BEGINNING);
        assert_eq!(describe(long.as_bytes()), format!("a text that begins with {:?}, not WebAssembly", "é".repeat(20)));
        assert_eq!(describe(&long.as_bytes()[1..]), "not WebAssembly: it does not begin with \\0asm");
    }
}
