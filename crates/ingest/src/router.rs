//! The routes that doors answer, for the program to serve beside the console's.

use axum::Router;
use axum::routing::{get, post};

use crate::http::body::Bodies;
use crate::inlet::Inlet;
use crate::{aws, http};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) inlet: Inlet,
    pub(crate) bodies: Bodies,
}

/// Returns the routes of the HTTP door and of the AWS APIs.
///
/// Bodies have their own limits in size and time; whoever serves the router limits the time for
/// headers, and lets requests under way finish when it stops.
pub fn router(inlet: Inlet) -> Router {
    let bodies = Bodies::new(std::sync::Arc::clone(inlet.clock()));
    Router::new()
        .route("/", post(aws::post))
        .route("/v1/streams", get(http::get_streams))
        .route("/v1/streams/{name}", get(http::get_stream))
        .route("/v1/streams/{name}/records", post(http::post_records))
        .with_state(Served { inlet, bodies })
}
