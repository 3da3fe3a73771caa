//! Tests mistakes that must not compile, and the compiler's messages about these mistakes. `TRYBUILD=overwrite` updates
//! the expected messages.

#[test]
fn mistakes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
