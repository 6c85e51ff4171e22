//! Who may come in: the project's keys, what each may do, and how a caller shows to have one.
//!
//! ```text
//! Authorization: Bearer SECRET ─┐
//! X-Api-Key: SECRET ────────────┤
//! Authorization: Basic NAME:… ──┼─► Keys ─► Caller ─► an Inlet that shows and takes what it may
//! a signature of AWS ───────────┘
//! ```
//!
//! While there is no key, everybody is let in: the program listens on loopback then. As soon as
//! there is one, each request needs one.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use base::{Name, limits};
use base64::Engine as _;
use parking_lot::RwLock;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use crate::aws::wire::BASE64;
use crate::rate::{Meter, Rate};

pub(crate) mod guard;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// It asks: SQL, the console, the records of a stream.
    Read,
    /// It sends records or messages.
    Write,
    /// It changes what there is: streams, the project.
    Manage,
}

impl Act {
    /// Returns the word that `may` uses.
    pub fn word(self) -> &'static str {
        match self {
            Act::Read => "read",
            Act::Write => "write",
            Act::Manage => "manage",
        }
    }
}

/// A key of the project.
#[derive(Clone)]
pub struct Key {
    /// Its name.
    pub name: Name,
    /// What AWS clients call the access key id; the name if not said.
    pub id: String,
    /// What its owner knows.
    pub secret: String,
    /// What its owner may do.
    pub may: Vec<Act>,
    /// The streams it is for; all, and SQL over everything, if none.
    pub streams: Option<BTreeSet<Name>>,
    /// How much its owner may send.
    pub limit: Rate,
}

impl fmt::Debug for Key {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("may", &self.may)
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

/// A key with what is needed to check it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) key: Key,
    digest: Digest,
    meter: Option<Arc<Meter>>,
}

#[derive(Clone, Copy)]
struct Digest([u8; 32]);

impl Digest {
    fn of(secret: &str) -> Digest {
        Digest(Sha256::digest(secret.as_bytes()).into())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}

/// All keys there are. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    ring: RwLock<Arc<Ring>>,
    is_required: AtomicBool,
}

#[derive(Debug, Default)]
struct Ring {
    keys: Vec<Arc<Held>>,
    operator: Option<Arc<Held>>,
}

/// Why a caller is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyFault {
    #[error("this needs a key")]
    Missing,
    #[error("the key is not known")]
    Unknown,
    #[error("this program listens to the network, and its project has no keys")]
    NoKeys,
    #[error("the key `{key}` may not {}", may_not(*act))]
    NotAllowed { key: Name, act: Act },
    #[error("the key `{key}` is for some streams only")]
    StreamsOnly { key: Name },
    #[error("`{0}` is not a name of this program")]
    ForeignName(String),
}

fn may_not(act: Act) -> &'static str {
    match act {
        Act::Read => "read",
        Act::Write => "write",
        Act::Manage => "change what there is",
    }
}

impl KeyFault {
    pub(crate) fn help(&self) -> String {
        match self {
            KeyFault::Missing | KeyFault::Unknown => {
                "send the secret of a key of the project as `Authorization: Bearer SECRET`".into()
            }
            KeyFault::NoKeys => "add `[project.keys.NAME]` with `secret = \"${NAME}\"`".into(),
            KeyFault::NotAllowed { key, act } => {
                format!("add \"{}\" to `may` of [project.keys.{key}]", act.word())
            }
            KeyFault::ForeignName(_) => {
                "use localhost or the number of its address; with a key any name will do".into()
            }
            KeyFault::StreamsOnly { key } => {
                format!("use a key without `streams`, or leave it out of [project.keys.{key}]")
            }
        }
    }
}

impl Keys {
    /// Takes these keys in the place of those before; `now` is the time of their limits.
    pub fn replace(&self, keys: Vec<Key>, now: Duration) {
        let mut ring = self.shared.ring.write();
        let held = keys.into_iter().map(|key| {
            let before = ring.keys.iter().find(|it| it.key.name == key.name);
            let meter = Meter::renewed(before.and_then(|it| it.meter.as_ref()), key.limit, now);
            Arc::new(Held { digest: Digest::of(&key.secret), meter, key })
        });
        *ring = Arc::new(Ring { keys: held.collect(), operator: ring.operator.clone() });
    }

    /// Takes a key for whoever runs the program: it may do everything, and does not count as a key
    /// of the project.
    pub fn admit_operator(&self, name: Name, secret: String) {
        let may = vec![Act::Read, Act::Write, Act::Manage];
        let id = name.to_string();
        let key = Key { name, id, secret, may, streams: None, limit: Rate::default() };
        let held = Held { digest: Digest::of(&key.secret), meter: None, key };
        let mut ring = self.shared.ring.write();
        *ring = Arc::new(Ring { keys: ring.keys.clone(), operator: Some(Arc::new(held)) });
    }

