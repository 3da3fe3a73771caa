//! Reads TOML tables key by key. Each error message names the line of the mistake. If a table has a key that the code
//! never reads, the reader reports the key as unknown.

use std::{fmt::Display, ops::Range, path::Path};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::tool;

/// The text of a TOML file, and the file's name in messages.
pub(super) struct Document<'a> {
    name: String,
    text: &'a str,
}

impl<'a> Document<'a> {
    pub(super) fn new(path: &Path, text: &'a str) -> Self {
        Self { name: path.display().to_string(), text }
    }

    /// Returns the outermost table of the document. `name` is the table's name in messages.
    pub(super) fn root(&'a self, name: &str) -> anyhow::Result<Section<'a>> {
        let table = DeTable::parse(self.text).map_err(|error| self.toml_error(&error, 0..0, ""))?;
        Ok(Section { document: self, name: name.to_owned(), span: 0..0, table: table.into_inner(), known: Vec::new() })
    }

    /// Returns an error in the form `spin.toml:12: message`. In this example, the range `at` begins in line 12.
    pub(super) fn error(&self, at: &Range<usize>, message: impl Display) -> anyhow::Error {
        anyhow::anyhow!("{}", self.notice(at, message))
    }

    /// Returns a text in the form `spin.toml:12: message`. In this example, the range `at` begins in line 12.
    pub(super) fn notice(&self, at: &Range<usize>, message: impl Display) -> String {
        let line = self.text.bytes().take(at.start).filter(|byte| *byte == b'\n').count() + 1;
        format!("{}:{line}: {message}", self.name)
    }

    fn toml_error(&self, error: &toml::de::Error, at: Range<usize>, prefix: &str) -> anyhow::Error {
        self.error(&error.span().unwrap_or(at), format_args!("{prefix}{}", error.message()))
    }
}

/// A table that the host is reading. When the host reads a key, the host removes the key from the table. If a key is
/// still in the table at the end, the key is unknown.
pub(super) struct Section<'a> {
    document: &'a Document<'a>,
    name: String,
    span: Range<usize>,
    table: DeTable<'a>,
    known: Vec<&'static str>,
}

/// A key and a value of a table in which the author chooses the keys, for example the ids of components.
pub(super) struct Entry<'a> {
    pub(super) key: String,
    pub(super) span: Range<usize>,
    pub(super) value: Spanned<DeValue<'a>>,
}

