//! Checks a whole manifest before its application runs.

use anyhow::{bail, ensure};

use crate::routes;

use super::{Component, HttpTrigger, Manifest, Middleware, Notice};

impl Manifest {
    /// Checks that this host can run the application, and adds warnings about the application to the manifest.
    pub(super) fn check_runnable(&mut self) -> anyhow::Result<()> {
        if !self.unsupported.is_empty() {
            let messages: Vec<&str> = self.unsupported.iter().map(|notice| notice.message.as_str()).collect();
            bail!("{}", messages.join("\n"));
        }
        ensure!(
            self.triggers.iter().any(|trigger| trigger.route.is_some()),
            "{}: there is nothing to serve: no [[trigger.http]] has a public route",
            self.path.display()
        );
        self.check_middleware()?;
        let warnings =
            [self.duplicate_routes(), self.reserved_routes(), self.idle_components(), self.idle_configuration()]
                .concat();
        self.warnings.extend(
            warnings
                .into_iter()
                .map(|message| Notice { component: None, message: format!("{}: {message}", self.path.display()) }),
        );
        Ok(())
    }

    /// Checks that no middleware has dependencies, because this host would ignore the middleware's dependencies.
    fn check_middleware(&self) -> anyhow::Result<()> {
        let middleware = self.triggers.iter().flat_map(HttpTrigger::middleware);
        for Middleware { id, source, .. } in middleware {
            let own = self.components.iter().find(|component| component.id == *id && component.source == *source);
            ensure!(
                own.is_none_or(|component| component.dependencies.is_empty()),
                "{}: the component {id:?} is a middleware, so this host does not add its dependencies: compose them into \
                 its file, such as with `wac plug`",
                self.path.display()
            );
        }
        Ok(())
    }

    /// Returns an error if a component in `only` may call a component that is not in `only`, as Spin does.
    pub(super) fn check_calls(&self, only: &[String]) -> anyhow::Result<()> {
        let chosen = self.components.iter().filter(|component| only.contains(&component.id));
        for component in chosen {
            let mut called = component.allowed_outbound_hosts.chained();
            if let Some(called) = called.find(|called| !only.iter().any(|id| id.eq_ignore_ascii_case(called))) {
                bail!(
                    "{}: the component {:?} may call \"http://{called}.spin.internal\", but --component-id does not \
                     choose {called:?}: add --component-id {called}",
                    self.path.display(),
                    component.id
                );
            }
        }
        Ok(())
    }

    fn duplicate_routes(&self) -> Vec<String> {
        let routes: Vec<(&str, &HttpTrigger)> = self.routes().collect();
        let later =
            |index: usize, route: &str| routes[index + 1..].iter().find(|(other, _)| routes::same_route(route, other));
        let message = |(index, (route, loser)): (usize, &(&str, &HttpTrigger))| {
            let (_, winner) = later(index, route)?;
            let of = if loser.component().is_some() { "component" } else { "the trigger" };
            let (loser, winner) = (loser.name(), winner.name());
            Some(format!(
                "the route {route:?} of {of} {loser:?} is never used: {winner:?} comes later and has the same route"
            ))
        };
        routes.iter().enumerate().filter_map(message).collect()
    }

    fn reserved_routes(&self) -> Vec<String> {
        self.routes()
            .filter(|(route, _)| route.starts_with(routes::RESERVED))
            .map(|(route, _)| format!("the route {route:?} is never used: {} belongs to the host", routes::RESERVED))
            .collect()
    }

    fn idle_components(&self) -> Vec<String> {
        let within = |id: &str| {
            self.components.iter().flat_map(|component| &component.dependencies).any(|dependency| dependency.id == id)
        };
        let calls = |trigger: &HttpTrigger, id: &str| {
            trigger.component() == Some(id) || trigger.middleware().iter().any(|middleware| middleware.id == id)
        };
        let idle = |id: &str| !self.triggers.iter().any(|trigger| calls(trigger, id));
        self.components
            .iter()
            .filter(|component| idle(&component.id) && !within(&component.id))
            .map(|component| format!("the component {:?} has no trigger, so it never runs", component.id))
            .collect()
    }

    /// Returns a warning for each component that is only used as middleware but has its own environment, files or
    /// variables. As in Spin, a middleware only has the configuration that it inherits from the wrapped component, so
    /// the middleware's own configuration has no effect.
    fn idle_configuration(&self) -> Vec<String> {
        let around = |id: &str| {
            self.triggers.iter().all(|trigger| trigger.component() != Some(id))
                && self.triggers.iter().flat_map(HttpTrigger::middleware).any(|middleware| middleware.id == id)
        };
        self.components
            .iter()
            .filter(|component| around(&component.id))
            .flat_map(|component| own_configuration(component).map(|key| (key, &component.id)))
            .map(|(key, id)| {
                format!(
                    "the key {key:?} of the middleware {id:?} has no effect: write it into the component that the \
                     middleware wraps, and add it to inherit_configuration"
                )
            })
            .collect()
    }
}

/// Returns the keys with which a component configures itself, such as `files`, in the order of the table.
pub(super) fn own_configuration(component: &Component) -> impl Iterator<Item = &'static str> {
    let hosts = component.allowed_outbound_hosts.is_empty() && component.templated_outbound_hosts.is_empty();
    let keys = [
        (component.environment.is_empty(), "environment"),
        (component.variables.is_empty(), "variables"),
        (component.files.is_empty(), "files"),
        (component.key_value_stores.is_empty(), "key_value_stores"),
        (hosts, "allowed_outbound_hosts"),
    ];
    keys.into_iter().filter_map(|(is_empty, key)| (!is_empty).then_some(key))
}
