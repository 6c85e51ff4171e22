//! Answers the API of S3 for the buckets that are folders, so that what speaks S3 can drop a file.
//!
//! ```text
//! a signature for the service `s3` ─► s3s: parse, verify ─► Access: who may ─► Operations ─► Folder
//! any other request ────────────────► the routes of the program
//! ```
//!
//! An object is a file in the bucket's folder, so whatever else looks there sees it: the bucket's
//! own door, which tells of it, and the doors `files`, which read it. Uploads are hidden until they
//! are whole and on disk.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use base::limits;
use s3s::S3ErrorCode::{
    AccessDenied, AuthorizationHeaderMalformed, InternalError, InvalidAccessKeyId, InvalidRequest,
    NotImplemented, SignatureDoesNotMatch, SlowDown,
};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{Credentials, S3Auth, SecretKey};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::validation::NameValidation;
use s3s::{HttpRequest, HttpResponse, S3Error, S3ErrorCode, S3Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::aws::signature::Claim;
use crate::inlet::Inlet;
use crate::keys::guard::Client;
use crate::keys::{Act, Caller, KeyFault, Keys};
use crate::s3::operations::Operations;

pub(crate) mod folder;
pub(crate) mod key;
mod list;
pub(crate) mod object;
mod operations;
mod pages;
mod sink;
mod uploads;
mod words;

/// What clients of a project without keys sign with.
const OPEN_SECRET: &str = "any";

/// Puts the API of S3 in front of a router: it takes the requests that are signed for S3, and none
/// else.
pub fn with_s3(inlet: &Inlet, router: Router) -> Router {
    let door = Arc::new(Door::new(inlet.clone()));
    router.layer(middleware::from_fn_with_state(door, dispatch))
}

async fn dispatch(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    if is_meant(request.uri(), request.headers()) {
        door.answer(request).await
    } else {
        next.run(request).await
    }
}

/// Whether a request says that it is signed for S3.
fn is_meant(uri: &Uri, headers: &HeaderMap) -> bool {
    let is_scope = |credential: &str| {
        let mut scope = credential.trim().rsplit('/');
        scope.next() == Some("aws4_request") && scope.next() == Some("s3")
    };
    let said = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    let said = said.and_then(|it| it.strip_prefix("AWS4-HMAC-SHA256 "));
    let mut fields = said.into_iter().flat_map(|it| it.split(','));
    let of_header = fields.find_map(|it| it.trim().strip_prefix("Credential="));
    if of_header.is_some_and(is_scope) {
        return true;
    }
    let mut query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    is_old(uri) || query.any(|(name, value)| name == "X-Amz-Credential" && is_scope(&value))
}

/// Whether an address is signed as S3 once had it, which covers less.
fn is_old(uri: &Uri) -> bool {
    let query = || url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let has = |name: &str| query().any(|(it, _)| it == name);
    has("AWSAccessKeyId") && has("Signature")
}

/// What answers.
struct Door {
    inlet: Inlet,
    service: S3Service,
    places: Arc<Semaphore>,
}

/// A place among the requests under way, for as long as its answer takes.
#[derive(Clone)]
pub(crate) struct Under {
    _place: Arc<OwnedSemaphorePermit>,
}

impl Door {
    fn new(inlet: Inlet) -> Door {
        let mut service = S3ServiceBuilder::new(Operations::new(inlet.clone()));
        service.set_auth(Secrets(inlet.keys().clone()));
        service.set_access(Access(inlet.keys().clone()));
        service.set_validation(AnyName);
        let mut config = S3Config::default();
        config.xml_max_body_size = limits::S3_XML_BYTES_MAX;
        config.presigned_url_max_skew_time_secs =
            u32::try_from(limits::SIGNATURE_SKEW_MAX.as_secs()).unwrap_or(u32::MAX);
        service.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        let places = Arc::new(Semaphore::new(limits::S3_REQUESTS_MAX));
        Door { inlet, service: service.build(), places }
    }

    async fn answer(&self, request: Request) -> Response {
        let id = HeaderValue::from_str(&uuid::Uuid::new_v4().simple().to_string());
        let mut response = match self.enter(request).await {
            Ok(response) => response.map(Body::new),
            Err(fault) => match fault.to_http_response() {
                Ok(response) => response.map(Body::new),
                Err(_unwritable) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            },
        };
        if let Ok(id) = id {
            response.headers_mut().insert("x-amz-request-id", id);
        }
        response
    }

    async fn enter(&self, request: Request) -> S3Result<HttpResponse> {
        let (mut parts, body) = request.into_parts();
        self.check(&parts)?;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(
            |_full: tokio::sync::TryAcquireError| {
                let message =
                    format!("{} requests are under way: try again", limits::S3_REQUESTS_MAX);
                fault(SlowDown, message)
            },
        )?;
        parts.extensions.insert(Under { _place: Arc::new(place) });
        let request = HttpRequest::from_parts(parts, s3s::Body::http_body_unsync(body));
        let response = self.service.call(request).await;
        let response = response.map_err(|error| {
            let error: s3s::StdError = error.into();
            failed(&io::Error::other(error))
        })?;
        if is_of_signature(&response) {
            let help = if self.inlet.keys().is_open() {
                "this project has no keys: any access key id will do, with the secret `any`"
            } else {
                "the request is signed with another secret than that of its key, or was changed"
            };
            return Err(fault(SignatureDoesNotMatch, help));
        }
        Ok(response)
    }

    /// Looks at what the library does not.
    fn check(&self, parts: &Parts) -> S3Result<()> {
        if is_old(&parts.uri) {
            let message = "the address is signed by version 2: sign by version 4, with boto3 by \
                           `Config(signature_version=\"s3v4\")`";
            return Err(fault(InvalidRequest, message));
        }
        let keys = self.inlet.keys();
        if keys.is_open() {
            let Client(client) = Client::of(parts);
            keys.caller(&parts.headers, None, client).map_err(|it| denied(&it))?;
        }
        let claim =
            Claim::of(parts).map_err(|it| fault(AuthorizationHeaderMalformed, it.message))?;
        // What a signed address leaves open must not be filled in by whoever was given it.
        let in_address = !parts.headers.contains_key(header::AUTHORIZATION);
        let is_free = |it: &str| in_address && it == "x-amz-content-sha256";
        if let Some(name) = claim.unsigned(parts).find(|it| !is_free(it)) {
            let message = format!("the header `{name}` was not signed");
            return Err(fault(AccessDenied, message));
        }
        if !claim.covers("host") {
            return Err(fault(AccessDenied, "the header `host` was not signed"));
        }
        let kind = parts.headers.get(header::CONTENT_TYPE);
        let is_form = kind.is_some_and(|it| it.as_bytes().starts_with(b"multipart/form-data"));
        if parts.method == Method::POST && is_form {
            return Err(fault(NotImplemented, "forms are not taken; sign an address for PUT"));
        }
        Ok(())
    }
}

/// Whether the library found another signature; it says so without a word of help.
fn is_of_signature(response: &HttpResponse) -> bool {
    let code: &[u8] = b"<Code>SignatureDoesNotMatch</Code>";
    response.status() == StatusCode::FORBIDDEN
        && response.body().bytes().is_some_and(|it| memchr::memmem::find(&it, code).is_some())
}

/// Tells the library what a client must have signed with.
struct Secrets(Keys);

#[async_trait::async_trait]
impl S3Auth for Secrets {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        if self.0.is_open() {
            return Ok(SecretKey::from(OPEN_SECRET));
        }
        let held = self.0.by_id(id).ok_or_else(unknown)?;
        Ok(SecretKey::from(held.key.secret.as_str()))
    }
}

