//! Topics and who is subscribed to them.

use base::{Name, limits, nearest};

use super::book::{Book, Subscription};
use super::letters::{Letter, NotPosted, Posting, To};
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

/// Writes messages down for all who are to be told, and wakes who brings them.
pub(super) async fn post(inlet: &Inlet, postings: Vec<Posting>) -> Result<(), Fault> {
    if postings.is_empty() {
        return Ok(());
    }
    let of = inlet.clone();
    let posted = tokio::task::spawn_blocking(move || of.letters().post(postings)).await;
    let posted = posted.map_err(|_panicked: tokio::task::JoinError| Fault::internal())?;
    inlet.wake_messages();
    posted.map_err(|not| match not {
        NotPosted::Full => {
            let message = "too many messages wait to be brought; publish again later".to_owned();
            Fault { name: "Throttled", message, status: 429 }
        }
        NotPosted::Kept(fault) => fault.into(),
    })
}

/// Takes out letters that nobody waits for any more.
async fn forget(
    inlet: &Inlet,
    is_meant: impl Fn(&Letter) -> bool + Send + 'static,
) -> Result<(), Fault> {
    let of = inlet.clone();
    let forgotten = tokio::task::spawn_blocking(move || of.letters().forget(is_meant)).await;
    let forgotten = forgotten.map_err(|_panicked: tokio::task::JoinError| Fault::internal())?;
    forgotten.map_err(Fault::from)
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
    let of = topic.clone();
    change(call.inlet, move |book| {
        book.topics.remove(&of);
        book.subscriptions.retain(|_, it| it.topic != of);
        Ok(())
    })
    .await?;
    forget(call.inlet, move |it| it.message.topic == topic).await?;
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
    let is_raw = (1..=20).any(|it| {
        call.form.text(&format!("Attributes.entry.{it}.key")) == Some("RawMessageDelivery")
            && call.form.text(&format!("Attributes.entry.{it}.value")) == Some("true")
    });
    check_endpoint(call, &protocol, &endpoint, is_raw)?;
    let of = topic.clone();
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
        book.subscriptions.insert(
            arn.clone(),
            Subscription { topic, protocol, endpoint, token, is_confirmed: false, is_raw },
        );
        Ok((arn, false))
    });
    let (arn, is_confirmed) = made.await?;
    if !is_confirmed {
        // Whoever subscribes again has perhaps lost the first question.
        ask(call, of, &arn).await?;
    }
    let wants_arn = call.form.text("ReturnSubscriptionArn") == Some("true");
    let shown = if is_confirmed || wants_arn { arn.as_str() } else { "pending confirmation" };
    Ok(xml::element("SubscriptionArn", shown))
}

/// Whether messages can be brought to an address.
fn check_endpoint(
    call: &Call<'_>,
    protocol: &str,
    endpoint: &str,
    is_raw: bool,
) -> Result<(), Fault> {
    match protocol {
        "http" | "https" if endpoint.starts_with(&format!("{protocol}://")) => Ok(()),
        "http" | "https" => {
            Err(invalid("Invalid parameter: Endpoint must match the specified protocol"))
        }
        "email" | "email-json" if is_raw => Err(invalid(
            "Invalid parameter: Attributes Reason: RawMessageDelivery: Invalid value [true]; mails \
             are not sent raw",
        )),
        "email" | "email-json" => call
            .messenger
            .check_mail(endpoint)
            .map_err(|wrong| invalid(format!("Invalid parameter: Email address: {wrong}"))),
        other => Err(invalid(format!(
            "Invalid parameter: the protocol {other:.20} is not served here; subscribe an http or \
             https address, or one of mail"
        ))),
    }
}

/// Asks the address of a subscription whether it wants to be told.
async fn ask(call: &Call<'_>, topic: Name, arn: &str) -> Result<(), Fault> {
    let text = format!(
        "You have chosen to subscribe to the topic {}.\nTo confirm the subscription, visit the \
         SubscribeURL included in this message.",
        arn_of(&topic)
    );
    let id = uuid::Uuid::new_v4().to_string();
    let at_ms = call.inlet.clock().now_ms();
    let message = Message { id, topic, subject: None, text, at_ms };
    let to = vec![To::Question(arn.to_owned())];
    post(call.inlet, vec![Posting::new(message, &call.host, to)]).await
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
    let of = arn.clone();
    change(call.inlet, move |book| {
        book.subscriptions.remove(&of);
        Ok(())
    })
    .await?;
    end(call.inlet, arn).await?;
    Ok(String::new())
}

/// Ends the subscription that has this token; returns its ARN.
pub(super) async fn unsubscribe_by(inlet: &Inlet, token: &str) -> Result<String, Fault> {
    let token = token.to_owned();
    let left = change(inlet, move |book| {
        let found = book.subscriptions.iter().find(|(_, it)| it.token == token);
        let arn = found.map(|(arn, _)| arn.clone()).ok_or_else(|| not_found("Subscription"))?;
        book.subscriptions.remove(&arn);
        Ok(arn)
    });
    let arn = left.await?;
    end(inlet, arn.clone()).await?;
    Ok(arn)
}

/// Takes out the letters of a subscription that is over.
async fn end(inlet: &Inlet, arn: String) -> Result<(), Fault> {
    let is_meant = move |it: &Letter| match &it.to {
        To::Subscription(of) | To::Question(of) => *of == arn,
        To::Way(_) => false,
    };
    forget(inlet, is_meant).await
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
