//! Where the time of `PutRecords` goes: samples of the server's CPU, told apart by thread and by the
//! function they hit.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, ensure};
use base::figure::Figure;

use super::{CONNECTIONS, Rates, ours};
use crate::Ctx;
use crate::bodies::Puts;

/// What a sample is counted to, by the first text that its function or its thread contains. Threads
/// of the journal come first: what the system does for them is the journal's.
const PARTS: &[(&str, &[&str])] = &[
    ("sealing the journal", &["thread journal-seal", "lz4"]),
    ("journal", &["thread journal-", "journal::", "crc32c"]),
    ("MD5", &["md5"]),
    ("base64", &["base64"]),
    ("JSON", &["serde", "json", "from_utf8", "itoa", "kinesis::put", "aws::wire"]),
    (
        "memory",
        &["mi_", "mimalloc", "memmove", "memcpy", "memset", "clear_page", "page_fault", "alloc::"],
    ),
    ("HTTP", &["hyper", "http", "axum", "tower", "tokio", "mio::"]),
    ("system calls, most of them HTTP's", &["[k]"]),
];

pub(super) fn parts(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let what = "PutRecords 500 x 500 bytes, CPU of a record";
    let running = ours(ctx, 1, 1, None)?;
    let file = running.folder.0.join("perf.data");
    let mut record = Command::new("perf");
    record.args(["record", "--quiet", "-e", "cpu-clock", "-F", "2000", "-o"]).arg(&file);
    // The load takes 0.7 of the time: it begins with getting warm.
    let seconds = format!("{:.1}", ctx.time.as_secs_f64() * 0.7);
    record.args(["-p", &running.server.id().to_string(), "--", "sleep", &seconds]);
    record.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut rates = Rates::default();
    let requests = Puts::default().requests();
    let recorded = thread::scope(|scope| {
        let recorder = scope.spawn(move || record.status());
        rates.round(ctx, &running.server, &requests, CONNECTIONS)?;
        recorder.join().map_err(|_panic| anyhow::anyhow!("the recorder panicked"))
    })?;
    let note = match recorded {
        Ok(status) if status.success() => shares_of(&report_of(&file)?),
        Ok(status) => format!("no profile: `perf` ended with {status}"),
        Err(error) => format!("no profile: `perf` cannot be started: {error}"),
    };
    Ok(vec![Figure {
        what: what.to_owned(),
        ours: 1e9 / rates.per_cpu_second(),
        limit: None,
        unit: "ns",
        goal: "≤ 1,400",
        note,
    }])
}

/// A line for each thread and function: share in percent, thread, function.
fn report_of(file: &Path) -> anyhow::Result<String> {
    let mut report = Command::new("perf");
    report.args(["report", "--stdio", "--no-children", "-g", "none"]);
    report.args(["--fields", "overhead,comm,symbol", "-t", ";", "-i"]).arg(file);
    let output = report.stdin(Stdio::null()).output().context("perf report")?;
    ensure!(output.status.success(), "perf report: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Adds up the lines of a report by part.
fn shares_of(report: &str) -> String {
    let mut shares = vec![0.0; PARTS.len()];
    let mut rest = 0.0;
    for line in report.lines().filter(|it| !it.starts_with('#')) {
        let mut fields = line.splitn(3, ';').map(str::trim);
        let (Some(share), Some(comm), Some(symbol)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let share: f64 = share.trim_end_matches('%').parse().unwrap_or_default();
        let is_of = |text: &&str| match text.strip_prefix("thread ") {
            Some(thread) => comm.starts_with(thread),
            None => symbol.contains(*text),
        };
        let part = PARTS.iter().position(|(_, texts)| texts.iter().any(is_of));
        match part.and_then(|it| shares.get_mut(it)) {
            Some(sum) => *sum += share,
            None => rest += share,
        }
    }
    let parts = PARTS.iter().zip(&shares).map(|((name, _), share)| (*name, *share));
    let mut parts: Vec<(&str, f64)> = parts.chain([("the rest", rest)]).collect();
    parts.sort_by(|one, other| other.1.total_cmp(&one.1));
    let texts: Vec<String> =
        parts.iter().map(|(name, share)| format!("{name} {share:.0} %")).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests;
