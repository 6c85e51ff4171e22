//! `mainstem run`: runs a project until it is told to stop.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use base::time::SystemClock;
use clap::Args;
use journal::RealDisk;
use query::{ContextSettings, Engine};
use show::{Hosts, Show};
use spec::Texts;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::admission;
use crate::alerting::own;
use crate::answers::EngineAnswers;
use crate::askers::Askers;
use crate::catalog::Tables;
use crate::changing::Changing;
use crate::compile::{Compiled, compile, compile_texts};
use crate::facts::Console;
use crate::home::{Addresses, Home};
use crate::login::Login;
use crate::messages::ByNotifier;
use crate::pipeline::Pipeline;
use crate::projects::Projects;
use crate::serve::{Patience, serve};
use crate::serving::ByKey;
use crate::watching;
use crate::workers::Workers;

/// Run a project: take records in, keep its tables up to date, answer SQL, show the console.
///
/// Prints `ready http=ADDR postgres=ADDR` when it serves, and stops on Ctrl+C or SIGTERM without
/// losing anything.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The project's folder.
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Where journal and tables lie; DIR/.mainstem if not given.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Where HTTP listens: console, API, Kinesis. Port 0 takes any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070")]
    http: String,

    /// Where PostgreSQL clients connect. Port 0 takes any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7432")]
    postgres: String,

    /// Lay NAME.ENV.toml files over NAME.toml, for example `prod`.
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
}

/// The priority of questions is lower than that of taking records in, by this.
const QUERIES_NICE: i32 = 5;

impl Run {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let wanted = match compile(&self.dir, self.env.as_deref(), true).await {
            Ok(compiled) => compiled,
            Err(faults) => {
                eprint!("{}", faults.render(super::has_colour()));
                return Ok(ExitCode::from(2));
            }
        };
        let warnings = wanted.project.warnings.iter().chain(wanted.plan.warnings.iter());
        warnings.for_each(|it| eprintln!("warning: {it}"));
        let data = self.data.clone().unwrap_or_else(|| self.dir.join(".mainstem"));
        let home = Home::open(&data)?;
        let projects = Projects::open(RealDisk::new(), &data.join("projects"))?;
        let (first, then) = self.first(&projects, wanted).await?;
        let has_keys = !first.project.keys.is_empty();
        let http = listen("--http", &self.http, has_keys).await?;
        let postgres = listen("--postgres", &self.postgres, has_keys).await?;
        let pipeline = Pipeline::open(first, projects, &data, SystemClock::start()).await?;
        let served = self.serve(&home, &data, pipeline, (http, postgres), then).await;
        home.retract();
        served.map(|()| ExitCode::SUCCESS)
    }

    /// Returns the project to begin with, and the one to change it into then: the one that ran
    /// last, and what stands in the folder now.
    async fn first(
        &self,
        projects: &Projects,
        wanted: Compiled,
    ) -> anyhow::Result<(Compiled, Option<Compiled>)> {
        let (Some(current), Some(running)) = (projects.current(), projects.running()?) else {
            return Ok((wanted, None));
        };
        if running == wanted.source {
            return Ok((wanted, None));
        }
        let is_left = current.left.is_some_and(|it| it == wanted.source);
        let (texts, env) = (Texts::from(running.files), running.env);
        match compile_texts(&self.dir, texts, env.as_deref(), true).await {
            Ok(first) if is_left => Ok((first, None)),
            Ok(first) => Ok((first, Some(wanted))),
            // Another version of the program, or data files that are gone: what stands in the
            // folder is sound.
            Err(faults) => {
                tracing::warn!(
                    faults = faults.render(false),
                    "the project that ran last cannot run any more; the folder's takes its place"
                );
                projects.commit(projects.prepare(&wanted.source, None)?)?;
                Ok((wanted, None))
            }
        }
    }

    async fn serve(
        &self,
        home: &Home,
        data: &Path,
        pipeline: Arc<Pipeline>,
        (http, postgres): (TcpListener, TcpListener),
        then: Option<Compiled>,
    ) -> anyhow::Result<()> {
        let addresses = Addresses {
            http: http.local_addr()?.to_string(),
            postgres: postgres.local_addr()?.to_string(),
            process: std::process::id(),
        };
        let changing = Changing::new(&pipeline, &self.dir)?;
        let (asking, engine) = engine(&pipeline, changing)?;
        let login = Login::open(data)?;
        let askers = Askers::new(&pipeline, &login);
        admission::admit_operator(data, &pipeline.inlet)?;
        let is_local = http.local_addr()?.ip().is_loopback();
        let hosts = if is_local { Hosts::Loopback(Vec::new()) } else { Hosts::Any };
        if !is_local {
            // A change may take the last key away: then nobody is let in, not everybody.
            pipeline.inlet.keys().require();
        }
        let console = Console { pipeline: Arc::clone(&pipeline), addresses: addresses.clone() };
        let show = Show::start(
            show::Settings { hosts },
            Arc::new(EngineAnswers { engine: Arc::clone(&engine), askers: Arc::clone(&askers) }),
            Arc::new(console),
            Arc::clone(&pipeline.clock),
        );
        let items = Arc::new(ByKey(Arc::clone(&pipeline)));
        let messenger = Arc::new(ByNotifier(Arc::clone(&pipeline)));
        let shown = ingest::guard(pipeline.inlet.keys(), show.router());
        let router = ingest::router_with(pipeline.inlet.clone(), items, messenger).merge(shown);
        let router = ingest::with_s3(&pipeline.inlet, router);
        let (stop, stopped) = watch::channel(false);

        let mut web = base::task::spawn("http", {
            let stopped = stopped.clone();
            let clock = Arc::clone(&pipeline.clock);
            serve(http, router, clock, Patience::default(), stopped)
        });
        let wire = base::task::spawn(
            "postgres",
            query::postgres::serve(postgres, engine, askers, stopped),
        );
        pipeline.open_doors().await?;
        pipeline.maintain();
        if let Some(wanted) = then {
            change_into(&pipeline, wanted).await;
        }
        own::watch(&pipeline)?;
        watching::watch(&pipeline, &self.dir, self.env.clone());
        home.announce(&addresses)?;
        println!("ready http={} postgres={}", addresses.http, addresses.postgres);
        greet(&pipeline, &addresses, &login);

        let outcome = tokio::select! {
            reason = asked_to_stop() => reason.map(|signal| tracing::info!(signal, "stopping")),
            error = pipeline.journal.failed() => Err(anyhow::anyhow!(
                "the journal cannot be written any more: {error}; what was acknowledged is safe, start again when the disk is well"
            )),
            ended = &mut web => Err(anyhow::anyhow!("the HTTP server ended: {ended:?}")),
        };
        stop.send_replace(true);
        show.close();
        pipeline.stop().await;
        wire.abort();
        drop(asking); // What is still asked ends.
        outcome
    }
}

