//! `mainstem restore`: lets the rows of a table, or the objects of a bucket, be again what they were.

use std::process::ExitCode;

use anyhow::Context as _;
use base::Name;
use clap::Args;
use show::{Restore as Wanted, Restored, RestoredObjects};

use crate::cli::{Target, counted};
use crate::earlier;

/// Go back to the rows that a table had in an earlier version, or to the objects of a bucket's snapshot.
///
/// `SELECT * FROM system.versions` and `system.snapshots` list the versions there are. Going back
/// writes one new version: what came since is taken out of the table, and can be asked for with
/// `VERSION AS OF` like any earlier version, and gone back to. Tables that read this one stay as they
/// are.
///
/// Of a bucket the files that were deleted or changed since the snapshot come back; those that came
/// later stay, but with `--delete`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The table or the bucket.
    #[arg(value_name = "NAME")]
    table: Name,

    /// The version, or the snapshot of a bucket, to go back to.
    #[arg(
        long,
        visible_alias = "snapshot",
        value_name = "N",
        required_unless_present = "moment",
        conflicts_with = "moment"
    )]
    version: Option<u64>,

    /// Go back to the version in force at this moment, as 2026-01-05T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    moment: Option<String>,

    /// Of a bucket: only the objects whose keys are like this, as `2026/**/*.csv`.
    #[arg(long, value_name = "PATTERN")]
    key: Option<String>,

    /// Of a bucket: delete the objects that the snapshot does not have.
    #[arg(long)]
    delete: bool,

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
        let Restore { table, version, key, delete, .. } = self;
        let wanted = Wanted { table, version, moment_ms, key, delete };
        let answer = client.post("/v1/restore", &serde_json::to_value(&wanted)?).await?;
        if self.json {
            println!("{}", String::from_utf8_lossy(&answer));
            return Ok(ExitCode::SUCCESS);
        }
        let done: Restored =
            serde_json::from_slice(&answer).context("the answer cannot be read")?;
        if let Some(objects) = &done.objects {
            print_objects(wanted.table.as_str(), done.from, objects);
            return Ok(ExitCode::SUCCESS);
        }
        let Restored { from, version, rows_before, rows, .. } = done;
        let rows = counted(usize::try_from(rows).unwrap_or(usize::MAX), "row");
        println!(
            "`{}` has the {rows} of version {from} again, as version {version}; it had {rows_before}",
            wanted.table,
        );
        Ok(ExitCode::SUCCESS)
    }
}

fn print_objects(bucket: &str, snapshot: u64, done: &RestoredObjects) {
    let objects = |count: u64| counted(usize::try_from(count).unwrap_or(usize::MAX), "object");
    println!(
        "`{bucket}` has {} of snapshot {snapshot} again; {} as before, {} deleted",
        objects(done.restored),
        done.same,
        done.deleted,
    );
    for key in &done.altered {
        println!("  `{key}` was written to in place since: it is as it is now, not as it was");
    }
    for key in &done.lost {
        println!("  `{key}` was cold, and snapshots do not keep what is cold");
    }
}