    /// From now on nobody is let in without a key, even while there is none: right when the
    /// program listens to the network.
    pub fn require(&self) {
        self.shared.is_required.store(true, Ordering::SeqCst);
    }

    /// Returns whether everybody is let in.
    pub fn is_open(&self) -> bool {
        self.ring().keys.is_empty() && !self.shared.is_required.load(Ordering::SeqCst)
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.shared.ring.read())
    }

    /// Returns whether the caller showed the key of whoever runs the program.
    fn is_operator(&self, caller: &Caller) -> bool {
        let ring = self.ring();
        let (operator, held) = (ring.operator.as_ref(), caller.held.as_ref());
        operator.zip(held).is_some_and(|(operator, held)| Arc::ptr_eq(operator, held))
    }

    /// Returns the key that AWS clients know by this id.
    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<Held>> {
        let ring = self.ring();
        ring.keys.iter().chain(&ring.operator).find(|it| it.key.id == id).cloned()
    }

    /// Returns who sends these headers, or `beacon`, the key in the address.
    pub(crate) fn caller(
        &self,
        headers: &HeaderMap,
        beacon: Option<&str>,
        client: Option<IpAddr>,
    ) -> Result<Caller, KeyFault> {
        if self.is_open() {
            // A site can point its own name at this machine: then its pages would count as ours.
            return match guard::foreign_name(headers) {
                Some(name) => Err(KeyFault::ForeignName(name)),
                None => Ok(Caller { held: None, client }),
            };
        }
        let shown = shown_in(headers).or_else(|| beacon.map(str::to_owned));
        let Some(secret) = shown else {
            let is_empty = self.ring().keys.is_empty();
            return Err(if is_empty { KeyFault::NoKeys } else { KeyFault::Missing });
        };
        let held = self.by_secret(&secret).ok_or(KeyFault::Unknown)?;
        Ok(Caller { held: Some(held), client })
    }

    /// Looks at every key, and at each in the same time whatever was shown.
    fn by_secret(&self, secret: &str) -> Option<Arc<Held>> {
        if limits::SECRET_BYTES_MAX < secret.len() {
            return None;
        }
        let digest = Digest::of(secret);
        let ring = self.ring();
        let (mut found, mut place) = (Choice::from(0), 0_u32);
        for (index, held) in (0_u32..).zip(ring.keys.iter().chain(&ring.operator)) {
            let is_this = held.digest.0.ct_eq(&digest.0);
            place.conditional_assign(&index, is_this);
            found |= is_this;
        }
        let held = ring.keys.iter().chain(&ring.operator).nth(place as usize);
        held.filter(|_| bool::from(found)).cloned()
    }
}

/// Returns the secret that a request shows.
fn shown_in(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    if let Some(key) = text("x-api-key") {
        return Some(key.trim().to_owned());
    }
    let (scheme, rest) = text(header::AUTHORIZATION.as_str())?.trim().split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        // A browser asks for a name and a password: the name is for people, the password counts.
        let decoded = BASE64.decode(rest.trim()).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        return decoded.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

/// Who sends a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    /// The key that was shown; none while there are no keys.
    held: Option<Arc<Held>>,
    /// Where the request comes from, if that is known.
    pub(crate) client: Option<IpAddr>,
}

impl Caller {
    pub(crate) fn with_key(held: Arc<Held>, client: Option<IpAddr>) -> Caller {
        Caller { held: Some(held), client }
    }

    /// Returns the name of the key, if one was shown.
    pub(crate) fn name(&self) -> Option<&Name> {
        self.held.as_ref().map(|it| &it.key.name)
    }

    pub(crate) fn meter(&self) -> Option<&Arc<Meter>> {
        self.held.as_ref()?.meter.as_ref()
    }

    /// Returns an error if the caller may not do this to anything.
    pub(crate) fn check(&self, act: Act) -> Result<(), KeyFault> {
        match &self.held {
            Some(held) if !held.key.may.contains(&act) => {
                Err(KeyFault::NotAllowed { key: held.key.name.clone(), act })
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the stream is one the caller knows of.
    pub(crate) fn sees(&self, stream: &str) -> bool {
        let streams = self.held.as_ref().and_then(|it| it.key.streams.as_ref());
        streams.is_none_or(|it| it.contains(stream))
    }

    /// Returns an error if the caller is for some streams only: then what is over all of them is
    /// not for it.
    pub(crate) fn check_all(&self) -> Result<(), KeyFault> {
        match &self.held {
            Some(held) if held.key.streams.is_some() => {
                Err(KeyFault::StreamsOnly { key: held.key.name.clone() })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
