//! Who may connect: SCRAM-SHA-256 (RFC 5802, RFC 7677) over verifiers; passwords are kept nowhere.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};

use crate::asker::Asker;

/// Rounds of hashing, as PostgreSQL does by default.
const ROUNDS: NonZeroU32 = NonZeroU32::new(4_096).expect("4,096 is not zero");

/// Bytes of a key and of a hash.
const KEY_BYTES: usize = 32;

/// Bytes of salt, as PostgreSQL takes them.
const SALT_BYTES: usize = 16;

/// Letters of passwords made here; none looks like another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Knows who may connect.
pub trait Users: Send + Sync {
    /// Returns what the user's password is verified with, or `None` if there is no such user.
    fn verifier(&self, user: &str) -> Option<Verifier>;

    /// Returns what the user may do now, or `None` if there is no such user any more; asked for each
    /// statement. One user is one asker, whose limits hold for all its connections together.
    fn asker(&self, user: &str) -> Option<Arc<Asker>>;
}

impl Users for BTreeMap<String, Verifier> {
    fn verifier(&self, user: &str) -> Option<Verifier> {
        self.get(user).cloned()
    }

    fn asker(&self, user: &str) -> Option<Arc<Asker>> {
        self.contains_key(user).then(|| Arc::new(Asker::unlimited(user)))
    }
}

/// What a password is verified with; the password cannot be had from it.
///
/// As text it is what PostgreSQL keeps in `pg_authid`:
/// `SCRAM-SHA-256$rounds:salt$stored:server`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    rounds: NonZeroU32,
    salt: Vec<u8>,
    stored_key: [u8; KEY_BYTES],
    server_key: [u8; KEY_BYTES],
}

/// The text is no verifier, or the password cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// The text is not what [`Verifier`] writes.
    #[error("this is not a SCRAM-SHA-256 verifier")]
    NotAVerifier,
    /// Clients would write other letters in more than one way.
    #[error("a password is made of printable ASCII letters, digits and signs, at least one")]
    NotAPassword,
    /// The machine gives no random numbers.
    #[error("the machine gives no random numbers")]
    NoRandomness,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

impl Verifier {
    /// Makes the verifier of a password, with new salt.
    ///
    /// # Errors
    /// When the password is empty or not printable ASCII.
    pub fn of(password: &str) -> Result<Verifier, VerifierError> {
        let is_usable = !password.is_empty() && password.chars().all(|it| matches!(it, ' '..='~'));
        if !is_usable {
            return Err(VerifierError::NotAPassword);
        }
        let mut salt = vec![0; SALT_BYTES];
        random(&mut salt)?;
        Ok(Verifier::salted(password, salt, ROUNDS))
    }

    fn salted(password: &str, salt: Vec<u8>, rounds: NonZeroU32) -> Verifier {
        let mut salted = [0; KEY_BYTES];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, rounds, &salt, password.as_bytes(), &mut salted);
        let stored_key = sha256(&sign(&salted, b"Client Key"));
        let server_key = sign(&salted, b"Server Key");
        Verifier { rounds, salt, stored_key, server_key }
    }

    /// Makes what an unknown user is asked with, so that nobody learns who is known; no password
    /// fits it.
    fn of_nobody(user: &str, secret: &[u8; KEY_BYTES]) -> Verifier {
        let salt = sign(secret, user.as_bytes());
        let salt = salt.iter().copied().take(SALT_BYTES).collect();
        let stored_key = sign(secret, b"no client has this key");
        Verifier { rounds: ROUNDS, salt, stored_key, server_key: *secret }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] = [&self.salt[..], &self.stored_key[..], &self.server_key[..]]
            .map(|it| BASE64.encode(it));
        write!(f, "SCRAM-SHA-256${}:{salt}${stored}:{server}", self.rounds)
    }
}

impl std::str::FromStr for Verifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Verifier, VerifierError> {
        parse(text).ok_or(VerifierError::NotAVerifier)
    }
}