/// Returns what answers questions, with the threads that it does so on.
fn engine(pipeline: &Arc<Pipeline>, changing: Changing) -> anyhow::Result<(Workers, Arc<Engine>)> {
    // Stores in clouds are asked from the threads of the doors, which no question holds up.
    let catalog = Arc::new(Tables::new(Arc::clone(pipeline), tokio::runtime::Handle::current()));
    let settings = ContextSettings::default();
    let asking = Workers::start("query", settings.partitions.max(2), QUERIES_NICE)?;
    let engine = Engine::new(&settings, catalog, Arc::clone(&pipeline.clock))?
        .with_changes(Arc::new(changing));
    let engine = match asking.handle() {
        Some(threads) => engine.on_threads(threads.clone()),
        None => engine,
    };
    Ok((asking, Arc::new(engine)))
}

/// Changes the project that ran last into the one that stands in the folder now.
async fn change_into(pipeline: &Arc<Pipeline>, wanted: Compiled) {
    if let Err(error) = pipeline.apply_now(wanted).await {
        eprintln!(
            "mainstem: the project in the folder cannot take the place of the one that ran last, \
             which runs on: {error:#}"
        );
    }
}

/// Opens a listener; beyond this machine nobody is let in while there are no keys.
async fn listen(option: &str, address: &str, has_keys: bool) -> anyhow::Result<TcpListener> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(address)
        .await
        .with_context(|| {
            format!(
                "{option}: `{address}` is no address; write HOST:PORT, for example 127.0.0.1:7070"
            )
        })?
        .collect();
    let is_local = |it: &SocketAddr| match it.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    if !addresses.iter().all(is_local) {
        if !has_keys {
            bail!(
                "{option} {address} would be open to the network, and the project has no keys; \
                 add `[project.keys.NAME]` with `secret = \"${{NAME}}\"`, or listen on 127.0.0.1"
            );
        }
        eprintln!(
            "warning: what goes over {option} {address} is not encrypted; put a proxy that speaks \
             TLS before it"
        );
    }
    TcpListener::bind(addresses.as_slice()).await.with_context(|| {
        format!("{option}: cannot listen on {address}; is another program there? Port 0 takes any free port")
    })
}

async fn asked_to_stop() -> anyhow::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}

/// Tells a person where to go.
fn greet(pipeline: &Pipeline, addresses: &Addresses, login: &Login) {
    let http = &addresses.http;
    let running = pipeline.now();
    println!("\n  {} runs\n", running.project.name);
    println!("  console   http://{http}");
    println!("  SQL       {}", login.address(&addresses.postgres));
    println!("            mainstem sql \"SELECT * FROM system.conservation\"");
    // Each example is of a stream that takes it.
    let taken_by = |door: &str| {
        let mut streams = running.project.streams.values();
        let found = streams.find(|it| it.from.iter().any(|it| it.door.as_str() == door));
        found.map(|it| it.name.clone())
    };
    if let Some(stream) = taken_by("http") {
        println!("  records   curl http://{http}/v1/streams/{stream}/records -d '{{…}}'");
    }
    if let Some(stream) = taken_by("kinesis") {
        println!(
            "            aws kinesis put-record --endpoint-url http://{http} --stream-name {stream} …"
        );
    }
    println!("  metrics   http://{http}/metrics\n");
}
