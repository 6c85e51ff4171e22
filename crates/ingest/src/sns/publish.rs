//! `Publish` and `PublishBatch`: what is answered is on disk, and brought from there.

use base::limits;

use super::book::{Book, Letter, To};
use super::form::Form;
use super::topics::{change, topic_of};
use super::{Call, Message, invalid, xml};
use crate::aws::fault::Fault;

/// Reads a message as a request or a member of one gives it.
fn read(call: &Call<'_>, form: &Form, topic: &base::Name) -> Result<Message, Fault> {
    let text = form.text("Message").unwrap_or_default();
    if text.is_empty() {
        return Err(invalid("Invalid parameter: Empty message"));
    }
    if limits::MESSAGE_BYTES_MAX < text.len() {
        return Err(invalid("Invalid parameter: Message too long"));
    }
    // One text for each kind of reader: here the one for addresses counts, else the one for all.
    let text = match form.text("MessageStructure") {
        Some("json") => {
            let texts: serde_json::Value = serde_json::from_str(text).map_err(|_no_json| {
                invalid("Invalid parameter: Message Structure - JSON message body failed to parse")
            })?;
            let of = |name: &str| texts.get(name).and_then(serde_json::Value::as_str);
            let missing = "Invalid parameter: Message Structure - No default entry in JSON message \
                           body";
            let default = of("default").ok_or_else(|| invalid(missing))?;
            of("http").or_else(|| of("https")).unwrap_or(default).to_owned()
        }
        _ => text.to_owned(),
    };
    let subject = form.text("Subject").map(str::to_owned);
    let is_subject = |it: &String| {
        !it.is_empty() && it.chars().count() <= SUBJECT_CHARS_MAX && !it.contains(char::is_control)
    };
    if subject.as_ref().is_some_and(|it| !is_subject(it)) {
        return Err(invalid("Invalid parameter: Subject"));
    }
    let id = uuid::Uuid::new_v4().to_string();
    Ok(Message { id, topic: topic.clone(), subject, text, at_ms: call.inlet.clock().now_ms() })
}

/// As SNS has it.
const SUBJECT_CHARS_MAX: usize = 100;

/// Writes messages down for all who are to be told.
async fn post(call: &Call<'_>, messages: Vec<Message>) -> Result<(), Fault> {
    let projects = call.messenger.topics();
    let host = call.host.clone();
    change(call.inlet, move |book| {
        for message in messages {
            let is_of_project = projects.contains(&message.topic);
            let to = targets(book, &message, is_of_project);
            for to in to {
                book.post(Letter { message: message.clone(), to, host: host.clone() });
            }
        }
        if limits::NOTICES_MAX < book.letters.len() || limits::MESSAGES_BYTES_MAX < book.bytes() {
            let message = "too many messages wait to be brought; publish again later";
            return Err(Fault { name: "Throttled", message: message.to_owned(), status: 429 });
        }
        Ok(())
    })
    .await
}

fn targets(book: &Book, message: &Message, is_of_project: bool) -> Vec<To> {
    let subscribed = book.subscriptions.iter();
    let subscribed = subscribed.filter(|(_, it)| it.topic == message.topic && it.is_confirmed);
    let project = is_of_project.then_some(To::Project);
    project.into_iter().chain(subscribed.map(|(arn, _)| To::Subscription(arn.clone()))).collect()
}

pub(super) async fn one(call: &Call<'_>) -> Result<String, Fault> {
    if call.form.text("PhoneNumber").is_some() {
        return Err(invalid("Invalid parameter: messages to telephones are not served here"));
    }
    let topic = topic_of(call, "TopicArn")?;
    let message = read(call, &call.form, &topic)?;
    let id = message.id.clone();
    post(call, vec![message]).await?;
    Ok(xml::element("MessageId", &id))
}

pub(super) async fn batch(call: &Call<'_>) -> Result<String, Fault> {
    let topic = topic_of(call, "TopicArn")?;
    let entries = call.form.members("PublishBatchRequestEntries", limits::SNS_BATCH_MAX);
    let refused = |name, message: String| Err(Fault { name, message, status: 400 });
    if entries.is_empty() {
        let message = "The batch request doesn't contain any entries.";
        return refused("EmptyBatchRequest", message.to_owned());
    }
    if limits::SNS_BATCH_MAX < entries.len() {
        let message = format!("a batch has at most {} entries", limits::SNS_BATCH_MAX);
        return refused("TooManyEntriesInBatchRequest", message);
    }
    let ids: Vec<&str> = entries.iter().map(|it| it.text("Id").unwrap_or_default()).collect();
    let distinct: std::collections::BTreeSet<&&str> = ids.iter().collect();
    if distinct.len() < ids.len() {
        let message = "Two or more batch entries in the request have the same Id.".to_owned();
        return refused("BatchEntryIdsNotDistinct", message);
    }
    let (mut messages, mut taken, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (entry, id) in entries.iter().zip(ids) {
        match read(call, entry, &topic) {
            Ok(message) => {
                taken.push(xml::element("Id", id) + &xml::element("MessageId", &message.id));
                messages.push(message);
            }
            Err(fault) => failed.push(
                [
                    xml::element("Id", id),
                    xml::element("Code", fault.name),
                    xml::element("Message", &fault.message),
                    xml::element("SenderFault", "true"),
                ]
                .concat(),
            ),
        }
    }
    post(call, messages).await?;
    Ok(xml::list("Successful", &taken) + &xml::list("Failed", &failed))
}
