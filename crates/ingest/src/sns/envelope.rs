//! Messages as those who subscribed receive them: a POST or a mail, with AWS's envelope.

use jiff::Timestamp;
use serde_json::json;

use super::book::Subscription;
use super::letters::Letter;
use super::{Mail, arn_of};

/// What is to be sent.
pub(super) enum Parcel {
    /// A POST: headers and body.
    Post(Vec<(&'static str, String)>, String),
    Mail(Mail),
}

/// Returns the letter as its subscription wants it; `link` is where links in mails lead, if the
/// project says so.
pub(super) fn pack(
    arn: &str,
    is_question: bool,
    letter: &Letter,
    subscription: &Subscription,
    link: Option<String>,
) -> Parcel {
    let base = match link.filter(|_| subscription.is_mail()) {
        Some(link) => link,
        None => format!("http://{}", letter.host),
    };
    let token = &subscription.token;
    let way = if is_question { "confirm" } else { "unsubscribe" };
    let way = format!("{base}/v1/sns/{way}?token={token}");
    if subscription.is_mail() {
        return Parcel::Mail(mail(is_question, letter, subscription, way));
    }
    let message = &letter.message;
    let kind = kind_of(is_question);
    let mut headers = vec![
        ("x-amz-sns-message-type", kind.to_owned()),
        ("x-amz-sns-message-id", message.id.clone()),
        ("x-amz-sns-topic-arn", arn_of(&message.topic)),
    ];
    if !is_question {
        headers.push(("x-amz-sns-subscription-arn", arn.to_owned()));
    }
    // What SNS itself says, though it is JSON.
    headers.push(("content-type", "text/plain; charset=UTF-8".to_owned()));
    let is_bare = subscription.is_raw && !is_question;
    let body = if is_bare {
        message.text.clone()
    } else {
        envelope(is_question, letter, subscription, &way)
    };
    Parcel::Post(headers, body)
}

fn kind_of(is_question: bool) -> &'static str {
    if is_question { "SubscriptionConfirmation" } else { "Notification" }
}

/// Returns the message as SNS writes it, but for a signature.
fn envelope(is_question: bool, letter: &Letter, subscription: &Subscription, way: &str) -> String {
    let message = &letter.message;
    let at = i64::try_from(message.at_ms).ok().and_then(|it| Timestamp::from_millisecond(it).ok());
    let at = at.map_or_else(String::new, |it| it.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
    let mut body = json!({
        "Type": kind_of(is_question),
        "MessageId": message.id,
        "TopicArn": arn_of(&message.topic),
        "Message": message.text,
        "Timestamp": at,
    });
    if let Some(subject) = &message.subject {
        body["Subject"] = subject.as_str().into();
    }
    if is_question {
        body["Token"] = subscription.token.as_str().into();
        body["SubscribeURL"] = way.into();
    } else {
        body["UnsubscribeURL"] = way.into();
    }
    body.to_string()
}

fn mail(is_question: bool, letter: &Letter, subscription: &Subscription, way: String) -> Mail {
    let message = &letter.message;
    let arn = arn_of(&message.topic);
    let subject = match &message.subject {
        Some(subject) => subject.clone(),
        None if is_question => format!("Confirm the subscription to {}", message.topic),
        None => format!("Message of {}", message.topic),
    };
    let text = match (subscription.protocol.as_str(), is_question) {
        ("email-json", _) => envelope(is_question, letter, subscription, &way) + "\n",
        (_, true) => format!(
            "You have chosen to subscribe to the topic:\n{arn}\n\nTo confirm this subscription, visit \
             this link. If it was not you, do nothing: no more mails follow.\n{way}\n"
        ),
        (_, false) => format!(
            "{}\n\n--\nTo stop receiving messages of this topic, visit this link:\n{way}\n",
            message.text.trim_end_matches('\n')
        ),
    };
    let unsubscribe = Some(way).filter(|_| !is_question);
    Mail { id: message.id.clone(), subject, text, at_ms: message.at_ms, unsubscribe }
}
