//! Middleware: components around the application, built separately, that share its request's queue and scope.

use bytes::Bytes;
use epilogue::testing::{Exchange, TestHost, TestHostBuilder};
use http::Request;
use tempfile::TempDir;

use crate::durable::only_in_process;
use crate::guests;
use crate::process::folder;

/// A host of an application whose trigger has this `dependencies.middleware`. The middleware component is `around`.
pub(crate) fn host(application: &str, middleware: &str) -> (TempDir, TestHostBuilder) {
    let folder = folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\ndependencies.middleware = {middleware}\n\
         [component.around]\nsource = {:?}\nenvironment = {{ SECRET = \"of the middleware\" }}\n\
         [component.app]\nsource = {application:?}\nenvironment = {{ SECRET = \"known\" }}\n\
         files = [{{ source = \".\", destination = \"/\" }}]\n",
        guests::MIDDLEWARE
    ));
    let host = TestHost::manifest(folder.path().join("spin.toml")).threads(1);
    (folder, host)
}

/// Sends a request. The path names the application's tasks, and `wish` says what the middleware does.
pub(crate) fn get<'host>(host: &'host TestHost, path: &str, wish: &str) -> Exchange<'host> {
    host.send(Request::get(path).header("middleware", wish).body(Bytes::new()).unwrap())
}

/// How a request's tasks ended, each with the component that added it.
fn ends(exchange: &Exchange<'_>) -> Vec<String> {
    let tasks = exchange.drained().tasks;
    tasks.iter().map(|task| format!("{} {} {} {}", task.id, task.component, task.name, task.state)).collect()
}

pub(crate) const ONE: &str = "[{ component = \"around\" }]";
pub(crate) const TWO: &str = "[{ component = \"around\" }, { component = \"around\" }]";

#[test]
fn s5_tasks_of_a_middleware_and_of_the_application_are_one_queue_and_each_runs_its_own() {
    only_in_process!(OwnScope);
    let (_folder, host) = host(guests::TASKS, ONE);
    let host = host.start();
    let exchange = host.get("/?run=ok,sync,ok");
    assert_eq!(exchange.text(), "2,3,4");
    assert_eq!(
        ends(&exchange),
        [
            "1 around first succeeded",
            "2 app ok succeeded",
            "3 app sync succeeded",
            "4 app ok succeeded",
            "5 around ok succeeded"
        ]
    );
    assert_eq!(host.stdout(), "outer: first\nok\nsync\nok\nouter: last\nouter: torn down\n");
}

#[test]
fn s9_middleware_nests_and_is_torn_down_from_within() {
    only_in_process!(OwnScope);
    let (_folder, host) = host(guests::GATE, TWO);
    let host = host.start();
    for _ in 0..2 {
        let before = host.stdout().len();
        let exchange = host.get("/?gate=none&at=none");
        assert_eq!(exchange.text(), "passed");
        let record = exchange.drained();
        assert_eq!((record.teardowns, record.errors.len()), (1, 0));
        assert_eq!(
            host.stdout()[before..].lines().collect::<Vec<_>>(),
            [
                "handler",
                "outer: first",
                "inner: first",
                "task",
                "second",
                "inner: last",
                "outer: last",
                "teardown",
                "inner: torn down",
                "outer: torn down",
            ]
        );
    }
}

#[test]
fn the_first_middleware_is_the_outermost_as_in_spin() {
    only_in_process!(OwnScope);
    let relay = guests::RELAY;
    for (middleware, expected) in [
        (format!("[{{ component = \"around\" }}, {{ path = {relay:?} }}]"), "outer: first\n"),
        (format!("[{{ path = {relay:?} }}, {{ component = \"around\" }}]"), "inner: first\n"),
    ] {
        let (_folder, host) = host(guests::HELLO, &middleware);
        let host = host.start();
        assert_eq!(ends(&host.get("/")), ["1 around first succeeded", "2 around ok succeeded"]);
        assert!(host.stdout().starts_with(expected), "{}", host.stdout());
    }
}

#[test]
fn what_spin_serves_composed_is_joined_here_by_the_same_manifest() {
    let folder = folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\n\
         [component.app]\nsource = \"portable.wasm\"\n\
         [component.app.tool.epilogue]\nsource = {:?}\nmiddleware = {ONE}\n\
         [component.around]\nsource = {:?}\n",
        guests::TASKS,
        guests::MIDDLEWARE
    ));
    let host = TestHost::manifest(folder.path().join("spin.toml")).threads(1).start();
    assert_eq!(
        ends(&host.get("/?run=ok")),
        ["1 around first succeeded", "2 app ok succeeded", "3 around ok succeeded"]
    );
}

#[test]
fn s4_a_failing_task_of_a_middleware_counts_as_any_other() {
    only_in_process!(DeadLetter);
    let (_folder, host) = host(guests::TASKS, ONE);
    let host = host.start();
    assert_eq!(
        ends(&get(&host, "/?run=ok", "fail")),
        ["1 around first failed", "2 app ok skipped", "3 around ok skipped"]
    );
    assert_eq!(
        ends(&get(&host, "/?run=ok&on_failure=continue", "fail")),
        ["1 around first failed", "2 app ok succeeded", "3 around ok succeeded"]
    );
}

