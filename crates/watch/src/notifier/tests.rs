//! Webhooks that fail, stall and then work, on a real server.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base::time::SystemClock;
use spec::{NotifyFormat, Secret, Spot};

use super::*;
use crate::alert::tests::{alert, batch, declared};

/// What the server answers to the requests in order, and 200 after that.
#[derive(Clone, Default)]
pub(crate) struct Script {
    answers: Arc<[u16]>,
    count: Arc<AtomicUsize>,
    pub(crate) seen: Arc<Mutex<Vec<(String, serde_json::Value)>>>,
}

/// An answer that never comes.
const STALL: u16 = 0;

async fn answer(Shared(script): Shared<Script>, headers: HeaderMap, body: Bytes) -> Response {
    let number = script.count.fetch_add(1, Ordering::SeqCst);
    let status = script.answers.get(number).copied().unwrap_or(200);
    if status == STALL {
        std::future::pending::<()>().await;
    }
    let id = headers["idempotency-key"].to_str().unwrap().to_owned();
    script.seen.lock().push((id, serde_json::from_slice(&body).unwrap()));
    let headers = [("retry-after", "0"), ("location", "http://localhost:1/")];
    (StatusCode::from_u16(status).unwrap(), headers, "because\n").into_response()
}

pub(crate) async fn serve(answers: &[u16]) -> (String, Script) {
    let script = Script { answers: answers.into(), ..Script::default() };
    let router = Router::new().route("/hook", post(answer)).with_state(script.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    task::spawn("hook", async move { axum::serve(listener, router).await });
    (format!("http://{address}/hook?token=hidden"), script)
}

fn notify(webhook: &str, format: NotifyFormat) -> BTreeMap<Name, spec::Notify> {
    let name = Name::new("oncall").unwrap();
    let notify = spec::Notify {
        name: name.clone(),
        spot: Spot::outside("notify.toml", ""),
        webhook: Some(Secret::new(webhook)),
        format,
        email: Vec::new(),
        log: true,
        description: None,
    };
    BTreeMap::from([(name, notify)])
}

pub(crate) fn settings() -> Settings {
    Settings {
        timeout: Duration::from_millis(200),
        pauses: (Duration::from_millis(1), Duration::from_millis(5)),
        ..Settings::of("shop")
    }
}

fn start_with(targets: &BTreeMap<Name, spec::Notify>, settings: Settings) -> Notifier {
    // Every test installs it; only the first can.
    let _installed_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Notifier::start(targets, None, settings, SystemClock::start()).unwrap()
}

fn start(webhook: &str) -> Notifier {
    start_with(&notify(webhook, NotifyFormat::Json), settings())
}

pub(crate) fn now_ms() -> u64 {
    SystemClock::start().now_ms()
}

/// An alert that has just fired.
pub(crate) fn firing() -> Alert {
    let mut alert = alert(&declared(&["region"], 0, None));
    alert.observe(&[batch(&[("FR", 0, 1.0)])], now_ms());
    alert
}

/// Exchanges until the outbox is empty.
pub(crate) async fn settle(notifier: &Notifier, alert: &mut Alert) {
    notifier.exchange(alert);
    while 0 < alert.outbox().count() {
        notifier.changed().await;
        notifier.exchange(alert);
    }
}

pub(crate) fn state(notifier: &Notifier) -> TargetState {
    notifier.states().into_values().next().unwrap()
}

#[tokio::test]
async fn a_notice_is_tried_until_it_is_taken() {
    let (url, script) = serve(&[500, STALL, 429, 408, 503]).await;
    let notifier = start(&url);
    let mut alert = firing();
    let id = alert.outbox().next().unwrap().0.id.clone();
    settle(&notifier, &mut alert).await;
    let state = state(&notifier);
    assert_eq!((state.delivered, state.failed, state.retries), (1, 0, 5));
    assert_eq!((state.waiting, state.last_error), (0, None));
    let seen = script.seen.lock().clone();
    assert_eq!(seen.len(), 5, "all but the one that stalled");
    assert!(seen.iter().all(|(header, body)| *header == id && body["id"] == id.as_str()));
    assert_eq!(seen[0].1["project"], "shop");
    assert_eq!(seen[0].1["row"]["region"], "FR");
}

#[tokio::test]
async fn a_refusal_is_final_and_shown() {
    for status in [400, 401, 404, 410, 302] {
        let (url, script) = serve(&[status]).await;
        let notifier = start(&url);
        let mut alert = firing();
        settle(&notifier, &mut alert).await;
        assert_eq!(script.count.load(Ordering::SeqCst), 1, "{status} is not tried again");
        assert_eq!(state(&notifier).failed, 1);
        let error = state(&notifier).last_error.unwrap();
        assert!(error.starts_with(&status.to_string()) && error.contains("because"), "{error}");
        let rows = crate::table::rows([&alert]);
        let shown = rows::json::lines(&rows).remove(0);
        assert!(shown.contains(&format!("\"last_error\":\"oncall: {status}")), "{shown}");
    }
}

#[tokio::test]
async fn order_is_kept_and_nothing_is_told_twice() {
    let (url, script) = serve(&[503, 200, 503, 503]).await;
    let notifier = start(&url);
    let mut alert = alert(&declared(&["region"], 0, None));
    let spike = [batch(&[("FR", 0, 1.0)])];
    for round in 0..3 {
        let now_ms = now_ms() + 2 * round;
        alert.observe(&spike, now_ms);
        alert.observe(&[], now_ms + 1);
        // However often it is called, what is under way is not queued again.
        for _ in 0..5 {
            notifier.exchange(&mut alert);
        }
    }
    settle(&notifier, &mut alert).await;
    let seen = script.seen.lock().clone();
    let mut states: Vec<_> = seen.iter().map(|(id, body)| (id, body["state"].clone())).collect();
    states.dedup();
    let words: Vec<_> = states.iter().map(|(_, state)| state.as_str().unwrap()).collect();
    assert_eq!(words, ["firing", "resolved", "firing", "resolved", "firing", "resolved"]);
}

#[tokio::test]
async fn what_was_under_way_at_a_crash_is_told_after_it_with_the_same_id() {
    let (url, script) = serve(&[STALL]).await;
    let notifier = start(&url);
    let mut alert = firing();
    let id = alert.outbox().next().unwrap().0.id.clone();
    notifier.exchange(&mut alert);
    let bytes = alert.to_bytes();
    drop(notifier);
    let notifier = start(&url);
    let mut restored = crate::alert::tests::alert(&declared(&["region"], 0, None));
    restored.restore(&bytes).unwrap();
    script.count.store(1, Ordering::SeqCst);
    settle(&notifier, &mut restored).await;
    assert_eq!(script.seen.lock().iter().map(|it| it.0.clone()).collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn a_full_queue_holds_up_nobody_and_loses_nothing() {
    let (url, script) = serve(&[503, 503, 503]).await;
    let targets = notify(&url, NotifyFormat::Json);
    let notifier = start_with(&targets, Settings { waiting_max: 2, ..settings() });
    let names: Vec<_> = (0..50).map(|it| it.to_string()).collect();
    let rows: Vec<_> = names.iter().map(|it| (it.as_str(), 0, 1.0)).collect();
    let mut alert = alert(&declared(&["region"], 0, None));
    alert.observe(&[batch(&rows)], now_ms());
    notifier.exchange(&mut alert);
    assert!(state(&notifier).waiting <= 3, "two wait, one is under way");
    settle(&notifier, &mut alert).await;
    assert_eq!(state(&notifier).delivered, 50);
    assert_eq!(script.seen.lock().len(), 53);
}

#[tokio::test]
async fn an_old_notice_is_given_up() {
    let (url, _script) = serve(&[503; 9]).await;
    let targets = notify(&url, NotifyFormat::Json);
    let notifier = start_with(&targets, Settings { tried: Duration::ZERO, ..settings() });
    let mut alert = firing();
    settle(&notifier, &mut alert).await;
    assert_eq!(state(&notifier).failed, 1);
    assert!(state(&notifier).last_error.unwrap().starts_with("given up: 503"));
}

#[tokio::test]
async fn errors_never_show_the_address() {
    let targets = notify("http://127.0.0.1:1/hook?token=hidden", NotifyFormat::Json);
    let notifier = start_with(&targets, Settings { tried: Duration::ZERO, ..settings() });
    let mut alert = firing();
    settle(&notifier, &mut alert).await;
    let error = state(&notifier).last_error.unwrap();
    assert!(error.contains("cannot connect") && !error.contains("hidden"), "{error}");
    for address in ["hidden", "ftp://hidden/", "file:///hidden"] {
        let targets = notify(address, NotifyFormat::Json);
        let error = Notifier::start(&targets, None, settings(), SystemClock::start()).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("notify `oncall`: ") && !error.contains("hidden"), "{error}");
    }
}

#[tokio::test]
async fn slack_receives_text() {
    let (url, script) = serve(&[]).await;
    let notifier = start_with(&notify(&url, NotifyFormat::Slack), settings());
    settle(&notifier, &mut firing()).await;
    let body = script.seen.lock()[0].1.clone();
    assert_eq!(body, serde_json::json!({"text": "*Firing*: Spike in FR: 1 (shop)"}));
}

#[tokio::test]
async fn who_is_not_declared_is_settled_at_once() {
    let notifier = start_with(&BTreeMap::new(), settings());
    let mut alert = firing();
    assert!(notifier.exchange(&mut alert));
    assert_eq!(alert.outbox().count(), 0);
}

#[tokio::test]
async fn stopping_waits_for_what_is_quick_and_not_for_what_is_not() {
    let (url, script) = serve(&[503]).await;
    let notifier = start(&url);
    notifier.exchange(&mut firing());
    notifier.stop(Duration::from_secs(20)).await;
    assert_eq!(script.seen.lock().len(), 2);

    let (url, _script) = serve(&[STALL; 99]).await;
    let notifier = start(&url);
    notifier.exchange(&mut firing());
    notifier.stop(Duration::from_millis(50)).await;
}

#[test]
fn pauses_double_up_to_the_longest() {
    let pauses = (Duration::from_secs(1), Duration::from_secs(60));
    for (attempts, whole) in [(1, 1), (2, 2), (3, 4), (7, 60), (1_000, 60)] {
        let pause = pause_after(attempts, pauses, None);
        let whole = Duration::from_secs(whole);
        assert!(whole / 2 <= pause && pause <= whole, "{attempts}: {pause:?}");
    }
    let asked = pause_after(1, pauses, Some(Duration::from_secs(30)));
    assert_eq!(asked, Duration::from_secs(30));
    let asked = pause_after(1, pauses, Some(Duration::from_secs(9_999)));
    assert_eq!(asked, Duration::from_secs(60));
}
