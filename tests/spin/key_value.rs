//! Key-value stores: the same data through each version of the interface, from handlers and tasks, in Spin's file or in
//! Redis.

use std::fs;

use epilogue::testing::{TestHost, TestHostBuilder};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::client::get;
use crate::durable::servers::Server;
use crate::guests;
use crate::process::{Process, application, folder, up};

const VERSIONS: [&str; 4] = ["/v1", "/v2", "/v3", "/wasi"];
const ALLOWED: &str = "key_value_stores = [\"default\"]";

fn host() -> TestHostBuilder {
    TestHost::component(guests::KEY_VALUE).more(ALLOWED)
}

/// An application whose stores are in Redis.
fn on_redis(server: &Server) -> (TempDir, String) {
    let app = application(guests::KEY_VALUE, ALLOWED);
    let config = app.path().join("runtime.toml");
    fs::write(&config, format!("[key_value_store.default]\ntype = 'redis'\nurl = {:?}\n", server.url())).unwrap();
    (app, config.display().to_string())
}

#[test]
fn each_version_reads_and_writes() {
    let host = host().start();
    for version in VERSIONS {
        let calls = "set:a:1,get:a,set:a:2,get:a,exists:a,set:b:3,keys,delete:a,delete:a,exists:a,delete:b,keys";
        let expected = [
            "Ok(())",
            "Ok(())",
            "Some(\"1\")",
            "Ok(())",
            "Some(\"2\")",
            "Ok(true)",
            "Ok(())",
            "Ok([\"a\", \"b\"])",
            "Ok(())",
            "Ok(())",
            "Ok(false)",
            "Ok(())",
            "Ok([])",
        ];
        assert_eq!(host.get(&format!("{version}?open:default,{calls}")).text(), expected.join("\n"), "{version}");
    }
}

#[test]
fn each_version_has_its_errors() {
    let host = host().start();
    for (version, denied, absent, full) in [
        ("/v1", "Err(Error::AccessDenied)", "Error::NoSuchKey", "255 Error::StoreTableFull"),
        ("/v2", "Err(Error::AccessDenied)", "None", "255 Error::StoreTableFull"),
        ("/v3", "Err(Error::AccessDenied)", "None", "255 Error::StoreTableFull"),
        ("/wasi", "Err(Error::AccessDenied)", "None", "255 Error::Other(\"store table full\")"),
    ] {
        let answer = host.get(&format!("{version}?open:other,open:default,get:absent,fill")).text().to_owned();
        assert_eq!(answer, [denied, "Ok(())", absent, full].join("\n"), "{version}");
    }
    assert_eq!(
        host.get("/v1?get:a,set:a:1,keys,open:default,closed").text(),
        "Error::InvalidStore\nErr(Error::InvalidStore)\nErr(Error::InvalidStore)\nOk(())\nErr(Error::InvalidStore)"
    );
}

#[test]
fn many_keys_are_read_set_and_removed_at_once() {
    let server = Server::redis();
    let (app, config) = on_redis(&server);
    let redis = Process::start(up(app.path(), ["--runtime-config-file", &config]));
    let memory = host().start();
    for address in [redis.address(), memory.address()] {
        let answer = get(
            address,
            "/wasi?open:default,set-many:a:1:b:2,get-many:b:absent:a,delete-many:a:absent,keys,get-many,set-many,\
             delete-many,cursor",
        );
        let expected = [
            "Ok(())",
            "Ok(())",
            "b Some(\"2\"); absent None; a Some(\"1\")",
            "Ok(())",
            "Ok([\"b\"])",
            "",
            "Ok(())",
            "Ok(())",
            "Err(Error::Other(\"list_keys: cursor not supported\"))",
        ];
        assert_eq!(answer, expected.join("\n"));
    }
}

#[test]
fn values_are_compared_and_numbers_added_up_in_one_step() {
    let server = Server::redis();
    let (app, config) = on_redis(&server);
    let redis = Process::start(up(app.path(), ["--runtime-config-file", &config]));
    let memory = host().start();
    let not_a_number = "Err(Error::Other(\"the value of \\\"word\\\" is not a number\"))";
    for address in [redis.address(), memory.address()] {
        let answer = get(
            address,
            "/wasi?open:default,increment:n:5,increment:n:-7,swap:a:1,swap:a:2,late-swap:a:3:4,get:a,fill-cas:a,\
             set:word:x,increment:word:1",
        );
        let answer: Vec<&str> = answer.split('\n').collect();
        let expected = [
            "Ok(())",
            "Ok(5)",
            "Ok(-2)",
            "None Ok(())",
            "Some(\"1\") Ok(())",
            "failed Some(\"3\") Ok(())",
            "Some(\"4\")",
            "256 Error::Other(\"an instance may hold 256 handles of cas at a time\")",
            "Ok(())",
        ];
        assert_eq!(answer[..9], expected);
        assert!(answer[9] == not_a_number || answer[9].contains("value is not an integer"), "{}", answer[9]);
    }
}