impl<'a> Section<'a> {
    /// Removes a key from the table, and returns the key's value. If there is no such key, returns `None`.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> anyhow::Result<Option<T>> {
        Ok(self.take_spanned(key)?.map(|(value, _)| value))
    }

    /// Removes a key from the table, and returns the key's value with its byte range in the text. If there is no such
    /// key, returns `None`.
    pub(super) fn take_spanned<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> anyhow::Result<Option<(T, Range<usize>)>> {
        let Some(value) = self.take_value(key) else { return Ok(None) };
        let span = value.span();
        Ok(Some((self.decode(key, value)?, span)))
    }

    /// Removes a key from the table, and returns the key's text, which may be secret. If the key's value is not a text,
    /// the error does not show the value. If there is no such key, returns `None`.
    pub(super) fn take_secret(&mut self, key: &'static str) -> anyhow::Result<Option<String>> {
        let Some(value) = self.take_value(key) else { return Ok(None) };
        self.secret(key, &value).map(Some)
    }

    /// Returns the text of a value that may be secret. If the value is not a text, the error does not show the value.
    pub(super) fn secret(&self, key: &str, value: &Spanned<DeValue<'a>>) -> anyhow::Result<String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        text.ok_or_else(|| self.error(&value.span(), format_args!("{key:?} in {} must be a text", self.name)))
    }

    /// Removes a key from the table, and returns the key's value. If there is no such key, returns an error.
    pub(super) fn require<T: DeserializeOwned>(&mut self, key: &'static str) -> anyhow::Result<T> {
        self.take(key)?.ok_or_else(|| self.missing(key))
    }

    /// Returns the error for a missing key. If the table has a key with a similar name, the error says that this key is
    /// probably misspelled.
    pub(super) fn missing(&self, key: &str) -> anyhow::Error {
        match self.table.keys().find(|present| nearest(present.get_ref(), &[key]).is_some()) {
            Some(present) => self.unknown_key(present.get_ref(), &present.span(), &[key]),
            None => self.error(&self.span, format_args!("{} has no {key:?}", self.name)),
        }
    }

    /// Removes a key whose value is a table, and returns this table. If there is no such key, returns `None`.
    pub(super) fn section(&mut self, key: &'static str) -> anyhow::Result<Option<Section<'a>>> {
        let name = self.child_name(key);
        self.take_value(key).map(|value| self.open(name, value)).transpose()
    }

    /// Returns true if the table has no more keys.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Returns true if the table has this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Removes a key from the table, and returns the key's value without a conversion to a Rust type.
    pub(super) fn take_value(&mut self, key: &'static str) -> Option<Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// Sets a key. If the old and the new value are tables, adds the entries of the new table to the old table.
    pub(super) fn merge(&mut self, key: &'static str, value: Spanned<DeValue<'a>>) {
        let (span, value) = (value.span(), value.into_inner());
        match (self.table.get_mut(key).map(Spanned::get_mut), value) {
            (Some(DeValue::Table(old)), DeValue::Table(new)) => {
                for (key, value) in new {
                    old.insert(key, value);
                }
            }
            (_, value) => _ = self.table.insert(Spanned::new(span.clone(), key.into()), Spanned::new(span, value)),
        }
    }

    /// Converts the value of `key` to the Rust type `T`.
    pub(super) fn decode<T: DeserializeOwned>(&self, key: &str, value: Spanned<DeValue<'a>>) -> anyhow::Result<T> {
        let span = value.span();
        T::deserialize(ValueDeserializer::from(value))
            .map_err(|error| self.document.toml_error(&error, span, &format!("{key:?} in {}: ", self.name)))
    }

    /// Opens a value that must be a table, so that the host can read the keys of the table. `name` is the table's name
    /// in messages.
    pub(super) fn open(&self, name: String, value: Spanned<DeValue<'a>>) -> anyhow::Result<Section<'a>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Ok(Section { document: self.document, name, span, table, known: Vec::new() }),
            other => Err(self.error(&span, format_args!("{name} must be a table, not of type {}", other.type_str()))),
        }
    }

    /// Removes all remaining keys from the table, and returns the entries in the order of the text.
    pub(super) fn take_rest(&mut self) -> Vec<Entry<'a>> {
        let mut entries: Vec<Entry<'a>> = std::mem::take(&mut self.table)
            .into_iter()
            .map(|(key, value)| Entry { span: key.span(), key: key.into_inner().into_owned(), value })
            .collect();
        entries.sort_by_key(|entry| entry.span.start);
        entries
    }

    /// Returns an error if the host has not read all keys of the table. The error says that the first remaining key is
    /// unknown.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        match self.take_rest().first() {
            None => Ok(()),
            Some(entry) => match tool::misplaced(&entry.key) {
                Some(place) => Err(self.misplaced_key(&entry.key, &entry.span, place)),
                None => Err(self.unknown_key(&entry.key, &entry.span, &self.known)),
            },
        }
    }

    /// Adds a warning for each key of the table that the host has not read. The warning says that the key is unknown.
    pub(super) fn warn_of_rest(mut self, warnings: &mut Vec<String>) {
        for entry in self.take_rest() {
            warnings.push(self.notice(&entry.span, format_args!("{:?} in {} has no effect", entry.key, self.name)));
        }
    }

    /// Returns the error for an unknown key. `known` are the keys that the table may have.
    pub(super) fn unknown_key(&self, key: &str, at: &Range<usize>, known: &[impl AsRef<str>]) -> anyhow::Error {
        let hint = match nearest(key, known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => {
                let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
                format!("it may have: {}", known.join(", "))
            }
        };
        self.error(at, format_args!("unknown key {key:?} in {} ({hint})", self.name))
    }

    /// Returns the error for a key in the wrong table. `place` is a text that says where the key is allowed.
    pub(super) fn misplaced_key(&self, key: &str, at: &Range<usize>, place: &str) -> anyhow::Error {
        self.error(at, format_args!("{key:?} has no meaning in {}: {place}", self.name))
    }

    /// Returns the table's name as errors write it, for example `[component.notify]`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the byte range of the table in the manifest's text.
    pub(super) fn span(&self) -> &Range<usize> {
        &self.span
    }

    /// Returns an error in the form `spin.toml:12: message`. In this example, the range `at` begins in line 12.
    pub(super) fn error(&self, at: &Range<usize>, message: impl Display) -> anyhow::Error {
        self.document.error(at, message)
    }

    /// Returns a text in the form `spin.toml:12: message`. In this example, the range `at` begins in line 12.
    pub(super) fn notice(&self, at: &Range<usize>, message: impl Display) -> String {
        self.document.notice(at, message)
    }

    /// Returns the name that messages use for a table inside this table.
    pub(super) fn child_name(&self, key: &str) -> String {
        match self.name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            Some(name) => format!("[{name}.{key}]"),
            None => format!("[{key}]"),
        }
    }
}

/// Returns the word of `known` that is most similar to `word`. If no word is similar enough, returns `None`.
pub fn nearest<'k>(word: &str, known: &'k [impl AsRef<str>]) -> Option<&'k str> {
    known
        .iter()
        .map(|candidate| (strsim::osa_distance(word, candidate.as_ref()), candidate.as_ref()))
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(4))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["source", "files", "environment", "build"];
        for (word, expected) in [
            ("soruce", Some("source")),
            ("sources", Some("source")),
            ("enviroment", Some("environment")),
            ("biuld", Some("build")),
            ("listen", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
    }
}
