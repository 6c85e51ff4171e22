//! What a flow finds when it is opened: other plans, other engines, other flows, broken tables.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::{Clock, Name};
use parking_lot::Mutex;

use super::{World, ask, assert_conserved, name, plan_of};
use crate::flow::Flow;
use crate::setup::Observer;
use crate::view::View;

const STREAMS: &str = r#"
[project]
name = "two"

[stream.clicks]
time = "ts"
[stream.clicks.columns]
id = "int not null"
ts = "timestamp not null"
page = "text"

[stream.visits]
time = "ts"
[stream.visits.columns]
id = "int not null"
ts = "timestamp not null"
page = "text"
"#;

const BY_PAGE: &str = "SELECT tumble(ts, '1 minute') AS minute, page, count(*) AS n \
    FROM copied GROUP BY minute, page";
const COPY: &str = "SELECT id, ts, page FROM clicks";
const SHOWN: &str = "SELECT minute, page, n FROM by_page";
const AT_ONCE: &str = "SELECT tumble(ts, '1 minute') AS minute, page, count(*) AS n \
    FROM clicks GROUP BY minute, page";

fn line(id: u32) -> String {
    format!(r#"{{"id":{id},"ts":"2026-01-05T10:{:02}:10Z","page":"/{}"}}"#, id % 50, id % 7)
}

async fn send(world: &World, stream: &str, ids: std::ops::Range<u32>) {
    let lines: Vec<String> = ids.map(line).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    world.send(stream, &lines).await;
}

fn files() -> Vec<(&'static str, &'static str)> {
    vec![("mainstem.toml", STREAMS), ("copied.sql", COPY), ("by_page.sql", BY_PAGE)]
}

/// Opens every flow of the project.
async fn open_all(world: &World) -> Vec<Flow> {
    let mut flows = Vec::new();
    for plan in &world.plan.flows {
        let setup = crate::setup::Setup { plan: plan.clone(), ..world.setup() };
        flows.push(Flow::open(setup).await.unwrap());
    }
    flows
}

#[tokio::test]
async fn flows_that_merge_and_split_go_on_where_they_were() {
    for memory in [base::limits::STATE_BYTES_MAX, 1] {
        merge_and_split(memory).await;
    }
}

async fn merge_and_split(memory: usize) {
    let apart = files();
    let mut together = files();
    together.push(("everything.sql", "SELECT id FROM clicks UNION ALL SELECT id FROM visits"));
    let mut world = World::new(&together).await;
    world.settings.state_bytes_max = memory;
    assert_eq!(world.plan.flows.len(), 1);
    world.plan = plan_of(&apart).await.unwrap();
    assert_eq!(world.plan.flows.len(), 2);
    let mut sent = 0;
    for round in 0..6 {
        let plan = if round % 2 == 0 { &apart } else { &together };
        world.plan = plan_of(plan).await.unwrap();
        let mut flows = open_all(&world).await;
        send(&world, "clicks", sent..sent + 10).await;
        send(&world, "visits", sent..sent + 10).await;
        sent += 10;
        for flow in &mut flows {
            flow.tick_all().await.unwrap();
            if round != 3 {
                flow.flush().await.unwrap();
            }
            assert_conserved(flow);
        }
        for stream in ["clicks", "visits"] {
            let flow = flows.iter().find(|it| it.view().tables.contains_key(stream)).unwrap();
            let sql = format!("SELECT count(*) AS n, count(DISTINCT id) AS d FROM {stream}");
            let all = format!("{{\"n\":{sent},\"d\":{sent}}}\n");
            assert_eq!(ask(&flow.view(), &sql).await, all, "round {round}");
        }
        let view = flows[0].view();
        assert_eq!(ask(&view, SHOWN).await, ask(&view, AT_ONCE).await, "round {round}");
        drop(flows);
        world.crash();
    }
}

#[tokio::test]
async fn a_table_with_too_much_state_is_stale_and_comes_back_at_a_restart() {
    let mut world = World::new(&files()).await;
    let mut flow = world.open().await;
    send(&world, "clicks", 0..10).await;
    flow.tick().await.unwrap();
    flow.flush().await.unwrap();
    drop(flow);
    world.crash();
    world.pass(Duration::from_secs(1));
    let mut setup = world.setup();
    setup.settings.state_bytes_max = 1;
    setup.settings.state_disk_bytes_max = 0;
    let mut flow = Flow::open(setup).await.unwrap();
    send(&world, "clicks", 10..40).await;
    flow.tick().await.unwrap();
    let stats = flow.stats();
    let table = &stats.tables["by_page"];
    assert!(
        table.error.as_ref().is_some_and(|it| it.contains("of state are on disk")),
        "{table:?}"
    );
    assert_eq!(table.stale_since_ms, Some(world.clock.now_ms()));
    assert_eq!(flow.view().tables["by_page"].stale_since_ms, table.stale_since_ms);
    assert_eq!(ask(&flow.view(), "SELECT count(*) AS n FROM copied").await, "{\"n\":40}\n");
    flow.flush().await.unwrap();
    drop(flow);
    world.crash();
    let mut flow = world.open().await;
    send(&world, "clicks", 40..45).await;
    flow.tick_all().await.unwrap();
    assert_conserved(&flow);
    for _ in 0..2 {
        assert_eq!(ask(&flow.view(), SHOWN).await, ask(&flow.view(), AT_ONCE).await);
        flow.flush().await.unwrap();
    }
}

/// One table of each kind that holds a state, and what a question over the rows says instead.
const KINDS: &[(&str, &str, &str)] = &[
    ("by_page", BY_PAGE, AT_ONCE),
    (
        "totals",
        "SELECT page, count(*) AS n, approx_distinct(id) AS kinds FROM clicks GROUP BY page",
        "SELECT page, count(*) AS n, approx_distinct(id) AS kinds FROM clicks GROUP BY page",
    ),
    (
        "hops",
        "SELECT hop(ts, '1 minute', '3 minutes') AS start, sum(id) AS sum FROM clicks GROUP BY start",
        "SELECT hop(ts, '1 minute', '3 minutes') AS start, sum(id) AS sum FROM clicks GROUP BY start",
    ),
    (
        "visits_of_page",
        "SELECT session(ts, '2 minutes') AS start, page, count(*) AS n FROM clicks GROUP BY start, page",
        "SELECT session(ts, '2 minutes') AS start, page, count(*) AS n FROM clicks GROUP BY start, page",
    ),
    (
        "first_pages",
        "SELECT minute, page FROM (SELECT minute, page, row_number() OVER \
         (PARTITION BY minute ORDER BY n DESC, page) AS place FROM by_page) x WHERE place = 1",
        "SELECT minute, page FROM (SELECT minute, page, row_number() OVER \
         (PARTITION BY minute ORDER BY n DESC, page) AS place FROM by_page) x WHERE place = 1",
    ),
];

#[tokio::test]
async fn another_engine_makes_the_groups_again() {
    let mut files = vec![("mainstem.toml", STREAMS), ("copied.sql", COPY)];
    let named: Vec<(String, &str)> =
        KINDS.iter().map(|(name, sql, _)| (format!("{name}.sql"), *sql)).collect();
    files.extend(named.iter().map(|(name, sql)| (name.as_str(), *sql)));
    let mut world = World::new(&files).await;
    let mut flow = world.open().await;
    send(&world, "clicks", 0..60).await;
    flow.tick_all().await.unwrap();
    flow.flush().await.unwrap();
    drop(flow);
    world.crash();
    let path = PathBuf::from("/flows/clicks@checkpoint.json");
    let text = String::from_utf8(world.disk.contents(&path).unwrap()).unwrap();
    let version = format!("\"{}\"", datafusion::DATAFUSION_VERSION);
    assert!(text.contains(&version));
    world.disk.set_contents(&path, text.replace(&version, "\"54.0.0\"").as_bytes());
    let mut flow = world.open().await;
    send(&world, "clicks", 60..70).await;
    flow.tick_all().await.unwrap();
    assert_conserved(&flow);
    for _ in 0..2 {
        for (name, _, question) in KINDS {
            let is = ask(&flow.view(), &format!("SELECT * FROM {name}")).await;
            let is = is.replace(",\"_final\":true", "").replace(",\"_final\":false", "");
            assert_eq!(is, ask(&flow.view(), question).await, "{name}");
        }
        flow.flush().await.unwrap();
    }
}

#[tokio::test]
async fn a_changed_select_makes_its_table_again() {
    let mut world = World::new(&files()).await;
    let mut flow = world.open().await;
    send(&world, "clicks", 0..60).await;
    flow.tick_all().await.unwrap();
    flow.flush().await.unwrap();
    drop(flow);
    let only = "SELECT id, ts, page FROM clicks WHERE page = '/3'";
    let changed = [("mainstem.toml", STREAMS), ("copied.sql", only), ("by_page.sql", BY_PAGE)];
    world.plan = plan_of(&changed).await.unwrap();
    let mut flow = world.open().await;
    send(&world, "clicks", 60..80).await;
    flow.tick_all().await.unwrap();
    for _ in 0..2 {
        let copied = ask(&flow.view(), "SELECT id, page FROM copied").await;
        let should = ask(&flow.view(), "SELECT id, page FROM clicks WHERE page = '/3'").await;
        assert_eq!(copied, should);
        flow.flush().await.unwrap();
    }
}

/// Remembers what it was told.
#[derive(Clone, Default)]
struct Ears {
    told: Arc<Mutex<Vec<String>>>,
    remembered: Arc<Mutex<String>>,
}

#[async_trait]
impl Observer for Ears {
    async fn after_tick(&mut self, view: &Arc<View>, changed: &[Name]) {
        let names: Vec<&str> = changed.iter().map(Name::as_str).collect();
        self.told.lock().push(format!("{}: {}", view.tick, names.join(" ")));
        self.remembered.lock().push('x');
    }

    fn state(&self) -> Vec<u8> {
        self.remembered.lock().clone().into_bytes()
    }

    fn restore(&mut self, state: &[u8]) {
        *self.remembered.lock() = String::from_utf8_lossy(state).into_owned();
    }
}

#[tokio::test]
async fn an_observer_is_told_of_changes_and_remembers_by_epochs() {
    let mut world = World::new(&files()).await;
    let ears = Ears::default();
    let mut setup = world.setup();
    setup.observer = Some(Box::new(ears.clone()));
    let mut flow = Flow::open(setup).await.unwrap();
    send(&world, "clicks", 0..3).await;
    flow.tick().await.unwrap();
    flow.flush().await.unwrap();
    flow.tick().await.unwrap();
    send(&world, "clicks", 3..5).await;
    flow.tick().await.unwrap();
    assert_eq!(ears.told.lock()[..], ["1: by_page clicks copied", "3: by_page clicks copied"]);
    drop(flow);
    world.crash();
    let again = Ears::default();
    let mut setup = world.setup();
    setup.observer = Some(Box::new(again.clone()));
    let flow = Flow::open(setup).await.unwrap();
    assert_eq!(again.remembered.lock().as_str(), "x", "the second tick was never durable");
    drop(flow);
}

#[tokio::test]
async fn a_changed_lookup_counts_from_the_next_tick_and_a_broken_one_never() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "mainstem.toml",
        &format!("{STREAMS}\n[lookup.pages]\nfrom = \"pages.csv\"\nkey = \"page\"\n"),
    );
    write("named.sql", "SELECT l.id, p.title FROM clicks l LEFT JOIN pages p ON p.page = l.page");
    write("pages.csv", "page,title\n/0,first\n");
    let world = World::at(folder.path()).await;
    let mut flow = world.open().await;
    let titles = "SELECT id, title FROM named ORDER BY id";
    let mut texts = Vec::new();
    let versions = [
        "page,title\n/0,second\n/1,more\n",
        "page,title\n/0,third\n/0,twice\n",
        "page,title\n/0,fourth\n",
    ];
    for (round, version) in (0..).zip(versions) {
        send(&world, "clicks", round * 7..round * 7 + 1).await;
        flow.tick().await.unwrap();
        texts.push(flow.stats().lookups["pages"].error.clone());
        write("pages.csv", version);
        world.pass(Duration::from_secs(2));
    }
    send(&world, "clicks", 21..22).await;
    flow.tick().await.unwrap();
    let shown = ask(&flow.view(), titles).await;
    let of = |text: &str| shown.contains(text);
    assert!(of(r#"{"id":0,"title":"first"}"#) && of(r#"{"id":7,"title":"second"}"#), "{shown}");
    assert!(of(r#"{"id":14,"title":"second"}"#) && of(r#"{"id":21,"title":"fourth"}"#), "{shown}");
    assert!(texts[2].as_ref().is_some_and(|it| it.contains("must be unique")), "{texts:?}");
    assert_eq!(flow.stats().lookups["pages"].error, None);
    assert_eq!(ask(&flow.view(), "SELECT title FROM pages").await, "{\"title\":\"fourth\"}\n");
    assert_eq!(flow.name(), &name("clicks"));
}

/// The sections of a table's state in the flow's last checkpoint, in bytes, the oldest first.
fn written(flow: &Flow, table: &str) -> Vec<u64> {
    let pieces = flow.durable.pieces(&name(table));
    pieces.iter().map(|it| it.section.length).collect()
}

#[tokio::test]
async fn a_checkpoint_grows_with_the_groups_that_changed() {
    let files = vec![
        ("mainstem.toml", STREAMS),
        ("by_id.sql", "SELECT id, count(*) AS n, max(page) AS page FROM clicks GROUP BY id"),
        (
            "by_hour.sql",
            "SELECT tumble(ts, '1 hour') AS hour, id, count(*) AS n FROM clicks GROUP BY hour, id",
        ),
    ];
    let shown = "SELECT id, n, page FROM by_id ORDER BY id";
    let at_once = "SELECT id, count(*) AS n, max(page) AS page FROM clicks GROUP BY id ORDER BY id";
    let hours = "SELECT id, n FROM by_hour ORDER BY id";
    let hours_at_once = "SELECT id, count(*) AS n FROM clicks GROUP BY id ORDER BY id";
    let mut world = World::new(&files).await;
    let mut flow = world.open().await;
    send(&world, "clicks", 0..2_000).await;
    flow.tick_all().await.unwrap();
    flow.flush().await.unwrap();
    let all = written(&flow, "by_id");
    assert_eq!(all.len(), 1);
    let (mut most, mut again) = (0, 0);
    for round in 0..40_u32 {
        // The same groups again, some several times, and a new one.
        send(&world, "clicks", round * 3..round * 3 + 10).await;
        send(&world, "clicks", 2_000 + round..2_001 + round).await;
        flow.tick_all().await.unwrap();
        flow.flush().await.unwrap();
        for table in ["by_id", "by_hour"] {
            let pieces = written(&flow, table);
            most = most.max(pieces.len());
            if let [_, .., newest] = pieces.as_slice() {
                assert!(*newest < all[0] / 8, "{table}, round {round}: {pieces:?}");
            } else {
                again += 1;
            }
        }
        if round % 5 == 4 {
            drop(flow);
            world.crash();
            flow = world.open().await;
        }
        let view = flow.view();
        assert_eq!(ask(&view, shown).await, ask(&view, at_once).await, "round {round}");
        assert_eq!(ask(&view, hours).await, ask(&view, hours_at_once).await, "round {round}");
    }
    // Now and then the whole is written again, so that neither files nor a restart grow.
    assert!((8..=16).contains(&most) && 2 <= again, "{most} pieces at most, {again} times again");
    let folder = world.disk.as_disk();
    let files = folder.list(std::path::Path::new("/flows")).unwrap();
    assert!(files.len() <= 40, "{files:?}");
}
