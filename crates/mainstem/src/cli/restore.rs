//! `mainstem restore`: lets the rows of a table be again what they were.

use std::process::ExitCode;

use anyhow::Context as _;
use base::Name;
use clap::Args;
use show::{Restore as Wanted, Restored};

use crate::cli::{Target, counted};
use crate::earlier;

/// Go back to the rows that a table had in an earlier version.
///
/// `SELECT * FROM system.versions` and `system.snapshots` list the versions there are. Going back
/// writes one new version: what came since is taken out of the table, and can be asked for with
/// `VERSION AS OF` like any earlier version, and gone back to. Tables that read this one stay as they
/// are.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The table.
    #[arg(value_name = "TABLE")]
    table: Name,

    /// The version to go back to.
    #[arg(long, value_name = "N", required_unless_present = "moment", conflicts_with = "moment")]
    version: Option<u64>,

    /// Go back to the version in force at this moment, as 2026-01-05T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    moment: Option<String>,

    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

impl Restore {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.require().await?;
        let moment_ms = self.moment.as_deref().map(earlier::moment_ms).transpose()?;
        let wanted = Wanted { table: self.table, version: self.version, moment_ms };
        let answer = client.post("/v1/restore", &serde_json::to_value(&wanted)?).await?;
        if self.json {
            println!("{}", String::from_utf8_lossy(&answer));
            return Ok(ExitCode::SUCCESS);
        }
        let done: Restored =
            serde_json::from_slice(&answer).context("the answer cannot be read")?;
        let Restored { from, version, rows_before, rows } = done;
        let rows = counted(usize::try_from(rows).unwrap_or(usize::MAX), "row");
        println!(
            "`{}` has the {rows} of version {from} again, as version {version}; it had {rows_before}",
            wanted.table,
        );
        Ok(ExitCode::SUCCESS)
    }
}
