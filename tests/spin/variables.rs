//! Variables: declared by the manifest, set by the operator, asked for by components.

use std::fs;

use epilogue::testing::{TestHost, TestHostBuilder};
use tempfile::TempDir;

use crate::client::get;
use crate::guests;
use crate::process::{Process, folder, up};

/// An application with variables.
fn application() -> TempDir {
    folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
         [variables]\nhost = {{ default = \"example.com\" }}\ntoken = {{ required = true, secret = true }}\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\n\
         [component.app]\nsource = {:?}\nallowed_outbound_hosts = [\"https://{{{{ host }}}}\"]\n\
         environment = {{ PLACE = \"at {{{{ host }}}}\", VERBATIM = \"{{{{ other }}}}\" }}\n\
         [component.app.variables]\nurl = \"https://{{{{ host }}}}/api\"\ntoken = \"{{{{ token }}}}\"\nfixed = \"a\"\n",
        guests::VARIABLES
    ))
}

fn host(folder: &TempDir) -> TestHostBuilder {
    TestHost::manifest(folder.path().join("spin.toml"))
}

#[test]
fn each_version_of_the_interface_answers() {
    let folder = application();
    let host = host(&folder).variable("token", "s3cret").start();
    for (path, expected) in [
        ("/v1?url", "https://example.com/api"),
        ("/v2?token", "s3cret"),
        ("/v3?url", "https://example.com/api"),
        ("/wasi?fixed", "Ok(Some(\"a\"))"),
        ("/wasi?host", "Ok(None)"),
        ("/wasi?A", "Ok(None)"),
        ("/wasi", "Ok([(\"fixed\", \"a\"), (\"token\", \"s3cret\"), (\"url\", \"https://example.com/api\")])"),
        // The application's variables are not the component's.
        ("/v1?host", "Error::Provider(\"the component has no variable \\\"host\\\"\")"),
        ("/v2?host", "Error::Undefined(\"the component has no variable \\\"host\\\"\")"),
        ("/v3?host", "Error::Undefined(\"the component has no variable \\\"host\\\"\")"),
        (
            "/v1?A",
            "Error::InvalidKey(\"the variable name \\\"A\\\" may only have lower-case letters, digits and \
             underscores\")",
        ),
        (
            "/v2?a_",
            "Error::InvalidName(\"the variable name \\\"a_\\\" must have each underscore between two letters or \
          digits\")",
        ),
        ("/v3?1", "Error::InvalidName(\"the variable name \\\"1\\\" must start with a letter\")"),
        ("/environment?PLACE", "Ok(\"at example.com\")"),
        ("/environment?VERBATIM", "Ok(\"{{ other }}\")"),
    ] {
        assert_eq!(host.get(path).text(), expected, "{path}");
    }
}

#[test]
fn a_variable_without_a_value_is_an_error_of_its_provider() {
    let folder = application();
    let host = host(&folder).start();
    let message = "no provider has a value for \\\"token\\\"";
    for (path, expected) in [
        ("/v1?token", format!("Error::Provider(\"{message}\")")),
        ("/v2?token", format!("Error::Provider(\"{message}\")")),
        ("/v3?token", format!("Error::Provider(\"{message}\")")),
        ("/wasi?token", format!("Err(Error::Upstream(\"{message}\"))")),
        ("/wasi", format!("Err(Error::Upstream(\"{message}\"))")),
    ] {
        assert_eq!(host.get(path).text(), expected, "{path}");
    }
}

#[test]
fn tasks_ask_for_variables_too() {
    let folder = application();
    let host = host(&folder).variable("token", "s3cret").start();
    host.get("/task?token").drained();
    assert_eq!(host.stdout(), "s3cret\n");
}