#[test]
fn s14_a_trap_in_the_application_leaves_the_middlewares_tasks_to_a_fresh_instance_of_both() {
    only_in_process!(OwnScope);
    let (_folder, host) = host(guests::TASKS, ONE);
    let host = host.start();
    let exchange = host.get("/?run=panic&on_failure=continue");
    assert_eq!(ends(&exchange), ["1 around first succeeded", "2 app panic trapped", "3 around ok succeeded"]);
    assert_eq!(host.stdout(), "outer: first\npanic\nnobody: last\n");
}

#[test]
fn a_middleware_may_answer_by_itself() {
    only_in_process!(OwnScope);
    let (_folder, host) = host(guests::TASKS, ONE);
    let host = host.start();
    let exchange = get(&host, "/?run=ok", "answer");
    assert_eq!(exchange.text(), "answered by the middleware");
    assert_eq!(ends(&exchange), ["1 around first succeeded"]);
    assert_eq!(host.stdout(), "outer: first\nouter: torn down\n");
}

#[test]
fn s16_a_middleware_its_tasks_and_its_teardown_know_their_request() {
    let (_folder, host) = host(guests::TASKS, ONE);
    let host = host.start();
    for _ in 0..2 {
        let before = host.stdout().len();
        let exchange = get(&host, "/", "name");
        let id = &exchange.drained().id;
        assert_eq!(exchange.text(), *id);
        let stdout = host.stdout();
        let said = stdout[before..].lines().filter_map(|line| line.split_once(": ")).map(|(_, said)| said);
        assert_eq!(said.filter(|said| said == id).count(), 2, "{stdout}");
    }
}

#[test]
fn a_middleware_has_nothing_of_the_applications_configuration_unless_it_inherits_it() {
    for (inherits, expected) in [
        ("", "None 0"),
        (", inherit_configuration = false", "None 0"),
        (", inherit_configuration = [\"environment\"]", "Some(\"known\") 0"),
        (", inherit_configuration = [\"files\", \"key_value_stores\"]", "None 1"),
        (", inherit_configuration = true", "Some(\"known\") 1"),
    ] {
        let (_folder, host) = host(guests::TASKS, &format!("[{{ component = \"around\"{inherits} }}]"));
        let host = host.start();
        assert_eq!(get(&host, "/", "look").text(), expected, "{inherits}");
    }
}

#[test]
fn s5_a_middleware_has_tasks_around_an_application_that_cannot_run_any() {
    for (application, expected) in [(guests::HELLO, "Hello, world!"), (guests::NO_RUNNER, "no-runner")] {
        let (_folder, host) = host(application, &format!("[{{ path = {:?} }}]", guests::MIDDLEWARE));
        let host = host.start();
        let exchange = host.get("/");
        assert_eq!(exchange.text(), expected);
        let path = guests::MIDDLEWARE;
        assert_eq!(ends(&exchange), [format!("1 {path} first succeeded"), format!("2 {path} ok succeeded")]);
    }
}

#[test]
fn what_is_no_middleware_is_refused() {
    for (middleware, expected) in [
        (guests::PLAIN, "it does not import wasi:http/handler@0.3.0, so it cannot pass requests on"),
        ("none.wasm", "if it is not built yet, run `epilogue build` or add `--build`"),
    ] {
        let (_folder, host) = host(guests::TASKS, &format!("[{{ path = {middleware:?} }}]"));
        let error = host.try_start().err().map(|error| format!("{error:#}")).expect("it should be refused");
        assert!(error.contains(&format!("{middleware:?} (")) && error.contains(expected), "{error}");
    }
}

#[test]
fn routes_to_one_component_may_have_different_middleware() {
    let folder = folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
         [[trigger.http]]\nroute = \"/bare\"\ncomponent = \"app\"\n\
         [[trigger.http]]\nroute = \"/one\"\ncomponent = \"app\"\n\
         dependencies.middleware = [{{ component = \"around\" }}]\n\
         [[trigger.http]]\nroute = \"/two\"\ncomponent = \"app\"\n\
         dependencies.middleware = [{{ component = \"around\" }}, {{ component = \"around\" }}]\n\
         [component.around]\nsource = {:?}\n[component.app]\nsource = {:?}\n",
        guests::MIDDLEWARE,
        guests::HELLO
    ));
    let host = TestHost::manifest(folder.path().join("spin.toml")).start();
    for (route, tasks) in [("/bare", 0), ("/one", 2), ("/two", 4)] {
        let exchange = host.get(route);
        assert_eq!(exchange.text(), "Hello, world!");
        let record = exchange.drained();
        assert_eq!((record.component.as_str(), record.tasks.len()), ("app", tasks), "{route}");
    }
}
