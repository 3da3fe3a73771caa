//! Spawns work that goes on after the handler. The path chooses the work:
//!
//! - `/adds?GATE` adds a closure once the gate has opened, `/panics?GATE` panics then, and `/spins?GATE` computes for ever then
//!   without yielding.
//! - `/stops` goes on until the host asks it to stop.
//! - `/yields` goes on for one and a half seconds, and yields without waiting.
//! - `/registers?GATE` and `/meanwhile?GATE` spawn the work in the teardown. It registers another teardown: after the first one has
//!   ended, or before.

use std::time::{Duration, Instant};

use epilogue_sdk::{BackgroundTasks, EnqueueError, FailurePolicy, Scope, stopping};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::wit_bindgen::yield_async;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let gate = request.uri().query().unwrap_or_default().to_owned();
    let handled = match request.uri().path() {
        "/adds" => adds(gate),
        "/meanwhile" => {
            registers_meanwhile(gate);
            Ok(())
        }
        "/registers" => {
            registers(gate);
            Ok(())
        }
        "/stops" => {
            spin_sdk::wasip3::spawn(async { println!("stop: {:?}", stopping().await.reason) });
            Ok(())
        }
        "/yields" => yields(),
        "/spins" => spins(gate),
        _ => panics(gate),
    };
    handled.map(|()| "done").map_err(|error| error.to_string())
}

fn adds(gate: String) -> Result<(), EnqueueError> {
    Scope::current().on_teardown(async { println!("teardown") });
    spin_sdk::wasip3::spawn(async move {
        pass(gate).await;
        if let Err(error) = BackgroundTasks::current().defer(async { println!("closure") }) {
            println!("refused: {error}");
        }
    });
    Ok(())
}

fn registers(gate: String) {
    Scope::current().on_teardown(async {
        println!("teardown");
        spin_sdk::wasip3::spawn(async {
            pass(gate).await;
            Scope::current().on_teardown(async { println!("too late") });
        });
    });
}

fn registers_meanwhile(gate: String) {
    Scope::current().on_teardown(async {
        spin_sdk::wasip3::spawn(async { Scope::current().on_teardown(async { println!("in time") }) });
        pass(gate).await;
    });
}

fn yields() -> Result<(), EnqueueError> {
    BackgroundTasks::current().add_task(say, ("task".into(),))?;
    spin_sdk::wasip3::spawn(async {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1500) {
            yield_async().await;
        }
        println!("ended");
    });
    Ok(())
}

fn spins(gate: String) -> Result<(), EnqueueError> {
    BackgroundTasks::current().add_task(say, ("task".into(),))?;
    spin_sdk::wasip3::spawn(async move {
        pass(gate).await;
        loop {
            std::hint::spin_loop();
        }
    });
    Ok(())
}

fn panics(gate: String) -> Result<(), EnqueueError> {
    let tasks = BackgroundTasks::current();
    tasks.on_failure(FailurePolicy::Continue);
    tasks.defer(async { println!("closure") })?;
    tasks.add_task(say, ("named".into(),))?;
    spin_sdk::wasip3::spawn(async move {
        pass(gate).await;
        panic!("on purpose");
    });
    Ok(())
}

async fn pass(gate: String) {
    if let Err(error) = spin_sdk::http::get(gate).await {
        println!("the gate did not open: {error}");
    }
}

#[epilogue_sdk::task(name = "say")]
fn say(what: String) {
    println!("{what}");
}
