//! Tests the exact messages about mistakes in a manifest.

use super::*;

#[test]
fn mistakes_are_reported_with_their_line() {
    for (component, expected) in [
        (
            "[component.notify]\nsoruce = \"a\"",
            "spin.toml:11: unknown key \"soruce\" in [component.notify] (did you mean \"source\"?)",
        ),
        (
            "[component.notify]\nsource = \"a\"\nvariables = { token = \"{{ token }}\" }",
            "spin.toml:12: \"{{ token }}\" in [component.notify.variables] uses the unknown variable \"token\": declare it \
             as [variables] token = { … }",
        ),
        (
            "[component.notify]\nsource = \"a\"\nvariables = { token = \"{{ token\" }",
            "spin.toml:12: [component.notify.variables]: \"{{ token\" has \"{{\" without \"}}\"",
        ),
        (
            "[component.notify]\nsource = \"a\"\nvariables = { Token = \"a\" }",
            "spin.toml:12: the variable name \"Token\" may only have lower-case letters, digits and underscores",
        ),
        (
            "[component.notify]\nsource = \"a\"\nallowed_outbound_hosts = [\"https://{{ host }}\"]",
            "spin.toml:12: \"https://{{ host }}\" in [component.notify] uses the unknown variable \"host\": declare it as \
             [variables] host = { … }",
        ),
        ("[component.notify]\nfiles = []", "spin.toml:10: [component.notify] has no \"source\""),
        (
            "[component.notify]\nsource = \"a\"\nenviroment = {}",
            "spin.toml:12: unknown key \"enviroment\" in [component.notify] (did you mean \"environment\"?)",
        ),
        (
            "[component.notify]\nsource = \"a\"\n[component.notify.build]\ncomand = \"make\"\ncommand = \"make\"",
            "spin.toml:13: unknown key \"comand\" in [component.notify.build] (did you mean \"command\"?)",
        ),
        (
            "[component.notify]\nsource = \"a\"\nbuild = { workdir = \"x\" }",
            "spin.toml:12: [component.notify.build] has no \"command\"",
        ),
        (
            "[component.notify]\nsource = \"a\"\nbuild = { command = \"make\", workdir = \"/x\" }",
            "spin.toml:12: \"workdir\" in [component.notify.build] must be relative to the manifest",
        ),
        (
            "[component.notify]\nsource = \"a\"\nenvironment = { A = 1 }",
            "spin.toml:12: \"environment\" in [component.notify]: invalid type: integer `1`, expected a string",
        ),
        (
            "[component.notify]\nsource = \"a\"\nfiles = [\"../x\"]",
            "spin.toml:12: \"files\" in [component.notify]: \"../x\" leaves the application's folder: use { source = …, \
             destination = … }",
        ),
        (
            "[component.notify]\nsource = \"a\"\n[component.notify.tool.epilogue]\ntask-timeuot = \"1s\"",
            "spin.toml:13: unknown key \"task-timeuot\" in [component.notify.tool.epilogue] (did you mean \
             \"task-timeout\"?)",
        ),
        (
            "[component.notify]\nsource = \"a\"\n[component.notify.tool.epilogue]\nengine = \"sqlite:a.db\"",
            "spin.toml:13: \"engine\" has no meaning in [component.notify.tool.epilogue]: it is an option of the host, and \
             belongs in [application.tool.epilogue]",
        ),
        (
            "[component.notify]\nsource = \"a\"\ntask-timeout = \"1s\"",
            "spin.toml:12: \"task-timeout\" has no meaning in [component.notify]: it belongs in \
             [component.ID.tool.epilogue], or in [application.tool.epilogue] for all components",
        ),
        (
            "[component.notify]\nsource = \"a\"\n[component.notify.tool.epilogue]\nnonsense = 1",
            "spin.toml:13: unknown key \"nonsense\" in [component.notify.tool.epilogue] (it may have: source, middleware, reuse, \
             on-failure, request-timeout, response-timeout, task-timeout, drain-timeout, teardown-timeout, \
             max-tasks, max-task-args, max-request-args, max-body-size, body-timeout, durable, durable-attempts, \
             durable-backoff, durable-max-backoff, max-generations, max-backlog, spin-headers, memory, allow-transient-write, \
             max-transient-write)",
        ),
        (
            "[component.notify]\nsource = \"a\"\n[component.notify.tool.epilogue]\ntask-timeout = 30",
            "spin.toml:13: \"task-timeout\" in [component.notify.tool.epilogue]: \"30\" is not a duration such as \"30s\", \
             \"500ms\" or \"5m\"",
        ),
        (
            "[component.notify]\nsource = \"a\"\n[component.notify.tool.epilogue]\nreuse = [1]",
            "spin.toml:13: \"reuse\" in [component.notify.tool.epilogue] must be a text, a number, true or false",
        ),
        (
            "[component.note]\nsource = \"a\"\n[component.notiffy]\nsource = \"b\"",
            "spin.toml:8: unknown component \"notify\" in [[trigger.http]]: did you mean \"notiffy\"?",
        ),
        (
            "[component.other]\nsource = \"a\"",
            "spin.toml:8: unknown component \"notify\" in [[trigger.http]]: there is no [component.notify]",
        ),
        (
            "[component.bad_name]\nsource = \"a\"",
            "spin.toml:10: the component name \"bad_name\" must separate its words with \"-\", not \"_\"",
        ),
        (
            "[component.bad--name]\nsource = \"a\"",
            "spin.toml:10: the component name \"bad--name\" must be words joined by \"-\": a word has only letters and \
             digits, begins with a letter, and does not mix upper and lower case",
        ),
        ("[component]\nnotify = 3", "spin.toml:11: [component.notify] must be a table, not of type integer"),
        (
            "[component.notify]\nsource = \"a\"\n[aplication]\nname = \"x\"",
            "spin.toml:12: unknown key \"aplication\" in the manifest (did you mean \"application\"?)",
        ),
        ("[component.notify]\nsource = \"a\"\nsource = \"b\"", "spin.toml:12: duplicate key"),
    ] {
        assert_eq!(message(parse(&format!("{HEAD}{component}"))), expected);
    }
}

