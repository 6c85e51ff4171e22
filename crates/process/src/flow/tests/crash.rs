//! The program ends at every step there is, and again while it recovers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use base::Epoch;
use rows::sink::{Actions, Change, Sink, SinkError};

use super::shop::SHOP;
use super::{World, ask, slow};
use crate::flow::Flow;
use crate::setup::Storage;

const SALES: &str = "SELECT minute, region, category, orders, revenue FROM sales_by_minute";
const BATCH_SALES: &str = "SELECT tumble(ts, '1 minute') AS minute, region, category, \
    count(*) AS orders, sum(total) AS revenue FROM orders_clean GROUP BY minute, region, category";

fn order(id: usize, time: &str) -> String {
    let price = if id % 5 == 4 { -1 } else { 5 };
    format!(
        r#"{{"order_id":"{id}","ts":"2026-01-05T{time}Z","region":"fr","product_id":"p1","quantity":1,"unit_price":{price},"total":{price}}}"#
    )
}

/// What is sent, request by request: in order, then a jump, then late ones.
fn requests() -> Vec<Vec<String>> {
    let times = [
        ["10:00:10", "10:00:20", "10:01:10"],
        ["10:02:00", "10:00:30", "12:00:00"],
        ["10:00:40", "12:00:10", "10:01:50"],
    ];
    let requests = times.iter().enumerate();
    requests
        .map(|(at, times)| {
            let orders = times.iter().enumerate();
            orders.map(|(place, time)| order(3 * at + place, time)).collect()
        })
        .collect()
}

/// Runs until something fails; notes what was acknowledged.
async fn go_on(world: &World, acknowledged: &mut BTreeSet<usize>) -> Result<Flow, String> {
    let mut flow = Flow::open(world.setup()).await.map_err(|it| it.to_string())?;
    for (at, request) in requests().iter().enumerate() {
        if !acknowledged.contains(&at) {
            let lines: Vec<&str> = request.iter().map(String::as_str).collect();
            world.try_send("orders", &lines).await.map_err(|it| it.to_string())?;
            acknowledged.insert(at);
        }
        flow.tick_all().await.map_err(|it| it.to_string())?;
        flow.flush().await.map_err(|it| it.to_string())?;
    }
    Ok(flow)
}

async fn check(flow: &Flow, acknowledged: &BTreeSet<usize>, place: &str) {
    let view = flow.view();
    super::assert_conserved(flow);
    let places = ask(&view, "SELECT count(*) AS n, count(DISTINCT _sequence) AS d FROM orders");
    let places = places.await;
    let numbers: Vec<&str> = places.split(|it: char| !it.is_ascii_digit()).collect();
    let numbers: Vec<&&str> = numbers.iter().filter(|it| !it.is_empty()).collect();
    assert_eq!(numbers[0], numbers[1], "{place}: a row is there twice");
    for at in acknowledged {
        for number in 3 * at..3 * at + 3 {
            let table = if number % 5 == 4 { "orders__dead" } else { "orders" };
            let found = if table == "orders" {
                ask(&view, &format!("SELECT 1 AS n FROM orders WHERE order_id = '{number}'")).await
            } else {
                ask(&view, "SELECT kind FROM orders__dead").await
            };
            assert!(!found.is_empty(), "{place}: order {number} is lost");
        }
    }
    assert_eq!(ask(&view, SALES).await, ask(&view, BATCH_SALES).await, "{place}");
    let copied = ask(&view, "SELECT count(*) AS n FROM orders_clean").await;
    assert_eq!(copied, ask(&view, "SELECT count(*) AS n FROM orders").await, "{place}");
}

#[tokio::test]
async fn the_disk_may_fail_at_any_operation() {
    fail_at_any_operation(base::limits::STATE_BYTES_MAX).await;
}

#[tokio::test]
async fn the_disk_may_fail_at_any_operation_while_groups_are_on_it() {
    fail_at_any_operation(1).await;
}

