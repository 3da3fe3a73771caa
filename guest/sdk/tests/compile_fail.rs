//! Mistakes that must not compile, and the compiler's messages about them. `TRYBUILD=overwrite` renews the messages.

#[test]
fn mistakes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
