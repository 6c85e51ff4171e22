//! A flow that runs by itself, by the wall clock.

use std::time::Duration;

use arrow::array::RecordBatch;
use base::time::SystemClock;
use base::{SequenceNumber, ShardId};

use super::shop::SHOP;
use super::{World, ask};
use crate::flow::Flow;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_flow_shows_what_arrives_and_stops_with_all_of_it_stored() {
    let world = World::new(SHOP).await;
    let mut setup = world.setup();
    setup.clock = SystemClock::start();
    setup.settings.epoch_every = Duration::from_millis(50);
    let handle = Flow::open(setup).await.unwrap().run().unwrap();
    let order = |id: u32| {
        format!(
            r#"{{"order_id":"{id}","ts":"2026-01-05T10:00:10Z","region":"fr","product_id":"p1","quantity":1,"unit_price":5,"total":5}}"#
        )
    };
    for round in 0..20 {
        world.send("orders", &[&order(round)]).await;
        let next = SequenceNumber(u64::from(round) + 1);
        handle.wait_until("orders", &[(ShardId(0), next)]).await.unwrap();
        let n = ask(&handle.view(), "SELECT count(*) AS n FROM orders_clean").await;
        assert_eq!(n, format!("{{\"n\":{}}}\n", round + 1));
    }
    handle.flush().await.unwrap();
    let view = handle.view();
    let hot: usize = view.tables["orders"].hot_rows();
    assert_eq!(hot, 0, "a flush leaves nothing that is not stored");
    handle.stop().await.unwrap();
    let stored: usize = world.tables["orders"].rows().iter().map(RecordBatch::num_rows).sum();
    assert_eq!(stored, 20);
    assert!(handle.flush().await.is_err(), "a stopped flow says so");
}
