//! Asks for variables, through each version of the interface. The path says which: `/v1?NAME`, `/v2?NAME`, `/v3?NAME`,
//! `/wasi?NAME`, and `/wasi` for all. `/task?NAME` asks in a task, which prints the answer. `/environment?NAME` is for
//! comparison.

#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]

use epilogue_sdk::BackgroundTasks;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::{http_service, variables};

wit_bindgen::generate!({
    inline: "package test:variables;
        world variables {
            import fermyon:spin/config;
            import fermyon:spin/variables@2.0.0;
            import wasi:config/store@0.2.0-draft-2024-09-27;
        }",
    path: [
        "../../host/spin/wit/deps/fermyon-spin",
        "../../host/spin/wit/deps/fermyon-spin@2.0.0",
        "../../host/spin/wit/deps/wasi-runtime-config-2024-09-27",
    ],
    generate_all,
});

use fermyon::spin::config as v1;
use fermyon::spin2_0_0::variables as v2;
use wasi::config::store;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let name = request.uri().query().unwrap_or_default();
    Ok(match (request.uri().path(), name) {
        ("/v1", name) => answer(v1::get_config(name)),
        ("/v2", name) => answer(v2::get(name)),
        ("/v3", name) => answer(variables::get(name).await),
        ("/wasi", "") => format!("{:?}", store::get_all()),
        ("/wasi", name) => format!("{:?}", store::get(name)),
        ("/environment", name) => format!("{:?}", std::env::var(name)),
        ("/task", name) => {
            BackgroundTasks::current().add_task(ask, (name.to_owned(),))?;
            "later".to_owned()
        }
        (other, _) => other.to_owned(),
    })
}

#[epilogue_sdk::task]
async fn ask(name: String) {
    println!("{}", answer(variables::get(&name).await));
}

fn answer<E: std::fmt::Debug>(value: Result<String, E>) -> String {
    value.unwrap_or_else(|error| format!("{error:?}"))
}
