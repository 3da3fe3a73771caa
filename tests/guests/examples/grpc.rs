//! A gRPC service of tonic's, with one call that answers once and one that answers with a stream. For each call, a task
//! runs after its trailers have been sent.

use std::pin::Pin;

use epilogue_sdk::BackgroundTasks;
use futures::{Stream, stream};
use greeter_server::{Greeter, GreeterServer};
use spin_sdk::http::{IntoResponse, Request, grpc};
use spin_sdk::http_service;
use tonic::{Response, Status};

#[derive(Clone, PartialEq, prost::Message)]
struct HelloRequest {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HelloReply {
    #[prost(string, tag = "1")]
    message: String,
}

// What tonic makes of a .proto file, made by `build.rs` without one: protoc is not everywhere.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/greeter.Greeter.rs"));
}
use generated::greeter_server;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    grpc::serve(GreeterServer::new(Polite), request).await
}

struct Polite;

#[tonic::async_trait]
impl Greeter for Polite {
    async fn say_hello(&self, request: tonic::Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let name = request.into_inner().name;
        if name.is_empty() {
            return Err(Status::invalid_argument("nobody to greet"));
        }
        note(&name)?;
        Ok(Response::new(HelloReply { message: format!("Hello, {name}!") }))
    }

    type SayManyHellosStream = Pin<Box<dyn Stream<Item = Result<HelloReply, Status>> + Send>>;

    async fn say_many_hellos(
        &self,
        request: tonic::Request<HelloRequest>,
    ) -> Result<Response<Self::SayManyHellosStream>, Status> {
        let name = request.into_inner().name;
        note(&name)?;
        let replies = ["Hello", "Hallo", "Hola"].map(|hello| Ok(HelloReply { message: format!("{hello}, {name}!") }));
        Ok(Response::new(Box::pin(stream::iter(replies))))
    }
}

fn note(name: &str) -> Result<(), Status> {
    let added = BackgroundTasks::current().add_task(greeted, (name.to_owned(),));
    added.map(drop).map_err(|error| Status::unavailable(error.to_string()))
}

#[epilogue_sdk::task]
fn greeted(name: String) {
    println!("greeted {name}");
}
