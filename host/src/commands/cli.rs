//! Defines the subcommands and options of the command line, and their help texts.

mod tasks;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use epilogue_manifest::settings::{HostOverlay, SettingsOverlay};

use super::dashboard::DashboardArgs;
use super::runtime_config::RuntimeArgs;
use super::status::StatusArgs;

pub(super) use self::tasks::{ChoiceArgs, TasksArgs, TasksCommand};

/// Runs WebAssembly HTTP components, and runs their background tasks after the response.
#[derive(Debug, Parser)]
#[command(name = "epilogue", version, max_term_width = 100)]
pub(super) struct Cli {
    /// The subcommand to run.
    #[command(subcommand)]
    pub command: Command,
}

/// A subcommand of `epilogue`, with its options.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs an application.
    ///
    /// SIGHUP reloads the application. After the reload, the old version of the application finishes the running
    /// requests, and the new version serves new requests. If the host gets SIGTERM or SIGINT, it accepts no new
    /// requests, and stops when the running requests and tasks have ended, or when the grace period (`--grace`) is
    /// over. If the host gets a second SIGTERM or a second SIGINT, it stops immediately.
    ///
    /// The exit code is 0 if the host abandoned no task when it stopped. The exit code is 1 if the application could
    /// not run. The exit code is 2 if the command line or an `EPILOGUE_*` variable has a mistake. The exit code is 3 if
    /// the host abandoned a task when it stopped, if a second signal stopped the host, or if a blocked thread did not
    /// stop in time.
    ///
    /// Each option except `--env`, `--variable` and `--key-value` has an environment variable. You can also set most
    /// options in the manifest, under the option's name. The table `[component.ID.tool.epilogue]` is for one component,
    /// and the table `[application.tool.epilogue]` is for all components. If you set an option in several places, the
    /// host uses the value from the first of these places: the command line, the environment variable, the component's
    /// table, the application's table.
    Up(Box<UpArgs>),
    /// Runs an application's durable tasks, and serves no requests.
    ///
    /// A worker runs the tasks that `epilogue up` has stored in the same task engine. You can run any number of
    /// workers, on one machine or on several machines. A worker accepts the same options and signals as `epilogue up`.
    /// The list of options below leaves out the options about clients, which have no effect on a worker.
    ///
    /// `--concurrency` is the largest number of requests whose tasks one worker runs at the same time. `--threads` is
    /// the number of threads on which a worker runs tasks. `epilogue up --work` serves requests and also runs durable
    /// tasks, so that you need no separate worker.
    Worker(Box<UpArgs>),
    /// Shows, retries and removes the durable tasks in the task engine.
    Tasks(TasksArgs),
    /// Builds an application's components with the commands in its manifest.
    Build(BuildArgs),
    /// Turns a guest into a component that runs with its tasks on any WASI 0.3 host.
    ///
    /// The composed component runs on Spin, Fermyon and `wasmtime serve`. The composed component reads its settings
    /// from the same environment variables as `epilogue up`, such as `EPILOGUE_TASK_TIMEOUT`.
    Compose(ComposeArgs),
    /// Serves a dashboard that shows the tasks in a task engine. No host needs to run.
    ///
    /// The dashboard shows the durable tasks that wait or run, and the durable tasks that failed for good. The
    /// dashboard of `epilogue up --dashboard` also shows the requests of the host.
    Dashboard(DashboardArgs),
    /// Shows what a running host does: its requests, tasks and limits.
    ///
    /// The host must run on this machine, under the same user as this command. If you send the signal SIGUSR1 to a
    /// host, the host logs its state.
    Status(StatusArgs),
    /// Creates a project with an example app, which has background tasks and runs on this host and on Spin.
    New(NewArgs),
}

/// The options of `epilogue up` that concern clients and responses. These options have no effect on a worker.
const ABOUT_CLIENTS: [&str; 23] = [
    "access-log",
    "body-timeout",
    "idle-timeout",
    "listen",
    "max-body-size",
    "max-connections",
    "max-connections-per-address",
    "max-draining",
    "max-header-size",
    "max-lag",
    "max-requests",
    "max-requests-per-address",
    "max-stalled-per-address",
    "max-streams",
    "request-id",
    "request-timeout",
    "response-timeout",
    "reuse",
    "send-timeout",
    "spin-headers",
    "tls-cert",
    "tls-key",
    "work",
];

