//! The order of the pipeline is a type: what skips a check does not compile.

/// The same words in the right order compile, so the others fail for what they say.
#[path = "compile_fail/pass/in_order.rs"]
mod in_order;

#[test]
fn completion_cannot_be_reached_without_policy() {
    in_order::main();
    // No program that is meant to run is among them: nothing but type checking is done.
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
