//! Topics and who is subscribed to them.

use base::{Name, limits, nearest};

use super::book::{Book, Letter, Subscription, To};
use super::{Call, Message, arn_of, invalid, not_found, xml};
use crate::aws::fault::Fault;
use crate::inlet::Inlet;

/// Changes what is kept, on a thread that may wait for the disk, and wakes who brings messages.
pub(super) async fn change<R: Send + 'static>(
    inlet: &Inlet,
    change: impl FnOnce(&mut Book) -> Result<R, Fault> + Send + 'static,
) -> Result<R, Fault> {
    let of = inlet.clone();
    let changed = tokio::task::spawn_blocking(move || of.messages().change(change)).await;
    let changed = changed.map_err(|_panicked: tokio::task::JoinError| Fault::internal())?;
    inlet.wake_messages();
    changed
}

/// Returns all topics, in the order of their names.
fn all(call: &Call<'_>) -> Vec<Name> {
    let made = call.inlet.messages().now().topics.clone();
    let mut topics: Vec<Name> = call.messenger.topics().into_iter().chain(made).collect();
    topics.sort();
    topics.dedup();
    topics
}

/// Returns the topic that a request names by its ARN.
pub(super) fn topic_of(call: &Call<'_>, member: &str) -> Result<Name, Fault> {
    let arn = call.form.text(member).or_else(|| call.form.text("TargetArn"));
    let Some(arn) = arn.filter(|it| !it.is_empty()) else {
        return Err(invalid(format!("Invalid parameter: {member}")));
    };
    let name = arn.rsplit(':').next().unwrap_or_default();
    let topics = all(call);
    match topics.iter().find(|it| it.as_str() == name && arn_of(it) == arn) {
        Some(topic) => Ok(topic.clone()),
        None if nearest(name, topics.iter().map(Name::as_str)).is_some() => Err(not_found("Topic")),
        None => Err(not_found("Topic")),
    }
}

/// As many in one answer as SNS gives.
const PAGE: usize = 100;

/// Returns a page after `NextToken` and the element that leads to the next.
fn page<T>(call: &Call<'_>, all: Vec<T>, id: impl Fn(&T) -> String) -> (Vec<T>, String) {
    let after = call.form.text("NextToken").unwrap_or_default().to_owned();
    let mut rest = all.into_iter().filter(|it| after < id(it));
    let found: Vec<T> = rest.by_ref().take(PAGE).collect();
    let next = match (rest.next(), found.last()) {
        (Some(_), Some(last)) => xml::element("NextToken", &id(last)),
        _ => String::new(),
    };
    (found, next)
}

pub(super) fn list(call: &Call<'_>) -> Result<String, Fault> {
    let (topics, next) = page(call, all(call), ToString::to_string);
    let topics: Vec<String> =
        topics.iter().map(|it| xml::element("TopicArn", &arn_of(it))).collect();
    Ok(xml::list("Topics", &topics) + &next)
}

pub(super) async fn create(call: &Call<'_>) -> Result<String, Fault> {
    let name = Name::new(call.form.text("Name").unwrap_or_default())
        .map_err(|_no_name| invalid("Invalid parameter: Topic Name"))?;
    // Making a topic again is no error, and one of the project is there already.
    if !call.messenger.topics().contains(&name) {
        let made = name.clone();
        change(call.inlet, move |book| {
            if limits::TOPICS_MAX <= book.topics.len() && !book.topics.contains(&made) {
                let message = format!("there are {} topics already", limits::TOPICS_MAX);
                return Err(Fault { name: "TopicLimitExceeded", message, status: 403 });
            }
            book.topics.insert(made);
            Ok(())
        })
        .await?;
    }
    Ok(xml::element("TopicArn", &arn_of(&name)))
}

