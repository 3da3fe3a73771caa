//! Reads the application's variables, and the templates in components' tables that use these variables.

use std::{collections::BTreeMap, ops::Range};

use toml::Spanned;

use crate::template::Template;

use super::reader::{Section, nearest};

/// A variable that `[variables]` declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The variable's value if no provider has a value for the variable. If the default is `None` and no provider has a
    /// value, the variable has no value.
    pub default: Option<String>,
    /// If true, the host never shows the value.
    pub secret: bool,
}

/// The variables of an application, by their names.
pub type Variables = BTreeMap<String, Variable>;

/// Reads `[variables]`, which declares the application's variables.
pub(super) fn declared(root: &mut Section<'_>) -> anyhow::Result<Variables> {
    let Some(mut table) = root.section("variables")? else { return Ok(Variables::new()) };
    let mut variables = Variables::new();
    for entry in table.take_rest() {
        check_name(&entry.key)
            .map_err(|reason| table.error(&entry.span, format_args!("the variable name {:?} {reason}", entry.key)))?;
        let mut variable = table.open(table.child_name(&entry.key), entry.value)?;
        let default = variable.take_secret("default")?;
        let required = variable.take("required")?.unwrap_or(false);
        if required == default.is_some() {
            let message = format_args!("{} needs either a \"default\" or \"required = true\"", variable.name());
            return Err(variable.error(variable.span(), message));
        }
        let secret = variable.take("secret")?.unwrap_or(false);
        variable.take::<String>("description")?;
        variable.finish()?;
        variables.insert(entry.key, Variable { default, secret });
    }
    Ok(variables)
}

/// Reads the table `variables` of a component: the names and the templates of the variables that the component can
/// read.
pub(super) fn of_component(
    component: &mut Section<'_>,
    declared: &Variables,
) -> anyhow::Result<BTreeMap<String, Template>> {
    let Some(mut table) = component.section("variables")? else { return Ok(BTreeMap::new()) };
    let mut variables = BTreeMap::new();
    for entry in table.take_rest() {
        check_name(&entry.key)
            .map_err(|reason| table.error(&entry.span, format_args!("the variable name {:?} {reason}", entry.key)))?;
        let at = entry.value.span();
        let text: String = table.decode(&entry.key, entry.value)?;
        let template = template(&table, &at, &text, declared)?;
        variables.insert(entry.key, template);
    }
    Ok(variables)
}

/// Reads the template `text`, which is a value in `table`. If the template uses a variable that `[variables]` does not
/// declare, returns an error.
pub(super) fn template(
    table: &Section<'_>,
    at: &Range<usize>,
    text: &str,
    declared: &Variables,
) -> anyhow::Result<Template> {
    let template = Template::parse(text).map_err(|error| table.error(at, format_args!("{}: {error}", table.name())))?;
    if let Some(unknown) = template.variables().find(|name| !declared.contains_key(*name)) {
        let known: Vec<&str> = declared.keys().map(String::as_str).collect();
        let hint = match nearest(unknown, &known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("declare it as [variables] {unknown} = {{ … }}"),
        };
        let message = format_args!("{text:?} in {} uses the unknown variable {unknown:?}: {hint}", table.name());
        return Err(table.error(at, message));
    }
    Ok(template)
}

/// Reads a component's environment variables. The text of an environment variable may contain names of variables in
/// double braces. If `[variables]` declares every name in the text, this host later replaces the names by the
/// variables' values. If `[variables]` does not declare one of the names, this host does not change the text. Spin
/// never changes the text of environment variables.
pub(super) fn environment(
    component: &mut Section<'_>,
    declared: &Variables,
) -> anyhow::Result<BTreeMap<String, Template>> {
    let texts: BTreeMap<String, Spanned<String>> = component.take("environment")?.unwrap_or_default();
    let filled = |text: &str| {
        let template = Template::parse(text).ok()?;
        let is_known = template.variables().all(|name| declared.contains_key(name));
        is_known.then_some(template)
    };
    let value = |text: Spanned<String>| filled(text.get_ref()).unwrap_or_else(|| Template::literal(text.get_ref()));
    Ok(texts.into_iter().map(|(name, text)| (name, value(text))).collect())
}

/// Checks a variable's name by Spin's rule.
///
/// # Errors
///
/// Returns an error if the name breaks the rule. The error's text is the end of a sentence that begins with "the
/// variable name NAME".
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match name {
        _ if !name.chars().all(is_plain) => Err("may only have lower-case letters, digits and underscores"),
        _ if !name.starts_with(|c: char| c.is_ascii_lowercase()) => Err("must start with a letter"),
        _ if name.ends_with('_') || name.contains("__") => {
            Err("must have each underscore between two letters or digits")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_spin() {
        for name in ["a", "abc", "a1b2c3", "a_1", "a_1_b_3"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "aX", "1bc", "_x", "x.y", "x_", "a__b", "x-y", "é"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
