mod messages;
mod mistakes;
mod sources;

use std::{fs, path::Path, time::Duration};

use crate::values::OnFailure;

use super::*;

/// The first nine lines of each manifest in these tests.
const HEAD: &str = r#"spin_manifest_version = 2

[application]
name = "app"

[[trigger.http]]
route = "/..."
component = "notify"

"#;

fn parse(text: &str) -> anyhow::Result<Manifest> {
    parse_profile(text, None)
}

fn parse_profile(text: &str, profile: Option<&str>) -> anyhow::Result<Manifest> {
    parse::manifest(Path::new("spin.toml"), Path::new("/app"), text, profile)
}

fn message(result: anyhow::Result<Manifest>) -> String {
    format!("{:#}", result.unwrap_err())
}

#[test]
fn a_whole_manifest_is_read() {
    let manifest = parse(
        r#"
spin_manifest_version = 2

[application]
name = "app"
version = "1.0.0"
description = "An application"
authors = ["Ada"]
targets = ["spin-up:4.0"]

[application.tool.epilogue]
listen = "127.0.0.1:8080"
tls-cert = "certs/cert.pem"
grace = "1m"
log-format = "json"
threads = 2
reuse = 16
task-timeout = "10s"

[application.tool.other]
anything = "goes"

[[trigger.http]]
id = "front"
route = "/users/:id/..."
component = "notify"
executor = { type = "http" }

[[trigger.http]]
route = { private = true }
component = "hidden"

[component.notify]
source = "target/portable.wasm"
description = "Notifies"
environment = { LEVEL = "info" }
files = [{ source = "assets", destination = "/" }, "static/*.css"]
exclude_files = ["static/draft.css"]
allowed_outbound_hosts = ["https://*.example.com"]
key_value_stores = []
targets = []

[component.notify.build]
command = ["npm install", "cargo build --target wasm32-wasip2"]
workdir = "notify"
watch = ["src/**/*.rs"]

[component.notify.tool.epilogue]
source = "target/guest.wasm"
on-failure = "continue"
task-timeout = "1s"
max-tasks = 1_000
memory = 1048576
allow-transient-write = true

[component.hidden]
source = "hidden.wasm"
build.command = "make"
"#,
    )
    .unwrap();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("app", "1.0.0"));
    let host = manifest.host.clone().resolve();
    assert_eq!(host.listen.port(), 8080);
    assert_eq!(host.tls_cert.as_deref(), Some(Path::new("/app/certs/cert.pem")));
    assert_eq!(host.grace, Duration::from_secs(60));

    let [notify, hidden] = &manifest.components[..] else { panic!("two components") };
    assert_eq!(notify.source, Path::new("/app/target/guest.wasm"));
    assert_eq!(notify.environment["LEVEL"].to_string(), "info");
    assert!(!notify.files.is_empty());
    assert!(notify.allowed_outbound_hosts.allows("https", "a.example.com", None));
    let build = notify.build.clone().unwrap();
    assert_eq!(build.commands, ["npm install", "cargo build --target wasm32-wasip2"]);
    assert_eq!(build.workdir, Path::new("/app/notify"));
    assert_eq!(build.watch, ["src/**/*.rs"]);
    assert_eq!(hidden.source, Path::new("/app/hidden.wasm"));
    assert_eq!(hidden.build.as_ref().unwrap().workdir, Path::new("/app"));

    let mut flags = SettingsOverlay::default();
    assert_eq!(flags.set("max-tasks", "5"), Ok(true));
    let settings = manifest.settings_of(notify, &flags);
    assert_eq!(settings.max_tasks, 5, "the command line comes first");
    assert_eq!(settings.task_timeout, Duration::from_secs(1), "then the component's table");
    assert_eq!(settings.reuse.get(), 16, "then the application's");
    assert_eq!(settings.drain_timeout, Duration::from_secs(300), "then the default");
    assert_eq!(settings.on_failure, OnFailure::Continue);
    assert_eq!(settings.memory.bytes(), 1 << 20);
    assert!(settings.allow_transient_write);

    let manifest = manifest.select(&[]).unwrap();
    let routes: Vec<_> = manifest.routes().map(|(route, trigger)| (route, trigger.name())).collect();
    assert_eq!(routes, [("/users/:id/...", "notify")]);
    assert_eq!(manifest.warnings().count(), 0);
}

#[test]
fn components_keep_the_order_of_the_text() {
    let components =
        "[component.zeta]\nsource = \"z\"\n[component.notify]\nsource = \"n\"\n[component.alpha]\nsource = \"a\"";
    let manifest = parse(&format!("{HEAD}{components}")).unwrap();
    let ids: Vec<&str> = manifest.components.iter().map(|component| component.id.as_str()).collect();
    assert_eq!(ids, ["zeta", "notify", "alpha"]);
}

