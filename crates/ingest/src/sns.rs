//! Answers the API of Amazon SNS: a form comes in, XML goes out.
//!
//! A topic is a `[notify.NAME]` of the project, or one that a client made. What is published is
//! kept on disk until everybody who is to be told has taken it: the project's own target by each of
//! its ways, and the addresses that clients subscribed.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::Name;
use serde::Deserialize;

use self::form::Form;
use crate::aws::fault::{ACCOUNT, Fault};
use crate::aws::{authenticate, may};
use crate::inlet::Inlet;
use crate::keys::Act;
use crate::router::Served;

pub(crate) mod book;
mod envelope;
mod form;
pub(crate) mod letters;
mod outbox;
mod publish;
mod topics;
mod xml;

pub(crate) use self::outbox::start;

/// Who brings messages to those that are told: the program, which knows how.
#[async_trait]
pub trait Messenger: Send + Sync {
    /// Returns the topics of the project.
    fn topics(&self) -> Vec<Name>;

    /// Returns the ways by which the project's own target of a topic is told, each by itself.
    fn ways(&self, topic: &Name) -> Vec<String>;

    /// Tells the project's own target of a topic by one of its ways, once.
    async fn tell(&self, topic: &Name, way: &str, message: &Message) -> Sent;

    /// Sends `body` to an address, once.
    async fn post(&self, address: &str, headers: &[(&str, &str)], body: String) -> Sent;

    /// Returns why no mail can be sent to this address, if so.
    fn check_mail(&self, to: &str) -> Result<(), String>;

    /// Returns where links in mails lead, if the project says so.
    fn mail_link(&self) -> Option<String>;

    /// Sends a mail, once.
    async fn mail(&self, to: &str, mail: &Mail) -> Sent;
}

/// A mail to somebody who subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The same however often it is sent.
    pub id: String,
    /// What it is about.
    pub subject: String,
    /// What it says.
    pub text: String,
    /// When it was published, in milliseconds since 1970.
    pub at_ms: u64,
    /// Where whoever gets it can say that it is to be the last.
    pub unsubscribe: Option<String>,
}

/// Something that was published.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Its topic.
    pub topic: Name,
    /// What it is about.
    pub subject: Option<String>,
    /// What it says.
    pub text: String,
    /// When it was published, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What became of one attempt to bring a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It was taken.
    Taken,
    /// Another attempt is worth it.
    Again(String),
    /// It will never be taken.
    Refused(String),
}

/// What comes before the operation in a signature, and the namespace of answers.
const SIGNED_AS: &str = "sns";

/// One call of an operation.
pub(crate) struct Call<'a> {
    pub(crate) inlet: &'a Inlet,
    pub(crate) messenger: &'a Arc<dyn Messenger>,
    pub(crate) form: Form,
    /// By which address the program is reached, for links in messages.
    pub(crate) host: String,
}

/// Whether a request to `POST /` is one of SNS.
pub(crate) fn is_meant(parts: &Parts) -> bool {
    let media = parts.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let is_form = media.is_some_and(|it| it.starts_with("application/x-www-form-urlencoded"));
    is_form && !parts.headers.contains_key("x-amz-target")
}

