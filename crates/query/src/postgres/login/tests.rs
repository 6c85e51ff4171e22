use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Exchange, Users, Verifier, VerifierError, new_password, sha256, sign};

/// The example of RFC 7677.
#[test]
fn the_verifier_is_that_of_the_standard() {
    let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let verifier = Verifier::salted("pencil", salt, super::ROUNDS);
    let said = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let server_signature = BASE64.encode(sign(&verifier.server_key, said.as_bytes()));
    assert_eq!(server_signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    let proof = BASE64.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
    let mask = sign(&verifier.stored_key, said.as_bytes());
    let key: Vec<u8> = proof.iter().zip(mask).map(|(left, right)| left ^ right).collect();
    assert_eq!(sha256(&key), verifier.stored_key);
}

#[test]
fn a_verifier_survives_being_written() {
    let verifier = Verifier::of("correct horse").unwrap();
    let text = verifier.to_string();
    assert!(text.starts_with("SCRAM-SHA-256$4096:"), "{text}");
    assert_eq!(text.parse(), Ok(verifier.clone()));
    assert_ne!(Verifier::of("correct horse").unwrap(), verifier, "the salt must be new");
    assert_eq!(format!("{verifier:?}"), "Verifier(…)");
    for text in ["", "SCRAM-SHA-256$0:AA==$AA==:AA==", "SCRAM-SHA-256$4096:$x:y", "md5abc"] {
        assert_eq!(text.parse::<Verifier>(), Err(VerifierError::NotAVerifier), "{text}");
    }
    for password in ["", "grün", "a\0b"] {
        assert_eq!(Verifier::of(password), Err(VerifierError::NotAPassword), "{password:?}");
    }
}

#[test]
fn new_passwords_are_long_and_different() {
    let (one, other) = (new_password().unwrap(), new_password().unwrap());
    assert_eq!(one.len(), 24);
    assert_ne!(one, other);
    assert!(Verifier::of(&one).is_ok());
}

fn users() -> BTreeMap<String, Verifier> {
    BTreeMap::from([("ann".to_owned(), Verifier::of("secret").unwrap())])
}

#[test]
fn an_unknown_user_is_asked_like_a_known_one() {
    let users = users();
    let first = |user: &str| {
        let (_, answer) = Exchange::begin(&users, user, &[7; 32], "n,,n=,r=abc").unwrap();
        answer.split(",s=").nth(1).unwrap().to_owned()
    };
    assert_eq!(first("ann"), first("ann"));
    assert_eq!(first("bob"), first("bob"));
    assert_eq!(first("ann").len(), first("bob").len());
    assert!(users.verifier("bob").is_none());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

    #[test]
    fn no_message_makes_a_login_panic_or_succeed(first in ".{0,60}", last in ".{0,80}") {
        let users = users();
        for first in [first.as_str(), "n,,n=,r=abc"] {
            if let Some((exchange, answer)) = Exchange::begin(&users, "ann", &[7; 32], first) {
                proptest::prop_assert!(exchange.finish(&last).is_none());
                let nonce = answer.split(',').next().unwrap();
                for proof in ["", "AAAA", &BASE64.encode([0; 32])] {
                    let last = format!("c=biws,{nonce},p={proof}");
                    proptest::prop_assert!(exchange.finish(&last).is_none());
                }
            }
        }
    }
}
