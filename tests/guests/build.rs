//! Generates the gRPC service of `examples/grpc.rs`.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name: &str, route: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type("crate::HelloRequest")
            .output_type("crate::HelloReply")
            .codec_path("tonic_prost::ProstCodec")
    };
    let greeter = Service::builder()
        .name("Greeter")
        .package("greeter")
        .method(method("say_hello", "SayHello").build())
        .method(method("say_many_hellos", "SayManyHellos").server_streaming().build())
        .build();
    Builder::new().build_client(false).compile(&[greeter]);
    println!("cargo::rerun-if-changed=build.rs");
}