pub(super) async fn delete(call: &Call<'_>) -> Result<String, Fault> {
    // Deleting what is not there is no error.
    let Ok(topic) = topic_of(call, "TopicArn") else { return Ok(String::new()) };
    if call.messenger.topics().contains(&topic) {
        return Err(invalid(format!("the project declares it; take [notify.{topic}] out of it")));
    }
    change(call.inlet, move |book| {
        book.topics.remove(&topic);
        book.subscriptions.retain(|_, it| it.topic != topic);
        book.letters.retain(|_, it| it.message.topic != topic);
        Ok(())
    })
    .await?;
    Ok(String::new())
}

pub(super) fn attributes(call: &Call<'_>) -> Result<String, Fault> {
    let topic = topic_of(call, "TopicArn")?;
    let book = call.inlet.messages().now();
    let of_topic = book.subscriptions.values().filter(|it| it.topic == topic);
    let (confirmed, pending): (Vec<_>, Vec<_>) = of_topic.partition(|it| it.is_confirmed);
    let entries: String = [
        ("TopicArn", arn_of(&topic)),
        ("Owner", crate::aws::fault::ACCOUNT.to_owned()),
        ("DisplayName", topic.to_string()),
        ("SubscriptionsConfirmed", confirmed.len().to_string()),
        ("SubscriptionsPending", pending.len().to_string()),
        ("SubscriptionsDeleted", "0".to_owned()),
    ]
    .iter()
    .map(|(key, value)| {
        format!("<entry>{}{}</entry>", xml::element("key", key), xml::element("value", value))
    })
    .collect();
    Ok(format!("<Attributes>{entries}</Attributes>"))
}

pub(super) async fn subscribe(call: &Call<'_>) -> Result<String, Fault> {
    let topic = topic_of(call, "TopicArn")?;
    let protocol = call.form.text("Protocol").unwrap_or_default().to_owned();
    let endpoint = call.form.text("Endpoint").unwrap_or_default().to_owned();
    match protocol.as_str() {
        "http" | "https" if endpoint.starts_with(&format!("{protocol}://")) => {}
        "http" | "https" => {
            return Err(invalid("Invalid parameter: Endpoint must match the specified protocol"));
        }
        other => {
            return Err(invalid(format!(
                "Invalid parameter: the protocol {other:.20} is not served here; subscribe an http \
                 or https address"
            )));
        }
    }
    let is_raw = (1..=20).any(|it| {
        call.form.text(&format!("Attributes.entry.{it}.key")) == Some("RawMessageDelivery")
            && call.form.text(&format!("Attributes.entry.{it}.value")) == Some("true")
    });
    let now_ms = call.inlet.clock().now_ms();
    let host = call.host.clone();
    let made = change(call.inlet, move |book| {
        let same = book.subscriptions.iter().find(|(_, it)| {
            it.topic == topic && it.protocol == protocol && it.endpoint == endpoint
        });
        if let Some((arn, it)) = same {
            return Ok((arn.clone(), it.is_confirmed));
        }
        if limits::SUBSCRIPTIONS_MAX <= book.subscriptions.len() {
            let message = format!("there are {} already", limits::SUBSCRIPTIONS_MAX);
            return Err(Fault { name: "SubscriptionLimitExceeded", message, status: 403 });
        }
        let arn = format!("{}:{}", arn_of(&topic), uuid::Uuid::new_v4());
        let token = uuid::Uuid::new_v4().simple().to_string();
        let text = format!(
            "You have chosen to subscribe to the topic {}.\nTo confirm the subscription, visit \
             the SubscribeURL included in this message.",
            arn_of(&topic)
        );
        let message = Message {
            id: uuid::Uuid::new_v4().to_string(),
            topic: topic.clone(),
            subject: None,
            text,
            at_ms: now_ms,
        };
        book.subscriptions.insert(
            arn.clone(),
            Subscription { topic, protocol, endpoint, token, is_confirmed: false, is_raw },
        );
        book.post(Letter { message, to: To::Question(arn.clone()), host });
        Ok((arn, false))
    });
    let (arn, is_confirmed) = made.await?;
    let wants_arn = call.form.text("ReturnSubscriptionArn") == Some("true");
    let shown = if is_confirmed || wants_arn { arn.as_str() } else { "pending confirmation" };
    Ok(xml::element("SubscriptionArn", shown))
}

