//! A dependency: exports an interface that the guest `dependent` imports, and tells what it sees of its configuration.

#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]

wit_bindgen::generate!({
    inline: "package test:greeter@1.0.0;
        interface greet { hello: func(name: string) -> string; }
        world greeter { export greet; }",
});

struct Greeter;

impl exports::test::greeter::greet::Guest for Greeter {
    fn hello(name: String) -> String {
        let environment = std::env::var("NAME").unwrap_or_else(|_| "nobody".to_owned());
        let files = std::fs::read_dir("/").map_or(0, Iterator::count);
        format!("hello {name}, from {environment} with {files} files")
    }
}

export!(Greeter);