#[test]
fn a_component_may_be_written_into_its_trigger() {
    let manifest = parse(
        r#"
spin_manifest_version = 2
application.name = "app"
[[trigger.http]]
id = "front"
route = "/a"
component = { source = "a.wasm" }
[[trigger.http]]
route = "/b"
component = { source = "b.wasm" }
[[trigger.http]]
id = "not_kebab"
route = "/c"
component = { source = "c.wasm" }
"#,
    )
    .unwrap();
    let ids: Vec<&str> = manifest.components.iter().map(|component| component.id.as_str()).collect();
    assert_eq!(ids, ["front-component", "http-trigger2-component", "inline-component1"]);
    assert_eq!(manifest.triggers[2].component(), Some("inline-component1"));
}

#[test]
fn middleware_is_read_in_spins_order() {
    let text = r#"
spin_manifest_version = 2
application.name = "app"
[[trigger.http]]
route = "/admin/..."
component = "app"
dependencies.middleware = [
    { component = "login", inherit_configuration = ["allowed_outbound_hosts", "ai_models"] },
    { path = "wasm/audit.wasm", inherit_configuration = true },
]
[[trigger.http]]
route = "/..."
component = "app"
[component.app]
source = "app.wasm"
[component.login]
source = "portable.wasm"
tool.epilogue.source = "login.wasm"
[component.idle]
source = "idle.wasm"
"#;
    let manifest = parse(text).unwrap().select(&["app".to_owned()]).unwrap();
    let [login, audit] = manifest.triggers[0].middleware() else { panic!("two middlewares") };
    assert_eq!((login.id.as_str(), login.source.as_path()), ("login", Path::new("/app/login.wasm")));
    assert_eq!(login.inherits, Inherited { outbound_hosts: true, ..Inherited::default() });
    assert_eq!((audit.id.as_str(), audit.source.as_path()), ("wasm/audit.wasm", Path::new("/app/wasm/audit.wasm")));
    assert_eq!(audit.inherits, Inherited::EVERYTHING);
    assert_eq!(manifest.triggers[1].middleware(), []);

    let ids: Vec<&str> = manifest.components.iter().map(|component| component.id.as_str()).collect();
    assert_eq!(ids, ["app", "login"], "what is chosen comes with its middleware");
    assert_eq!(manifest.warnings().count(), 0, "a middleware needs no trigger of its own");
    let configured = text.replace(
        "\"portable.wasm\"",
        "\"portable.wasm\"\nenvironment = { A = \"1\" }\nkey_value_stores = [\"default\"]",
    );
    let configured = parse(&configured).unwrap().select(&["app".to_owned()]).unwrap();
    assert_eq!(
        configured.warnings().collect::<Vec<_>>(),
        [
            "spin.toml: the key \"environment\" of the middleware \"login\" has no effect: write it into the component \
             that the middleware wraps, and add it to inherit_configuration",
            "spin.toml: the key \"key_value_stores\" of the middleware \"login\" has no effect: write it into the \
             component that the middleware wraps, and add it to inherit_configuration"
        ]
    );
    let services = manifest.services();
    let services: Vec<_> = services.iter().map(|service| (service.0.id.as_str(), service.1.len())).collect();
    assert_eq!(services, [("app", 2), ("app", 0)]);
}

#[test]
fn a_components_own_middleware_is_within_the_triggers() {
    let text = r#"
spin_manifest_version = 2
application.name = "app"
[[trigger.http]]
route = "/admin/..."
component = "app"
dependencies.middleware = [{ component = "login" }]
[[trigger.http]]
route = "/..."
component = "app"
[component.app]
source = "portable.wasm"
[component.app.tool.epilogue]
source = "app.wasm"
middleware = [{ component = "audit" }, { path = "limits.wasm", inherit_configuration = ["files"] }]
[component.audit]
source = "audit.wasm"
[component.login]
source = "login.wasm"
"#;
    let manifest = parse(text).unwrap().select(&["app".to_owned()]).unwrap();
    let around = |trigger: &HttpTrigger| trigger.middleware().iter().map(|used| used.id.clone()).collect::<Vec<_>>();
    assert_eq!(around(&manifest.triggers[0]), ["login", "audit", "limits.wasm"]);
    assert_eq!(around(&manifest.triggers[1]), ["audit", "limits.wasm"]);
    assert!(manifest.triggers[1].middleware()[1].inherits.files);
    assert_eq!(manifest.warnings().count(), 0, "a middleware needs no trigger of its own");

    for (middleware, expected) in [
        (
            "\"audit\"",
            "spin.toml:15: \"middleware\" in [component.app.tool.epilogue] must be a list, such as [{ component = \"…\" }]",
        ),
        (
            "[{ component = \"odit\" }]",
            "spin.toml:15: unknown component \"odit\" in \"middleware\" in [component.app.tool.epilogue]: did you mean \
             \"audit\"?",
        ),
    ] {
        let line = text.lines().find(|line| line.starts_with("middleware")).unwrap();
        assert_eq!(message(parse(&text.replace(line, &format!("middleware = {middleware}")))), expected);
    }
    let package = "[{ package = \"a:b\", version = \"1.0.0\" }]";
    let inline = text.replace(
        "component = \"app\"\n[component",
        &format!("component = {{ source = \"b.wasm\", tool.epilogue.middleware = {package} }}\n[component"),
    );
    let error = message(parse(&inline).unwrap().select(&[]));
    assert!(error.contains("is a package of a registry, which this host does not load"), "{error}");
}