#[test]
fn increments_of_two_threads_at_a_time_all_count() {
    let folder = tempfile::tempdir().unwrap();
    let host = host().state_dir(folder.path()).threads(2).start();
    let exchanges: Vec<_> =
        (0..64).map(|_| host.get("/wasi?open:default,increment:n:1,increment:n:1,late-swap:a:1:2")).collect();
    for exchange in &exchanges {
        exchange.response();
    }
    assert!(host.get("/wasi?open:default,increment:n:0").text().ends_with("Ok(128)"));
}

#[test]
fn data_survives_a_restart_in_spins_file() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let file = state.join("sqlite_key_value.db");
    let spin = Connection::open(&file).unwrap();
    spin.execute_batch(
        "CREATE TABLE spin_key_value (store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
         PRIMARY KEY (store, key));
         INSERT INTO spin_key_value VALUES ('default', 'of-spin', x'3432'), ('other', 'hidden', x'31')",
    )
    .unwrap();
    drop(spin);
    let host = || self::host().state_dir(&state).start();
    let first = host();
    assert_eq!(first.get("/v3?open:default,keys,get:of-spin").text(), "Ok(())\nOk([\"of-spin\"])\nSome(\"42\")");
    assert_eq!(first.get("/v2?open:default,set:of-epilogue:7").text(), "Ok(())\nOk(())");
    drop(first);
    assert_eq!(host().get("/v1?open:default,get:of-epilogue").text(), "Ok(())\nSome(\"7\")");
    let spin = Connection::open(&file).unwrap();
    let value: Vec<u8> = spin
        .query_row("SELECT value FROM spin_key_value WHERE store = 'default' AND key = 'of-epilogue'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(value, b"7");
}

#[test]
fn the_operator_says_where_stores_are() {
    let app = application(guests::KEY_VALUE, "key_value_stores = [\"default\", \"cache\"]");
    let config = app.path().join("runtime.toml");
    fs::write(&config, "[key_value_store.cache]\ntype = 'spin'\npath = 'cache.db'\n").unwrap();
    let config = config.display().to_string();
    let start = |options: &[&str]| {
        let mut command = up(app.path(), ["--runtime-config-file", &config]);
        command.args(options);
        Process::start(command)
    };
    let host = start(&["--key-value", "greeting=hello=there"]);
    assert_eq!(get(host.address(), "/v3?open:default,get:greeting"), "Ok(())\nSome(\"hello=there\")");
    assert_eq!(get(host.address(), "/v3?open:cache,get:greeting,set:a:1"), "Ok(())\nNone\nOk(())");
    assert!(app.path().join(".spin/sqlite_key_value.db").exists() && app.path().join("cache.db").exists());
    // A reload goes on with what is open, and sets nothing again.
    get(host.address(), "/v3?open:default,set:greeting:changed");
    host.signal("HUP");
    host.logged("reloaded");
    assert_eq!(get(host.address(), "/v3?open:default,get:greeting"), "Ok(())\nSome(\"changed\")");
    drop(host);
    let elsewhere = app.path().join("elsewhere").display().to_string();
    let host = start(&["--state-dir", &elsewhere]);
    assert_eq!(get(host.address(), "/v3?open:default,get:greeting"), "Ok(())\nNone");
    assert_eq!(get(host.address(), "/v3?open:cache,get:a"), "Ok(())\nSome(\"1\")");
    drop(host);
    fs::remove_dir_all(app.path().join(".spin")).unwrap();
    let host = start(&["--state-dir", ""]);
    assert_eq!(get(host.address(), "/v3?open:default,set:a:1,get:a"), "Ok(())\nOk(())\nSome(\"1\")");
    assert!(!app.path().join(".spin").exists());
}

