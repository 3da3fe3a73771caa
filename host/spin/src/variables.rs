//! Variables: texts that the operator sets and a component asks for by name.
//!
//! `[variables]` of the manifest declares the application's variables. `[component.ID.variables]` says under which names
//! the component gets them. A component cannot ask for anything else.

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
    /// The name is not valid for a variable.
    InvalidName(String),
    /// The component has no variable of this name.
    Undefined(String),
    /// No provider has a value, or a provider failed. The text never contains the value of a variable.
    Provider(String),
}

/// The values of an application's variables.
#[derive(Default)]
pub struct Resolver {
    declared: Variables,
    /// The first provider that has a value decides.
    providers: Vec<Provider>,
}

/// The variables that one component can ask for. The default value has no variables. Each instance has a clone, so
/// cloning is cheap.
#[derive(Clone, Default)]
pub struct ComponentVariables(Option<Arc<Known>>);

/// The names of a component's variables, and what their values are made of.
struct Known {
    templates: BTreeMap<String, Template>,
    resolver: Arc<Resolver>,
}

impl Resolver {
    /// Makes a resolver for the variables that an application declares. The resolver asks the providers in this order.
    /// If no provider has a value, the resolver uses the variable's default.
    pub fn new(declared: Variables, providers: Vec<Provider>) -> Self {
        Self { declared, providers }
    }

    /// The value of a variable that the application declares.
    ///
    /// # Errors
    ///
    /// Returns an error if the variable is not declared, if a provider fails, or if the variable has neither a value
    /// nor a default.
    pub async fn variable(&self, name: &str) -> Result<String, Error> {
        for provider in &self.providers {
            if let Some(value) = provider.get(name).await.map_err(Error::Provider)? {
                return Ok(value);
            }
        }
        let declared = self.declared.get(name).ok_or_else(|| Error::Undefined(format!("no variable {name:?}")))?;
        declared.default.clone().ok_or_else(|| Error::Provider(format!("no provider has a value for {name:?}")))
    }

    /// The value of a template.
    ///
    /// # Errors
    ///
    /// Returns an error if one of its variables has no value.
    pub async fn fill(&self, template: &Template) -> Result<String, Error> {
        let mut values = Vec::new();
        for name in template.variables() {
            values.push(self.variable(name).await?);
        }
        let mut values = values.into_iter();
        template.fill(|_| Ok(values.next().unwrap_or_default()))
    }

    /// The names of required variables for which no provider has a value. If there is a server among the providers, no
    /// name is missing, because the server may have a value. As in Spin, the server is asked only when a value is
    /// needed.
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
    /// The variables with these names and values.
    pub fn new(templates: BTreeMap<String, Template>, resolver: Arc<Resolver>) -> Self {
        Self((!templates.is_empty()).then(|| Arc::new(Known { templates, resolver })))
    }

    /// The value of one of the component's variables.
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

    /// The names and values of all variables of the component.
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
