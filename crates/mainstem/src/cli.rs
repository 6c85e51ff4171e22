//! The command line: what can be said, and which file answers.

mod alert;
mod apply;
mod bench;
mod catalog;
mod check;
mod crawl;
mod dead;
mod new;
pub(crate) mod plan;
mod replay;
mod rerun;
mod restore;
mod rollback;
mod row;
mod run;
mod schema;
mod sql;
mod test;
mod trace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// A folder of TOML and SQL is the pipeline; this program runs it.
///
/// Begin with `mainstem new shop`, then `mainstem run shop`, and open the address that it prints.
#[derive(Debug, Parser)]
#[command(name = "mainstem", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// What to log, in the syntax of `RUST_LOG`, for example `info,process=debug`.
    #[arg(
        long,
        global = true,
        env = "MAINSTEM_LOG",
        default_value = "warn,mainstem=info",
        hide_env_values = true
    )]
    pub(crate) log: String,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    New(new::New),
    Run(run::Run),
    Check(check::Check),
    Crawl(crawl::Crawl),
    Test(test::Test),
    Sql(sql::Sql),
    Replay(replay::Replay),
    Dead(dead::Dead),
    Plan(plan::Plan),
    Apply(apply::Apply),
    Rollback(rollback::Rollback),
    Restore(restore::Restore),
    Rerun(rerun::Rerun),
    Trace(trace::Trace),
    Catalog(catalog::Catalog),
    Alert(alert::Alert),
    Bench(bench::Bench),
    Schema(schema::Schema),
}

/// Where the running program is.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The project's folder; the running program is found by its data folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,

    /// The data folder, if it is not DIR/.mainstem.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Speak to the program at this address instead, for example 127.0.0.1:7070.
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
}

/// Runs one command; an error is printed by `main`.
pub(crate) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::New(it) => it.run(),
        Command::Run(it) => Box::pin(it.run()).await,
        Command::Check(it) => it.run().await,
        Command::Crawl(it) => it.run().await,
        Command::Test(it) => it.run().await,
        Command::Sql(it) => Box::pin(it.run()).await,
        Command::Replay(it) => it.run().await,
        Command::Dead(it) => it.run().await,
        Command::Plan(it) => it.run().await,
        Command::Apply(it) => it.run().await,
        Command::Rollback(it) => it.run().await,
        Command::Restore(it) => it.run().await,
        Command::Rerun(it) => it.run().await,
        Command::Trace(it) => it.run().await,
        Command::Catalog(it) => it.run().await,
        Command::Alert(it) => Box::pin(it.run()).await,
        Command::Bench(it) => Box::pin(it.run()).await,
        Command::Schema(it) => it.run(),
    }
}

/// Sends logs to standard error: people read them on a terminal, machines as JSON.
pub(crate) fn log_to_stderr(filter: &str) {
    // That library calls each wrong request of a client an error.
    let quiet = if filter.contains("s3s") { "" } else { ",s3s=off" };
    let filter = EnvFilter::try_new(format!("{filter}{quiet}")).unwrap_or_else(|error| {
        eprintln!("mainstem: --log: {error}; logging warnings only");
        EnvFilter::new("warn")
    });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        builder.compact().try_init()
    } else {
        builder.json().try_init()
    };
    if let Err(error) = installed {
        eprintln!("mainstem: logging could not be started: {error}");
    }
}

/// Returns `1 table`, `2 tables`.
pub(crate) fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// Whether messages may be coloured: they go to a terminal.
pub(crate) fn has_colour() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}
