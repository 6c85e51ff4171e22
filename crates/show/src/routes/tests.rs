use axum::body::{Body, to_bytes};
use axum::http::Request;
use base::time::ManualClock;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::shop::Shop;

/// 2026-01-05 10:00:00 UTC.
const NOW_MS: u64 = 1_767_607_200_000;

/// The pretended shop, and the clock that moves it.
pub(crate) fn served() -> (Show, Arc<ManualClock>) {
    let hand = ManualClock::at(NOW_MS);
    let clock: Arc<dyn Clock> = Arc::new(Arc::clone(&hand));
    let shop = Arc::new(Shop::open(Arc::clone(&clock)));
    let settings = Settings { hosts: Hosts::Loopback(Vec::new()) };
    let show = Show::start(settings, Arc::clone(&shop) as _, shop, clock);
    (show, hand)
}

pub(crate) async fn send(show: &Show, request: Request<Body>) -> Response {
    show.router().oneshot(request).await.unwrap()
}

pub(crate) async fn json(response: Response) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

pub(crate) async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), 1 << 24).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn get_from(show: &Show, path: &str) -> Response {
    send(show, Request::get(path).header("host", "localhost:7070").body(Body::empty()).unwrap())
        .await
}

#[tokio::test]
async fn the_console_answers_on_every_path_of_its_own() {
    let (show, _clock) = served();
    for path in ["/", "/streams", "/dashboards/sales", "/dead/orders"] {
        let answer = get_from(&show, path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        assert!(kind.starts_with("text/html"), "{path}: {kind}");
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("script-src 'self'; style-src 'self'; "), "{policy}");
    }
    for path in ["/assets/none-123.js", "/favicon.ico", "/a/../b.css"] {
        assert_eq!(get_from(&show, path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_path_of_the_api_is_an_error_in_json() {
    let (show, _clock) = served();
    let answer = get_from(&show, "/v1/nonsense/deep").await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(json(answer).await["error"]["message"], "there is nothing at /v1/nonsense/deep");
}

#[tokio::test]
async fn the_facts_are_those_of_the_pipeline() {
    let (show, _clock) = served();
    let facts = json(get_from(&show, "/v1/pipeline").await).await;
    assert_eq!(facts["project"], "shop");
    let orders = &facts["streams"][0];
    let [received, stored, dead, pending] =
        ["received", "stored", "dead", "pending"].map(|it| orders[it].as_u64().unwrap());
    assert_eq!(received, stored + dead + pending);
    assert_eq!(orders["residue"], 0);
    let graph = json(get_from(&show, "/v1/graph").await).await;
    assert!(graph["nodes"].as_array().unwrap().iter().any(|it| it["id"] == "sales_by_minute"));
    let alerts = json(get_from(&show, "/v1/alerts").await).await;
    assert_eq!(alerts["alerts"][0]["instances"][0]["state"], "firing");
}

#[tokio::test]
async fn a_dashboard_comes_with_its_data_and_its_faults() {
    let (show, _clock) = served();
    let answer = json(get_from(&show, "/v1/dashboards/bestsellers").await).await;
    assert_eq!(answer["data"][0]["rows"].as_array().unwrap().len(), 8);
    let error = &answer["data"][1]["error"]["error"];
    assert_eq!(error["message"], "table `return_reasons` not found");
    assert!(error["column"].is_u64());
    let missing = get_from(&show, "/v1/dashboards/none").await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_table_is_asked_to_run_by_its_name() {
    let (show, _clock) = served();
    let ask = |path: &str| {
        let request = Request::post(path.to_owned()).header("host", "localhost:7070");
        request.body(Body::empty()).unwrap()
    };
    let begun = json(send(&show, ask("/v1/runs/sales")).await).await;
    assert_eq!(begun, serde_json::json!({"table": "sales", "run": 1}));
    let wrong = send(&show, ask("/v1/runs/%20")).await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn health_and_metrics_answer() {
    let (show, _clock) = served();
    assert_eq!(get_from(&show, "/healthz").await.status(), StatusCode::OK);
    let answer = get_from(&show, "/metrics").await;
    assert!(answer.headers()[header::CONTENT_TYPE].to_str().unwrap().contains("version=0.0.4"));
    assert!(text(answer).await.contains("mainstem_records_residue{stream=\"orders\"} 0\n"));
}

/// A pipeline that cannot work.
struct Broken;

#[async_trait::async_trait]
impl Pipeline for Broken {
    fn facts(&self) -> Facts {
        let message = "the journal's disk is full".to_owned();
        let help = Some("free some space".to_owned());
        Facts { problems: vec![Problem { message, help, tolerable: false }], ..Facts::default() }
    }

    fn catalog(&self) -> crate::Catalog {
        crate::Catalog::default()
    }

    async fn replay_dead(
        &self,
        _replay: crate::Replay,
    ) -> Result<crate::Replayed, crate::AskError> {
        Ok(crate::Replayed::default())
    }

    async fn run_table(&self, table: base::Name) -> Result<crate::Begun, crate::AskError> {
        let message = format!("there is no table `{table}` that is recomputed");
        Err(crate::AskError::new(Kind::Missing, message))
    }

    async fn plan(&self, _: crate::Wanted) -> Result<crate::Change, crate::AskError> {
        Ok(crate::Change::default())
    }

    async fn apply(&self, _: crate::Wanted) -> Result<crate::Change, crate::AskError> {
        Err(crate::AskError::new(Kind::Unavailable, "the journal's disk is full"))
    }

    async fn plan_rollback(&self) -> Result<crate::Change, crate::AskError> {
        Err(crate::AskError::new(Kind::Conflict, "there is no project to go back to"))
    }

    async fn rollback(&self, _: crate::Back) -> Result<crate::Change, crate::AskError> {
        self.plan_rollback().await
    }

    fn applying(&self) -> crate::Applying {
        crate::Applying::default()
    }

    async fn restore(&self, _: Restore) -> Result<Restored, crate::AskError> {
        Err(crate::AskError::new(Kind::Missing, "nothing was kept"))
    }

    async fn trace(&self, _: base::Name, _: base::Place) -> Result<crate::Trace, crate::AskError> {
        Err(crate::AskError::new(Kind::Missing, "nothing is known of it"))
    }
}

#[tokio::test]
async fn health_says_why_it_fails() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW_MS));
    let shop = Arc::new(Shop::open(Arc::clone(&clock)));
    let settings = Settings { hosts: Hosts::Any };
    let show = Show::start(settings, shop, Arc::new(Broken), clock);
    let answer = get_from(&show, "/healthz").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(json(answer).await["problems"][0]["message"], "the journal's disk is full");
}

#[tokio::test]
async fn strangers_are_turned_away_from_every_route() {
    let (show, _clock) = served();
    let rebound = Request::get("/v1/pipeline").header("host", "evil.example");
    let answer = send(&show, rebound.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let forged = Request::post("/v1/dead/orders/replay").header("host", "localhost");
    let forged = forged.header("origin", "https://evil.example");
    let answer = send(&show, forged.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(answer.headers().contains_key(header::CONTENT_SECURITY_POLICY));
}
