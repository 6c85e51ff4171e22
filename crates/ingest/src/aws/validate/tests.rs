//! The texts of broken constraints.

use expect_test::{Expect, expect};

use super::*;

fn check(break_some: impl FnOnce(&mut Constraints), message: &Expect) {
    let mut constraints = Constraints::default();
    break_some(&mut constraints);
    let fault = constraints.check().unwrap_err();
    assert_eq!(fault.name, "ValidationException");
    message.assert_eq(&fault.message);
}

#[test]
fn texts_are_those_of_aws() {
    check(
        |it| it.required(None::<&u8>, "shardId"),
        &expect![
            "1 validation error detected: Value null at 'shardId' failed to satisfy constraint: Member must not be null"
        ],
    );
    check(
        |it| {
            it.stream_name("");
            it.range(0, "limit", 1..=10_000);
        },
        &expect![
            "3 validation errors detected: Value '' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value '' at 'streamName' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"
        ],
    );
    check(
        |it| it.hash_key("01", "explicitHashKey"),
        &expect![[
            r"1 validation error detected: Value '01' at 'explicitHashKey' failed to satisfy constraint: Member must satisfy regular expression pattern: 0|([1-9]\d{0,38})"
        ]],
    );
    check(
        |it| it.partition_key(Some(&"k".repeat(257)), "partitionKey"),
        &expect![
            "1 validation error detected: Value 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk' at 'partitionKey' failed to satisfy constraint: Member must have length less than or equal to 256"
        ],
    );
}

#[test]
fn what_keeps_the_constraints_passes() {
    let mut constraints = Constraints::default();
    constraints.stream_name("orders-1.a_B");
    constraints.partition_key(Some("é"), "partitionKey");
    constraints.hash_key("0", "explicitHashKey");
    constraints.hash_key("340282366920938463463374607431768211455", "explicitHashKey");
    constraints.sequence_number("49", "startingSequenceNumber");
    constraints.range(1, "limit", 1..=1);
    constraints.one_of("LATEST", "shardIteratorType", &["LATEST"]);
    constraints.check().unwrap();
}

#[test]
fn at_most_ten_are_listed() {
    let mut constraints = Constraints::default();
    for _ in 0..500 {
        constraints.required(None::<&u8>, "x");
    }
    let message = constraints.check().unwrap_err().message;
    assert!(message.starts_with("10 validation errors detected: "), "{message}");
}
