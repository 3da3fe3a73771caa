//! Makes calls to a key-value store and answers with their results, one a line. The path names the version of the
//! interface, and the query the calls: `/v3?open:default,set:a:1,get:a`. The versions are `v1`, `v2`, `v3` and `wasi`.
//! `/task/v3?…` makes the calls in a task, which prints the results.
//!
//! Each version has `open:LABEL`, `get:KEY`, `set:KEY:VALUE`, `delete:KEY`, `exists:KEY`, `keys`, `large:KEY:BYTES`,
//! `leak` and `fill`. `fill` opens stores until it gets an error. `v1` also has `closed`, and `wasi` has the functions of
//! `batch` and `atomics`.

#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]

use std::fmt::Debug;

use epilogue_sdk::BackgroundTasks;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::key_value::Store;

wit_bindgen::generate!({
    inline: "package test:key-value;
        world key-value {
            import fermyon:spin/key-value;
            import fermyon:spin/key-value@2.0.0;
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/batch@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
        }",
    path: [
        "../../host/spin/wit/deps/fermyon-spin",
        "../../host/spin/wit/deps/fermyon-spin@2.0.0",
        "../../host/spin/wit/deps/wasi-keyvalue@0.2.0-draft2",
    ],
    generate_all,
});

use fermyon::spin::key_value as v1;
use fermyon::spin2_0_0::key_value as v2;
use wasi::keyvalue::{atomics, batch, store};

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let (path, calls) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    if let Some(version) = path.strip_prefix("/task") {
        BackgroundTasks::current().add_task(later, (version.to_owned(), calls))?;
        return Ok("later".to_owned());
    }
    Ok(run(&path, &calls).await.join("\n"))
}

#[epilogue_sdk::task]
async fn later(version: String, calls: String) {
    println!("{}", run(&version, &calls).await.join("\n"));
}

async fn run(version: &str, calls: &str) -> Vec<String> {
    let calls: Vec<Vec<&str>> = calls.split(',').map(|call| call.split(':').collect()).collect();
    match version {
        "/v1" => run_v1(&calls),
        "/v2" => run_v2(&calls),
        "/v3" => run_v3(&calls).await,
        _ => run_wasi(&calls),
    }
}

fn told<T: Debug, E: Debug>(result: Result<T, E>) -> String {
    format!("{result:?}")
}

/// Shows a value as a text.
fn value<E: Debug>(result: Result<Option<Vec<u8>>, E>) -> String {
    match result {
        Ok(Some(value)) if value.len() > 1_000 => format!("{} bytes", value.len()),
        Ok(value) => format!("{:?}", value.map(|value| String::from_utf8_lossy(&value).into_owned())),
        Err(error) => format!("{error:?}"),
    }
}

fn large(size: &str) -> Vec<u8> {
    vec![b'x'; size.parse().unwrap_or_default()]
}

fn run_v1(calls: &[Vec<&str>]) -> Vec<String> {
    let mut store = u32::MAX;
    let one = |call: &Vec<&str>| match call[..] {
        ["open", label] => told(v1::open(label).map(|opened| store = opened)),
        ["get", key] => value(v1::get(store, key).map(Some)),
        ["set", key, value] => told(v1::set(store, key, value.as_bytes())),
        ["large", key, size] => told(v1::set(store, key, &large(size))),
        ["delete", key] => told(v1::delete(store, key)),
        ["exists", key] => told(v1::exists(store, key)),
        ["keys"] => told(v1::get_keys(store)),
        ["leak"] => told(v1::open("default").map(drop)),
        ["closed"] => {
            v1::close(store);
            // The second has no effect.
            v1::close(store);
            told(v1::get(store, "a"))
        }
        ["fill"] => fill(|| v1::open("default")),
        _ => format!("{call:?}?"),
    };
    calls.iter().map(one).collect()
}

fn run_v2(calls: &[Vec<&str>]) -> Vec<String> {
    let mut opened = None;
    let mut results = Vec::new();
    for call in calls {
        results.push(match (&call[..], &opened) {
            (["open", label], _) => told(v2::Store::open(label).map(|store| opened = Some(store))),
            (["leak"], _) => told(v2::Store::open("default").map(std::mem::forget)),
            (["fill"], _) => fill(|| v2::Store::open("default")),
            (["get", key], Some(store)) => value(store.get(key)),
            (["set", key, value], Some(store)) => told(store.set(key, value.as_bytes())),
            (["large", key, size], Some(store)) => told(store.set(key, &large(size))),
            (["delete", key], Some(store)) => told(store.delete(key)),
            (["exists", key], Some(store)) => told(store.exists(key)),
            (["keys"], Some(store)) => told(store.get_keys()),
            _ => format!("{call:?}?"),
        });
    }
    results
}

