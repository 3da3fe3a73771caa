//! Spin's templates: text with variables in double braces, such as `https://{{ host }}/`.

use std::fmt;

/// A text in which `{{ NAME }}` stands for the value of the application's variable `NAME`. `Display` shows the text as
/// its author wrote it, and never shows the value of a variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable(String),
}

impl Template {
    /// Reads a template from its text.
    ///
    /// # Errors
    ///
    /// Returns an error if the text has a `{{` without a `}}`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((literal, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                return Err(format!("{text:?} has \"{{{{\" without \"}}}}\""));
            };
            parts.extend([Part::Literal(literal.to_owned()), Part::Variable(name.trim().to_owned())]);
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Makes a template whose value is exactly this text, even if the text contains `{{`.
    pub fn literal(text: &str) -> Self {
        Self { text: text.to_owned(), parts: vec![Part::Literal(text.to_owned())] }
    }

    /// Returns the names of the variables, in the order of the text.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// Returns true if the template contains no variables.
    pub fn is_literal(&self) -> bool {
        self.variables().next().is_none()
    }

    /// Returns the text, with each variable replaced by its value. `value_of` gets a variable's name, and returns the
    /// variable's value.
    ///
    /// # Errors
    ///
    /// Returns the first error that `value_of` returns.
    pub fn fill<E>(&self, mut value_of: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => filled.push_str(text),
                Part::Variable(name) => filled.push_str(&value_of(name)?),
            }
        }
        Ok(filled)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let value_of = |name: &str| Ok::<_, String>(name.to_uppercase());
        for (text, names, expected) in [
            ("", &[][..], ""),
            ("plain } {", &[], "plain } {"),
            ("{{a}}", &["a"], "A"),
            ("x-{{ a }}{{b }}-y", &["a", "b"], "x-AB-y"),
            ("{ {{a}} }", &["a"], "{ A }"),
        ] {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.variables().collect::<Vec<_>>(), names, "{text}");
            assert_eq!(template.is_literal(), names.is_empty());
            assert_eq!(template.fill(value_of), Ok(expected.to_owned()));
            assert_eq!(template.to_string(), text);
        }
        assert_eq!(Template::literal("{{ a }}").fill(value_of), Ok("{{ a }}".to_owned()));
        assert_eq!(Template::parse("a {{ b"), Err("\"a {{ b\" has \"{{\" without \"}}\"".to_owned()));
        assert_eq!(Template::parse("{{ a }}").unwrap().fill(|name| Err::<String, _>(name.len())), Err(1));
    }
}