fn parse(text: &str) -> Option<Verifier> {
    let text = text.strip_prefix("SCRAM-SHA-256$")?;
    let (salted, keys) = text.split_once('$')?;
    let (rounds, salt) = salted.split_once(':')?;
    let (stored, server) = keys.split_once(':')?;
    let key = |it: &str| <[u8; KEY_BYTES]>::try_from(BASE64.decode(it).ok()?).ok();
    Some(Verifier {
        rounds: rounds.parse().ok()?,
        salt: BASE64.decode(salt).ok().filter(|it| !it.is_empty())?,
        stored_key: key(stored)?,
        server_key: key(server)?,
    })
}

/// Makes a password that nobody guesses: 120 random bits in letters that can be read aloud.
///
/// # Errors
/// When the machine gives no random numbers.
pub fn new_password() -> Result<String, VerifierError> {
    let mut bytes = [0; 24];
    random(&mut bytes)?;
    let letter = |byte: u8| char::from(LETTERS[usize::from(byte) % LETTERS.len()]);
    Ok(bytes.into_iter().map(letter).collect())
}

/// Fills `bytes` with random numbers.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), VerifierError> {
    SystemRandom::new().fill(bytes).map_err(|_nothing_said| VerifierError::NoRandomness)
}

/// One login, after the first message of the client.
pub(super) struct Exchange {
    verifier: Verifier,
    nonce: String,
    client_first: String,
    server_first: String,
}

impl Exchange {
    /// Answers the client's first message; `None` if it is not one.
    pub(super) fn begin(
        users: &dyn Users,
        user: &str,
        secret: &[u8; KEY_BYTES],
        client_first: &str,
    ) -> Option<(Exchange, String)> {
        let bare = client_first.strip_prefix("n,").or_else(|| client_first.strip_prefix("y,"))?;
        let (_authorized_as, bare) = bare.split_once(',')?;
        let mut parts = bare.split(',');
        parts.next()?.strip_prefix("n=")?; // The name of the session counts, as in PostgreSQL.
        let client_nonce = parts.next()?.strip_prefix("r=").filter(|it| !it.is_empty())?;
        let mut own = [0; 18];
        random(&mut own).ok()?;
        let nonce = format!("{client_nonce}{}", BASE64.encode(own));
        let known = users.verifier(user);
        let verifier = known.unwrap_or_else(|| Verifier::of_nobody(user, secret));
        let salt = BASE64.encode(&verifier.salt);
        let server_first = format!("r={nonce},s={salt},i={}", verifier.rounds);
        let client_first = bare.to_owned();
        let exchange =
            Exchange { verifier, nonce, client_first, server_first: server_first.clone() };
        Some((exchange, server_first))
    }

    /// Answers the client's last message; `None` if its password is not the user's.
    pub(super) fn finish(&self, client_final: &str) -> Option<String> {
        let (unproven, proof) = client_final.rsplit_once(",p=")?;
        let mut parts = unproven.split(',');
        let binding = BASE64.decode(parts.next()?.strip_prefix("c=")?).ok()?;
        if !matches!(binding.as_slice(), b"n,," | b"y,,") {
            return None;
        }
        if parts.next()?.strip_prefix("r=")? != self.nonce {
            return None;
        }
        let proof = <[u8; KEY_BYTES]>::try_from(BASE64.decode(proof).ok()?).ok()?;
        let said = format!("{},{},{unproven}", self.client_first, self.server_first);
        let signature = sign(&self.verifier.stored_key, said.as_bytes());
        let mut client_key = proof;
        client_key.iter_mut().zip(signature).for_each(|(byte, mask)| *byte ^= mask);
        let differing = sha256(&client_key)
            .iter()
            .zip(&self.verifier.stored_key)
            .fold(0, |differing, (left, right)| differing | (left ^ right));
        (differing == 0).then(|| {
            let signature = sign(&self.verifier.server_key, said.as_bytes());
            format!("v={}", BASE64.encode(signature))
        })
    }
}

fn sign(key: &[u8], text: &[u8]) -> [u8; KEY_BYTES] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    tag.as_ref().try_into().expect("SHA-256 makes 32 bytes")
}

fn sha256(bytes: &[u8]) -> [u8; KEY_BYTES] {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().try_into().expect("SHA-256 makes 32 bytes")
}

#[cfg(test)]
mod tests;
