//! What is measured, in the order of the report; and what measurements share: servers made anew for
//! each round, rounds that alternate with what they are compared with, so that a busy moment of the
//! machine hits both.

mod acknowledge;
mod bulk;
mod flights;
mod get;
mod keys;
mod lake;
mod nexmark;
mod peers;
mod profile;
mod put;
mod shards;
mod shop;
mod small;
mod subscribe;
mod tpch;

use std::path::PathBuf;
use std::sync::Arc;

use base::figure::{Figure, median, short};

use crate::api::Api;
use crate::bodies;
use crate::drive::Drive;
use crate::http::Request;
use crate::server::{SECRET, Server};
use crate::sign::Key;
use crate::{Ctx, project};

type Measure = fn(&Ctx) -> anyhow::Result<Vec<Figure>>;

/// Names to choose by, each with what it measures.
pub(crate) const MEASUREMENTS: &[(&str, Measure)] = &[
    ("kinesis put", put::sizes),
    ("kinesis signed", put::signed),
    ("kinesis profile", profile::parts),
    ("kinesis peers", peers::beside),
    ("kinesis shards", shards::shards),
    ("kinesis streams", shards::streams),
    ("kinesis get", get::records),
    ("kinesis subscribe", subscribe::records),
    ("kinesis follow", subscribe::latency),
    ("acknowledge", acknowledge::steady),
    ("visible", shop::visible),
    ("keys", keys::reads),
    ("shop", shop::full),
    ("shop steady", shop::steady),
    ("nexmark", nexmark::whole),
    ("lake tpch", tpch::beside),
    ("lake flights", flights::beside),
    ("lake bulk", bulk::beside),
    ("lake crawl", small::crawl),
    ("lake compact", small::compact),
];

/// Rounds of each side; the one in the middle counts.
const ROUNDS: usize = 3;

/// Connections of a measurement of throughput.
const CONNECTIONS: usize = 8;

/// A server that runs for one round; what it wrote goes with it.
struct Running {
    // The order matters: it ends before its folder is removed.
    server: Server,
    folder: Folder,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

/// A folder of its own for something that runs.
fn folder(ctx: &Ctx, name: &str) -> anyhow::Result<Folder> {
    let folder = ctx.folder.join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(Folder(folder))
}

/// The key of projects that have one.
fn key() -> Key {
    Key { id: project::KEY_ID.to_owned(), secret: SECRET.to_owned() }
}

/// Starts the program with streams of so many shards each, made by a client; with a key, every
/// request needs its signature.
fn ours(ctx: &Ctx, streams: usize, shards: u32, key: Option<&Key>) -> anyhow::Result<Running> {
    let folder = folder(ctx, "ours")?;
    let project = project::empty(&folder.0, key.is_some())?;
    let server = Server::of_project(ctx, &folder.0, &project)?;
    let api = Api { key: key.cloned(), ..Api::of(ctx, &server.http) };
    for index in 0..streams {
        api.create_stream(&bodies::stream(index), shards)?;
    }
    Ok(Running { server, folder })
}

/// Starts the bare server.
fn bare(ctx: &Ctx) -> anyhow::Result<Running> {
    let folder = folder(ctx, "bare")?;
    let server = Server::bare(&folder.0)?;
    Ok(Running { server, folder })
}

/// What rounds of as many requests as are answered came to.
#[derive(Debug, Default)]
struct Rates {
    per_second: Vec<f64>,
    per_cpu_second: Vec<f64>,
    core_percent: Vec<f64>,
    refused: u64,
}

impl Rates {
    fn per_second(&mut self) -> f64 {
        median(&mut self.per_second)
    }

    fn per_cpu_second(&mut self) -> f64 {
        median(&mut self.per_cpu_second)
    }

    fn note(&mut self) -> String {
        let refused = match self.refused {
            0 => String::new(),
            refused => format!("; {} told to come again", short(refused as f64)),
        };
        format!(
            "{} per CPU-second; the load takes {:.0} % of a core{refused}",
            short(self.per_cpu_second()),
            median(&mut self.core_percent),
        )
    }

    /// Sends as much as is answered: a moment to get warm, then for half the time.
    fn round(
        &mut self,
        ctx: &Ctx,
        server: &Server,
        requests: &Arc<[Request]>,
        connections: usize,
    ) -> anyhow::Result<f64> {
        let cpu = server.cpu_seconds();
        let drive = Drive {
            address: &server.http,
            requests: Arc::clone(requests),
            connections,
            time: ctx.time / 5,
            rate: None,
            clock: Arc::clone(&ctx.clock),
        };
        let warm = drive.run()?;
        let outcome = Drive { time: ctx.time / 2, ..drive }.run()?;
        let cpu = (server.cpu_seconds() - cpu).max(0.01);
        self.per_second.push(outcome.records_per_second());
        self.per_cpu_second.push((warm.records() + outcome.records()) as f64 / cpu);
        self.core_percent.push(outcome.core_percent());
        self.refused += outcome.refused;
        Ok(outcome.records_per_second())
    }
}