/// Returns the definition of the command line. In this definition, the help text of `epilogue worker` leaves out the
/// options that have no effect on a worker.
pub(super) fn command() -> clap::Command {
    let hide = |argument: clap::Arg| {
        let hidden = argument.get_long().is_some_and(|name| ABOUT_CLIENTS.contains(&name));
        argument.hide(hidden)
    };
    Cli::command().mut_subcommand("worker", |worker| worker.mut_args(hide))
}

/// Parses a command line. The first item of `arguments` is the program's name.
///
/// # Errors
///
/// Returns an error if the command line has a mistake, or if the command line asks for help.
pub(super) fn parse(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))
}

/// The options of `epilogue up` and `epilogue worker`.
#[derive(Args, Debug)]
pub(super) struct UpArgs {
    /// The options that choose the application and its components.
    #[command(flatten)]
    pub application: ApplicationArgs,

    /// Build the components before the host starts, as `epilogue build` does.
    #[arg(long, env = "EPILOGUE_BUILD", value_parser = BoolishValueParser::new())]
    pub build: bool,

    /// Reload the application when its manifest or a component's file changes. With --build, the host also builds a
    /// component again when a source file of the component changes. In the manifest, `build.watch` lists the source
    /// files.
    #[arg(long, env = "EPILOGUE_WATCH", value_parser = BoolishValueParser::new())]
    pub watch: bool,

    // `--env` has no variable of its own, because values may contain any separator.
    /// Set an environment variable for all components. To set several variables, repeat the option.
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = parse_variable)]
    pub env: Vec<(String, String)>,

    /// The options for variables and key-value stores.
    #[command(flatten)]
    pub runtime: RuntimeArgs,

    /// The options of the host.
    #[command(flatten)]
    pub host: HostOverlay,

    /// The settings of all components.
    #[command(flatten)]
    pub settings: SettingsOverlay,
}

/// The options of `epilogue build`.
#[derive(Args, Debug)]
pub(super) struct BuildArgs {
    /// The options that choose the application and its components.
    #[command(flatten)]
    pub application: ApplicationArgs,
}

/// The options of `epilogue compose`.
#[derive(Args, Debug)]
pub(crate) struct ComposeArgs {
    /// The guest: the component that `epilogue up` runs.
    #[arg(value_name = "GUEST.wasm")]
    pub guest: PathBuf,

    /// File of a middleware that wraps the guest. To add several middlewares, repeat the option. The first middleware
    /// is the outermost, so it gets each request first.
    #[arg(long, value_name = "FILE.wasm")]
    pub middleware: Vec<PathBuf>,

    /// File to which the command writes the composed component.
    #[arg(short, long, value_name = "OUT.wasm")]
    pub output: PathBuf,
}

/// The options of `epilogue new`.
#[derive(Args, Debug)]
pub(super) struct NewArgs {
    /// Create an app in TypeScript with Hono. The default is an app in Rust with axum.
    #[arg(long)]
    pub ts: bool,

    /// Create an app in Python with FastAPI.
    #[arg(long, conflicts_with = "ts")]
    pub python: bool,

    /// With --python, create an app without a framework.
    #[arg(long, requires = "python")]
    pub plain: bool,

    /// Name of the project, of its package and of its component: one or more lowercase words, joined by `-`.
    pub name: String,

    /// Folder for the project. If the folder exists, it must be empty. The default is the project's name.
    #[arg(short, long, visible_alias = "path", value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Folder of a clone of Epilogue's repository. The project uses the SDK in this clone. The default is the clone
    /// from which this command was built.
    #[arg(long, value_name = "CLONE")]
    pub sdk: Option<PathBuf>,
}

/// The options that choose the application of a command, and the application's components.
#[derive(Args, Debug)]
pub(super) struct ApplicationArgs {
    /// The application: a manifest, or a folder with a spin.toml. The default is the spin.toml in the current folder.
    /// If the current folder has no spin.toml, the default is the spin.toml in the nearest folder above the current
    /// folder, in the same git repository.
    #[arg(short = 'f', long, visible_alias = "file", alias = "from-file", env = "EPILOGUE_FROM", value_name = "PATH")]
    pub from: Option<PathBuf>,

    /// Use this profile of the manifest. The profile's values replace other values in the manifest, such as a
    /// component's build command.
    #[arg(long, env = "EPILOGUE_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,

