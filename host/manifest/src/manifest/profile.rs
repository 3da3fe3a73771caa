//! Reads a component's profiles. A profile has other values for some of the component's keys, such as `source` and
//! `build`. For example, a profile can name a debug build of the component.

use toml::{Spanned, de::DeValue};

use super::{
    Manifest,
    reader::{Entry, Section, nearest},
};

/// The keys that a profile may have. In a profile, `build` may have only `command`.
const KEYS: [&str; 4] = ["source", "environment", "dependencies", "build"];

/// Reads the profiles of a component, and puts the values of the chosen profile into the component's table. If the
/// profile has a table `environment` or `dependencies`, the function adds the table's entries to the component's own
/// entries. Returns true if the chosen profile has a key `source`.
pub(super) fn apply(component: &mut Section<'_>, manifest: &mut Manifest) -> anyhow::Result<bool> {
    let Some(mut profiles) = component.section("profile")? else { return Ok(false) };
    let mut has_source = false;
    for Entry { key, value, .. } in profiles.take_rest() {
        let mut profile = profiles.open(profiles.child_name(&key), value)?;
        let values = KEYS.map(|key| profile.take_value(key).map(|value| (key, value)));
        for (key, value) in values.iter().flatten() {
            if *key == "build" {
                check_build(&profile, value.clone())?;
            }
        }
        profile.finish()?;
        if manifest.profile.as_ref() == Some(&key) {
            has_source = values[0].is_some();
            values.into_iter().flatten().for_each(|(key, value)| component.merge(key, value));
        }
        manifest.profiles.push(key);
    }
    Ok(has_source)
}

fn check_build<'a>(profile: &Section<'a>, value: Spanned<DeValue<'a>>) -> anyhow::Result<()> {
    let mut build = profile.open(profile.child_name("build"), value)?;
    if build.take_value("command").is_none() {
        return Err(build.missing("command"));
    }
    build.finish()
}

impl Manifest {
    /// Checks that at least one component has the chosen profile. As in Spin, components without this profile use their
    /// own values.
    pub(super) fn check_profile(&self) -> anyhow::Result<()> {
        let Some(chosen) = self.profile.as_ref().filter(|chosen| !self.profiles.contains(chosen)) else {
            return Ok(());
        };
        let hint = match nearest(chosen, &self.profiles) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "see [component.ID.profile.NAME]".to_owned(),
        };
        anyhow::bail!("{}: no component has the profile {chosen:?}: {hint}", self.path.display())
    }
}
