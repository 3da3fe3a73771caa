//! Reads the environment variables that set options. This module warns of unknown variables. If a variable has a wrong
//! value, this module makes the error message name the variable.

use std::env;
use std::ffi::OsString;

use anyhow::anyhow;
use clap::error::{ContextKind, ContextValue, Error};
use clap::{Arg, Command};
use epilogue_manifest::manifest::nearest;
use epilogue_manifest::settings::HostOverlay;

use crate::commands::cli::{Cli, command, parse};

const PREFIX: &str = "EPILOGUE_";
/// Environment variables of `spin up` that this host also reads. Each pair contains a variable, and the option of this
/// host that the variable sets.
const OF_SPIN: [(&str, &str); 3] =
    [("SPIN_HTTP_LISTEN_ADDR", "listen"), ("SPIN_TLS_CERT", "tls-cert"), ("SPIN_TLS_KEY", "tls-key")];
/// Prefixes of variables that only the project's own tests read. In a variable's name, the prefix follows `EPILOGUE_`.
const TESTS: [&str; 3] = ["TEST_", "FAULT_", "OVERLOAD_"];

/// Reads the command line. If the command line has a mistake, the process prints a message and ends with exit code 2.
pub(super) fn command_line() -> Cli {
    parse(env::args_os()).unwrap_or_else(|error| name_variable(error, env::args_os(), |name| env::var_os(name)).exit())
}

/// Returns a warning for each unknown variable whose name begins with `EPILOGUE_`, because the user has probably
/// misspelled the name of a setting.
pub(super) fn warnings() -> Vec<String> {
    misspelt(env::vars_os().map(|(name, _)| name))
}

/// Returns the options that Spin's environment variables set. The `EPILOGUE_…` variables and the command line override
/// these options.
///
/// # Errors
///
/// Returns an error if a variable has a wrong value. The error message names the variable.
pub(super) fn of_spin() -> anyhow::Result<HostOverlay> {
    of_spin_from(|name| env::var_os(name))
}

fn of_spin_from(value_of: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<HostOverlay> {
    let mut options = HostOverlay::default();
    for (variable, option) in OF_SPIN {
        if let Some(value) = value_of(variable) {
            let set = options.set(option, &value.to_string_lossy());
            set.map_err(|error| anyhow!("the variable {variable} is wrong: {error}"))?;
        }
    }
    Ok(options)
}

fn misspelt(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let command = command();
    let known: Vec<&str> =
        options(&command).filter_map(variable).filter_map(|name| name.strip_prefix(PREFIX)).collect();
    let names = names.filter_map(|name| name.into_string().ok());
    let mut own: Vec<String> = names.filter_map(|name| Some(name.strip_prefix(PREFIX)?.to_owned())).collect();
    own.retain(|name| !known.contains(&name.as_str()) && !TESTS.iter().any(|start| name.starts_with(start)));
    own.sort();
    let warning = |name: &String| {
        let hint = match nearest(name, &known) {
            Some(near) => format!("did you mean {PREFIX}{near}?"),
            None => "`epilogue up --help` lists the variables".to_owned(),
        };
        format!("the variable {PREFIX}{name} has no effect: {hint}")
    };
    own.iter().map(warning).collect()
}

/// Corrects an error of the command-line parser. If the error concerns a wrong value from an environment variable, the
/// returned error names this variable instead of the command-line option.
fn name_variable(
    mut error: Error,
    arguments: impl Iterator<Item = OsString>,
    value_of: impl Fn(&str) -> Option<OsString>,
) -> Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let (Some(argument), Some(value)) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue)) else {
        return error;
    };
    // As in `--memory <SIZE>` and `--durable[=<BOOL>]`.
    let option = argument.split(['[', ' ', '=']).next().unwrap_or_default();
    let command = command();
    let is_meant = |option: &&Arg| {
        option.get_long().is_some_and(|long| {
            argument.strip_prefix("--").is_some_and(|rest| {
                rest.strip_prefix(long).is_some_and(|end| end.is_empty() || end.starts_with(['[', ' ', '=']))
            })
        })
    };
    let Some(variable) = options(&command).find(is_meant).and_then(variable) else { return error };
    let is_given = arguments
        .filter_map(|given| given.into_string().ok())
        .any(|given| given.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')));
    if !is_given && value_of(variable).is_some_and(|own| own.to_string_lossy() == value) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable.to_owned()));
    }
    error
}

/// Returns the options of all subcommands.
fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_subcommands().flat_map(Command::get_arguments)
}

fn variable(option: &Arg) -> Option<&str> {
    option.get_env().and_then(|name| name.to_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_told() {
        let names =
            ["EPILOGUE_TASK_TIMOUT", "EPILOGUE_LOG", "EPILOGUE_XYZ", "EPILOGUE_TEST_ENGINE", "HOME", "EPILOGUE_"];
        let warnings = misspelt(names.iter().map(OsString::from));
        assert_eq!(
            warnings,
            [
                "the variable EPILOGUE_ has no effect: `epilogue up --help` lists the variables",
                "the variable EPILOGUE_TASK_TIMOUT has no effect: did you mean EPILOGUE_TASK_TIMEOUT?",
                "the variable EPILOGUE_XYZ has no effect: `epilogue up --help` lists the variables",
            ]
        );
    }

    #[test]
    fn variables_of_spin_set_options() {
        let value_of = |name: &str| match name {
            "SPIN_HTTP_LISTEN_ADDR" => Some("127.0.0.1:1234".into()),
            "SPIN_TLS_KEY" => Some("key.pem".into()),
            _ => None,
        };
        let options = of_spin_from(value_of).unwrap();
        assert_eq!(options.listen, Some("127.0.0.1:1234".parse().unwrap()));
        assert_eq!((options.tls_key, options.tls_cert), (Some("key.pem".into()), None));
        let error = of_spin_from(|name| name.ends_with("ADDR").then(|| "here".into())).unwrap_err().to_string();
        assert!(error.starts_with("the variable SPIN_HTTP_LISTEN_ADDR is wrong: "), "{error}");
    }

    /// Parses `arguments` as if the environment variable `variable` had the value `value`, and returns the parser's
    /// error.
    fn error(arguments: &[&str], variable: &str, value: &str) -> String {
        let arguments: Vec<_> = ["epilogue", "up"].iter().chain(arguments).map(OsString::from).collect();
        let error = parse(&arguments).unwrap_err();
        let value_of = |name: &str| (name == variable).then(|| value.into());
        name_variable(error, arguments.into_iter(), value_of).to_string()
    }

    #[test]
    fn a_value_on_the_command_line_is_the_options() {
        for arguments in [&["--memory", "lots"][..], &["--memory=lots"]] {
            let error = error(arguments, "EPILOGUE_MEMORY", "lots");
            assert!(error.starts_with("error: invalid value 'lots' for '--memory <SIZE>': \"lots\" is not"), "{error}");
        }
    }
}
