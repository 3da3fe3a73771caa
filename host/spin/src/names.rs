//! Compares the names of interfaces, with their versions.

/// Returns true if the host's interface `own` can satisfy a component's import of `name`. As in wasmtime, two versions
/// of an interface are compatible if they have the same first number, such as 3.0.0 and 3.1.0. A version that starts
/// with 0 or has a suffix, such as `-draft2`, is compatible only with the same version.
pub(crate) fn provides(own: &str, name: &str) -> bool {
    let track = |name: &str| {
        let (interface, version) = name.split_once('@')?;
        let major = version.split('.').next()?;
        (major != "0" && !version.contains('-')).then(|| (interface.to_owned(), major.to_owned()))
    };
    own == name || track(own).is_some_and(|own| track(name) == Some(own))
}
