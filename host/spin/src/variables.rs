//! Spin's variables. A variable is a text that the operator sets and that a component reads by name.
//!
//! In the manifest, `[variables]` declares the application's variables. `[component.ID.variables]` lists the variables
//! that the component `ID` can read, and builds their values from the application's variables. If
//! `[component.ID.variables]` does not list a variable, the component `ID` cannot read the variable.

mod interfaces;
mod provider;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use epilogue_manifest::manifest::{Variables, check_name};
use epilogue_manifest::template::Template;

pub use interfaces::Interface;
pub use provider::{Environment, Provider, Server, read_dotenv};

/// The reason why a component does not get the value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The name is not a valid name of a variable.
    InvalidName(String),
    /// The component has no variable with this name.
    Undefined(String),
    /// No provider has a value for the variable, or a provider failed. The text never contains the value of a variable.
    Provider(String),
}

/// Finds the values of an application's variables.
#[derive(Default)]
pub struct Resolver {
    declared: Variables,
    /// The places from which the host gets the values of variables. If several providers have a value for a variable,
    /// the resolver uses the value of the provider that comes first in this list.
    providers: Vec<Provider>,
}

/// The variables that one component can read. `ComponentVariables::default()` contains no variables. A clone is cheap,
/// so each instance of the component has its own clone.
#[derive(Clone, Default)]
pub struct ComponentVariables(Option<Arc<Known>>);

/// The names of a component's variables, and the templates of their values.
struct Known {
    templates: BTreeMap<String, Template>,
    resolver: Arc<Resolver>,
}

impl Resolver {
    /// Creates a resolver for the variables that an application declares. The resolver asks the providers in the order
    /// of `providers`. If no provider has a value, the resolver uses the variable's default.
    pub fn new(declared: Variables, providers: Vec<Provider>) -> Self {
        Self { declared, providers }
    }

    /// Returns the value of a variable that the application declares.
    ///
    /// # Errors
    ///
    /// Returns an error if a provider fails, or if no provider has a value and `[variables]` has no default for the
    /// variable.
    pub async fn variable(&self, name: &str) -> Result<String, Error> {
        for provider in &self.providers {
            if let Some(value) = provider.get(name).await.map_err(Error::Provider)? {
                return Ok(value);
            }
        }
        let declared = self.declared.get(name).ok_or_else(|| Error::Undefined(format!("no variable {name:?}")))?;
        declared.default.clone().ok_or_else(|| Error::Provider(format!("no provider has a value for {name:?}")))
    }

    /// Fills a template with the values of its variables, and returns the text.
    ///
    /// # Errors
    ///
    /// Returns an error if a variable of the template has no value.
    pub async fn fill(&self, template: &Template) -> Result<String, Error> {
        let mut values = Vec::new();
        for name in template.variables() {
            values.push(self.variable(name).await?);
        }
        let mut values = values.into_iter();
        template.fill(|_| Ok(values.next().unwrap_or_default()))
    }

    /// Returns the names of the variables that have no value, because `[variables]` has no default and no provider has
    /// a value. If a provider is a server, returns no names, because the server may have the values. The function does
    /// not ask the server: as in Spin, the host asks a server only when a component reads a variable.
    pub async fn missing(&self) -> Vec<&str> {
        let mut missing = Vec::new();
        if self.providers.iter().any(|provider| matches!(provider, Provider::Server(_))) {
            return missing;
        }
        for name in self.declared.keys() {
            if self.variable(name).await.is_err() {
                missing.push(name.as_str());
            }
        }
        missing
    }
}

impl ComponentVariables {
    /// Creates the variables of a component from their names and the templates of their values.
    pub fn new(templates: BTreeMap<String, Template>, resolver: Arc<Resolver>) -> Self {
        Self((!templates.is_empty()).then(|| Arc::new(Known { templates, resolver })))
    }

    /// Returns the value of one of the component's variables.
    ///
    /// # Errors
    ///
    /// Returns an error if the component has no such variable, or if the variable has no value.
    pub async fn get(&self, name: &str) -> Result<String, Error> {
        check_name(name).map_err(|reason| Error::InvalidName(format!("the variable name {name:?} {reason}")))?;
        let undefined = || Error::Undefined(format!("the component has no variable {name:?}"));
        let known = self.0.as_ref().ok_or_else(undefined)?;
        known.resolver.fill(known.templates.get(name).ok_or_else(undefined)?).await
    }

    /// Returns the names and values of all variables that the component can read.
    ///
    /// # Errors
    ///
    /// Returns an error if a variable has no value.
    pub async fn get_all(&self) -> Result<Vec<(String, String)>, Error> {
        let Some(known) = &self.0 else { return Ok(Vec::new()) };
        let mut values = Vec::new();
        for (name, template) in &known.templates {
            values.push((name.clone(), known.resolver.fill(template).await?));
        }
        Ok(values)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName(message) | Self::Undefined(message) | Self::Provider(message) => {
                formatter.write_str(message)
            }
        }
    }
}

impl std::error::Error for Error {}
