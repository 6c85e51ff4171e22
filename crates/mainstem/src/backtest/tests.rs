//! What a backtest tells is what the alert told while the same rows came in.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use base::Clock;
use base::time::ManualClock;
use expect_test::expect;
use journal::simulate::SimulatedDisk;
use journal::{Append, Journal, Key, Records, StreamSettings};
use process::memory::MemoryTable;
use process::{Flow, Observer, Setup, View};

use super::*;
use crate::alerting::{Alerting, Asked};
use crate::catalog;
use crate::compile::{Compiled, compile};

/// 2026-01-05 10:00 UTC.
const NOW_MS: u64 = 1_767_607_200_000;
const MINUTE: Duration = Duration::from_secs(60);

const PROJECT: &str = r#"
[stream.orders]
time = "ts"

[stream.orders.columns]
ts     = "timestamp not null"
region = "text not null"
total  = "int not null"

[table.by_minute]
late = "LATE"
sql = "SELECT tumble(ts, '1 minute') AS minute, region, sum(total) AS revenue FROM orders GROUP BY minute, region"

[table.against_usual]
sql = """SELECT minute, region, revenue, avg(revenue) OVER (PARTITION BY region ORDER BY minute
ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS usual FROM by_minute"""

[table.by_region]
sql = "SELECT region, sum(total) AS revenue FROM orders GROUP BY region"

[alert.spike]
sql   = "SELECT region, minute, revenue FROM by_minute WHERE revenue > 100"
key   = ["region"]
title = "Spike in {region}: {revenue}"

[alert.long]
sql = "SELECT region, minute, revenue FROM by_minute WHERE revenue > 60"
key = ["region"]
for = "2 minutes"

[alert.together]
sql   = "SELECT minute, sum(revenue) AS revenue FROM by_minute GROUP BY minute HAVING sum(revenue) > 200"
title = "{revenue} in all"

[alert.unusual]
sql = "SELECT region, minute, revenue, usual FROM against_usual WHERE revenue > 2 * usual"
key = ["region"]

[alert.best]
sql = "SELECT region, minute, revenue FROM by_minute WHERE region <> 'beat' ORDER BY minute DESC, revenue DESC LIMIT 1"
key = ["region"]
"#;

const WITHOUT_WINDOWS: &str = r#"
[alert.large]
sql = "SELECT region FROM by_region WHERE revenue > 1000"
key = ["region"]

[alert.each]
sql = "SELECT region, ts FROM orders WHERE total > 90"
"#;

/// A flow with its alerts, and what they told.
struct Live {
    compiled: Compiled,
    clock: Arc<ManualClock>,
    journal: Journal,
    flow: Flow,
    asked: Vec<Arc<Asked>>,
    heard: Vec<Notice>,
}

impl Live {
    async fn open(late: &str) -> Live {
        Live::of(&PROJECT.replace("LATE", late)).await
    }

    async fn of(text: &str) -> Live {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mainstem.toml"), text).unwrap();
        let compiled = compile(folder.path(), None, false).await;
        let compiled = compiled.unwrap_or_else(|faults| panic!("{}", faults.render(false)));
        let clock = ManualClock::at(NOW_MS);
        let shared: Arc<dyn Clock> = Arc::new(Arc::clone(&clock));
        let disk = SimulatedDisk::new(0);
        let mut settings = journal::Settings::new("/journal");
        settings.threads = journal::Threads::Caller;
        let journal = Journal::open(settings, Arc::new(disk.clone()), Arc::clone(&shared)).unwrap();
        for stream in compiled.project.streams.keys() {
            journal.create_stream(stream, StreamSettings::default()).unwrap();
        }
        let plan = compiled.plan.flows.first().unwrap().clone();
        let settings = watch::notifier::Settings::of("test");
        let notifier =
            watch::Notifier::start(&compiled.project.notifies, None, settings, Arc::clone(&shared));
        let notifier = Arc::new(notifier.unwrap());
        let alerting =
            Alerting::of(&compiled.project, &plan, notifier, Arc::clone(&shared)).unwrap();
        let asked = alerting.asked();
        let storage = plan
            .outputs()
            .into_iter()
            .map(|it| (it.name.to_string(), MemoryTable::new(&it.name, it.schema).storage()))
            .collect();
        let setup = Setup {
            plan,
            journal: journal.clone(),
            storage,
            folder: PathBuf::from("/flows"),
            disk: Arc::new(disk),
            clock: shared,
            built: None,
            observer: Some(Box::new(alerting) as Box<dyn Observer>),
            settings: process::Settings::default(),
        };
        let flow = Flow::open(setup).await.unwrap();
        Live { compiled, clock, journal, flow, asked, heard: Vec::new() }
    }

