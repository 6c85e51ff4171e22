//! `/metrics`: the facts in the text format of Prometheus.

use std::fmt::Write;

use crate::facts::{AlertState, Facts, NoticeState};

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// A metric of each `T`: its name, kind and help, and its value.
type Family<T> = (&'static str, Kind, &'static str, fn(&T) -> f64);

struct Page(String);

/// Renders `facts`.
pub(crate) fn render(facts: &Facts) -> String {
    let mut page = Page(String::new());
    program(&mut page, facts);
    streams(&mut page, facts);
    tables(&mut page, facts);
    flows(&mut page, facts);
    alerts(&mut page, facts);
    page.0
}

fn program(page: &mut Page, facts: &Facts) {
    let build = [("version", facts.version.as_str()), ("project", facts.project.as_str())];
    page.head("mainstem_build_info", Kind::Gauge, "The running program; always 1.");
    page.sample("mainstem_build_info", &build, 1.0);
    let is_well = facts.problems.iter().all(|it| it.tolerable);
    page.head("mainstem_healthy", Kind::Gauge, "1 when /healthz answers 200.");
    page.sample("mainstem_healthy", &[], f64::from(u8::from(is_well)));
    page.head("mainstem_uptime_seconds", Kind::Gauge, "How long the program runs.");
    let up_ms = facts.now_ms.saturating_sub(facts.started_ms);
    page.sample("mainstem_uptime_seconds", &[], seconds(up_ms));
    let journal = &facts.journal;
    page.head("mainstem_journal_bytes", Kind::Gauge, "Bytes of the journal on disk.");
    page.sample("mainstem_journal_bytes", &[], float(journal.bytes));
    page.head("mainstem_journal_pending_bytes", Kind::Gauge, "Bytes waiting for the next commit.");
    page.sample("mainstem_journal_pending_bytes", &[], float(journal.pending_bytes));
    page.head("mainstem_journal_commits_total", Kind::Counter, "Group commits to the journal.");
    page.sample("mainstem_journal_commits_total", &[], float(journal.commits));
    page.head("mainstem_journal_sync_seconds_total", Kind::Counter, "Seconds spent in syncs.");
    page.sample("mainstem_journal_sync_seconds_total", &[], journal.sync_seconds);
    if let Some(free) = journal.disk_free_bytes {
        page.head("mainstem_disk_free_bytes", Kind::Gauge, "Free bytes on the journal's disk.");
        page.sample("mainstem_disk_free_bytes", &[], float(free));
    }
}

fn streams(page: &mut Page, facts: &Facts) {
    let conserved: [Family<crate::Stream>; 8] = [
        ("mainstem_records_received_total", Kind::Counter, "Records acknowledged.", |it| {
            float(it.received)
        }),
        ("mainstem_records_stored", Kind::Gauge, "Rows in the raw table.", |it| float(it.stored)),
        ("mainstem_records_dead", Kind::Gauge, "Records in the dead letters.", |it| float(it.dead)),
        ("mainstem_records_pending", Kind::Gauge, "Records no tick has taken yet.", |it| {
            float(it.pending)
        }),
        (
            "mainstem_records_residue",
            Kind::Gauge,
            "received - stored - dead - pending; anything but 0 is a fault.",
            |it| signed(it.residue),
        ),
        ("mainstem_stream_lag_seconds", Kind::Gauge, "Age of the oldest pending record.", |it| {
            seconds(it.lag_ms)
        }),
        ("mainstem_stream_bytes", Kind::Gauge, "Bytes of the stream in the journal.", |it| {
            float(it.bytes)
        }),
        ("mainstem_stream_shards", Kind::Gauge, "Shards of the stream.", |it| f64::from(it.shards)),
    ];
    for (name, kind, help, value) in conserved {
        page.head(name, kind, help);
        for stream in &facts.streams {
            page.sample(name, &[("stream", &stream.name)], value(stream));
        }
    }
    page.head("mainstem_rejects_total", Kind::Counter, "Records rejected, by their first reason.");
    for stream in &facts.streams {
        for reject in &stream.rejects {
            let check = reject.check.as_deref().unwrap_or("");
            let labels =
                [("stream", stream.name.as_str()), ("kind", &reject.kind), ("check", check)];
            page.sample("mainstem_rejects_total", &labels, float(reject.count));
        }
    }
}

