//! Measures this machine: CPU, memory, disks, network and processes, one record each.

use std::sync::Arc;
use std::time::Duration;

use base::{Kind, Name, Span, limits};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use sysinfo::{
    CpuRefreshKind, Disks, MemoryRefreshKind, Networks, Process, ProcessRefreshKind,
    ProcessesToUpdate, RefreshKind, System,
};

use crate::door::{Door, OptionFault, Running, Stop, parse, schema_of};
use crate::generate::row::time_in_words;
use crate::inlet::Inlet;
use crate::refusal::Refusal;

/// Options of a `host` door.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// How often to measure; `"1 second"` if not said.
    #[serde(default = "one_second")]
    every: Span,
    /// How many processes to report: those that use most CPU, and those that use most memory; 10 if
    /// not said, 0 for none.
    #[serde(default = "ten")]
    processes: usize,
}

fn one_second() -> Span {
    Span::from_millis(1_000)
}

fn ten() -> usize {
    10
}

/// One measurement. A field that a kind does not have is left out.
///
/// | kind | name | percent | used, total (bytes) | bytes_in, bytes_out (a second) |
/// |---|---|---|---|---|
/// | `cpu` | `total`, `core 0`, `core 1`, … | busy | | |
/// | `memory` | `ram`, `swap` | used of total | yes | |
/// | `disk` | where it is mounted | used of total | yes | read, written |
/// | `network` | the interface | | | received, sent |
/// | `process` | the program, with `pid` | of one core | resident memory; of the machine's | read, written |
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Measurement<'a> {
    ts: &'a str,
    host: &'a str,
    kind: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_out: Option<u64>,
}

/// Measures this machine.
pub(crate) struct Host;

const NAME: &str = "host";

/// The operating system's own counters move no faster.
const EVERY_MIN: Span = Span(sysinfo::MINIMUM_CPU_UPDATE_INTERVAL);

impl Door for Host {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "Measures this machine: CPU, memory, disks, network and processes, one record each."
    }

    fn example(&self) -> &'static str {
        "from = [{ door = \"host\", every = \"1 second\", processes = 10 }]"
    }

    fn options(&self) -> Schema {
        schema_of::<Options>()
    }

    fn check(&self, options: &toml::Table) -> Result<(), OptionFault> {
        Options::read(options).map(|_options| ())
    }

    fn open(
        &self,
        options: &toml::Table,
        inlet: &Inlet,
        stream: &Name,
    ) -> Result<Running, OptionFault> {
        let options = Options::read(options)?;
        let (inlet, stream) = (inlet.clone(), stream.clone());
        Ok(Running::start("host", |stop| run(options, inlet, stream, stop)))
    }
}

impl Options {
    fn read(table: &toml::Table) -> Result<Options, OptionFault> {
        let options: Options = parse(table)?;
        if options.every < EVERY_MIN {
            return Err(OptionFault::at("every", format!("at least \"{EVERY_MIN}\"")));
        }
        if limits::HOST_PROCESSES_MAX < options.processes {
            let message = format!("at most {}", limits::HOST_PROCESSES_MAX);
            return Err(OptionFault::at("processes", message));
        }
        Ok(options)
    }
}

async fn run(options: Options, inlet: Inlet, stream: Name, mut stop: Stop) {
    let clock = Arc::clone(inlet.clock());
    let mut meter = Meter::new();
    let mut before = clock.elapsed();
    loop {
        if stop.within(clock.sleep(options.every.0)).await {
            return;
        }
        let since = clock.elapsed().saturating_sub(before);
        before = clock.elapsed();
        let now_ms = clock.now_ms();
        let processes = options.processes;
        // Reading the system's tables takes milliseconds.
        let measured = tokio::task::spawn_blocking(move || {
            let records = meter.measure(now_ms, since, processes);
            (meter, records)
        });
        let records;
        (meter, records) = match measured.await {
            Ok(measured) => measured,
            Err(error) => {
                tracing::error!(%error, "the door `host` ended");
                return;
            }
        };
        if let Err(refusal) = send(&inlet, &stream, &records).await {
            // A measurement that does not fit now is worth nothing later.
            let kind = refusal.kind();
            tracing::warn!(stream = %stream, error = %refusal, "measurements were not taken");
            if !matches!(kind, Kind::Throttled | Kind::Unavailable | Kind::Conflict) {
                return;
            }
        }
    }
}

async fn send(inlet: &Inlet, stream: &Name, records: &[Vec<u8>]) -> Result<(), Refusal> {
    let mut batch = inlet.batch(stream, NAME, records.iter().map(Vec::len).sum())?;
    for record in records {
        batch.push(None, record)?;
    }
    inlet.append(batch, None).await.map(|_accepted| ())
}

/// Reads the system's counters; those that only grow become rates.
struct Meter {
    host: String,
    system: System,
    disks: Disks,
    networks: Networks,
}

