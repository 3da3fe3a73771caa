//! Tests that wrong uses of `#[task]` do not compile, and checks the compiler's messages. To update the expected
//! messages, run the tests with `TRYBUILD=overwrite`.

#[test]
fn mistakes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