fn tables(page: &mut Page, facts: &Facts) {
    let figures: [Family<crate::Table>; 8] = [
        ("mainstem_table_rows", Kind::Gauge, "Rows of the table.", |it| float(it.rows)),
        ("mainstem_table_bytes", Kind::Gauge, "Bytes of the table at rest.", |it| float(it.bytes)),
        ("mainstem_table_files", Kind::Gauge, "Files of the table at rest.", |it| float(it.files)),
        ("mainstem_table_dead", Kind::Gauge, "Rows it could not compute.", |it| float(it.dead)),
        ("mainstem_corrections_total", Kind::Counter, "Final windows corrected.", |it| {
            float(it.corrections)
        }),
        ("mainstem_state_bytes", Kind::Gauge, "Bytes of the table's state in memory.", |it| {
            float(it.state_bytes)
        }),
        ("mainstem_spilled_bytes", Kind::Gauge, "Bytes of the table's state on disk.", |it| {
            float(it.spilled_bytes)
        }),
        ("mainstem_table_stale", Kind::Gauge, "1 when the table stands still.", |it| {
            f64::from(u8::from(it.stale_since_ms.is_some()))
        }),
    ];
    for (name, kind, help, value) in figures {
        page.head(name, kind, help);
        for table in &facts.tables {
            page.sample(name, &[("table", &table.name)], value(table));
        }
    }
    page.head("mainstem_table_age_seconds", Kind::Gauge, "Time since the table last changed.");
    for table in &facts.tables {
        if let Some(updated_ms) = table.updated_ms {
            let age = seconds(facts.now_ms.saturating_sub(updated_ms));
            page.sample("mainstem_table_age_seconds", &[("table", &table.name)], age);
        }
    }
}

fn flows(page: &mut Page, facts: &Facts) {
    let figures: [Family<crate::Flow>; 8] = [
        ("mainstem_flow_running", Kind::Gauge, "1 when the flow runs.", |it| {
            f64::from(u8::from(it.running))
        }),
        ("mainstem_flow_lag_seconds", Kind::Gauge, "How far it is behind its streams.", |it| {
            seconds(it.lag_ms)
        }),
        ("mainstem_epochs_total", Kind::Counter, "Durable epochs.", |it| float(it.epoch)),
        ("mainstem_ticks_total", Kind::Counter, "Ticks.", |it| float(it.ticks)),
        ("mainstem_flushes_total", Kind::Counter, "Flushes.", |it| float(it.flushes)),
        ("mainstem_flush_seconds_total", Kind::Counter, "Seconds all flushes took.", |it| {
            it.flush_seconds
        }),
        ("mainstem_hot_bytes", Kind::Gauge, "Bytes of rows in memory.", |it| float(it.hot_bytes)),
        ("mainstem_hot_rows", Kind::Gauge, "Rows in memory.", |it| float(it.hot_rows)),
    ];
    for (name, kind, help, value) in figures {
        page.head(name, kind, help);
        for flow in &facts.flows {
            page.sample(name, &[("flow", &flow.name)], value(flow));
        }
    }
}

fn alerts(page: &mut Page, facts: &Facts) {
    page.head("mainstem_alerts", Kind::Gauge, "Keys of the alert in each state.");
    for alert in &facts.alerts {
        for (state, word) in [(AlertState::Pending, "pending"), (AlertState::Firing, "firing")] {
            let count = alert.instances.iter().filter(|it| it.state == state).count();
            let labels = [("alert", alert.name.as_str()), ("state", word)];
            page.sample("mainstem_alerts", &labels, float(count as u64));
        }
    }
    page.head("mainstem_notices", Kind::Gauge, "Notices of late, by what became of them.");
    let states = [
        (NoticeState::Waiting, "waiting"),
        (NoticeState::Delivered, "delivered"),
        (NoticeState::Failed, "failed"),
    ];
    for (state, word) in states {
        let count = facts.notices.iter().filter(|it| it.state == state).count();
        page.sample("mainstem_notices", &[("state", word)], float(count as u64));
    }
}

impl Page {
    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
        }
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        writeln!(self.0, "{text}").unwrap_or_default();
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
fn signed(count: i64) -> f64 {
    count as f64
}

fn seconds(milliseconds: u64) -> f64 {
    float(milliseconds) / 1_000.0
}

#[cfg(test)]
mod tests;
