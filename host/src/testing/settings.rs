//! Sets the settings of a `TestHost`.

use epilogue_manifest::settings::{HostOverlay, SettingsOverlay};

/// The settings that `epilogue up` applies to its whole process. A `TestHost` cannot have these settings, because all
/// hosts of a test share one process.
const OF_THE_PROCESS: [&str; 9] =
    ["grace", "log", "log-format", "max-memory", "metrics-listen", "quiet", "task-spans", "tls-cert", "tls-key"];

/// Sets the setting `name` to `value`, for the host or for all components. Panics if a `TestHost` cannot have this
/// setting, or if the value is not valid.
pub(super) fn set(host: &mut HostOverlay, components: &mut SettingsOverlay, name: &str, value: &str) {
    assert!(
        !OF_THE_PROCESS.contains(&name),
        "{name:?} is a setting of the process, which the hosts of a test share: test it with `epilogue up`"
    );
    let set = match components.set(name, value) {
        Ok(false) => host.set(name, value),
        set => set,
    };
    assert!(
        set.unwrap_or_else(|error| panic!("{name}: {error}")),
        "there is no setting {name:?}, but: {}",
        names().join(", ")
    );
}

fn names() -> Vec<String> {
    let mut names = [HostOverlay::names(), SettingsOverlay::names()].concat();
    names.retain(|name| !OF_THE_PROCESS.contains(&name.as_str()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "\"max-memory\" is a setting of the process")]
    fn a_setting_of_the_process_is_refused() {
        set(&mut HostOverlay::default(), &mut SettingsOverlay::default(), "max-memory", "1GiB");
    }

    #[test]
    fn each_setting_of_the_process_exists() {
        let names = HostOverlay::names();
        let unknown: Vec<_> = OF_THE_PROCESS.iter().filter(|name| !names.iter().any(|known| known == *name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
