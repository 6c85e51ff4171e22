//! Takes what web pages send when something happens on them: `POST /v1/streams/NAME/beacon`, and
//! serves the script that sends it.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::fault::HttpFault;
use super::{Take, answer_page, judge, refuse_stranger, take};
use crate::keys::Act;
use crate::keys::guard::Head;
use crate::router::Served;

/// The key of a page, which cannot set headers when it is left.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Shown {
    key: Option<String>,
}

/// `POST /v1/streams/{name}/beacon`
pub(crate) async fn post(
    State(served): State<Served>,
    Path(name): Path<String>,
    Query(shown): Query<Shown>,
    Head { client, uri, headers }: Head,
    body: Body,
) -> Response {
    let passed = judge(&served, &name, &headers, &uri);
    let taken = async {
        refuse_stranger(&passed, &name)?;
        let inlet = served.enter_with(&headers, shown.key.as_deref(), client, Act::Write)?;
        let stream = inlet.stream(&name)?;
        let request = Take { inlet: &inlet, bodies: &served.bodies, stream: &stream };
        take(request, &headers, body, false).await?;
        Ok::<_, HttpFault>(StatusCode::NO_CONTENT.into_response())
    };
    let answer = taken.await.unwrap_or_else(IntoResponse::into_response);
    answer_page(&passed, true, answer)
}

const SCRIPT: &str = include_str!("beacon.js");

/// `GET /v1/beacon.js`
pub(crate) async fn script() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Pages of other sites load it.
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    (headers, SCRIPT).into_response()
}