pub(super) async fn confirm(call: &Call<'_>) -> Result<String, Fault> {
    let topic = topic_of(call, "TopicArn")?;
    let token = call.form.text("Token").unwrap_or_default();
    let book = call.inlet.messages().now();
    if !book.subscriptions.values().any(|it| it.token == token && it.topic == topic) {
        return Err(invalid("Invalid parameter: Token"));
    }
    let arn = confirm_by(call.inlet, token).await?;
    Ok(xml::element("SubscriptionArn", &arn))
}

/// Confirms the subscription that has this token; returns its ARN.
pub(super) async fn confirm_by(inlet: &Inlet, token: &str) -> Result<String, Fault> {
    let token = token.to_owned();
    change(inlet, move |book| {
        let found = book.subscriptions.iter_mut().find(|(_, it)| it.token == token);
        let (arn, subscription) = found.ok_or_else(|| not_found("Subscription"))?;
        subscription.is_confirmed = true;
        Ok(arn.clone())
    })
    .await
}

pub(super) async fn unsubscribe(call: &Call<'_>) -> Result<String, Fault> {
    let arn = call.form.text("SubscriptionArn").unwrap_or_default().to_owned();
    if arn.is_empty() {
        return Err(invalid("Invalid parameter: SubscriptionArn"));
    }
    change(call.inlet, move |book| {
        end(book, &arn);
        Ok(())
    })
    .await?;
    Ok(String::new())
}

/// Ends the subscription that has this token; returns its ARN.
pub(super) async fn unsubscribe_by(inlet: &Inlet, token: &str) -> Result<String, Fault> {
    let token = token.to_owned();
    change(inlet, move |book| {
        let found = book.subscriptions.iter().find(|(_, it)| it.token == token);
        let arn = found.map(|(arn, _)| arn.clone()).ok_or_else(|| not_found("Subscription"))?;
        end(book, &arn);
        Ok(arn)
    })
    .await
}

fn end(book: &mut Book, arn: &str) {
    book.subscriptions.remove(arn);
    book.letters.retain(|_, it| match &it.to {
        To::Subscription(of) | To::Question(of) => of != arn,
        To::Project => true,
    });
}

pub(super) fn subscriptions(call: &Call<'_>) -> Result<String, Fault> {
    Ok(listed(call, |_| true))
}

pub(super) fn subscriptions_of(call: &Call<'_>) -> Result<String, Fault> {
    let topic = topic_of(call, "TopicArn")?;
    Ok(listed(call, |it| it.topic == topic))
}

fn listed(call: &Call<'_>, is_meant: impl Fn(&Subscription) -> bool) -> String {
    let book = call.inlet.messages().now();
    let all: Vec<(String, Subscription)> = book
        .subscriptions
        .iter()
        .filter(|(_, it)| is_meant(it))
        .map(|(arn, it)| (arn.clone(), it.clone()))
        .collect();
    let (found, next) = page(call, all, |(arn, _)| arn.clone());
    let members: Vec<String> = found
        .iter()
        .map(|(arn, it)| {
            let arn = if it.is_confirmed { arn.as_str() } else { "PendingConfirmation" };
            [
                xml::element("TopicArn", &arn_of(&it.topic)),
                xml::element("Protocol", &it.protocol),
                xml::element("SubscriptionArn", arn),
                xml::element("Owner", crate::aws::fault::ACCOUNT),
                xml::element("Endpoint", &it.endpoint),
            ]
            .concat()
        })
        .collect();
    xml::list("Subscriptions", &members) + &next
}