#[test]
fn triggers_are_checked() {
    for (trigger, expected) in [
        ("component = \"notify\"", "spin.toml:6: [[trigger.http]] has no \"route\""),
        ("route = \"/\"", "spin.toml:6: [[trigger.http]] has no \"component\""),
        (
            "component = \"notify\"\nroute = { private = false }",
            "spin.toml:8: \"route\" in [[trigger.http]] must be a path or { private = true }",
        ),
        (
            "component = \"notify\"\nroute = \"/a/.../b\"",
            "spin.toml:8: the route \"/a/.../b\" in [[trigger.http]] is wrong: a wildcard can only be the last segment",
        ),
        (
            "component = \"notify\"\nroute = \"/a\"\nexecutor = { type = \"cgi\" }",
            "spin.toml:9: \"executor\" in [[trigger.http]] must be { type = \"http\" }",
        ),
        (
            "component = \"notify\"\nroutes = \"/a\"\nroute = \"/b\"",
            "spin.toml:8: unknown key \"routes\" in [[trigger.http]] (did you mean \"route\"?)",
        ),
    ] {
        let text = format!(
            "spin_manifest_version = 2\n[application]\nname = \"app\"\n[component.notify]\nsource = \"a\"\n\
             [[trigger.http]]\n{trigger}"
        );
        assert_eq!(message(parse(&text)), expected);
    }
    for (middleware, expected) in [
        (
            "\"around\"",
            "spin.toml:9: dependencies.middleware in [[trigger.http]] must be a list, such as [{ component = \"…\" }]",
        ),
        (
            "[\"around\"]",
            "spin.toml:9: dependencies.middleware in [[trigger.http]] must be a table, not of type string",
        ),
        (
            "[{ compnent = \"around\" }]",
            "spin.toml:9: unknown key \"compnent\" in dependencies.middleware in [[trigger.http]] (did you mean \
             \"component\"?)",
        ),
        ("[{}]", "spin.toml:9: dependencies.middleware in [[trigger.http]] has no \"component\""),
        (
            "[{ component = \"notifi\" }]",
            "spin.toml:9: unknown component \"notifi\" in dependencies.middleware in [[trigger.http]]: did you mean \
             \"notify\"?",
        ),
        (
            "[{ component = \"notify\", path = \"a.wasm\" }]",
            "spin.toml:9: dependencies.middleware in [[trigger.http]] must have exactly one of \"component\", \"path\" and \"url\"",
        ),
        (
            "[{ path = \"a.wasm\", inherit_configuration = [\"enviroment\"] }]",
            "spin.toml:9: unknown key \"enviroment\" in dependencies.middleware in [[trigger.http]] (did you mean \
             \"environment\"?)",
        ),
    ] {
        let text = format!(
            "spin_manifest_version = 2\n[application]\nname = \"app\"\n[component.notify]\nsource = \"a\"\n\
             [[trigger.http]]\ncomponent = \"notify\"\nroute = \"/a\"\ndependencies.middleware = {middleware}"
        );
        assert_eq!(message(parse(&text)), expected);
    }
    let single = "spin_manifest_version = 2\napplication.name = \"app\"\n[trigger.http]\nroute = \"/\"";
    assert_eq!(message(parse(single)), "spin.toml:3: write [[trigger.http]], in double brackets");
}

