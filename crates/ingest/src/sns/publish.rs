//! `Publish` and `PublishBatch`: what is answered is on disk, and brought from there.

use std::collections::BTreeMap;

use base::limits;

use super::form::Form;
use super::letters::{Posting, To};
use super::topics::{self, topic_of};
use super::{Call, Message, invalid, xml};
use crate::aws::fault::Fault;

/// A message with what it says to each kind of reader.
struct Published {
    message: Message,
    /// By protocol, where it says something else than to all.
    texts: BTreeMap<String, String>,
}

impl Published {
    /// Returns what it says to readers of the first of these protocols that it has a text for.
    fn text(&self, protocols: &[&str]) -> &str {
        let text = protocols.iter().find_map(|it| self.texts.get(*it));
        text.map_or(&self.message.text, |it| it)
    }
}

/// Reads a message as a request or a member of one gives it.
fn read(call: &Call<'_>, form: &Form, topic: &base::Name) -> Result<Published, Fault> {
    let text = form.text("Message").unwrap_or_default();
    if text.is_empty() {
        return Err(invalid("Invalid parameter: Empty message"));
    }
    if limits::MESSAGE_BYTES_MAX < text.len() {
        return Err(invalid("Invalid parameter: Message too long"));
    }
    let (text, texts) = match form.text("MessageStructure") {
        Some("json") => one_for_each(text)?,
        _ => (text.to_owned(), BTreeMap::new()),
    };
    let subject = form.text("Subject").map(str::to_owned);
    let is_subject = |it: &String| {
        !it.is_empty() && it.chars().count() <= SUBJECT_CHARS_MAX && !it.contains(char::is_control)
    };
    if subject.as_ref().is_some_and(|it| !is_subject(it)) {
        return Err(invalid("Invalid parameter: Subject"));
    }
    let id = uuid::Uuid::new_v4().to_string();
    let at_ms = call.inlet.clock().now_ms();
    Ok(Published { message: Message { id, topic: topic.clone(), subject, text, at_ms }, texts })
}

/// As SNS has it.
const SUBJECT_CHARS_MAX: usize = 100;

/// Reads one text for each kind of reader, and the one for all others.
fn one_for_each(text: &str) -> Result<(String, BTreeMap<String, String>), Fault> {
    let texts: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|_no_json| {
            invalid("Invalid parameter: Message Structure - JSON message body failed to parse")
        })?;
    let texts = texts.into_iter().filter_map(|(protocol, text)| match text {
        serde_json::Value::String(text) => Some((protocol, text)),
        _ => None,
    });
    let mut texts: BTreeMap<String, String> = texts.collect();
    let missing = "Invalid parameter: Message Structure - No default entry in JSON message body";
    let default = texts.remove("default").ok_or_else(|| invalid(missing))?;
    Ok((default, texts))
}

/// Writes messages down for all who are to be told.
async fn post(call: &Call<'_>, published: Vec<Published>) -> Result<(), Fault> {
    let book = call.inlet.messages().now();
    let mut postings = Vec::new();
    for it in published {
        let topic = &it.message.topic;
        // Who reads the same text shares it.
        let mut by_text: BTreeMap<&str, Vec<To>> = BTreeMap::new();
        for way in call.messenger.ways(topic) {
            let protocols: &[&str] =
                if way.starts_with("email") { &["email"] } else { &["http", "https"] };
            by_text.entry(it.text(protocols)).or_default().push(To::Way(way));
        }
        for (arn, of) in &book.subscriptions {
            if of.topic == *topic && of.is_confirmed {
                let to = To::Subscription(arn.clone());
                by_text.entry(it.text(&[of.protocol.as_str()])).or_default().push(to);
            }
        }
        for (text, to) in by_text {
            let message = Message { text: text.to_owned(), ..it.message.clone() };
            postings.push(Posting::new(message, &call.host, to));
        }
    }
    topics::post(call.inlet, postings).await
}

pub(super) async fn one(call: &Call<'_>) -> Result<String, Fault> {
    if call.form.text("PhoneNumber").is_some() {
        return Err(invalid("Invalid parameter: messages to telephones are not served here"));
    }
    let topic = topic_of(call, "TopicArn")?;
    let published = read(call, &call.form, &topic)?;
    let id = published.message.id.clone();
    post(call, vec![published]).await?;
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
            Ok(published) => {
                let message = xml::element("MessageId", &published.message.id);
                taken.push(xml::element("Id", id) + &message);
                messages.push(published);
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
