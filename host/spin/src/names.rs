//! Compares the names of interfaces, with their versions.

/// Reports whether the interface `own` can satisfy a component's import of `name`. Two versions of an interface are
/// compatible if they have the same first number, as in wasmtime. Versions that start with 0 or have a suffix must be
/// equal.
pub(crate) fn provides(own: &str, name: &str) -> bool {
    let track = |name: &str| {
        let (interface, version) = name.split_once('@')?;
        let major = version.split('.').next()?;
        (major != "0" && !version.contains('-')).then(|| (interface.to_owned(), major.to_owned()))
    };
    own == name || track(own).is_some_and(|own| track(name) == Some(own))
}