#[test]
fn the_operator_sets_variables() {
    let folder = application();
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let content = file("token.txt", "of the file");
    let json = file("all.json", "{ \"token\": \"of json\", \"host\": \"json.example\" }");
    let toml = file("all.toml", "token = 'of toml'");
    let runtime = file(
        "runtime.toml",
        "[[variables_provider]]\ntype = 'static'\nvalues = { host = 'static.example' }\n\
         [[variables_provider]]\ntype = 'env'\nprefix = 'APP'\ndotenv_path = 'app.env'\n",
    );
    file("app.env", "# of the application\nexport APP_TOKEN='of app.env'\n");
    file(".env", "SPIN_VARIABLE_TOKEN=\"of .env\"\n");
    let start = |options: &[&str], variables: &[(&str, &str)]| {
        let mut host = up(folder.path(), []);
        host.current_dir(folder.path()).args(options).envs(variables.iter().copied());
        let host = Process::start(host);
        (get(host.address(), "/v2?token"), get(host.address(), "/v3?url"))
    };
    let token = |token: &str| (token.to_owned(), "https://example.com/api".to_owned());
    let environment = [("SPIN_VARIABLE_TOKEN", "of the environment")];
    assert_eq!(start(&[], &[]), token("of .env"));
    assert_eq!(start(&[], &environment), token("of the environment"));
    assert_eq!(start(&["--variable", "token=given=twice"], &environment), token("given=twice"));
    assert_eq!(
        start(&["--variable", "token=1", "--variable", &format!("token=@{content}")], &[]),
        token("of the file")
    );
    let both = start(&["--variable", &format!("@{json}")], &[]);
    assert_eq!(both, ("of json".to_owned(), "https://json.example/api".to_owned()));
    assert_eq!(start(&["--variable", &format!("@{toml}")], &[]), token("of toml"));
    let both = start(&["--runtime-config-file", &runtime], &environment);
    assert_eq!(both, ("of app.env".to_owned(), "https://static.example/api".to_owned()));
    assert_eq!(start(&[], &[("RUNTIME_CONFIG_FILE", &runtime)]).0, "of app.env");
}

#[test]
fn what_the_operator_sets_wrongly_is_named_without_its_value() {
    let folder = application();
    let manifest = folder.path().join("spin.toml").display().to_string();
    let list = folder.path().join("list.json").display().to_string();
    fs::write(&list, "[\"s3cret\"]").unwrap();
    for (options, expected) in [
        (
            &[][..],
            format!(
                "{manifest}: required variables have no value: token; set each one, for example with --variable \
                 token=VALUE or SPIN_VARIABLE_TOKEN"
            ),
        ),
        (
            &["--variable", "tokn=s3cret"],
            format!("--variable sets \"tokn\", which {manifest} does not declare: did you mean \"token\"?"),
        ),
        (&["--variable", "s3cret"], "it must be KEY=VALUE, KEY=@FILE, @FILE.json or @FILE.toml".to_owned()),
        (&["--variable", "@values.yaml"], "the file must end in .json or .toml".to_owned()),
        (&["--variable", "TOKEN=s3cret"], "the variable name \"TOKEN\" may only have".to_owned()),
        (&["--variable", &format!("@{list}")], format!("{list} is not a table of variables, each with a text")),
        (&["--variable", "token=@/no/such"], "cannot read /no/such".to_owned()),
        (
            &["--variable", "token=s3cret", "--variable", "host=s3cret host"],
            "\"https://{{ host }}\" in allowed_outbound_hosts is not SCHEME://HOST:PORT after its variables are filled in"
                .to_owned(),
        ),
    ] {
        let output = up(folder.path(), []).args(options).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.contains(&expected), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
}

#[test]
fn a_dotenv_file_that_is_not_meant_for_the_application_is_warned_of() {
    let folder = application();
    fs::write(folder.path().join(".env"), "s3cret\n").unwrap();
    let mut host = up(folder.path(), ["--variable", "token=a"]);
    host.current_dir(folder.path());
    let host = Process::start(host);
    let told = host.logged("variables are not taken from .env: ");
    assert!(told.contains(".env has a line that is not NAME=VALUE") && !told.contains("s3cret"), "{told}");
    assert_eq!(get(host.address(), "/v2?token"), "a");
}

#[test]
fn a_templated_host_can_be_reached() {
    let folder = folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n[variables]\nupstream = {{ required = true }}\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\n\
         [component.app]\nsource = {:?}\nallowed_outbound_hosts = [\"{{{{ upstream }}}}\"]\n",
        guests::OUTBOUND
    ));
    // Nothing listens there.
    let url = "http://127.0.0.1:1";
    for (upstream, expected) in [(url, "ErrorCode::ConnectionRefused"), ("https://example.com", "denied")] {
        let host = host(&folder).variable("upstream", upstream).start();
        assert_eq!(host.get(&format!("/now?{url}")).text(), expected);
    }
}

#[test]
fn the_guide_s_task_asks_for_its_variable() {
    let folder = folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"shop\"\n\
         [variables]\npayments = {{ default = \"https://payments.example.com\" }}\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"shop\"\n\
         [component.shop]\nsource = {:?}\n[component.shop.variables]\ncharge_url = \"{{{{ payments }}}}/charge\"\n",
        guests::GUIDE_VARIABLES
    ));
    let host = host(&folder).start();
    host.get("/").drained();
    assert_eq!(host.stdout(), "charging order 7 at https://payments.example.com/charge\n");
}
