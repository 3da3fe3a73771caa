//! Tests the errors that an engine returns if it cannot use its server. If a configuration can never work, the error is
//! [`Error::Config`], and its message says what to do. If a server may come back later, the error is
//! [`Error::Unavailable`].

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use epilogue_engines::{Error, Options, connect};

use crate::servers::Server;

/// Makes a call to the engine at `url`, and returns the error of this call. Checks that the error shows no password.
async fn error(url: &str) -> Error {
    let error = connect(url, Options::default()).unwrap().counts().await.unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_can_never_do_it_is_a_mistake_and_the_message_says_what_to_do() {
    let server = Server::redis();
    let address = server.url().replace("redis://", "");
    let refused = |error: Error, what: &str| {
        assert!(matches!(&error, Error::Config(why) if why.contains(what)), "{what}: {error:?}");
    };
    refused(error(&format!("redis://{address}/100000")).await, "use a number below the setting `databases` of Redis");
    refused(error(&format!("redis://user:secret@{address}")).await, "correct them in the URL");
    let client = redis::Client::open(server.url()).unwrap();
    let mut admin = client.get_multiplexed_async_connection().await.unwrap();
    let set: String =
        redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("a secret").query_async(&mut admin).await.unwrap();
    assert_eq!(set, "OK");
    refused(error(&format!("redis://{address}")).await, "Redis needs a password: add it to the URL");
    refused(error(&format!("redis://{address}/1")).await, "Redis needs a password: add it to the URL");
    refused(error(&format!("redis://:another%20secret@{address}")).await, "correct them in the URL");
    // `a..b` has an empty label, so no name server knows this name.
    refused(error("redis://a..b").await, "Redis' host is not known: correct its name");
    let right = connect(&format!("redis://:a%20secret@{address}"), Options::default()).unwrap();
    right.counts().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_something_else_is_a_mistake() {
    let nats = Server::nats();
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let web = http.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in http.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
        }
    });
    for address in [nats.url().replace("nats://", ""), web] {
        for scheme in ["redis", "rediss"] {
            let error = error(&format!("{scheme}://{address}")).await;
            let told = |why: &str| why.contains("does not speak Redis' protocol: name another port or scheme");
            assert!(matches!(&error, Error::Config(why) if told(why)), "{scheme}: {error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_come_is_no_mistake() {
    let mut server = Server::redis();
    server.kill();
    let error = error(&server.url()).await;
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("refused")), "{error:?}");
}

/// If the setup of a connection has failed, the engine tries the setup again at the next call.
#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_that_was_corrected_in_the_server_is_forgotten() {
    let server = Server::redis();
    let client = redis::Client::open(server.url()).unwrap();
    let mut admin = client.get_multiplexed_async_connection().await.unwrap();
    let mut user = async |how: &[&str]| -> String {
        redis::cmd("ACL").arg("SETUSER").arg("epilogue").arg(how).query_async(&mut admin).await.unwrap()
    };
    let engine = connect(&server.url().replace("//", "//epilogue:secret@"), Options::default()).unwrap();
    assert!(matches!(engine.counts().await, Err(Error::Config(_))));
    assert_eq!(user(&["on", ">secret", "~{epilogue}*", "+@all"]).await, "OK");
    let mut again = tokio::time::interval(std::time::Duration::from_millis(20));
    let end = std::time::Instant::now() + crate::fixture::LONG;
    while engine.counts().await.is_err() {
        assert!(std::time::Instant::now() < end);
        again.tick().await;
    }
}
