//! Who may ask over the PostgreSQL wire: one user with a generated password, kept in the data folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use query::postgres::{Users, Verifier, new_password};

/// The one user.
const USER: &str = "mainstem";

/// The login of this data folder.
pub(crate) struct Login {
    password: String,
    verifier: Verifier,
}

impl Login {
    /// Reads the password of the data folder; makes one at the first start. Only the owner of the
    /// folder can read it.
    pub(crate) fn open(data: &Path) -> anyhow::Result<Login> {
        let path = data.join("postgres.password");
        let password = match fs::read_to_string(&path) {
            Ok(text) => text.trim().to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let password = new_password()?;
                let mut file =
                    File::options().write(true).create_new(true).mode(0o600).open(&path)?;
                writeln!(file, "{password}")?;
                file.sync_all()?;
                password
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let verifier = Verifier::of(&password)
            .with_context(|| format!("the password in {}", path.display()))?;
        Ok(Login { password, verifier })
    }

    /// Returns the users of the wire.
    pub(crate) fn users(&self) -> Arc<dyn Users> {
        Arc::new(BTreeMap::from([(USER.to_owned(), self.verifier.clone())]))
    }

    /// Returns the address as PostgreSQL clients take it, with the password.
    pub(crate) fn address(&self, postgres: &str) -> String {
        format!("postgres://{USER}:{}@{postgres}/mainstem", self.password)
    }
}
