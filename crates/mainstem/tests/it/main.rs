//! The whole program, tested from outside: the real binary, real clients, real files.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests read settings, wait, speak and fail for themselves"
)]

mod alerts;
mod bad_files;
mod batch;
mod browser;
mod buckets;
mod catalogue;
mod change;
mod change_kill;
mod cli;
mod clients;
mod clouds;
mod doors;
mod examples;
mod follow;
mod full;
mod guide;
mod infer;
mod keys;
mod kill;
mod kinesis;
mod lake;
mod landed;
mod mail;
mod nexmark;
mod postgres;
mod program;
mod retail;
mod s3;
mod serve;
mod sns;
mod warehouse;
