//! The routes that doors answer, for the program to serve beside the console's.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::http::body::Bodies;
use crate::inlet::Inlet;
use crate::items::Items;
use crate::{aws, http, items};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) inlet: Inlet,
    pub(crate) bodies: Bodies,
    /// The tables that are served by key, where there may be some.
    pub(crate) items: Option<Arc<dyn Items>>,
}

/// Returns the routes of the HTTP door and of the AWS APIs.
///
/// Bodies have their own limits in size and time; whoever serves the router limits the time for
/// headers, and lets requests under way finish when it stops.
pub fn router(inlet: Inlet) -> Router {
    routes(inlet, None)
}

/// As [`router`], with the tables that are served by key.
pub fn router_with(inlet: Inlet, items: Arc<dyn Items>) -> Router {
    routes(inlet, Some(items))
}

fn routes(inlet: Inlet, items: Option<Arc<dyn Items>>) -> Router {
    let bodies = Bodies::new(Arc::clone(inlet.clock()));
    Router::new()
        .route("/", post(aws::post))
        .route("/v1/streams", get(http::get_streams))
        .route("/v1/streams/{name}", get(http::get_stream))
        .route("/v1/streams/{name}/records", post(http::post_records))
        .route("/v1/tables", get(items::http::list))
        .route("/v1/tables/{name}/{key}", get(items::http::find))
        .with_state(Served { inlet, bodies, items })
}
