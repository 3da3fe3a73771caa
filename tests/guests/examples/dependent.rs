//! Imports an interface that a dependency satisfies, in the handler and in a task.

#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]

use epilogue_sdk::BackgroundTasks;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

wit_bindgen::generate!({
    inline: "package test:greeter@1.0.0;
        interface greet { hello: func(name: string) -> string; }
        world dependent { import greet; }",
});

use test::greeter::greet::hello;

#[http_service]
async fn handle(_: Request) -> anyhow::Result<impl IntoResponse> {
    BackgroundTasks::current().add_task(greet, ("task".to_owned(),))?;
    Ok(hello("handler"))
}

#[epilogue_sdk::task]
fn greet(name: String) {
    println!("{}", hello(&name));
}
