//! Tests sources, profiles, dependencies and static responses.

use super::*;

#[test]
fn a_download_is_kept_by_its_digest() {
    let digest = "0123456789abcdef".repeat(4);
    let text = format!(
        "{HEAD}[component.notify]\nsource = {{ url = \"https://a.com/b.wasm\", digest = \"sha256:{}\" }}\n\
         [component.notify.tool.epilogue]\nmiddleware = [{{ url = \"http://a.com/m.wasm\", digest = \"sha256:{}\" }}]\n\
         [component.other]\nsource = {{ url = \"http://b.com/b.wasm\", digest = \"sha256:{digest}\" }}\n\
         [[trigger.http]]\nroute = \"/other\"\ncomponent = \"other\"",
        digest.to_uppercase(),
        "f".repeat(64),
    );
    let manifest = parse(&text).unwrap().select(&[]).unwrap();
    let urls = |manifest: &Manifest| manifest.downloads.iter().map(|load| load.url.to_string()).collect::<Vec<_>>();
    assert_eq!(urls(&manifest), ["https://a.com/b.wasm", "http://a.com/m.wasm"], "one for each digest");
    let source = &manifest.components[0].source;
    assert!(source.ends_with(format!("epilogue/wasm/sha256-{digest}.wasm")), "{source:?}");
    assert_eq!(manifest.download(source).unwrap().sha256, digest);
    assert_eq!(manifest.components[1].source, *source);
    let around = &manifest.components[0].middleware[0];
    assert_eq!((around.id.as_str(), manifest.download(&around.source).is_some()), ("http://a.com/m.wasm", true));

    let other = parse(&text).unwrap().select(&["other".to_owned()]).unwrap();
    assert_eq!(urls(&other), ["https://a.com/b.wasm"], "only what the chosen component needs");
    let native = parse(&format!("{text}\n[component.other.tool.epilogue]\nsource = \"b.wasm\"")).unwrap();
    assert_eq!(native.components[1].source, Path::new("/app/b.wasm"));
    let other = native.select(&["other".to_owned()]).unwrap();
    assert_eq!(urls(&other), [""; 0], "tool.epilogue names a file instead");
}

#[test]
fn a_dependency_is_for_the_imports_of_its_name() {
    let text = format!(
        "{HEAD}[component.notify]\nsource = \"a.wasm\"\n[component.notify.dependencies]\n\
         \"a:b\" = {{ component = \"other\" }}\n\"a:b/c@1.0.0\" = {{ path = \"b.wasm\", export = \"c\" }}\n\
         [component.other]\nsource = \"portable.wasm\"\ntool.epilogue.source = \"other.wasm\"\n\
         [component.notify.profile.fast.dependencies]\n\"a:b\" = {{ path = \"fast.wasm\", inherit_configuration = [\"files\"] }}"
    );
    let manifest = parse(&text).unwrap().select(&["notify".to_owned()]).unwrap();
    assert_eq!(manifest.warnings().count(), 0, "a dependency needs no trigger");
    let [of_package, of_interface] = &manifest.components[0].dependencies[..] else { panic!("two dependencies") };
    assert_eq!((of_package.id.as_str(), of_package.source.as_path()), ("other", Path::new("/app/other.wasm")));
    assert_eq!((of_package.inherits, of_interface.export.as_deref()), (Inherited::default(), Some("c")));
    for (import, expected) in [
        ("a:b/c@1.0.0", (true, true)),
        ("a:b/c@1.0.1", (true, false)),
        ("a:b/c", (true, false)),
        ("a:b/d@1.0.0", (true, false)),
        ("a:bc/c@1.0.0", (false, false)),
        ("c", (false, false)),
    ] {
        assert_eq!((of_package.satisfies(import), of_interface.satisfies(import)), expected, "{import}");
    }
    let fast = parse_profile(&text, Some("fast")).unwrap();
    let fast = &fast.components[0].dependencies;
    assert_eq!((fast[0].source.as_path(), fast[0].inherits.files, fast.len()), (Path::new("/app/fast.wasm"), true, 2));
    let all = text.replace(
        "[component.notify.dependencies]",
        "dependencies_inherit_configuration = true\n[component.notify.dependencies]",
    );
    assert_eq!(parse(&all).unwrap().components[0].dependencies[1].inherits, Inherited::EVERYTHING);
}