#[test]
fn what_cannot_be_a_store_is_named_at_the_start() {
    let app = application(guests::KEY_VALUE, "key_value_stores = [\"default\", \"cache\"]");
    let config = app.path().join("runtime.toml");
    fs::write(&config, "[key_value_store.cache]\ntype = 'redis'\nurl = 'http://:s3cret@a'\n").unwrap();
    fs::write(app.path().join("file"), "no database").unwrap();
    for (options, expected) in [
        (
            &[][..],
            "component \"app\" cannot have its key_value_stores: the key-value store \"cache\" is not configured: add \
             [key_value_store.cache] to the file of --runtime-config-file",
        ),
        (
            &["--runtime-config-file", &config.display().to_string()],
            "the key-value store \"cache\" cannot be opened: its url is not of the form \
             redis://[user:password@]host[:port][/db]",
        ),
        (&["--state-dir", &app.path().join("file").display().to_string()], "cannot make the folder "),
        (&["--key-value", "a"], "write KEY=VALUE"),
    ] {
        let output = up(app.path(), []).args(options).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.contains(expected) && !told.contains("s3cret"), "{told}");
    }
}

#[test]
fn a_task_reads_and_writes() {
    let host = host().start();
    host.get("/task/v3?open:default,set:a:1").drained();
    host.get("/task/wasi?open:default,get:a").drained();
    assert_eq!(host.stdout(), "Ok(())\nOk(())\nOk(())\nSome(\"1\")\n");
}

#[test]
fn the_page_on_key_value_stores_is_true() {
    let host = TestHost::component(guests::GUIDE_KEY_VALUE).more(ALLOWED).start();
    for (visitor, before) in [("ada", "nobody"), ("bob", "ada")] {
        let exchange = host.get(&format!("/{visitor}"));
        assert_eq!(exchange.text(), format!("before you came {before}"));
        exchange.drained();
    }
}

#[test]
fn a_durable_task_reads_and_writes_on_a_worker() {
    let engine = Server::redis();
    let app = application(guests::KEY_VALUE, ALLOWED);
    let url = engine.url();
    let host = Process::start(up(app.path(), ["--engine", &url, "--durable"]));
    let local = "the key-value store \"default\" is on this machine only";
    host.logged(local);
    get(host.address(), "/v3?open:default,set:a:1");
    assert_eq!(get(host.address(), "/task/v3?open:default,get:a,set:a:2"), "later");
    let mut worker = crate::process::epilogue(["worker", "--engine", &url]);
    worker.arg("--from").arg(app.path());
    let worker = Process::start(worker);
    worker.printed("Some(\"1\")");
    worker.logged("state=\"succeeded\"");
    assert_eq!(get(host.address(), "/v3?open:default,get:a"), "Ok(())\nSome(\"2\")");
    assert_eq!(host.logged_so_far().iter().filter(|line| line.contains(local)).count(), 1);
}

#[test]
fn redis_has_the_components_keys() {
    let server = Server::redis();
    let (app, config) = on_redis(&server);
    let start = || Process::start(up(app.path(), ["--runtime-config-file", &config, "--key-value", "first=1"]));
    let host = start();
    for version in VERSIONS {
        let answer = get(host.address(), &format!("{version}?open:default,set:a:{},get:a,keys", &version[1..]));
        assert!(answer.contains(&format!("Some({:?})", &version[1..])), "{answer}");
        assert!(answer.ends_with("Ok([\"a\", \"first\"])") || answer.ends_with("Ok([\"first\", \"a\"])"), "{answer}");
    }
    drop(host);
    let mut client = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let value: String = redis::Commands::get(&mut client, "a").unwrap();
    assert_eq!(value, "wasi");
}

