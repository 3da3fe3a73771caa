//! Reads the key `targets`, which names the environments that a component is made for. This host checks only that the
//! value has the right form, and does not use the value.

use super::reader::Section;

/// Checks that the key `targets` of a table is a list of names, addresses and files.
pub(super) fn check(table: &mut Section<'_>) -> anyhow::Result<()> {
    let Some((targets, at)) = table.take_spanned::<Vec<toml::Value>>("targets")? else { return Ok(()) };
    let is_target = |target: &toml::Value| match target {
        toml::Value::String(_) => true,
        toml::Value::Table(place) => {
            place.len() == 1 && ["url", "path"].iter().any(|key| place.get(*key).is_some_and(toml::Value::is_str))
        }
        _ => false,
    };
    match targets.iter().all(is_target) {
        true => Ok(()),
        false => Err(table.error(
            &at,
            format_args!(
                "\"targets\" in {} must be a list of names such as \"spin-up:4.0\", {{ url = \"…\" }} and {{ path = \"…\" }}",
                table.name()
            ),
        )),
    }
}