async fn fail_at_any_operation(memory: usize) {
    let mut plain = World::new(SHOP).await;
    plain.settings.state_bytes_max = memory;
    let before = plain.disk.operations();
    let flow = go_on(&plain, &mut BTreeSet::new()).await.unwrap();
    check(&flow, &(0..3).collect(), "undisturbed").await;
    let operations = plain.disk.operations() - before;
    assert!(20 < operations, "{operations} operations are too few to mean anything");
    let stride = if slow() { 1 } else { 3 };
    for stop in (1..=operations).step_by(stride) {
        let mut world = World::with_shards(SHOP, 1, stop).await;
        world.settings.state_bytes_max = memory;
        let mut acknowledged = BTreeSet::new();
        let failing = world.disk.operations() + stop;
        world.disk.stop_at(failing);
        // What cannot be put on disk makes its table stale, and no more.
        if go_on(&world, &mut acknowledged).await.is_ok_and(|it| is_followed(&it)) {
            assert_only_tidies_up(&world, failing);
        }
        world.crash();
        // And again while it recovers.
        world.disk.stop_at(world.disk.operations() + 1 + stop % 7);
        drop(go_on(&world, &mut acknowledged).await);
        world.crash();
        let flow = go_on(&world, &mut acknowledged).await.unwrap();
        check(&flow, &acknowledged, &format!("operation {stop}")).await;
    }
}

fn is_followed(flow: &Flow) -> bool {
    flow.stats().tables.values().all(|it| it.error.is_none())
}

/// Whatever may fail without a word only removes what the last epoch replaced.
fn assert_only_tidies_up(world: &World, failing: u64) {
    for line in world.disk.log() {
        let (number, what) = line.split_once(' ').unwrap_or_default();
        if number.parse().is_ok_and(|it: u64| failing <= it) {
            let of = ["state", "groups", "rows"];
            let removes = |it: &&str| what.starts_with(&format!("remove /flows/orders@{it}-"));
            assert!(of.iter().any(removes), "operation {failing} failed without a word: {what}");
        }
    }
}

#[tokio::test]
async fn a_sink_may_fail_before_and_after_any_call() {
    let calls = Arc::new(Calls::default());
    let mut plain = World::new(SHOP).await;
    wrap(&mut plain, &calls);
    drop(go_on(&plain, &mut BTreeSet::new()).await.unwrap());
    let points = calls.points.load(Ordering::SeqCst);
    assert!(20 < points, "{points} points are too few to mean anything");
    let stride = if slow() { 1 } else { 7 };
    for stop in (1..=points).step_by(stride) {
        let calls = Arc::new(Calls::default());
        let mut world = World::with_shards(SHOP, 1, stop).await;
        wrap(&mut world, &calls);
        let mut acknowledged = BTreeSet::new();
        for point in [stop, 1 + stop % 5] {
            calls.points.store(0, Ordering::SeqCst);
            calls.stop.store(point, Ordering::SeqCst);
            drop(go_on(&world, &mut acknowledged).await);
            world.crash();
        }
        calls.stop.store(0, Ordering::SeqCst);
        let flow = go_on(&world, &mut acknowledged).await.unwrap();
        check(&flow, &acknowledged, &format!("point {stop}")).await;
    }
}

/// Counts the points at which a sink may fail, and fails at one.
#[derive(Debug, Default)]
struct Calls {
    points: AtomicU64,
    stop: AtomicU64,
}

impl Calls {
    fn pass(&self) -> Result<(), SinkError> {
        let point = self.points.fetch_add(1, Ordering::SeqCst) + 1;
        let stop = self.stop.load(Ordering::SeqCst);
        if stop != 0 && stop <= point {
            let (sink, reason) = ("a test".to_owned(), format!("point {point}"));
            return Err(SinkError::Unavailable { sink, reason });
        }
        Ok(())
    }
}

struct Faulty {
    inner: Arc<dyn Sink>,
    calls: Arc<Calls>,
}

#[async_trait]
impl Sink for Faulty {
    async fn prepare(&self, epoch: Epoch, change: Change) -> Result<Actions, SinkError> {
        self.calls.pass()?;
        let actions = self.inner.prepare(epoch, change).await?;
        self.calls.pass()?;
        Ok(actions)
    }

    async fn commit(&self, epoch: Epoch, actions: Actions) -> Result<(), SinkError> {
        self.calls.pass()?;
        self.inner.commit(epoch, actions).await?;
        self.calls.pass()
    }

    async fn committed(&self) -> Result<Epoch, SinkError> {
        self.inner.committed().await
    }
}

fn wrap(world: &mut World, calls: &Arc<Calls>) {
    for storage in world.storage.values_mut() {
        let (inner, calls) = (Arc::clone(&storage.sink), Arc::clone(calls));
        *storage = Storage { sink: Arc::new(Faulty { inner, calls }), ..storage.clone() };
    }
}
