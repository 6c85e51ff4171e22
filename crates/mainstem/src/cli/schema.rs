//! `mainstem schema`: the JSON Schema of the project files.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

/// Print the JSON Schema of the project files, for editors that complete TOML.
///
/// Example: mainstem schema > mainstem.schema.json, then begin a file with
/// `#:schema ./mainstem.schema.json`.
#[derive(Debug, Args)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Self {} = self;
        let schema = serde_json::to_string_pretty(&spec::json_schema())?;
        writeln!(std::io::stdout(), "{schema}")?;
        Ok(ExitCode::SUCCESS)
    }
}
