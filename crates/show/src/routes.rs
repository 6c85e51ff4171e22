//! Which path does what.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use base::{Clock, Kind, limits};
use serde::{Deserialize, Serialize};
use tower_http::compression::CompressionLayer;

use crate::answers::Answers;
use crate::charts::{self, ChartData};
use crate::facts::{Alert, Dashboard, Facts, Notice, Problem};
use crate::fault::Refusal;
use crate::graph::{self, Graph};
use crate::guard::{self, Hosts};
use crate::live::Hub;
use crate::pipeline::{Pipeline, Restore, Restored};
use crate::{assets, catalog, change, dead, metrics, runs, sql, trace};

/// How it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// By which names it may be reached.
    pub hosts: Hosts,
}

/// The HTTP API and the console over one pipeline. Cheap to clone.
#[derive(Clone)]
pub struct Show {
    inner: Arc<Inner>,
}

struct Inner {
    answers: Arc<dyn Answers>,
    pipeline: Arc<dyn Pipeline>,
    clock: Arc<dyn Clock>,
    hosts: Arc<Hosts>,
    hub: Arc<Hub>,
}

impl Show {
    /// Starts to follow the pipeline; must be called within a tokio runtime.
    pub fn start(
        settings: Settings,
        answers: Arc<dyn Answers>,
        pipeline: Arc<dyn Pipeline>,
        clock: Arc<dyn Clock>,
    ) -> Show {
        let hub = Hub::start(Arc::clone(&answers), Arc::clone(&pipeline), Arc::clone(&clock));
        let hosts = Arc::new(settings.hosts);
        Show { inner: Arc::new(Inner { answers, pipeline, clock, hosts, hub }) }
    }

    /// Returns the routes; they have the fallback (the console), so merge others into them.
    pub fn router(&self) -> Router {
        let hosts = Arc::clone(&self.inner.hosts);
        Router::new()
            .route("/v1/sql", post(sql::answer))
            .route("/v1/pipeline", get(pipeline))
            .route("/v1/graph", get(graph_now))
            .route("/v1/live", get(live))
            .route("/v1/dashboards", get(dashboards))
            .route("/v1/dashboards/{name}", get(dashboard))
            .route("/v1/dead/{name}", get(dead::list))
            .route("/v1/dead/{name}/replay", post(dead::replay))
            .route("/v1/runs/{table}", post(runs::begin))
            .route("/v1/alerts", get(alerts))
            .route("/v1/catalog", get(catalog::list))
            .route("/v1/catalog/{name}", get(catalog::one))
            .route("/v1/catalog/{name}/statistics", get(catalog::statistics))
            .route("/v1/plan", post(change::plan))
            .route("/v1/apply", get(change::applying).post(change::apply))
            .route("/v1/rollback", get(change::plan_rollback).post(change::rollback))
            .route("/v1/restore", post(restore))
            .route("/v1/trace/{stream}/{place}", get(trace::show))
            .route("/v1/{*rest}", get(nothing).post(nothing))
            .route("/metrics", get(metrics_now))
            .route("/healthz", get(health))
            .route("/", get(assets::serve))
            .fallback(assets::serve)
            .layer(DefaultBodyLimit::max(limits::SQL_BYTES_MAX))
            .layer(CompressionLayer::new())
            .layer(middleware::from_fn_with_state(hosts, guard::check))
            .with_state(self.clone())
    }

    /// Ends all live pages, so that the server can stop without waiting for them.
    pub fn close(&self) {
        self.inner.hub.close();
    }

    pub(crate) fn answers(&self) -> &dyn Answers {
        &*self.inner.answers
    }

    pub(crate) fn pipeline(&self) -> &dyn Pipeline {
        &*self.inner.pipeline
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }
}

async fn pipeline(State(show): State<Show>) -> Json<Facts> {
    Json(show.inner.hub.facts())
}

async fn graph_now(State(show): State<Show>) -> Json<Graph> {
    Json(graph::of(&show.inner.hub.facts()))
}

#[derive(Debug, Default, Deserialize)]
struct Watching {
    dashboard: Option<String>,
}

async fn live(
    State(show): State<Show>,
    Query(watching): Query<Watching>,
) -> Result<Response, Refusal> {
    let events = show.inner.hub.open(watching.dashboard)?;
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

async fn dashboards(State(show): State<Show>) -> Json<Vec<Dashboard>> {
    Json(show.inner.hub.facts().dashboards)
}

#[derive(Serialize)]
struct Drawn {
    dashboard: Dashboard,
    data: Vec<ChartData>,
}

async fn dashboard(
    State(show): State<Show>,
    Path(name): Path<String>,
) -> Result<Json<Drawn>, Refusal> {
    let facts = show.inner.hub.facts();
    let found = facts.dashboards.iter().find(|it| it.name == name).cloned();
    let missing = || Refusal::new(Kind::Missing, format!("dashboard `{name}` not found"));
    let dashboard = found.ok_or_else(missing)?;
    let mut data = Vec::new();
    for chart in &dashboard.charts {
        data.push(charts::ask(show.answers(), show.clock(), chart, &facts).await);
    }
    Ok(Json(Drawn { dashboard, data }))
}

#[derive(Serialize)]
struct AlertsNow {
    alerts: Vec<Alert>,
    notices: Vec<Notice>,
}

async fn alerts(State(show): State<Show>) -> Json<AlertsNow> {
    let facts = show.inner.hub.facts();
    Json(AlertsNow { alerts: facts.alerts, notices: facts.notices })
}

async fn restore(
    State(show): State<Show>,
    Json(wanted): Json<Restore>,
) -> Result<Json<Restored>, Refusal> {
    show.pipeline().restore(wanted).await.map(Json).map_err(Refusal::of_ours)
}

async fn metrics_now(State(show): State<Show>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics::render(&show.inner.hub.facts())).into_response()
}

#[derive(Serialize)]
struct Health {
    healthy: bool,
    problems: Vec<Problem>,
}

async fn health(State(show): State<Show>) -> Response {
    let problems = show.pipeline().facts().problems;
    let healthy = problems.iter().all(|it| it.tolerable);
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = [(header::CACHE_CONTROL, "no-store")];
    (status, headers, Json(Health { healthy, problems })).into_response()
}

async fn nothing(Path(rest): Path<String>) -> Refusal {
    Refusal::new(Kind::Missing, format!("there is nothing at /v1/{rest}"))
        .help("docs/reference/http.md lists what there is")
}

#[cfg(test)]
pub(crate) mod tests;