#[test]
fn a_profile_overrides_what_it_has() {
    let text = format!(
        "{HEAD}[component.notify]\nsource = \"release.wasm\"\nenvironment = {{ LEVEL = \"info\", KEPT = \"1\" }}\n\
         build = {{ command = \"make\", workdir = \"sub\" }}\n\
         [component.notify.profile.debug]\nsource = \"debug.wasm\"\nenvironment = {{ LEVEL = \"debug\" }}\n\
         build.command = [\"make debug\"]\n\
         [component.other]\nsource = \"other.wasm\"\nprofile.fast.build.command = \"make other\""
    );
    let read = |profile| parse_profile(&text, profile).unwrap();
    let plain = read(None);
    assert_eq!(plain.components[0].source, Path::new("/app/release.wasm"));
    let debug = read(Some("debug"));
    let [notify, other] = &debug.components[..] else { panic!("two components") };
    assert_eq!(notify.source, Path::new("/app/debug.wasm"));
    let environment: Vec<_> = notify.environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(environment, ["KEPT=1", "LEVEL=debug"]);
    let build = notify.build.as_ref().unwrap();
    assert_eq!((build.commands[0].as_str(), build.workdir.as_path()), ("make debug", Path::new("/app/sub")));
    assert_eq!((other.source.as_path(), &other.build), (Path::new("/app/other.wasm"), &None), "it has no such profile");
    assert_eq!(read(Some("fast")).components[1].build.as_ref().unwrap().commands, ["make other"]);
    for (profile, hint) in [("debug2", "did you mean \"debug\"?"), ("x", "see [component.ID.profile.NAME]")] {
        let expected = format!("spin.toml: no component has the profile {profile:?}: {hint}");
        assert_eq!(message(parse_profile(&text, Some(profile))), expected);
    }
    let native = format!("{text}\n[component.notify.tool.epilogue]\nsource = \"guest.wasm\"");
    let native = parse_profile(&native, Some("debug")).unwrap();
    assert_eq!(
        native.warnings().collect::<Vec<_>>(),
        [
            "spin.toml:10: \"source\" of the profile has no effect in [component.notify]: its tool.epilogue table names the file"
        ]
    );
}

#[test]
fn a_static_response_needs_no_component() {
    let text = format!(
        "{HEAD}[component.notify]\nsource = \"a\"\n[[trigger.http]]\nid = \"teapot\"\nroute = \"/tea\"\n\
         static_response = {{ status_code = 418, headers = {{ X-Kind = \"green\", content-type = \"text/plain\" }}, \
         body = \"short\" }}\n[[trigger.http]]\nroute = \"/empty\"\nstatic_response = {{}}"
    );
    let manifest = parse(&text).unwrap().select(&[]).unwrap();
    let responses: Vec<_> = manifest
        .routes()
        .filter_map(|(route, trigger)| match &trigger.target {
            Target::Static { id, response } => Some((route, id.as_str(), response)),
            Target::Component { .. } => None,
        })
        .collect();
    let [("/tea", "teapot", tea), ("/empty", "http-trigger3", empty)] = responses[..] else { panic!("{responses:?}") };
    assert_eq!((tea.status().as_u16(), tea.body().as_str()), (418, "short"));
    assert_eq!(
        (&tea.headers()["x-kind"], &tea.headers()["content-type"]),
        (&"green".parse().unwrap(), &"text/plain".parse().unwrap())
    );
    assert_eq!((empty.status().as_u16(), empty.headers().len(), empty.body().as_str()), (200, 0, ""));
    let chosen = parse(&text).unwrap().select(&["notify".to_owned()]).unwrap();
    assert_eq!(chosen.routes().count(), 1, "a choice of components leaves it out");

    let alone =
        "spin_manifest_version = 2\napplication.name = \"app\"\n[[trigger.http]]\nroute = \"/\"\nstatic_response = {}";
    assert_eq!(parse(alone).unwrap().select(&[]).unwrap().services().len(), 0);
}
