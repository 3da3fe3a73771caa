//! Variables from HashiCorp Vault. A small server speaks the one call of its API that the host makes.

use std::fs;
use std::io::{BufRead as _, BufReader, Result, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::get;
use crate::guests;
use crate::process::{Process, folder, up};

const TOKEN: &str = "hvs.the-token";

/// A server with one secret, `app/token`, whose text is the `value`.
struct Vault {
    address: SocketAddr,
    value: Arc<Mutex<Value>>,
}

impl Vault {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let value = Arc::new(Mutex::new(json!("s3cret")));
        let current = value.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                _ = answer(stream, &current.lock().unwrap());
            }
        });
        Self { address, value }
    }

    fn set(&self, value: Value) {
        *self.value.lock().unwrap() = value;
    }
}

fn answer(mut stream: TcpStream, value: &Value) -> Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines().map_while(Result::ok);
    let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let is_known = request.iter().any(|line| *line == format!("x-vault-token: {TOKEN}"));
    let (status, body) = match request[0].split(' ').nth(1).unwrap_or_default() {
        _ if !is_known => ("403 Forbidden", json!({ "errors": ["permission denied"] })),
        "/v1/secret/data/app/token" => {
            ("200 OK", json!({ "data": { "data": { "value": value }, "metadata": { "version": 1 } } }))
        }
        _ => ("404 Not Found", json!({ "errors": [] })),
    };
    let body = body.to_string();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// An application with a required variable, and a runtime configuration with a server of Vault at this address.
fn application(address: SocketAddr, token: &str) -> TempDir {
    let app = folder(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
         [variables]\nhost = {{ default = \"example.com\" }}\ntoken = {{ required = true, secret = true }}\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\n\
         [component.app]\nsource = {:?}\nenvironment = {{ PLACE = \"at {{{{ host }}}}\" }}\n\
         [component.app.variables]\ntoken = \"<{{{{ token }}}}>\"\nurl = \"https://{{{{ host }}}}/\"\n",
        guests::VARIABLES
    ));
    let config = format!(
        "[[config_provider]]\ntype = \"vault\"\nurl = \"http://{address}\"\ntoken = {token:?}\nmount = \"secret\"\n\
         prefix = \"app\"\n"
    );
    fs::write(app.path().join("runtime.toml"), config).unwrap();
    app
}

fn start(app: &TempDir, options: &[&str]) -> Process {
    let mut command = up(app.path(), []);
    command.arg("--runtime-config-file").arg(app.path().join("runtime.toml")).args(options);
    Process::start(command)
}

#[test]
fn a_variable_is_read_when_a_component_asks_for_it() {
    let vault = Vault::start();
    let app = application(vault.address, TOKEN);
    let host = start(&app, &[]);
    for (path, expected) in [
        ("/v1?token", "<s3cret>"),
        ("/v2?token", "<s3cret>"),
        ("/v3?token", "<s3cret>"),
        ("/wasi?token", "Ok(Some(\"<s3cret>\"))"),
        ("/wasi", "Ok([(\"token\", \"<s3cret>\"), (\"url\", \"https://example.com/\")])"),
        // Vault does not have it, and the default decides.
        ("/v3?url", "https://example.com/"),
        ("/environment?PLACE", "Ok(\"at example.com\")"),
    ] {
        assert_eq!(get(host.address(), path), expected, "{path}");
    }
    vault.set(json!("changed"));
    assert_eq!(get(host.address(), "/v3?token"), "<changed>");
    assert_eq!(get(host.address(), "/task?token"), "later");
    host.printed("<changed>");
    let host = start(&app, &["--variable", "token=given"]);
    assert_eq!(get(host.address(), "/v3?token"), "<given>", "the command line takes precedence");
}

#[test]
fn a_secret_that_cannot_be_read_is_named_without_the_token() {
    let vault = Vault::start();
    let app = application(vault.address, TOKEN);
    let host = start(&app, &[]);
    vault.set(json!({ "nested": "s3cret" }));
    let message = "the variables provider vault cannot read app/token at secret: the secret has no text \\\"value\\\"";
    assert_eq!(get(host.address(), "/v3?token"), format!("Error::Provider(\"{message}\")"));
    let line = host.logged(&message.replace('\\', ""));
    assert!(!line.contains("s3cret") && !line.contains(TOKEN), "{line}");
    drop(host);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, token, expected) in [
        (vault.address, "another-token", "the server answered 403 Forbidden"),
        (free, "another-token", "Connection refused"),
        (free, "another\ntoken", "the token of the variables provider vault cannot be sent in a header"),
    ] {
        // The environment needs a variable at the start.
        let stderr = start(&application(address, token), &[]).ended().stderr.join("\n");
        assert!(stderr.contains(expected), "{expected} should be in {stderr}");
        assert!(!stderr.contains("another"), "{stderr}");
        let is_asked = token == "another-token";
        assert_eq!(stderr.contains("vault cannot read app/host at secret: "), is_asked, "{stderr}");
    }
}
