//! Sends requests and opens sockets, from the handler and from tasks. The path says what it does, and the query names
//! the destination: `/now?URL`, `/later?URL`, `/then?URL&URL`, `/both?URL&URL`, `/connect?ADDRESS`, `/send?ADDRESS`,
//! `/listen?ADDRESS`, `/look-up?ADDRESS`, `/again?ADDRESS`.

use std::io::Result;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

use epilogue_sdk::BackgroundTasks;
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::ErrorCode;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let query = request.uri().query().unwrap_or_default();
    Ok(match request.uri().path() {
        "/now" => fetch(query).await,
        "/later" => {
            BackgroundTasks::current().add_task(fetch_later, (query.to_owned(),))?;
            "later".to_owned()
        }
        "/then" => {
            let (one, other) = query.split_once('&').unwrap_or_default();
            BackgroundTasks::current().add_task(fetch_both, (one.to_owned(), other.to_owned()))?;
            "then".to_owned()
        }
        "/both" => {
            let (one, other) = query.split_once('&').unwrap_or_default();
            let (one, other) = futures::join!(fetch(one), fetch(other));
            BackgroundTasks::current().add_task(report, (format!("{one}, {other}"),))?;
            format!("{one}, {other}")
        }
        "/connect" => told(TcpStream::connect(query)),
        "/send" => told(UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"hello", query))),
        "/again" => again(query).await,
        "/look-up" => told(query.to_socket_addrs()),
        "/listen" => told(TcpListener::bind(query)),
        _ => format!("here I am, at {}", request.uri().authority().map_or("", |authority| authority.as_str())),
    })
}

/// Sends a hundred requests to an address and opens a hundred connections to it, and ignores the results.
async fn again(address: &str) -> String {
    for _ in 0..100 {
        fetch(&format!("http://{address}/")).await;
        _ = TcpStream::connect(address);
    }
    "again and again".to_owned()
}

fn told<T>(done: Result<T>) -> String {
    done.map_or_else(|error| format!("{:?}", error.kind()), |_| "done".to_owned())
}

/// Returns the body at a URL, or the error.
async fn fetch(url: &str) -> String {
    let fetched = async {
        let response = spin_sdk::http::get(url).await?;
        let body = response.into_body().bytes().await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    };
    match fetched.await {
        Ok(text) => text,
        Err(ErrorCode::HttpRequestDenied) => "denied".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

#[epilogue_sdk::task]
async fn fetch_later(url: String) {
    println!("task: {}", fetch(&url).await);
}

#[epilogue_sdk::task]
async fn fetch_both(one: String, other: String) {
    fetch(&one).await;
    println!("task: {}", fetch(&other).await);
}

#[epilogue_sdk::task]
fn report(answers: String) {
    println!("answers: {answers}");
}