/// Lets a caller in to an operation, before the body is read.
struct Access(Keys);

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        let signed = request.credentials();
        let signed = signed.ok_or_else(|| fault(AccessDenied, "the request is not signed"))?;
        let caller = self.caller(signed)?;
        caller.check(act_of(request.s3_op().name())).map_err(|it| denied(&it))?;
        request.extensions_mut().insert(caller);
        Ok(())
    }
}

impl Access {
    /// Returns who signed; the keys may have changed since the signature was verified.
    fn caller(&self, signed: &Credentials) -> S3Result<Caller> {
        if self.0.is_open() {
            return Ok(Caller::default());
        }
        let held = self.0.by_id(&signed.access_key);
        let held = held.filter(|it| it.key.secret == signed.secret_key.expose());
        held.map(|it| Caller::with_key(it, None)).ok_or_else(unknown)
    }
}

/// Buckets are called what the project calls them: which there are is looked up.
struct AnyName;

impl NameValidation for AnyName {
    fn validate_bucket_name(&self, name: &str) -> bool {
        !name.is_empty() && name.len() <= limits::NAME_BYTES_MAX
    }
}

fn act_of(operation: &str) -> Act {
    let reads = ["Get", "Head", "List"];
    if reads.iter().any(|it| operation.starts_with(it)) { Act::Read } else { Act::Write }
}

fn unknown() -> S3Error {
    fault(InvalidAccessKeyId, "no key of this project has this `id`")
}

/// The fault for a caller who may not.
pub(crate) fn denied(fault: &KeyFault) -> S3Error {
    self::fault(AccessDenied, format!("{fault}; {}", fault.help()))
}

pub(crate) fn fault(code: S3ErrorCode, message: impl Into<Cow<'static, str>>) -> S3Error {
    S3Error::with_message(code, message)
}

/// The fault for what this machine did not do.
pub(crate) fn failed(error: &io::Error) -> S3Error {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return folder::disk_full(&error.to_string());
    }
    tracing::warn!(%error, "a request to the S3 API failed");
    fault(InternalError, format!("the bucket's folder cannot be used: {error}"))
}

/// Runs what waits for the disk where nobody else waits.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> S3Result<T> + Send + 'static,
) -> S3Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|it| Err(failed(&io::Error::other(it))))
}

#[cfg(test)]
mod tests;
