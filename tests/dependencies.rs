//! Dependencies: components that satisfy imports of the application's component.

use epilogue::testing::TestHost;
use tempfile::TempDir;

use crate::durable::only_in_process;
use crate::guests;
use crate::process::folder;

/// An application of the guest `dependent`, with this table `dependencies` and more of its own table.
fn application(dependencies: &str, more: &str) -> (TempDir, Result<TestHost, String>) {
    let app = folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\n\
         [component.greeter]\nsource = {:?}\n\
         [component.app]\nsource = {:?}\nenvironment = {{ NAME = \"app\" }}\n\
         files = [{{ source = \".\", destination = \"/\" }}]\n{more}\n\
         [component.app.dependencies]\n{dependencies}\n",
        guests::GREETER,
        guests::DEPENDENT
    ));
    let host = TestHost::manifest(app.path().join("spin.toml")).try_start();
    (app, host.map_err(|error| format!("{error:#}")))
}

#[test]
fn a_dependency_has_only_what_it_inherits() {
    only_in_process!(OwnScope);
    for (inherits, more, expected) in [
        ("", "", "nobody with 0 files"),
        (", inherit_configuration = [\"environment\"]", "", "app with 0 files"),
        (", inherit_configuration = [\"files\"]", "", "nobody with 1 files"),
        (", inherit_configuration = true", "", "app with 1 files"),
        ("", "dependencies_inherit_configuration = true", "app with 1 files"),
    ] {
        let greeter = format!("\"test:greeter\" = {{ component = \"greeter\"{inherits} }}");
        let (_app, host) = application(&greeter, more);
        let host = host.unwrap();
        let exchange = host.get("/");
        assert_eq!(exchange.text(), format!("hello handler, from {expected}"));
        exchange.drained();
        assert_eq!(host.stdout(), format!("hello task, from {expected}\n"));
    }
}

#[test]
fn a_dependency_may_be_around_a_middleware_s_application() {
    let (app, _) = application(&format!("\"test:greeter\" = {{ path = {:?} }}", guests::GREETER), "");
    let file = app.path().join("spin.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let around = format!("component = \"app\"\ndependencies.middleware = [{{ path = {:?} }}]", guests::MIDDLEWARE);
    std::fs::write(&file, text.replace("component = \"app\"", &around)).unwrap();
    let host = TestHost::manifest(&file).start();
    assert_eq!(host.get("/").text(), "hello handler, from nobody with 0 files");
}

#[test]
fn a_middleware_cannot_have_dependencies() {
    let app = folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\n\
         dependencies.middleware = [{{ component = \"around\" }}]\n\
         [component.app]\nsource = {:?}\n[component.around]\nsource = {:?}\n\
         [component.around.dependencies]\n\"test:greeter\" = {{ path = {:?} }}\n",
        guests::HELLO,
        guests::MIDDLEWARE,
        guests::GREETER
    ));
    let error = TestHost::manifest(app.path().join("spin.toml")).try_start().err().expect("it should be refused");
    let expected = "the component \"around\" is a middleware, so this host does not add its dependencies: compose them \
                    into its file, such as with `wac plug`";
    assert!(format!("{error:#}").contains(expected), "{error:#}");
}

#[test]
fn a_dependency_that_does_not_fit_is_explained() {
    for (dependency, expected) in [
        (
            format!("\"test:other\" = {{ path = {:?} }}", guests::GREETER),
            "the dependency \"test:other\" satisfies none of its imports",
        ),
        (
            format!("\"test:greeter/greet\" = {{ path = {:?}, export = \"test:greeter/bye\" }}", guests::GREETER),
            "it does not export test:greeter/bye",
        ),
        (
            format!(
                "\"test:greeter\" = {{ component = \"greeter\" }}\n\"test:greeter/greet\" = {{ path = {:?} }}",
                guests::GREETER
            ),
            "its import test:greeter/greet@1.0.0 is satisfied by two dependencies, \"test:greeter\" and \"test:greeter/greet\"",
        ),
        (format!("\"test:greeter\" = {{ path = {:?} }}", guests::HELLO), "it does not export test:greeter/greet@1.0.0"),
        (
            format!("\"test:greeter\" = {{ path = {:?} }}", guests::OUTBOUND),
            "which needs inherit_configuration = [\"allowed_outbound_hosts\"] in its entry of dependencies",
        ),
    ] {
        let (_app, host) = application(&dependency, "");
        let error = host.err().expect("it should be refused");
        assert!(error.contains("component \"app\"") && error.contains(expected), "{expected} should be in {error}");
    }
}