async fn run_v3(calls: &[Vec<&str>]) -> Vec<String> {
    let mut opened = None;
    let mut results = Vec::new();
    for call in calls {
        results.push(match (&call[..], &opened) {
            (["open", label], _) => told(Store::open(label).await.map(|store| opened = Some(store))),
            (["leak"], _) => told(Store::open("default").await.map(std::mem::forget)),
            (["fill"], _) => {
                let mut stores = Vec::new();
                loop {
                    match Store::open("default").await {
                        Ok(store) => stores.push(store),
                        Err(error) => break format!("{} {error:?}", stores.len()),
                    }
                }
            }
            (["get", key], Some(store)) => value(store.get(key).await),
            (["set", key, value], Some(store)) => told(store.set(key, value).await),
            (["large", key, size], Some(store)) => told(store.set(key, large(size)).await),
            (["delete", key], Some(store)) => told(store.delete(key).await),
            (["exists", key], Some(store)) => told(store.exists(key).await),
            (["keys"], Some(store)) => told(store.get_keys().await.collect().await),
            _ => format!("{call:?}?"),
        });
    }
    results
}

fn run_wasi(calls: &[Vec<&str>]) -> Vec<String> {
    let mut opened = None;
    let mut results = Vec::new();
    for call in calls {
        results.push(match (&call[..], &opened) {
            (["open", label], _) => told(store::open(label).map(|bucket| opened = Some(bucket))),
            (["leak"], _) => told(store::open("default").map(std::mem::forget)),
            (["fill"], _) => fill(|| store::open("default")),
            (["get", key], Some(bucket)) => value(bucket.get(key)),
            (["set", key, value], Some(bucket)) => told(bucket.set(key, value.as_bytes())),
            (["large", key, size], Some(bucket)) => told(bucket.set(key, &large(size))),
            (["delete", key], Some(bucket)) => told(bucket.delete(key)),
            (["exists", key], Some(bucket)) => told(bucket.exists(key)),
            (["keys"], Some(bucket)) => told(bucket.list_keys(None).map(|response| response.keys)),
            (["cursor"], Some(bucket)) => told(bucket.list_keys(Some("0")).map(|response| response.keys)),
            (["get-many", keys @ ..], Some(bucket)) => {
                let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
                match batch::get_many(bucket, &keys) {
                    Ok(values) => {
                        let shown =
                            values.into_iter().map(|(key, found)| format!("{key} {}", value(Ok::<_, ()>(found))));
                        shown.collect::<Vec<_>>().join("; ")
                    }
                    Err(error) => format!("{error:?}"),
                }
            }
            (["set-many", values @ ..], Some(bucket)) => {
                let values: Vec<_> =
                    values.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].as_bytes().to_vec())).collect();
                told(batch::set_many(bucket, &values))
            }
            (["delete-many", keys @ ..], Some(bucket)) => {
                let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
                told(batch::delete_many(bucket, &keys))
            }
            (["increment", key, delta], Some(bucket)) => {
                told(atomics::increment(bucket, key, delta.parse().unwrap_or_default()))
            }
            (["swap", key, new], Some(bucket)) => match atomics::Cas::new(bucket, key) {
                Ok(cas) => format!("{} {}", value(cas.current()), told(atomics::swap(cas, new.as_bytes()))),
                Err(error) => format!("{error:?}"),
            },
            (["late-swap", key, meanwhile, new], Some(bucket)) => late_swap(bucket, key, meanwhile, new),
            (["fill-cas", key], Some(bucket)) => fill(|| atomics::Cas::new(bucket, key)),
            _ => format!("{call:?}?"),
        });
    }
    results
}

/// Swaps a value that has changed since, and then again with the new handle.
fn late_swap(bucket: &store::Bucket, key: &str, meanwhile: &str, new: &str) -> String {
    let cas = match atomics::Cas::new(bucket, key) {
        Ok(cas) => cas,
        Err(error) => return format!("{error:?}"),
    };
    if let Err(error) = bucket.set(key, meanwhile.as_bytes()) {
        return format!("{error:?}");
    }
    match atomics::swap(cas, new.as_bytes()) {
        Err(atomics::CasError::CasFailed(cas)) => {
            format!("failed {} {}", value(cas.current()), told(atomics::swap(cas, new.as_bytes())))
        }
        other => told(other),
    }
}

/// Opens until there is an error.
fn fill<T, E: Debug>(mut open: impl FnMut() -> Result<T, E>) -> String {
    let mut opened = Vec::new();
    loop {
        match open() {
            Ok(one) => opened.push(one),
            Err(error) => break format!("{} {error:?}", opened.len()),
        }
    }
}
