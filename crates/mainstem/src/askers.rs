//! Who may ask, and how much: the keys of the project that may read, and whoever runs the program.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Name;
use parking_lot::Mutex;
use query::postgres::{Users, Verifier};
use query::{AskLimits, AskRights, Asker};
use spec::{Key, Right};

use crate::login::{Login, USER};
use crate::pipeline::Pipeline;

/// See the module. A key is the user of its name, and its secret the password.
pub(crate) struct Askers {
    pipeline: Arc<Pipeline>,
    operator: Verifier,
    itself: Arc<Asker>,
    known: Mutex<BTreeMap<Name, Arc<Asker>>>,
    /// What passwords are verified with, by the secrets they were made of.
    verifiers: Mutex<BTreeMap<Name, (String, Verifier)>>,
}

impl Askers {
    pub(crate) fn new(pipeline: &Arc<Pipeline>, login: &Login) -> Arc<Askers> {
        Arc::new(Askers {
            pipeline: Arc::clone(pipeline),
            operator: login.verifier(),
            itself: Arc::new(Asker::unlimited(USER)),
            known: Mutex::default(),
            verifiers: Mutex::default(),
        })
    }

    /// Returns who asks with a key of the project that runs; nobody if it may not ask any more.
    pub(crate) fn of_key(&self, name: &str) -> Option<Arc<Asker>> {
        let running = self.pipeline.now();
        let key = running.project.keys.get(name).filter(|it| may_ask(it))?;
        let may = |right| key.may.contains(&right);
        let rights = AskRights { write: may(Right::Write), manage: may(Right::Manage) };
        let limits = limits_of(key);
        let mut known = self.known.lock();
        known.retain(|it, _| running.project.keys.contains_key(it));
        if let Some(asker) = known.get(name).filter(|it| it.is_alike(rights, &limits)) {
            return Some(Arc::clone(asker));
        }
        let asker = Arc::new(Asker::new(name, rights, limits));
        known.insert(key.name.clone(), Arc::clone(&asker));
        Some(asker)
    }
}

/// A key that is for some streams only asks nothing: SQL is over everything.
fn may_ask(key: &Key) -> bool {
    key.streams.is_none() && key.may.contains(&Right::Read)
}

fn limits_of(key: &Key) -> AskLimits {
    let count = |it: u64| usize::try_from(it).unwrap_or(usize::MAX);
    AskLimits {
        at_once: key.queries.at_once.map(count),
        duration: key.queries.time.map(|it| it.0),
        memory_bytes: key.queries.memory.map(|it| count(it.0)),
        rows_read: key.queries.rows,
        bytes_read: key.queries.bytes.map(|it| it.0),
    }
}

impl Users for Askers {
    fn verifier(&self, user: &str) -> Option<Verifier> {
        if user == USER {
            return Some(self.operator.clone());
        }
        let running = self.pipeline.now();
        let key = running.project.keys.get(user).filter(|it| may_ask(it))?;
        let mut verifiers = self.verifiers.lock();
        verifiers.retain(|it, _| running.project.keys.contains_key(it));
        let secret = key.secret.reveal();
        if let Some((of, verifier)) = verifiers.get(user)
            && of == secret
        {
            return Some(verifier.clone());
        }
        let verifier = match Verifier::of(secret) {
            Ok(verifier) => verifier,
            Err(error) => {
                tracing::warn!(key = user, %error, "the secret of a key is no password for PostgreSQL");
                return None;
            }
        };
        verifiers.insert(key.name.clone(), (secret.to_owned(), verifier.clone()));
        Some(verifier)
    }

    fn asker(&self, user: &str) -> Option<Arc<Asker>> {
        if user == USER { Some(Arc::clone(&self.itself)) } else { self.of_key(user) }
    }
}
