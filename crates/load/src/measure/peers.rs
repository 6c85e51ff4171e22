//! The emulators that people use, beside ours: the same signed requests to each.
//!
//! They keep records in memory and sync nothing; ours are on disk when they are acknowledged.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use base::figure::{Figure, short};

use super::{CONNECTIONS, ROUNDS, Rates, folder, key, ours};
use crate::Ctx;
use crate::api::Api;
use crate::bodies::{self, Puts};
use crate::server::Server;
use crate::sign::Key;

/// Where it is to listen, and a port for TLS for those that want one.
#[derive(Clone, Copy)]
struct Ports {
    plain: u16,
    secure: u16,
}

struct Peer {
    name: &'static str,
    goal: &'static str,
    /// Where it is below the folder of peers.
    program: &'static str,
    command: fn(&Path, Ports) -> Command,
}

const PEERS: &[Peer] = &[
    Peer {
        name: "kinesalite",
        goal: "≥ 45",
        program: "../peers-node/node_modules/kinesalite/cli.js",
        command: kinesalite,
    },
    Peer {
        name: "kinesis-mock",
        goal: "≥ 1,000",
        program: "../peers-node/node_modules/kinesis-local/main.js",
        command: kinesis_mock,
    },
    Peer { name: "moto", goal: "", program: "bin/moto_server", command: moto },
];

pub(super) fn beside(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for peer in PEERS {
        let (mut rates, mut limits) = (Rates::default(), Rates::default());
        let mut problem = None;
        for _ in 0..ROUNDS {
            // Made for each round: a signature is valid for a quarter of an hour.
            let (key, now_ms) = (key(), ctx.clock.now_ms());
            let requests = Puts { key: Some(&key), now_ms, ..Puts::default() }.requests();
            let running = ours(ctx, 1, 1, None)?;
            rates.round(ctx, &running.server, &requests, CONNECTIONS)?;
            drop(running);
            let measured = peer.start(ctx, &key).and_then(|(server, folder)| {
                limits.round(ctx, &server, &requests, CONNECTIONS)?;
                drop((server, folder));
                Ok(())
            });
            if let Err(error) = measured {
                problem = Some(format!("{error:#}"));
                break;
            }
        }
        let limit = limits.per_second();
        let note = match &problem {
            None => format!(
                "{}; {} {} per CPU-second, without a sync",
                rates.note(),
                peer.name,
                short(limits.per_cpu_second())
            ),
            Some(problem) => format!("not measured: {problem}"),
        };
        figures.push(Figure {
            what: format!("PutRecords 500 x 500 bytes, beside {}", peer.name),
            ours: rates.per_second(),
            limit: problem.is_none().then(|| (peer.name.to_owned(), limit)),
            unit: "records/s",
            goal: peer.goal,
            note,
        });
    }
    Ok(figures)
}

impl Peer {
    /// Starts it, with the stream that is written to.
    fn start(&self, ctx: &Ctx, key: &Key) -> anyhow::Result<(Server, super::Folder)> {
        let program = ctx.peers.join(self.program);
        ensure!(program.try_exists()?, "{} is not installed: `cargo xtask peers`", self.name);
        let program: PathBuf = program.canonicalize()?;
        let folder = folder(ctx, self.name)?;
        let free = || TcpListener::bind("127.0.0.1:0")?.local_addr();
        let ports = Ports { plain: free()?.port(), secure: free()?.port() };
        let command = (self.command)(&program, ports);
        let server = Server::foreign(&*ctx.clock, command, &folder.0, ports.plain)
            .with_context(|| self.name.to_owned())?;
        let api = Api { key: Some(key.clone()), ..Api::of(ctx, &server.http) };
        api.create_stream(&bodies::stream(0), 1).with_context(|| self.name.to_owned())?;
        Ok((server, folder))
    }
}

fn kinesalite(program: &Path, ports: Ports) -> Command {
    let mut command = Command::new("node");
    command.arg(program).args(["--createStreamMs", "0", "--port", &ports.plain.to_string()]);
    command
}

fn kinesis_mock(program: &Path, ports: Ports) -> Command {
    let mut command = Command::new("node");
    command.arg(program);
    command.env("KINESIS_MOCK_PLAIN_PORT", ports.plain.to_string());
    command.env("KINESIS_MOCK_TLS_PORT", ports.secure.to_string());
    command.env("KINESIS_MOCK_CERT_PATH", program.with_file_name("server.json"));
    command.env("CREATE_STREAM_DURATION", "0ms").env("LOG_LEVEL", "ERROR");
    command
}

fn moto(program: &Path, ports: Ports) -> Command {
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", &ports.plain.to_string()]);
    command
}