    /// Use only this component. To use several components, repeat the option. The default is all components.
    #[arg(short, long = "component-id", env = "EPILOGUE_COMPONENT_ID", value_name = "ID", value_delimiter = ',')]
    pub component_ids: Vec<String>,
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use epilogue_manifest::values::{LogFormat, OnFailure};

    use super::*;

    fn up(arguments: &[&str]) -> Result<UpArgs, clap::Error> {
        let cli = parse(["epilogue", "up"].iter().chain(arguments))?;
        match cli.command {
            Command::Up(up) => Ok(*up),
            _ => panic!("this is not up"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nothing_is_set_by_default() {
        let up = up(&[]).unwrap();
        assert_eq!(up.host, HostOverlay::default());
        assert_eq!(up.settings, SettingsOverlay::default());
        assert_eq!(up.application.from, None);
        assert!(!up.build);
    }

    #[test]
    fn spins_flags_mean_what_they_mean_in_spin() {
        let up = up(&[
            "-f",
            "app",
            "--build",
            "--listen",
            "127.0.0.1:0",
            "-e",
            "A=1",
            "--env",
            "B=2=3",
            "-c",
            "one",
            "--component-id",
            "two",
            "--tls-cert",
            "c.pem",
            "--tls-key",
            "k.pem",
            "--quiet",
            "--allow-transient-write",
        ])
        .unwrap();
        assert_eq!(up.application.from, Some("app".into()));
        assert_eq!(up.application.component_ids, ["one", "two"]);
        assert!(up.build);
        assert_eq!(up.env, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2=3".to_owned())]);
        let host = up.host.resolve();
        assert_eq!(host.listen.port(), 0);
        assert!(host.quiet);
        assert!(host.tls_files().unwrap().is_some());
        assert!(up.settings.resolve().allow_transient_write);
    }

    #[test]
    fn settings_are_options() {
        let up = up(&[
            "--reuse",
            "1",
            "--on-failure",
            "continue",
            "--task-timeout",
            "500ms",
            "--memory",
            "64MiB",
            "--grace",
            "5m",
            "--log-format",
            "json",
            "--threads",
            "3",
        ])
        .unwrap();
        let (host, settings) = (up.host.resolve(), up.settings.resolve());
        assert_eq!(settings.reuse.get(), 1);
        assert_eq!(settings.on_failure, OnFailure::Continue);
        assert_eq!(settings.task_timeout, Duration::from_millis(500));
        assert_eq!(settings.memory.bytes(), 64 << 20);
        assert_eq!(host.grace, Duration::from_secs(300));
        assert_eq!(host.log_format, LogFormat::Json);
        assert_eq!(host.threads.get(), 3);
    }

    #[test]
    fn bad_values_are_explained() {
        for (arguments, expected) in [
            (["--reuse", "0"], "is not a whole number of at least 1"),
            (["--memory", "lots"], "is not a size such as"),
            (["--task-timeout", "30"], "is not a duration such as"),
            (["--on-failure", "retry"], "is not one of \"stop\", \"continue\""),
            (["--env", "KEY"], "write KEY=VALUE"),
        ] {
            let error = up(&arguments).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn every_option_has_a_variable() {
        let mut command = Cli::command();
        let up = command.find_subcommand_mut("up").unwrap();
        // The others have none, or Spin's.
        let others = ["help", "env", "key_values", "variables", "runtime_config_file"];
        for argument in up.get_arguments().filter(|argument| !others.contains(&argument.get_id().as_str())) {
            let expected = format!("EPILOGUE_{}", argument.get_long().unwrap().replace('-', "_").to_uppercase());
            assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(expected.as_str()));
        }
    }

    #[test]
    fn a_worker_s_help_has_what_means_something_there() {
        let mut command = command();
        let options = command.find_subcommand_mut("worker").unwrap().get_arguments().cloned().collect::<Vec<_>>();
        for name in ABOUT_CLIENTS {
            assert!(options.iter().any(|option| option.get_long() == Some(name)), "--{name} is no option");
        }
        let help = command.find_subcommand_mut("worker").unwrap().render_long_help().to_string();
        assert!(help.contains("--visibility-timeout <DURATION>") && !help.contains("--listen"), "{help}");
    }

    #[test]
    fn every_setting_has_its_default_in_the_help() {
        let help = Cli::command().find_subcommand_mut("up").unwrap().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in ["[default: 127.0.0.1:3000]", "[default: 30s]", "[default: 5m]", "[default: 128MiB]"] {
            assert!(help.contains(expected), "{help}");
        }
    }
}
