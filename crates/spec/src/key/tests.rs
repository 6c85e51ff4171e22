//! Keys in project files, right and wrong.

use expect_test::{Expect, expect};

use crate::{Project, Rate, Right, load_texts};

const STREAM: &str = "[stream.orders]\ncolumns = { id = \"int\" }\n";

fn load(toml: &str) -> Result<Project, crate::Faults> {
    let text = format!("{toml}\n{STREAM}");
    let secrets = |name: &str| match name {
        "SHORT" => Some("too short".to_owned()),
        "LONG" => Some("a secret that nobody can guess".to_owned()),
        _ => None,
    };
    load_texts(&[("mainstem.toml", &text)], None, &secrets)
}

fn faults(toml: &str, expected: &Expect) {
    expected.assert_eq(&load(toml).unwrap_err().to_string());
}

#[test]
fn a_key_has_defaults_that_suit_a_producer_and_a_dashboard() {
    let project = load(
        "[project.keys.till]\nsecret = \"${LONG}\"\n\
         [project.keys.shop]\nsecret = \"${LONG}\"\nid = \"AKIASHOP\"\nstreams = \"orders\"\n\
         may = [\"write\"]\nlimit = { records = 100, bytes = \"1 MB\" }\n\
         [project]\nclient_limit = { records = 5 }\n",
    )
    .unwrap();
    let till = &project.keys["till"];
    assert_eq!((till.id.as_str(), &till.may), ("till", &vec![Right::Read, Right::Write]));
    assert!(till.streams.is_none() && till.limit == Rate::default());
    let shop = &project.keys["shop"];
    assert_eq!((shop.id.as_str(), &shop.may), ("AKIASHOP", &vec![Right::Write]));
    assert_eq!(shop.streams.as_ref().unwrap()[0].as_str(), "orders");
    assert_eq!(shop.limit.to_string(), "100 records, 1 MB");
    assert_eq!(project.client_limit.records, Some(5));
    assert!(!format!("{project:?}").contains("nobody can guess"), "secrets do not print");
}

#[test]
fn what_is_wrong_with_a_key_is_said_at_its_place() {
    faults(
        "[project.keys.till]\n",
        &expect![[r#"
            mainstem.toml:1:15: the key `till` has no `secret`; add `secret = "${NAME}"`, and set NAME in the environment
        "#]],
    );
    faults(
        "[project.keys.till]\nsecret = \"in the clear, for all to see\"\n",
        &expect![[r#"
            mainstem.toml:2:10: a key's secret does not belong into a file; write it as `"${NAME}"`, and set NAME in the environment
        "#]],
    );
    faults(
        "[project.keys.till]\nsecret = \"${SHORT}\"\n",
        &expect![[r#"
            mainstem.toml:2:10: the secret can be guessed; use 16 to 1024 characters, for example what `openssl rand -hex 20` prints
        "#]],
    );
    faults(
        "[project.keys.till]\nsecret = \"${NONE}\"\n",
        &expect![[r#"
            mainstem.toml:2:11: the secret `NONE` is not set; set the environment variable `NONE`
        "#]],
    );
    faults(
        "[project.keys.\"a key\"]\nsecret = \"${LONG}\"\n",
        &expect![[r#"
            mainstem.toml:1:15: `a key` is not a name; write at most 128 letters, digits, `_`, `-` or `.`, beginning with a letter, digit or `_`
        "#]],
    );
    faults(
        "[project.keys.till]\nsecret = \"${LONG}\"\nstreams = [\"oders\"]\nmay = [\"wrte\"]\nlimt = 1\n",
        &expect![[r#"
            mainstem.toml:3:12: there is no stream `oders`; did you mean `orders`?
            mainstem.toml:4:8: `wrte` is not known here; did you mean `"write"`?
            mainstem.toml:5:1: unknown key `limt`; did you mean `limit`?
        "#]],
    );
    faults(
        "[project.keys.a]\nsecret = \"${LONG}\"\nid = \"x\"\n[project.keys.b]\nsecret = \"${LONG}\"\nid = \"x\"\n",
        &expect![[r#"
            mainstem.toml:6:6: `x` is the id of the key `a` already; give each key an id of its own
        "#]],
    );
    faults(
        "[project.keys.a]\nsecret = \"${LONG}\"\nmay = []\nlimit = { records = 0, bytes = \"0 MB\" }\n",
        &expect![[r#"
            mainstem.toml:1:15: the key `a` may do nothing; leave `may` out for `["read", "write"]`
            mainstem.toml:4:21: nothing could come in; write a number above 0, or leave `records` out
            mainstem.toml:4:32: nothing could come in; write a size such as "1 MB", or leave `bytes` out
        "#]],
    );
}
