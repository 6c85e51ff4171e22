//! Servers in processes of their own, so that their CPU time and memory can be told from ours.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::Clock;

use crate::Ctx;

/// A process; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) http: String,
}

/// The secret of the key that a project of a measurement may have.
pub(crate) const SECRET: &str = "load-0a1b2c3d4e5f6789";

impl Server {
    /// Starts the program on a project, whose data lie in `folder`.
    pub(crate) fn of_project(ctx: &Ctx, folder: &Path, project: &Path) -> anyhow::Result<Server> {
        fs::create_dir_all(folder)?;
        let mut command = Command::new(&ctx.program);
        command.arg("run").arg(project).arg("--data").arg(folder.join("data"));
        command.args(["--http", "127.0.0.1:0", "--postgres", "127.0.0.1:0"]);
        command.env("LOAD_SECRET", SECRET);
        Server::ready(command, folder)
    }

    /// Starts the bare server.
    pub(crate) fn bare(folder: &Path) -> anyhow::Result<Server> {
        fs::create_dir_all(folder)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--serve-bare");
        Server::ready(command, folder)
    }

    /// Starts a program that says `ready http=ADDRESS`.
    fn ready(mut command: Command, folder: &Path) -> anyhow::Result<Server> {
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the server")?;
        let output = child.stdout.take().context("its output is piped")?;
        let mut lines = BufReader::new(output).lines();
        let ready = lines.find_map(|it| it.ok().filter(|it| it.starts_with("ready ")));
        base::task::thread("drain", move || lines.for_each(drop))?;
        let mut server = Server { child, http: String::new() };
        let ready = ready.context("the server did not get ready")?;
        let http = ready.split(' ').find_map(|it| it.strip_prefix("http="));
        server.http = http.context("no address")?.to_owned();
        Ok(server)
    }

    /// Starts another program, which is to listen on `port`; what it says lies in `folder`.
    pub(crate) fn foreign(
        clock: &dyn Clock,
        mut command: Command,
        folder: &Path,
        port: u16,
    ) -> anyhow::Result<Server> {
        fs::create_dir_all(folder)?;
        let said = fs::File::create(folder.join("said.txt"))?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let child = command.current_dir(folder).spawn().context("cannot be started")?;
        let mut server = Server { child, http: format!("127.0.0.1:{port}") };
        let until = clock.elapsed() + START_MAX;
        while TcpStream::connect(&server.http).is_err() {
            if let Some(status) = server.child.try_wait()? {
                let said = fs::read_to_string(folder.join("said.txt")).unwrap_or_default();
                bail!("ended with {status}: {}", said.lines().last().unwrap_or_default());
            }
            anyhow::ensure!(clock.elapsed() < until, "does not listen after {START_MAX:?}");
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(server)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU seconds used so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds_of(&self.child.id().to_string())
    }

    /// The most memory it has had, in megabytes.
    pub(crate) fn memory_mb_max(&self) -> f64 {
        let text =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find_map(|it| it.strip_prefix("VmHWM:"));
        line.and_then(|it| it.trim().split(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
            * 1024.0
            / 1e6
    }

    /// Asks it to stop, and returns the CPU seconds it has used in all.
    pub(crate) fn stop(self) -> anyhow::Result<f64> {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let id = id.context("it has a process id")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        // Until it is waited for, what has ended still tells what it used.
        let status = format!("/proc/{}/stat", self.child.id());
        for _ in 0..STOP_LOOKS_MAX {
            let text = fs::read_to_string(&status)?;
            if text.rsplit_once(')').is_some_and(|(_, it)| it.trim_start().starts_with('Z')) {
                return Ok(self.cpu_seconds());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("it is still there after a minute")
    }
}

/// How long another program may take until it listens.
const START_MAX: Duration = Duration::from_secs(40);

/// How often it is looked whether a program has started or ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often it is looked whether the server has ended: for a minute.
const STOP_LOOKS_MAX: u32 = 1_200;

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

/// CPU seconds that a process has used so far, by its id or `self`.
pub(crate) fn cpu_seconds_of(process: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in brackets may have spaces; user and system time are the 12th and 13th after it.
    let after = text.rsplit_once(')').map_or("", |(_, it)| it);
    let ticks = after.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