/// Answers `POST /` with a form.
pub(crate) async fn post(served: &Served, parts: &Parts, body: Body) -> Response {
    let id = uuid::Uuid::new_v4().to_string();
    let (status, body) = match answer(served, parts, body).await {
        Ok((operation, result)) => (StatusCode::OK, xml::answer(&operation, &result, &id)),
        Err(fault) => {
            let fault = in_words_of_sns(fault);
            let status = StatusCode::from_u16(fault.status);
            (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), xml::fault(&fault, &id))
        }
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

async fn answer(served: &Served, parts: &Parts, body: Body) -> Result<(String, String), Fault> {
    let (caller, taken) = authenticate(served, SIGNED_AS, parts, body).await?;
    let form = Form::read(&taken.bytes);
    let operation = form.text("Action").unwrap_or_default().to_owned();
    let act = match operation.as_str() {
        "Publish" | "PublishBatch" => Act::Write,
        it if it.starts_with("List") || it.starts_with("Get") => Act::Read,
        _ => Act::Manage,
    };
    may(&caller, act, &format!("{SIGNED_AS}:{operation:.100}"))?;
    let messenger = served
        .messenger
        .as_ref()
        .ok_or_else(|| Fault::new("InvalidAction", "this program has nobody to tell"))?;
    let host = parts.headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(axum::http::uri::Authority::as_str));
    let host = host.unwrap_or("localhost").to_owned();
    let inlet = served.inlet.of_caller(caller);
    let call = Call { inlet: &inlet, messenger, form, host };
    let result = match operation.as_str() {
        "ListTopics" => topics::list(&call),
        "CreateTopic" => topics::create(&call).await,
        "DeleteTopic" => topics::delete(&call).await,
        "GetTopicAttributes" => topics::attributes(&call),
        "Subscribe" => topics::subscribe(&call).await,
        "ConfirmSubscription" => topics::confirm(&call).await,
        "Unsubscribe" => topics::unsubscribe(&call).await,
        "ListSubscriptions" => topics::subscriptions(&call),
        "ListSubscriptionsByTopic" => topics::subscriptions_of(&call),
        "Publish" => publish::one(&call).await,
        "PublishBatch" => publish::batch(&call).await,
        other => {
            let message = format!("the action {other:.100} is not valid for this endpoint.");
            Err(Fault::new("InvalidAction", message))
        }
    }?;
    Ok((operation, result))
}

/// The same fault by the names that services with forms have for it.
fn in_words_of_sns(fault: Fault) -> Fault {
    let (name, status) = match fault.name {
        "MissingAuthenticationTokenException" => ("MissingAuthenticationToken", 403),
        "UnrecognizedClientException" => ("InvalidClientTokenId", 403),
        "InvalidSignatureException" => ("SignatureDoesNotMatch", 403),
        "IncompleteSignatureException" => ("IncompleteSignature", 400),
        "AccessDeniedException" => ("AuthorizationError", 403),
        "NotFound" => ("NotFound", 404),
        "LimitExceededException" => ("Throttled", 429),
        "InvalidArgumentException" | "SerializationException" => ("InvalidParameter", 400),
        "InternalFailure" => ("InternalError", 500),
        name => (name, fault.status),
    };
    Fault { name, status, ..fault }
}

pub(crate) fn arn_of(topic: &str) -> String {
    format!("arn:aws:sns:us-east-1:{ACCOUNT}:{topic}")
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new("InvalidParameter", message)
}

fn not_found(what: &str) -> Fault {
    Fault { name: "NotFound", message: format!("{what} does not exist"), status: 404 }
}

/// What a link in a message says.
#[derive(Debug, Deserialize)]
pub(crate) struct Link {
    token: String,
}

/// `GET /v1/sns/confirm`: whoever has the token was told it at the address that is subscribed.
pub(crate) async fn confirm(State(served): State<Served>, Query(link): Query<Link>) -> Response {
    said(topics::confirm_by(&served.inlet, &link.token).await, "subscribed")
}

/// `GET /v1/sns/unsubscribe`: the link in each message. That of a mail asks first: programs that look
/// for bad links visit them all, and people would lose their subscription by that.
pub(crate) async fn unsubscribe(
    State(served): State<Served>,
    Query(link): Query<Link>,
) -> Response {
    let book = served.inlet.messages().now();
    let found = book.subscriptions.values().find(|it| it.token == link.token);
    match found.filter(|it| it.is_mail()) {
        Some(of) => ask_before_leaving(&of.topic),
        None => leave(State(served), Query(link)).await,
    }
}

/// `POST /v1/sns/unsubscribe`: the button of that page, and of programs for mail.
pub(crate) async fn leave(State(served): State<Served>, Query(link): Query<Link>) -> Response {
    said(topics::unsubscribe_by(&served.inlet, &link.token).await, "unsubscribed")
}

fn ask_before_leaving(topic: &Name) -> Response {
    let page = format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Unsubscribe</title>\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}}\
         button{{font:inherit;padding:.4rem 1rem}}</style>\
         <p>No more mails about <b>{topic}</b>?</p>\
         <form method=\"post\"><button>Unsubscribe</button></form>"
    );
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], axum::response::Html(page)).into_response()
}

fn said(done: Result<String, Fault>, word: &str) -> Response {
    match done {
        Ok(arn) => format!("{word}: {arn}\n").into_response(),
        Err(fault) => (StatusCode::NOT_FOUND, format!("{}\n", fault.message)).into_response(),
    }
}

#[cfg(test)]
mod tests;
