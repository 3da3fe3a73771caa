//! The names of interfaces, with their versions.

/// Whether a component that imports `name` gets the interface `own`. As wasmtime does, it regards versions as equal that
/// differ behind the first number other than zero.
pub(crate) fn provides(own: &str, name: &str) -> bool {
    let track = |name: &str| {
        let (interface, version) = name.split_once('@')?;
        let major = version.split('.').next()?;
        (major != "0" && !version.contains('-')).then(|| (interface.to_owned(), major.to_owned()))
    };
    own == name || track(own).is_some_and(|own| track(name) == Some(own))
}