#[test]
fn the_version_comes_first() {
    for (text, expected) in [
        (
            "nonsense = 1",
            "spin.toml:1: there is no spin_manifest_version: a manifest begins with \"spin_manifest_version = 2\"",
        ),
        (
            "\nspin_manifest_version = \"1\"",
            "spin.toml:2: this is a manifest of version 1; this host reads version 2: \"spin doctor\" converts it",
        ),
        (
            "spin_version = \"1\"",
            "spin.toml:1: this is a manifest of version 1; this host reads version 2: \"spin doctor\" converts it",
        ),
        ("spin_manifest_version = 3", "spin.toml:1: this host reads manifests of version 2, not 3"),
        (
            "spin_manifest_version = \"2\"",
            "spin.toml:1: spin_manifest_version is a number: write \"spin_manifest_version = 2\"",
        ),
        ("spin_manifest_version = 2", "spin.toml:1: the manifest has no \"application\""),
        ("spin_manifest_version = 2\n[application]", "spin.toml:2: [application] has no \"name\""),
        (
            "spin_manifest_version = 2\n[application]\nname = \"a\"\ntool.epilogue.lisen = \"x\"",
            "spin.toml:4: unknown key \"lisen\" in [application.tool.epilogue] (did you mean \"listen\"?)",
        ),
        (
            "spin_manifest_version = 2\n[application]\nname = \"a\"\ntool.epilogue.source = \"x\"",
            "spin.toml:4: \"source\" has no meaning in [application.tool.epilogue]: it is a component's own, and belongs in \
             [component.ID.tool.epilogue]",
        ),
        (
            "spin_manifest_version = 2\n[application]\nname = \"a\"\nlisten = \"127.0.0.1:80\"",
            "spin.toml:4: \"listen\" has no meaning in [application]: it belongs in [application.tool.epilogue]",
        ),
        (
            "spin_manifest_version = 2\nengine = \"sqlite:a.db\"\n[application]\nname = \"a\"",
            "spin.toml:2: \"engine\" has no meaning in the manifest: it belongs in [application.tool.epilogue]",
        ),
        (
            "spin_manifest_version = 2\n[application]\nname = \"a\"\ntool.epilogue.log = \"wran\"",
            "spin.toml:4: \"log\" in [application.tool.epilogue]: \"wran\" is not a level: write off, error, warn, info, debug or \
             trace, or a target and its level, as in \"info,epilogue::task=off\"",
        ),
        (
            "spin_manifest_version = 2\n[application]\nname = \"a\"\ntool.epilogue.memory = \"1KiB\"",
            "spin.toml:4: \"memory\" in [application.tool.epilogue]: \"1KiB\" is too small: the least is 64KiB",
        ),
        (
            "spin_manifest_version = 2\n[application]\nname = \"a\"\ntrigger.http.base = \"/app\"",
            "spin.toml:4: \"base\" is obsolete: write it at the beginning of the route of each [[trigger.http]]",
        ),
    ] {
        assert_eq!(message(parse(text)), expected);
    }
    assert!(message(parse("spin_manifest_version = ")).starts_with("spin.toml:1: "));
}

#[test]
fn what_this_host_lacks_is_named() {
    for (more, expected) in [
        (
            "sqlite_databases = [\"default\"]\nai_models = [\"llama\"]",
            "spin.toml:12: \"sqlite_databases\" in [component.notify] cannot work on this host: SQLite databases are not \
             provided\nspin.toml:13: \"ai_models\" in [component.notify] cannot work on this host: AI models are not \
             provided",
        ),
        (
            "allowed_outbound_hosts = [\n  \"http://a.com\",\n  \"b.com\",\n]",
            "spin.toml:14: \"allowed_outbound_hosts\" in [component.notify]: \"b.com\" has no scheme: write \
             <scheme>://<host>[:<port>], where each part may be \"*\"",
        ),
        (
            "dependencies = { \"a:b\" = \"1.0\" }",
            "spin.toml:12: \"a:b\" in [component.notify.dependencies] is a package of a registry, which this host does not \
             load: use \"url\" and \"digest\", or a file",
        ),
        (
            "[[trigger.redis]]\nchannel = \"x\"\ncomponent = \"notify\"",
            "spin.toml:12: [[trigger.redis]] cannot work on this host, which runs HTTP triggers only",
        ),
        (
            "[[trigger.http]]\nroute = \"/w\"\ncomponent = \"notify\"\nexecutor = { type = \"wagi\" }",
            "spin.toml:15: the executor \"wagi\" cannot work on this host, which runs wasi:http components only",
        ),
        (
            "[[trigger.http]]\nroute = \"/m\"\ncomponent = \"notify\"\n\
             dependencies.middleware = [{ package = \"a:b\", version = \"1.0.0\" }]",
            "spin.toml:15: dependencies.middleware in [[trigger.http]] is a package of a registry, which this host does \
             not load: use \"url\" and \"digest\", or a file",
        ),
        (
            "[component.other]\nsource = { registry = \"a.com\", package = \"a:b\", version = \"1.0.0\" }",
            "spin.toml:13: \"source\" in [component.other] is a package of a registry, which this host does not load: use \
             \"url\" and \"digest\", or a file",
        ),
    ] {
        let manifest = parse(&format!("{HEAD}[component.notify]\nsource = \"a\"\n{more}"));
        let manifest = manifest.expect("it can be built all the same");
        assert_eq!(message(manifest.select(&[])), expected);
    }
}

