//! Alerts of the real program, told to a real web hook: once each, over crashes too.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::program::Program;

const PROJECT: &str = r#"
[project]
name  = "till"
flush = "300 ms"

[stream.orders]
time = "ts"

[stream.orders.columns]
ts     = "timestamp not null"
region = "text not null"
total  = "int not null"

[table.by_minute]
sql = "SELECT tumble(ts, '1 minute') AS minute, region, sum(total) AS revenue FROM orders GROUP BY minute, region"

[alert.spike]
sql    = "SELECT region, minute, revenue FROM by_minute WHERE revenue > 100"
key    = ["region"]
notify = ["hook"]
title  = "Spike in {region}: {revenue}"

[notify.hook]
webhook = "http://ADDRESS/hook"
"#;

/// What a web hook was told, and whether it answers.
#[derive(Clone, Default)]
struct Hook {
    told: Arc<Mutex<Vec<Value>>>,
    is_down: Arc<Mutex<bool>>,
}

impl Hook {
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().route("/hook", post(receive)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// Waits until so many different notices were told.
    async fn wait(&self, count: usize) -> Vec<Value> {
        for _ in 0..300 {
            let told = self.different();
            if count <= told.len() {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not {count} notices but {:#?}", self.told.lock());
    }

    /// The notices told, each id once, in the order of their first coming.
    fn different(&self) -> Vec<Value> {
        let mut found: Vec<Value> = Vec::new();
        for notice in self.told.lock().iter() {
            match found.iter().find(|it| it["id"] == notice["id"]) {
                Some(before) => assert_eq!(before, notice, "one id, two notices"),
                None => found.push(notice.clone()),
            }
        }
        found
    }
}

async fn receive(State(hook): State<Hook>, Json(notice): Json<Value>) -> StatusCode {
    if *hook.is_down.lock() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    hook.told.lock().push(notice);
    StatusCode::OK
}

fn start(folder: &Path) -> Program {
    Program::start(folder, &folder.join(".mainstem"))
}

async fn order(program: &Program, ts: &str, region: &str, total: i64) {
    let line = json!({"ts": ts, "region": region, "total": total}).to_string();
    let (status, answer) = program.send("orders", line, None).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    program.settle("orders").await;
}

/// What a notice says but its id and times of the machine.
fn words(notice: &Value) -> Value {
    let mut notice = notice.clone();
    let fields = notice.as_object_mut().unwrap();
    for name in ["id", "started", "at"] {
        let value = fields.remove(name).unwrap_or_else(|| panic!("no {name}"));
        assert!(value.as_str().is_some_and(|it| !it.is_empty()), "{name}: {value}");
    }
    notice
}

fn notice(state: &str) -> Value {
    json!({
        "alert": "spike",
        "state": state,
        "title": "Spike in fr: 150",
        "project": "till",
        "key": {"region": "fr"},
        "row": {"region": "fr", "minute": "2026-01-05T10:00:00Z", "revenue": 150},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spike_is_told_once_when_it_begins_and_once_when_it_is_over() {
    let hook = Hook::default();
    let address = hook.serve().await;
    let folder = tempfile::tempdir().unwrap();
    let text = PROJECT.replace("ADDRESS", &address);
    std::fs::write(folder.path().join("mainstem.toml"), text).unwrap();
    let program = start(folder.path());

    // An open window tells nobody; the next minute makes it final.
    order(&program, "2026-01-05T10:00:10Z", "fr", 100).await;
    order(&program, "2026-01-05T10:00:20Z", "fr", 50).await;
    order(&program, "2026-01-05T10:00:30Z", "de", 10).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(hook.told.lock().is_empty(), "{:#?}", hook.told.lock());
    order(&program, "2026-01-05T10:01:10Z", "fr", 1).await;
    let told = hook.wait(1).await;
    assert_eq!(words(&told[0]), notice("firing"));
    assert_eq!(program.value("SELECT state FROM system.alerts").await, "firing");

    // Killed and started again twice: nothing is told anew, but the same notice may come again.
    tokio::time::sleep(Duration::from_secs(1)).await;
    program.kill();
    let program = start(folder.path());
    tokio::time::sleep(Duration::from_secs(2)).await;
    program.kill();
    let program = start(folder.path());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(hook.different(), told, "a restart told something new");
    assert!(hook.told.lock().len() <= 3, "a storm: {:#?}", hook.told.lock());
    assert_eq!(program.value("SELECT state FROM system.alerts").await, "firing");

    // The next window is calm, and over once the minute after it has come. The hook is down
    // meanwhile and the program killed: the notice comes when both are back.
    *hook.is_down.lock() = true;
    order(&program, "2026-01-05T10:02:10Z", "fr", 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    program.kill();
    let program = start(folder.path());
    *hook.is_down.lock() = false;
    let told = hook.wait(2).await;
    assert_eq!(words(&told[1]), notice("resolved"));
    assert_eq!(told[1]["started"], told[0]["started"]);
    assert_ne!(told[1]["id"], told[0]["id"]);

    // Each later spike is another one, whatever is being stored while it comes.
    for (count, minute) in [(3, 3), (5, 5), (7, 7), (9, 9)] {
        order(&program, &format!("2026-01-05T10:0{minute}:10Z"), "fr", 150).await;
        order(&program, &format!("2026-01-05T10:{:02}:10Z", minute + 1), "fr", 1).await;
        let told = hook.wait(count).await;
        let last = &told[count - 1];
        assert_eq!(
            (&last["state"], &last["title"]),
            (&"firing".into(), &"Spike in fr: 150".into())
        );
        assert_eq!(last["row"]["minute"], format!("2026-01-05T10:0{minute}:00Z"));
        order(&program, &format!("2026-01-05T10:{:02}:10Z", minute + 2), "de", 1).await;
        let told = hook.wait(count + 1).await;
        assert_eq!(told[count]["state"], "resolved");
    }
    program.stop();
}