    /// Sends an order of this very moment, and lets the flow see it.
    async fn order(&mut self, region: &str, total: i64) {
        let ts = text(self.clock.now_ms());
        let line = format!(r#"{{"ts":"{ts}","region":"{region}","total":{total}}}"#);
        let id = self.journal.stream("orders").unwrap();
        let shard = self.journal.shard_of(id, Key::Partition("")).unwrap();
        let mut records = Records::new();
        records.push("", line.as_bytes()).unwrap();
        let append = Append { stream: id, parts: vec![(shard, records)], idempotency: None };
        self.journal.append(append).await.unwrap();
        self.flow.tick().await.unwrap();
        for asked in &self.asked {
            self.heard.extend(std::mem::take(&mut asked.state.lock().told));
        }
    }

    /// Moves the clock; what time alone makes due is told at its time.
    fn pass(&mut self, span: Duration) {
        let until_ms = self.clock.now_ms() + u64::try_from(span.as_millis()).unwrap();
        for asked in &self.asked {
            let mut state = asked.state.lock();
            while let Some(due_ms) = state.machine.next_due_ms().filter(|it| *it < until_ms) {
                let notices = state.machine.elapse(due_ms);
                self.heard.extend(notices);
            }
        }
        self.clock.advance(span);
    }

    /// Returns what the alert told up to a moment, in words.
    fn told(&self, alert: &str, until_ms: u64) -> Vec<String> {
        let asked = self.asked.iter().find(|it| it.spec.name == *alert).unwrap();
        assert_eq!(asked.state.lock().error, None);
        let heard = self.heard.iter();
        let heard = heard.filter(|it| it.alert == *alert && it.at_ms <= until_ms);
        heard.map(|it| words(it.state.as_str(), it.at_ms, &it.key, &it.title)).collect()
    }

    async fn backtest(&self, alert: &str) -> Outcome {
        let declared = &self.compiled.project.alerts[alert];
        let plan = self.compiled.plan.flows.first().unwrap();
        let source = Viewed(self.flow.view());
        let last = Span(Duration::from_secs(86_400));
        run(&self.compiled.project, plan, declared, last, &source).await.unwrap()
    }
}

fn text(ms: u64) -> String {
    rows::json::timestamp_text(rows::schema::arrived_to_micros(ms))
}

fn words(state: &str, at_ms: u64, key: &str, title: &str) -> String {
    format!("{} {state} {key} {title}", text(at_ms))
}

/// What a backtest told, as the live alert tells it.
fn told(outcome: &Outcome) -> Vec<String> {
    let Outcome::Told(told) = outcome else { panic!("{outcome:?}") };
    let mut events = Vec::new();
    for firing in &told.firings {
        events.push((
            firing.fired_ms,
            1,
            words("firing", firing.fired_ms, &firing.key, &firing.title),
        ));
        if let Some(at_ms) = firing.resolved_ms {
            events.push((at_ms, 0, words("resolved", at_ms, &firing.key, "")));
        }
    }
    events.sort();
    events.into_iter().map(|(_, _, text)| text).collect()
}

/// Leaves the titles of resolutions out: a backtest tells that of the firing.
fn without_titles(mut told: Vec<String>) -> Vec<String> {
    for line in &mut told {
        if line.contains(" resolved ") {
            line.truncate(line.find('}').unwrap() + 2);
        }
    }
    told.sort();
    told
}

struct Viewed(Arc<View>);

impl Catalog for Viewed {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot { tables: catalog::providers(&self.0), ..Snapshot::default() })
    }
}

#[async_trait]
impl Source for Viewed {
    async fn rows(&self, sql: &str, rows_max: usize) -> anyhow::Result<Vec<RecordBatch>> {
        let catalog = Arc::new(Viewed(Arc::clone(&self.0)));
        let engine = Engine::new(&ContextSettings::default(), catalog, SystemClock::start())?;
        Ok(engine.ask(sql).await?.all(rows_max).await?)
    }
}

fn is_slow_welcome() -> bool {
    std::env::var_os("SLOW").is_some()
}

/// Lets orders come in by chance, with a beat at every moment at which a window may become final,
/// so that a window is final as soon as the clock says so: all that a backtest can know.
async fn some_minutes(live: &mut Live, seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    for _ in 0..if is_slow_welcome() { 20 } else { 8 } {
        for quarter in 0..4 {
            if quarter % 2 == 0 {
                live.order("beat", 0).await;
            }
            let region = ["fr", "de"][chance.usize(..2)];
            if quarter != 0 && chance.u8(..4) != 0 {
                live.order(region, [5, 40, 90, 150][chance.usize(..4)]).await;
            }
            live.pass(MINUTE / 4);
        }
    }
    // More beats make the last windows final.
    for _ in 0..8 {
        live.order("beat", 0).await;
        live.pass(MINUTE / 2);
    }
}