impl Meter {
    fn new() -> Meter {
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_cpu_usage())
            .with_memory(MemoryRefreshKind::everything());
        Meter {
            host: System::host_name().unwrap_or_default(),
            system: System::new_with_specifics(wanted),
            disks: Disks::new_with_refreshed_list(),
            networks: Networks::new_with_refreshed_list(),
        }
    }

    /// Measures; `since` is the time since the measurement before.
    fn measure(&mut self, now_ms: u64, since: Duration, processes: usize) -> Vec<Vec<u8>> {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        self.disks.refresh(true);
        self.networks.refresh(true);
        if 0 < processes {
            let wanted = ProcessRefreshKind::nothing().with_cpu().with_memory().with_disk_usage();
            self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, wanted);
        }
        let ts = time_in_words(now_ms);
        let mut records = Records { ts: &ts, host: &self.host, found: Vec::new() };
        self.measure_cpu(&mut records);
        self.measure_memory(&mut records);
        self.measure_disks(&mut records, since);
        self.measure_networks(&mut records, since);
        self.measure_processes(&mut records, since, processes);
        records.found
    }

    fn measure_cpu(&self, records: &mut Records<'_>) {
        let percent = Some(rounded(self.system.global_cpu_usage()));
        records.add(&Measurement { kind: "cpu", name: "total", percent, ..Measurement::default() });
        for (index, core) in self.system.cpus().iter().enumerate() {
            let name = format!("core {index}");
            let percent = Some(rounded(core.cpu_usage()));
            records.add(&Measurement {
                kind: "cpu",
                name: &name,
                percent,
                ..Measurement::default()
            });
        }
    }

    fn measure_memory(&self, records: &mut Records<'_>) {
        let ram = ("ram", self.system.used_memory(), self.system.total_memory());
        let swap = ("swap", self.system.used_swap(), self.system.total_swap());
        for (name, used, total) in [ram, swap] {
            records.add(&Measurement {
                kind: "memory",
                name,
                percent: Some(part(used, total)),
                used: Some(used),
                total: Some(total),
                ..Measurement::default()
            });
        }
    }

    fn measure_disks(&self, records: &mut Records<'_>, since: Duration) {
        for disk in self.disks.list() {
            let total = disk.total_space();
            let used = total.saturating_sub(disk.available_space());
            let usage = disk.usage();
            records.add(&Measurement {
                kind: "disk",
                name: &disk.mount_point().to_string_lossy(),
                percent: Some(part(used, total)),
                used: Some(used),
                total: Some(total),
                bytes_in: Some(per_second(usage.read_bytes, since)),
                bytes_out: Some(per_second(usage.written_bytes, since)),
                ..Measurement::default()
            });
        }
    }

    fn measure_networks(&self, records: &mut Records<'_>, since: Duration) {
        let mut networks: Vec<_> = self.networks.list().iter().collect();
        networks.sort_by_key(|(name, _)| name.as_str());
        for (name, network) in networks {
            records.add(&Measurement {
                kind: "network",
                name,
                bytes_in: Some(per_second(network.received(), since)),
                bytes_out: Some(per_second(network.transmitted(), since)),
                ..Measurement::default()
            });
        }
    }

    fn measure_processes(&self, records: &mut Records<'_>, since: Duration, count: usize) {
        let total = Some(self.system.total_memory());
        // Threads stand among the processes, each with the memory of all.
        let processes = self.system.processes().values().filter(|it| it.thread_kind().is_none());
        for process in top(processes.collect(), count) {
            let usage = process.disk_usage();
            records.add(&Measurement {
                kind: "process",
                name: &process.name().to_string_lossy(),
                pid: Some(process.pid().as_u32()),
                percent: Some(rounded(process.cpu_usage())),
                used: Some(process.memory()),
                total,
                bytes_in: Some(per_second(usage.read_bytes, since)),
                bytes_out: Some(per_second(usage.written_bytes, since)),
                ..Measurement::default()
            });
        }
    }
}

/// Returns the `count` processes that use most CPU and the `count` that use most memory, each once.
fn top(mut processes: Vec<&Process>, count: usize) -> Vec<&Process> {
    processes.sort_by_key(|it| std::cmp::Reverse(it.memory()));
    let mut found: Vec<&Process> = processes.iter().take(count).copied().collect();
    processes.sort_by(|one, other| other.cpu_usage().total_cmp(&one.cpu_usage()));
    found.extend(processes.iter().take(count));
    found.sort_by_key(|it| it.pid());
    found.dedup_by_key(|it| it.pid());
    found
}

struct Records<'a> {
    ts: &'a str,
    host: &'a str,
    found: Vec<Vec<u8>>,
}

impl Records<'_> {
    fn add(&mut self, measurement: &Measurement<'_>) {
        let measurement = Measurement { ts: self.ts, host: self.host, ..*measurement };
        // Texts and numbers can always be written.
        self.found.extend(serde_json::to_vec(&measurement));
    }
}

/// Returns what percentage `used` is of `total`.
#[expect(clippy::cast_precision_loss, reason = "two digits after the point are shown")]
fn part(used: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { (used as f64 / total as f64 * 10_000.0).round() / 100.0 }
}

fn rounded(percent: f32) -> f64 {
    (f64::from(percent) * 100.0).round() / 100.0
}

fn per_second(bytes: u64, since: Duration) -> u64 {
    let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1_000) / since_ms
}

#[cfg(test)]
mod tests;
