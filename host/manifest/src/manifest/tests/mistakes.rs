//! Tests the messages about mistakes in sources, profiles, dependencies and static responses, and the line that each
//! message names.

use super::*;

#[test]
fn mistakes_of_components_are_reported_with_their_line() {
    for (component, expected) in [
        (
            "[component.notify]\nsource = { url = \"ftp://a.com/b\", digest = \"sha256:0\" }",
            "spin.toml:11: \"url\" in \"source\" in [component.notify] must be an address such as \
             \"https://example.com/a.wasm\", without a user",
        ),
        (
            "[component.notify]\nsource = { url = \"https://a.com/b\", digest = \"sha256:0\" }",
            "spin.toml:11: \"digest\" in \"source\" in [component.notify] must be \"sha256:\" and 64 digits, as \
             sha256sum prints them, not \"sha256:0\"",
        ),
        (
            "[component.notify]\nsource = { url = \"https://a.com/b\" }",
            "spin.toml:11: \"source\" in [component.notify] has no \"digest\"",
        ),
        (
            "[component.notify]\nsource = \"a\"\nprofile.debug.files = []",
            "spin.toml:12: unknown key \"files\" in [component.notify.profile.debug] (it may have: source, environment, \
             dependencies, build)",
        ),
        (
            "[component.notify]\nsource = \"a\"\nprofile.debug.build.workdir = \"b\"",
            "spin.toml:12: [component.notify.profile.debug.build] has no \"command\"",
        ),
        (
            "[component.notify]\nsource = \"a\"\ntargets = [{ name = \"b\" }]",
            "spin.toml:12: \"targets\" in [component.notify] must be a list of names such as \"spin-up:4.0\", { url = \
             \"…\" } and { path = \"…\" }",
        ),
        (
            "[component.notify]\nsource = \"a\"\ndependencies.\"a:\" = { path = \"b\" }",
            "spin.toml:12: \"a:\" in [component.notify.dependencies] must be the name of an import, such as \"a:b/c\", \
             \"a:b@1.0.0\" or \"a-b\"",
        ),
        (
            "[component.notify]\nsource = \"a\"\ndependencies.\"a:b\" = { path = \"b\", export = \"c\" }",
            "spin.toml:12: \"a:b\" in [component.notify.dependencies] names a whole package, so it cannot have an \
             \"export\"",
        ),
        (
            "[component.notify]\nsource = \"a\"\ndependencies.\"a:b\" = { component = \"notfy\" }",
            "spin.toml:12: unknown component \"notfy\" in \"a:b\" in [component.notify.dependencies]: did you mean \
             \"notify\"?",
        ),
        (
            "[component.notify]\nsource = \"a\"\ndependencies.a-b = {}",
            "spin.toml:12: \"a-b\" in [component.notify.dependencies] has no \"path\"",
        ),
        (
            "[component.notify]\nsource = \"a\"\ndependencies.a-b = { path = \"b\", component = \"notify\" }",
            "spin.toml:12: \"a-b\" in [component.notify.dependencies] must have exactly one of \"component\", \"path\" and \"url\"",
        ),
        (
            "[component.notify]\nsource = \"a\"\ndependencies_inherit_configuration = true\n\
             dependencies.a-b = { path = \"b\", inherit_configuration = true }",
            "spin.toml:13: \"a-b\" in [component.notify.dependencies] has inherit_configuration, and its component has \
             dependencies_inherit_configuration: use one of the two",
        ),
        (
            "[component.notify]\nsource = \"a\"\ndependencies.a-b = { component = \"b\" }\n\
             [component.b]\nsource = \"b\"\nvariables = { c = \"d\" }",
            "spin.toml:12: \"a-b\" in [component.notify.dependencies] is the component \"b\", which has \"variables\": \
             remove this key, because a dependency gets its configuration only through inherit_configuration",
        ),
        (
            "[component.notify]\nsource = \"a\"\ndependencies.a-b = { component = \"b\" }\n\
             [component.b]\nsource = \"b\"\ndependencies.c-d = { path = \"c\" }",
            "spin.toml:12: \"a-b\" in [component.notify.dependencies] is the component \"b\", which has \"dependencies\": \
             remove this key, because a dependency gets its configuration only through inherit_configuration",
        ),
        (
            "[component.notify]\nsource = \"a\"\ndependencies.a-b = { component = \"b\" }\n\
             [component.b]\nsource = \"b\"\nkey_value_stores = [\"default\"]",
            "spin.toml:12: \"a-b\" in [component.notify.dependencies] is the component \"b\", which has \
             \"key_value_stores\": remove this key, because a dependency gets its configuration only through \
             inherit_configuration",
        ),
        (
            "[component.notify]\nsource = \"a\"\ndependencies.a-b = { component = \"b\" }\n\
             [component.b]\nsource = \"b\"\nfiles = [\"c\"]",
            "spin.toml:12: \"a-b\" in [component.notify.dependencies] is the component \"b\", which has \"files\": \
             remove this key, because a dependency gets its configuration only through inherit_configuration",
        ),
        ("[component.notify]\nsource = {}", "spin.toml:11: \"source\" in [component.notify] has no \"url\""),
        (
            "[component.notify]\nsource = 3",
            "spin.toml:11: \"source\" in [component.notify] must be a table, not of type integer",
        ),
    ] {
        assert_eq!(message(parse(&format!("{HEAD}{component}"))), expected);
    }
}

#[test]
fn mistakes_of_static_responses_are_reported_with_their_line() {
    for (trigger, expected) in [
        (
            "component = \"notify\"\nroute = \"/a\"\nstatic_response = {}",
            "spin.toml:6: [[trigger.http]] must have either a \"component\" or a \"static_response\"",
        ),
        (
            "route = \"/a\"\nstatic_response = {}\ndependencies.middleware = [{ path = \"a.wasm\" }]",
            "spin.toml:6: [[trigger.http]] has a static_response, which cannot have middleware: remove one of the two",
        ),
        (
            "route = \"/a\"\nstatic_response = { status_code = 99 }",
            "spin.toml:8: \"status_code\" in static_response in [[trigger.http]] must be a status from 200 to 999, not 99",
        ),
        (
            "route = \"/a\"\nstatic_response = { status = 200 }",
            "spin.toml:8: unknown key \"status\" in static_response in [[trigger.http]] (it may have: status_code, \
             headers, body)",
        ),
        (
            "route = \"/a\"\nstatic_response.headers.\"a b\" = \"1\"",
            "spin.toml:8: \"a b\" in headers of static_response in [[trigger.http]] is not the name of a header",
        ),
        (
            "route = \"/a\"\nstatic_response.headers.x = \"\\n\"",
            "spin.toml:8: \"x\" in headers of static_response in [[trigger.http]] cannot be a header: it has a line break \
             or another control character",
        ),
        (
            "route = \"/a\"\nstatic_response.headers.Content-Length = \"1\"",
            "spin.toml:8: \"Content-Length\" in headers of static_response in [[trigger.http]]: the host sets this \
             header itself: remove it",
        ),
    ] {
        let text = format!(
            "spin_manifest_version = 2\n[application]\nname = \"app\"\n[component.notify]\nsource = \"a\"\n\
             [[trigger.http]]\n{trigger}"
        );
        assert_eq!(message(parse(&text)), expected);
    }
}