#[tokio::test]
async fn a_backtest_tells_what_the_alert_told() {
    let all = [(1, "1 minute"), (2, "0 seconds"), (3, "30 seconds")];
    for (seed, late) in all.into_iter().take(if is_slow_welcome() { 3 } else { 1 }) {
        let mut live = Live::open(late).await;
        some_minutes(&mut live, seed).await;
        let mut all_told = 0;
        for alert in ["spike", "long", "together", "unusual", "best"] {
            let outcome = live.backtest(alert).await;
            let now = without_titles(told(&outcome));
            let Outcome::Told(all) = outcome else { panic!("its past can be told") };
            let then = without_titles(live.told(alert, all.end_ms));
            assert_eq!(then, now, "{alert}, seed {seed}");
            // In eight minutes not every alert fires.
            assert!(!is_slow_welcome() || 1 < then.len(), "{alert}: {then:#?}");
            all_told += then.len();
        }
        assert_ne!(all_told, 0, "no alert of seed {seed} told anything");
    }
}

#[tokio::test]
async fn one_answer_for_all_windows_tells_the_same_as_one_for_each() {
    let mut live = Live::open("0 seconds").await;
    some_minutes(&mut live, 4).await;
    for (alert, is_by_window) in [("spike", true), ("together", true), ("best", false)] {
        let declared = &live.compiled.project.alerts[alert];
        let flow = live.compiled.plan.flows.first().unwrap();
        let windows = windows_of(&live.compiled.project, flow, declared);
        let last = Span(Duration::from_secs(86_400));
        let source = Viewed(live.flow.view());
        let history =
            History::read(&live.compiled.project, flow, declared, &windows, last, &source);
        let history = history.await.unwrap();
        let shown = Arc::new(Shown(ArcSwap::default()));
        let catalog: Arc<dyn Catalog> = Arc::clone(&shown) as _;
        let engine =
            Engine::new(&ContextSettings::default(), catalog, SystemClock::start()).unwrap();
        let asking = Asking { alert: declared, history: &history, engine, shown };
        let (machine, newest) = machine_of(declared, &schemas_of(flow), &windows).unwrap();
        let newest = newest.unwrap();
        let plan = asking.plan().await.unwrap();
        assert_eq!(shape::is_by_window(&plan, &newest.of, &newest.column), is_by_window, "{alert}");
        let mut steps = Walk { machine: machine.clone(), firings: Vec::new() };
        asking.step_by_step(Some(&newest), &mut steps).await.unwrap();
        if is_by_window {
            let mut once = Walk { machine, firings: Vec::new() };
            asking.at_once(&newest, &mut once).await.unwrap();
            assert_eq!(once.firings, steps.firings, "{alert}");
        }
        assert!(!steps.firings.is_empty(), "{alert}");
    }
}

#[tokio::test]
async fn the_last_stretch_only_is_walked() {
    let mut live = Live::open("0 seconds").await;
    for total in [150, 5, 150, 5] {
        live.order("fr", total).await;
        live.pass(MINUTE);
    }
    live.order("beat", 0).await;
    let alert = &live.compiled.project.alerts["spike"];
    let flow = live.compiled.plan.flows.first().unwrap();
    let source = Viewed(live.flow.view());
    let last = Span(MINUTE * 2);
    let outcome = run(&live.compiled.project, flow, alert, last, &source).await.unwrap();
    expect![[r#"
        2026-01-05T10:03:00Z firing {"region":"fr"} Spike in fr: 150
        2026-01-05T10:04:00Z resolved {"region":"fr"} "#]]
    .assert_eq(&told(&outcome).join("\n"));
    let Outcome::Told(all) = outcome else { panic!("its past can be told") };
    let (from, to) = (text(all.from_ms), text(all.to_ms));
    assert_eq!((from.as_str(), to.as_str()), ("2026-01-05T10:02:00Z", "2026-01-05T10:04:00Z"));
}

#[tokio::test]
async fn an_alert_without_windows_says_what_cannot_be_told() {
    let tables = PROJECT.split("[alert.").next().unwrap().replace("LATE", "0 seconds");
    let mut live = Live::of(&format!("{tables}{WITHOUT_WINDOWS}")).await;
    for _ in 0..20 {
        live.order("fr", 95).await;
    }
    let told = |outcome: Outcome| match outcome {
        Outcome::Cannot { reason, rows } => {
            (reason, rows.iter().map(RecordBatch::num_rows).sum::<usize>())
        }
        Outcome::Told(told) => panic!("{told:?}"),
    };
    let (reason, rows) = told(live.backtest("large").await);
    assert!(reason.contains("`by_region`") && reason.contains("is not stored"), "{reason}");
    assert_eq!(rows, 1);
    let (reason, rows) = told(live.backtest("each").await);
    assert!(reason.contains("never resolves"), "{reason}");
    assert_eq!(rows, 20);
}