#[test]
fn only_what_is_selected_has_to_run_here() {
    let text = format!(
        "{HEAD}[component.notify]\nsource = \"a\"\n[component.store]\nsource = \"b\"\nsqlite_databases = [\"default\"]\n\
         [[trigger.redis]]\ncomponent = \"store\"\nchannel = \"x\""
    );
    let manifest = parse(&text).unwrap();
    let selected = manifest.clone().select(&["notify".to_owned()]).unwrap();
    assert_eq!(selected.components.len(), 1);
    assert!(manifest.clone().select(&["store".to_owned()]).is_err());
    assert_eq!(
        message(manifest.select(&["nobody".to_owned()])),
        "spin.toml has no component \"nobody\", but: notify, store"
    );
}

#[test]
fn an_application_needs_a_public_route() {
    let text = "spin_manifest_version = 2\napplication.name = \"app\"\n[component.notify]\nsource = \"a\"";
    assert_eq!(
        message(parse(text).unwrap().select(&[])),
        "spin.toml: there is nothing to serve: no [[trigger.http]] has a public route"
    );
}

#[test]
fn a_route_may_lack_its_slash_and_must_be_as_clients_write_it() {
    let with = |route: &str| parse(&(HEAD.replace("/...", route) + "[component.notify]\nsource = \"a\""));
    for (route, expected) in [("hello", "/hello"), ("...", "/..."), ("", "/"), ("/a%20b", "/a%20b")] {
        let manifest = with(route).unwrap();
        assert_eq!(manifest.routes().map(|(route, _)| route).collect::<Vec<_>>(), [expected]);
    }
    assert_eq!(
        message(with("/a b")),
        "spin.toml:7: the route \"/a b\" in [[trigger.http]] is wrong: it would match no request, since clients \
         percent-encode such characters: write \"/a%20b\""
    );
}

#[test]
fn doubtful_things_are_warned_about() {
    let text = format!(
        "{HEAD}[component.notify]\nsource = \"a\"\n[component.idle]\nsource = \"b\"\n[component.late]\nsource = \"c\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"late\"\n\
         [[trigger.http]]\nroute = \"/.well-known/spin/x\"\ncomponent = \"late\""
    );
    let manifest = parse(&text).unwrap().select(&[]).unwrap();
    assert_eq!(
        manifest.warnings().collect::<Vec<_>>(),
        [
            "spin.toml: the route \"/...\" of component \"notify\" is never used: \"late\" comes later and has the same route",
            "spin.toml: the route \"/.well-known/spin/x\" is never used: /.well-known/spin/ belongs to the host",
            "spin.toml: the component \"idle\" has no trigger, so it never runs",
        ]
    );
}

#[test]
fn a_manifest_is_found_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let error = Manifest::find(Some(folder.path())).unwrap_err().to_string();
    assert!(error.ends_with("has no spin.toml"), "{error}");
    let error = Manifest::find(Some(&folder.path().join("none.toml"))).unwrap_err().to_string();
    assert!(error.starts_with("no such file or folder"), "{error}");
    let file = folder.path().join(DEFAULT_NAME);
    fs::write(&file, HEAD.to_owned() + "[component.notify]\nsource = \"a.wasm\"").unwrap();
    assert_eq!(Manifest::find(Some(folder.path())).unwrap(), file);
    assert_eq!(Manifest::find(Some(&file)).unwrap(), file);
    assert_eq!(Manifest::load(&file).unwrap().components[0].source, folder.path().join("a.wasm"));
}
