//! Messages as their targets read them.

use super::*;

#[test]
fn a_message_says_who_what_and_when() {
    let message = Message {
        id: "m1".to_owned(),
        notify: Name::new("oncall").unwrap(),
        subject: Some("Till <3>".to_owned()),
        text: "line \"one\"\nline two".to_owned(),
        at_ms: 1_767_600_000_000,
    };
    assert_eq!(
        message.to_json("shop"),
        r#"{"id":"m1","notify":"oncall","subject":"Till <3>","message":"line \"one\"\nline two","at":"2026-01-05T08:00:00Z","project":"shop"}"#
    );
    assert_eq!(message.to_slack(), r#"{"text":"*Till &lt;3&gt;*\nline \"one\"\nline two"}"#);
    let plain = Message { subject: None, ..message };
    assert!(!plain.to_json("shop").contains("subject"));
}
