//! The routes that doors answer, for the program to serve beside the console's.

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{get, post};

use crate::http::body::Bodies;
use crate::http::{beacon, follow};
use crate::inlet::Inlet;
use crate::items::Items;
use crate::keys::guard::{Client, guard};
use crate::keys::{Act, KeyFault};
use crate::sns::Messenger;
use crate::{aws, firehose, http, items, sns};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) inlet: Inlet,
    pub(crate) bodies: Bodies,
    /// The tables that are served by key, where there may be some.
    pub(crate) items: Option<Arc<dyn Items>>,
    pub(crate) followers: follow::Followers,
    /// Who brings what is published, where there is somebody.
    pub(crate) messenger: Option<Arc<dyn Messenger>>,
}

impl Served {
    /// Lets a request in: returns the inlet as its caller may use it.
    pub(crate) fn enter(
        &self,
        headers: &HeaderMap,
        Client(client): Client,
        act: Act,
    ) -> Result<Inlet, KeyFault> {
        self.enter_with(headers, None, Client(client), act)
    }

    /// The same for a request that may show its key in the address.
    pub(crate) fn enter_with(
        &self,
        headers: &HeaderMap,
        key: Option<&str>,
        Client(client): Client,
        act: Act,
    ) -> Result<Inlet, KeyFault> {
        let caller = self.inlet.keys().caller(headers, key, client)?;
        caller.check(act)?;
        Ok(self.inlet.of_caller(caller))
    }
}

/// Returns the routes of the HTTP door and of the AWS APIs.
///
/// Bodies have their own limits in size and time; whoever serves the router limits the time for
/// headers, and lets requests under way finish when it stops.
pub fn router(inlet: Inlet) -> Router {
    routes(inlet, None, None)
}

/// As [`router`], with the tables that are served by key, and somebody who brings what clients of
/// SNS publish; must be called within a tokio runtime.
pub fn router_with(inlet: Inlet, items: Arc<dyn Items>, messenger: Arc<dyn Messenger>) -> Router {
    sns::start(inlet.clone(), Arc::clone(&messenger));
    routes(inlet, Some(items), Some(messenger))
}

pub(crate) fn routes(
    inlet: Inlet,
    items: Option<Arc<dyn Items>>,
    messenger: Option<Arc<dyn Messenger>>,
) -> Router {
    let bodies = Bodies::new(Arc::clone(inlet.clock()));
    // Keys of tables are asked for as SQL is: by a key that may read everything.
    let tables = Router::new()
        .route("/v1/tables", get(items::http::list))
        .route("/v1/tables/{name}/{key}", get(items::http::find));
    let tables = guard(inlet.keys(), tables);
    Router::new()
        .route("/", post(aws::post))
        .route("/v1/streams", get(http::get_streams))
        .route("/v1/streams/{name}", get(http::get_stream))
        .route("/v1/streams/{name}/records", post(http::post_records).options(http::preflight))
        .route("/v1/streams/{name}/beacon", post(beacon::post).options(http::preflight))
        .route("/v1/streams/{name}/follow", get(follow::get).options(http::preflight))
        .route("/v1/beacon.js", get(beacon::script))
        .route("/v1/firehose/{name}", post(firehose::delivery::post))
        .route("/v1/sns/confirm", get(sns::confirm))
        .route("/v1/sns/unsubscribe", get(sns::unsubscribe).post(sns::leave))
        .merge(tables)
        .with_state(Served {
            inlet,
            bodies,
            items,
            followers: follow::Followers::default(),
            messenger,
        })
}
