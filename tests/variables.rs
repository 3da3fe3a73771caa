//! The environment variables for options. The message about a wrong value names the variable, and the host warns about
//! a misspelled variable.

use crate::client::get;
use crate::guests;
use crate::process::{Process, application, epilogue, up};

#[test]
fn a_wrong_value_is_told_with_where_it_came_from() {
    let app = application(guests::HELLO, "");
    let levels = "is not a level: write off, error, warn, info, debug or trace, or a target and its level, as in \"info,epilogue::task=off\"";
    for (option, variable, value, why) in [
        ("memory <SIZE>", "EPILOGUE_MEMORY", "1KiB", "\"1KiB\" is too small: the least is 64KiB"),
        ("memory <SIZE>", "EPILOGUE_MEMORY", "lots", "\"lots\" is not a size such as \"1MiB\", \"64KiB\" or \"4096\""),
        ("request-timeout <DURATION>", "EPILOGUE_REQUEST_TIMEOUT", "0s", "\"0s\" is too small: the least is 1ms"),
        ("log <FILTER>", "EPILOGUE_LOG", "wran", &format!("\"wran\" {levels}")),
        ("log <FILTER>", "EPILOGUE_LOG", "info,epilogue::task=of", &format!("\"of\" {levels}")),
        ("durable[=<BOOL>]", "EPILOGUE_DURABLE", "maybe", "\"maybe\" is not true or false"),
        ("build", "EPILOGUE_BUILD", "maybe", "value was not a boolean"),
    ] {
        let mut by_variable = up(app.path(), []);
        by_variable.env(variable, value);
        let ended = Process::start(by_variable).ended();
        let expected = format!("error: invalid value '{value}' for '{variable}': {why}");
        assert_eq!((ended.code, &ended.stderr[0]), (Some(2), &expected));
        if option == "build" {
            continue;
        }
        let name = option.split(['[', ' ']).next().unwrap();
        let ended = Process::start(up(app.path(), [format!("--{name}={value}").as_str()])).ended();
        let expected = format!("error: invalid value '{value}' for '--{option}': {why}");
        assert_eq!((ended.code, &ended.stderr[0]), (Some(2), &expected));
    }
}

#[test]
fn a_misspelt_variable_is_warned_of() {
    let app = application(guests::HELLO, "");
    let mut command = up(app.path(), []);
    command.env("EPILOGUE_TASK_TIMOUT", "1s").env("EPILOGUE_LOG_FORMAT", "text");
    let host = Process::start(command);
    assert_eq!(get(host.address(), "/"), "Hello, world!");
    let hint = "the variable EPILOGUE_TASK_TIMOUT has no effect: did you mean EPILOGUE_TASK_TIMEOUT?";
    host.logged(hint);
    host.signal("TERM");
    assert_eq!(host.ended().stderr.iter().filter(|line| line.contains("has no effect")).count(), 1);

    let mut build = epilogue(["build", "--from"]);
    build.arg(app.path()).env("EPILOGUE_TASK_TIMOUT", "1s");
    assert_eq!(Process::start(build).ended().stderr[0], format!("Warning: {hint}"));
}