#[test]
fn what_may_be_a_mistake_is_warned_of() {
    for (more, expected) in [
        (
            "[component.notify.tool.epilog]\ntask-timeout = \"1s\"",
            "spin.toml:12: [component.notify.tool.epilog] has no effect: did you mean [component.notify.tool.epilogue]?",
        ),
        (
            "[component.notify.tool.epilogue]\n[component.notify.tool.Epilogue]\n[component.notify.tool.other]",
            "spin.toml:13: [component.notify.tool.Epilogue] has no effect: did you mean [component.notify.tool.epilogue]?",
        ),
        (
            "[[trigger.http]]\nroute = \"/c\"\ncomponent = \"notify\"\ncomponents = { a = \"notify\" }",
            "spin.toml:15: \"components\" in [[trigger.http]] has no effect: HTTP triggers have one \"component\"",
        ),
        (
            "files = [{ source = \"a\", destination = \"./static\" }, { source = \"b\", destination = \"/b\" }]",
            "spin.toml:12: \"files\" in [component.notify]: the destination \"./static\" is relative: write \"/static\", where \
             the component sees it",
        ),
        (
            "allowed_outbound_hosts = [\"tcp://10.0.0.25:25\", \"redis://db.example\", \"*://db.example:1\",\n\"tcp://db.example:5432\"]",
            "spin.toml:13: \"allowed_outbound_hosts\" in [component.notify]: \"db.example\" is a host name, but a socket \
             connects to an IP address. The entry allows nothing: write the host's address or network, such as \
             \"tcp://10.0.0.0/8:*\"",
        ),
    ] {
        let manifest = parse(&format!("{HEAD}[component.notify]\nsource = \"a\"\n{more}")).unwrap();
        assert_eq!(manifest.select(&[]).unwrap().warnings().collect::<Vec<_>>(), [expected]);
    }
    let text =
        format!("{HEAD}[component.notify]\nsource = \"a\"\n[application.tool.epilogeu]\nlisten = \"127.0.0.1:1\"");
    let manifest = parse(&text).unwrap();
    let expected = "spin.toml:12: [application.tool.epilogeu] has no effect: did you mean [application.tool.epilogue]?";
    assert_eq!(manifest.warnings().collect::<Vec<_>>(), [expected]);
}

#[test]
fn mistakes_in_variables_are_reported_with_their_line() {
    for (variables, expected) in [
        ("token = {}", "spin.toml:11: [variables.token] needs either a \"default\" or \"required = true\""),
        (
            "token = { required = true, default = \"a\" }",
            "spin.toml:11: [variables.token] needs either a \"default\" or \"required = true\"",
        ),
        (
            "to-ken = {}",
            "spin.toml:11: the variable name \"to-ken\" may only have lower-case letters, digits and underscores",
        ),
        ("token = \"a\"", "spin.toml:11: [variables.token] must be a table, not of type string"),
        ("token = { default = 1234 }", "spin.toml:11: \"default\" in [variables.token] must be a text"),
        (
            "token = { defualt = \"a\" }",
            "spin.toml:11: [variables.token] needs either a \"default\" or \"required = true\"",
        ),
        (
            "token = { default = \"a\", hidden = true }",
            "spin.toml:11: unknown key \"hidden\" in [variables.token] (it may have: default, required, secret, \
             description)",
        ),
    ] {
        assert_eq!(message(parse(&format!("{HEAD}[variables]\n{variables}\n"))), expected);
    }
}
