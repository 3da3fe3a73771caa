//! The guide's tables of settings say what the settings' one definition says.
//!
//! `GUIDE_BLESS=1 cargo test --test e2e tidy::settings` writes the tables anew.

use std::{env, fs};

use clap::{Arg, Args, Command};
use epilogue_manifest::settings::{HostOverlay, SettingsOverlay};

use super::root;

const PAGE: &str = "docs/guide/reference/settings.md";
const HEAD: &str = "| setting | value | default | what it does |\n|---|---|---|---|\n";

#[test]
fn the_guide_has_every_setting_and_its_default() {
    let path = root().join(PAGE);
    let found = fs::read_to_string(&path).unwrap();
    let with_host = with_table(&found, "host", &table::<HostOverlay>());
    let expected = with_table(&with_host, "components", &table::<SettingsOverlay>());
    if env::var_os("GUIDE_BLESS").is_some() {
        fs::write(&path, &expected).unwrap();
    } else {
        assert!(found == expected, "{PAGE} is out of date: run this test with GUIDE_BLESS=1. Expected:\n{expected}");
    }
}

/// Returns the page with this table between its marks, `<!-- NAME -->` and `<!-- end of NAME -->`.
fn with_table(page: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("{PAGE} has no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{PAGE} has no {end}"));
    format!("{before}{begin}\n{HEAD}{table}\n{end}{after}")
}

fn table<T: Args>() -> String {
    T::augment_args(Command::new("settings")).get_arguments().map(row).collect()
}

fn row(argument: &Arg) -> String {
    let name = argument.get_long().unwrap_or_default();
    let value = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default();
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let (about, default) = match help.split_once(" [default: ") {
        // The default is the number of cores of the machine that runs the test.
        Some((about, _)) if about.contains("the number of cores") => (about, "the number of cores".to_owned()),
        Some((about, default)) => (about, format!("`{}`", default.trim_end_matches(']'))),
        None if value == "BOOL" => (help.as_str(), "`false`".to_owned()),
        None => (help.as_str(), "none".to_owned()),
    };
    let about = about.replace('|', "\\|").replace('<', "&lt;");
    format!("| `{name}` | {} | {default} | {about} |\n", value.to_lowercase())
}