#[test]
fn a_server_that_is_gone_is_an_error_and_one_that_is_back_is_used() {
    let mut server = Server::redis();
    let (app, config) = on_redis(&server);
    let host = Process::start(up(app.path(), ["--runtime-config-file", &config]));
    assert_eq!(get(host.address(), "/v2?open:default,set:a:1"), "Ok(())\nOk(())");
    server.kill();
    let answer = get(host.address(), "/v2?open:default,get:a");
    assert_eq!(answer, "Ok(())\nError::Other(\"the key-value store is not available\")");
    let line = host.logged("a key-value store is not available");
    assert!(line.contains(r#"component="app" store="default" times=1 error="redis://127.0.0.1:"#), "{line}");
    server.restart();
    assert_eq!(
        crate::process::retry(
            || Some(get(host.address(), "/v2?open:default,get:a")).filter(|answer| !answer.contains("not available"))
        ),
        "Ok(())\nSome(\"1\")"
    );
}

#[test]
fn a_file_that_is_gone_is_an_error_without_its_path() {
    let app = application(guests::KEY_VALUE, ALLOWED);
    let host = Process::start(up(app.path(), []));
    assert_eq!(get(host.address(), "/v2?open:default,set:a:1"), "Ok(())\nOk(())");
    let folder = app.path().join(".spin");
    fs::rename(&folder, app.path().join("elsewhere")).unwrap();
    for version in VERSIONS {
        let answer = get(host.address(), &format!("{version}?open:default,set:a:2"));
        let error = if version == "/v1" { "Io" } else { "Other" };
        assert_eq!(answer, format!("Ok(())\nErr(Error::{error}(\"the key-value store is not available\"))"));
    }
    let line = host.logged("a key-value store is not available");
    assert!(line.contains(&folder.join("sqlite_key_value.db").display().to_string()), "{line}");
    let lines = host.logged_so_far();
    assert_eq!(lines.iter().filter(|line| line.contains("is not available")).count(), 1, "once a minute");
}

#[test]
fn s10_a_call_that_hangs_ends_with_its_task_and_a_neighbor_goes_on() {
    let server = Server::redis();
    let app = application(guests::KEY_VALUE, "key_value_stores = [\"default\", \"memory\"]");
    let config = app.path().join("runtime.toml");
    let text = format!(
        "[key_value_store.default]\ntype = 'redis'\nurl = {:?}\n[key_value_store.memory]\ntype = 'spin'\n",
        server.url()
    );
    fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let options = ["--runtime-config-file", &config, "--threads", "1", "--task-timeout", "100ms"];
    let host = Process::start(up(app.path(), options));
    get(host.address(), "/v3?open:default,set:a:1");
    let stopped = server.stopped();
    for version in VERSIONS {
        get(host.address(), &format!("/task{version}?open:default,get:a"));
        assert_eq!(get(host.address(), "/v3?open:memory,set:b:2,get:b"), "Ok(())\nOk(())\nSome(\"2\")");
    }
    host.logged_times("state=\"timed-out\"", VERSIONS.len());
    drop(stopped);
    // The calls that nobody waits for any more have left the connection usable.
    assert_eq!(
        crate::process::retry(
            || Some(get(host.address(), "/v3?open:default,get:a")).filter(|answer| !answer.contains("not available"))
        ),
        "Ok(())\nSome(\"1\")"
    );
}

#[test]
fn handles_that_a_request_leaves_open_are_seen() {
    let host = host().threads(1).start();
    host.get("/v2?open:default").drained();
    for version in VERSIONS {
        for _ in 0..3 {
            assert_eq!(host.get(&format!("{version}?leak,leak")).drained().leaked, 2, "{version}");
        }
    }
    assert_eq!(host.get("/v3?open:default,keys").drained().leaked, 0);
}

#[test]
fn a_value_of_many_bytes_is_stored_and_one_beyond_the_limit_ends_the_call() {
    let host = host().start();
    for version in VERSIONS {
        let answer = host.get(&format!("{version}?open:default,large:a:16000000,get:a,delete:a")).text().to_owned();
        assert_eq!(answer, "Ok(())\nOk(())\n16000000 bytes\nOk(())", "{version}");
        assert_eq!(host.get(&format!("{version}?open:default,large:a:20000000")).response().status(), 500);
    }
}

#[test]
fn a_middleware_opens_a_store_only_if_it_inherits_them() {
    let (denied, opened) = (["Err(Error::AccessDenied)"; 4].join(", "), ["Ok(())"; 4].join(", "));
    for (inherits, expected) in [
        ("", &denied),
        (", inherit_configuration = [\"variables\"]", &denied),
        (", inherit_configuration = [\"key_value_stores\"]", &opened),
        (", inherit_configuration = true", &opened),
    ] {
        let (_folder, host) = around(guests::KEY_VALUE_MIDDLEWARE, inherits);
        let host = host.start();
        assert_eq!(host.get("/").text(), *expected, "{inherits}");
    }
}

/// A host whose application opens stores, behind this middleware.
fn around(middleware: &str, inherits: &str) -> (TempDir, TestHostBuilder) {
    let app = folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\n\
         dependencies.middleware = [{{ path = {middleware:?}{inherits} }}]\n\
         [component.app]\nsource = {:?}\n{ALLOWED}\n",
        guests::KEY_VALUE
    ));
    let host = TestHost::manifest(app.path().join("spin.toml"));
    (app, host)
}
