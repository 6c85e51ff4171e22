//! Mainstem: a folder of TOML and SQL is the pipeline, this program runs it.
//!
//! The only crate that knows all the others; it owns no knowledge of its own beyond the wiring.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line speaks to a person"
)]

mod cli;

mod admission;
mod applying;
mod askers;
mod building;
mod change;
mod changing;
mod compile;
mod exporting;
mod home;
mod inferring;
mod landing;
mod login;
mod messages;
mod pipeline;
mod projects;
mod running;
mod serve;
mod watching;
mod workers;

mod alerting;
mod answers;
mod at_rest;
mod catalog;
mod described;
mod earlier;
mod facts;
mod system;
mod trace;

mod backtest;
mod client;
mod serving;
mod stored;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Two TLS providers are linked by libraries; rustls refuses to choose between them by itself.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("mainstem: the TLS provider was installed twice");
    }
    let arguments = cli::Arguments::parse();
    cli::log_to_stderr(&arguments.log);
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(cli::run(arguments.command)));
    match outcome {
        Ok(code) => code,
        // Whoever read the answer has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mainstem: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|it| it.kind() == std::io::ErrorKind::BrokenPipe)
}
