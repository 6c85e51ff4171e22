//! Who may come in: the keys of the project, as the doors know them, and one for whoever runs the
//! program.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use base::{Clock, Name};
use ingest::{Act, Inlet, Key, Rate};
use query::postgres::new_password;
use spec::{Project, Right};

/// The environment variable that names a key to commands that speak to a program elsewhere.
pub(crate) const KEY_VARIABLE: &str = "MAINSTEM_KEY";

/// Makes the doors ask for the keys of the project, and keep to its limits.
pub(crate) fn admit(project: &Project, inlet: &Inlet, clock: &Arc<dyn Clock>) {
    inlet.keys().replace(project.keys.values().map(key_of).collect(), clock.elapsed());
    inlet.limit_clients(rate(project.client_limit));
}

fn key_of(key: &spec::Key) -> Key {
    let act = |right: &Right| match right {
        Right::Read => Act::Read,
        Right::Write => Act::Write,
        Right::Manage => Act::Manage,
    };
    let streams = key.streams.as_ref().map(|streams| {
        // The project was checked: each is the name of a stream.
        streams.iter().filter_map(|it| Name::new(it.as_str()).ok()).collect()
    });
    Key {
        name: key.name.clone(),
        id: key.id.clone(),
        secret: key.secret.reveal().to_owned(),
        may: key.may.iter().map(act).collect(),
        streams,
        limit: rate(key.limit),
    }
}

/// Returns a limit as the doors know it.
pub(crate) fn rate(rate: spec::Rate) -> Rate {
    Rate { records: rate.records, bytes: rate.bytes.map(|it| it.0) }
}

/// Makes a key for whoever can read the data folder: with it, commands on this machine speak to the
/// program. It is made anew at each start.
pub(crate) fn admit_operator(data: &Path, inlet: &Inlet) -> anyhow::Result<()> {
    let secret = new_password()?;
    let path = operator_file(data);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot write {}", path.display()));
        }
        _ => {}
    }
    let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
    writeln!(file, "{secret}")?;
    inlet.keys().admit_operator(Name::new("operator")?, secret);
    Ok(())
}

/// Returns the key for whoever can read the data folder, if the program made one.
pub(crate) fn operator_key(data: &Path) -> Option<String> {
    fs::read_to_string(operator_file(data)).ok().map(|it| it.trim().to_owned())
}

fn operator_file(data: &Path) -> PathBuf {
    data.join("operator.key")
}
