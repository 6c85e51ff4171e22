//! The user of the PostgreSQL wire who runs the program: a generated password, kept in the data folder.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use query::postgres::{Verifier, new_password};

/// The user; keys of the project are others.
pub(crate) const USER: &str = "mainstem";

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

    /// Returns what the password is verified with.
    pub(crate) fn verifier(&self) -> Verifier {
        self.verifier.clone()
    }

    /// Returns the address as PostgreSQL clients take it, with the password.
    pub(crate) fn address(&self, postgres: &str) -> String {
        format!("postgres://{USER}:{}@{postgres}/mainstem", self.password)
    }
}
