//! Asks for a key before what others serve: SQL, the console, metrics.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use base::{Kind, Name, ShownKey};

use super::{Act, KeyFault, Keys};
use crate::http::fault::error_answer;

/// Where a request comes from, if whoever serves the router says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client(pub(crate) Option<IpAddr>);

impl Client {
    pub(crate) fn of(parts: &Parts) -> Client {
        let found = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Client(found.map(|it| it.0.ip()))
    }
}

/// What comes before the body of a request, and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) client: Client,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

impl<S: Sync> FromRequestParts<S> for Head {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Head, Self::Rejection> {
        let (uri, headers) = (parts.uri.clone(), parts.headers.clone());
        Ok(Head { client: Client::of(parts), uri, headers })
    }
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Client, Self::Rejection> {
        Ok(Client::of(parts))
    }
}

/// Returns the router behind a guard: reading needs a key that may read, all else one that may
/// manage. `GET /healthz` says no more than that the program works, so it is for everybody.
///
/// The pages of the console come without a login of their own: a browser is asked for a name and
/// a password (the key's secret), and sends both with each request from then on.
pub fn guard<S: Clone + Send + Sync + 'static>(keys: &Keys, router: Router<S>) -> Router<S> {
    router.layer(middleware::from_fn_with_state(keys.clone(), check))
}

async fn check(State(keys): State<Keys>, mut request: Request, next: Next) -> Response {
    match may(&keys, &request) {
        Ok(shown) => {
            // Nobody but this guard says which key was shown.
            request.extensions_mut().remove::<ShownKey>();
            if let Some(name) = shown {
                request.extensions_mut().insert(ShownKey(name));
            }
            next.run(request).await
        }
        Err(fault) => {
            let mut response = answer(&fault);
            if response.status() == StatusCode::UNAUTHORIZED {
                let ask = HeaderValue::from_static("Basic realm=\"mainstem\", charset=\"UTF-8\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
            }
            response
        }
    }
}

/// Returns the key of the project that was shown; none of who runs the program.
fn may(keys: &Keys, request: &Request) -> Result<Option<Name>, KeyFault> {
    if keys.is_open() || request.uri().path() == "/healthz" {
        return Ok(None);
    }
    let caller = keys.caller(request.headers(), None, None)?;
    caller.check(act_of(request.method(), request.uri().path()))?;
    caller.check_all()?;
    Ok(if keys.is_operator(&caller) { None } else { caller.name().cloned() })
}

fn act_of(method: &Method, path: &str) -> Act {
    let is_read = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if is_read || path == "/v1/sql" { Act::Read } else { Act::Manage }
}

/// Returns the name by which the program was reached, if it is one that anybody can give it: not
/// `localhost`, not an address in numbers.
pub(super) fn foreign_name(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?;
    let host = String::from_utf8_lossy(host.as_bytes()).to_ascii_lowercase();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host.as_str(),
    };
    let is_local = name == "localhost" || name.ends_with(".localhost");
    let number = name.trim_start_matches('[').trim_end_matches(']');
    let is_number = number.parse::<IpAddr>().is_ok();
    (!is_local && !is_number).then(|| name.chars().take(100).collect())
}

/// The answer to a caller who is not let in.
pub(crate) fn answer(fault: &KeyFault) -> Response {
    let status = match fault {
        KeyFault::Missing | KeyFault::Unknown | KeyFault::NoKeys => StatusCode::UNAUTHORIZED,
        KeyFault::NotAllowed { .. } | KeyFault::StreamsOnly { .. } | KeyFault::ForeignName(_) => {
            StatusCode::FORBIDDEN
        }
    };
    let mut response = error_answer(Kind::Invalid, fault.to_string(), Some(fault.help()));
    *response.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        let ask = HeaderValue::from_static("Bearer realm=\"mainstem\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
    }
    response
}
