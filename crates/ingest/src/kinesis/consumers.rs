//! Consumers with enhanced fan-out: `RegisterStreamConsumer`, `DeregisterStreamConsumer`,
//! `DescribeStreamConsumer`, `ListStreamConsumers`.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::limits;
use base64::Engine as _;
use serde::{Deserialize, Serialize};

use super::shards::{read_token, wrong_token};
use super::state::{Consumer, State};
use super::tags::check_tags;
use super::target::{Resource, Target, arn_of, consumer_in, info_of, stream_named};
use crate::aws::Call;
use crate::aws::fault::{ACCOUNT, Fault};
use crate::aws::validate::Constraints;
use crate::aws::wire::{BASE64, Moment};
use crate::inlet::Stream;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OneConsumer {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    consumer_name: Option<String>,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConsumerAnswer {
    #[serde(rename = "ConsumerARN")]
    consumer_arn: String,
    consumer_creation_timestamp: Moment,
    consumer_name: String,
    consumer_status: &'static str,
    #[serde(rename = "StreamARN", skip_serializing_if = "Option::is_none")]
    stream_arn: Option<String>,
}

impl ConsumerAnswer {
    fn of(stream: &str, consumer: &Consumer) -> ConsumerAnswer {
        ConsumerAnswer {
            consumer_arn: consumer.arn(stream),
            consumer_creation_timestamp: Moment(consumer.created_ms),
            consumer_name: consumer.name.clone(),
            consumer_status: "ACTIVE",
            stream_arn: None,
        }
    }
}

fn no_consumer(name: &str) -> Fault {
    let message = format!("Consumer {name:.200}, account {ACCOUNT} not found.");
    Fault::new("ResourceNotFoundException", message)
}

/// Returns a consumer; `created_s` is what its ARN says.
pub(super) fn find(
    call: Call<'_>,
    stream: &Stream,
    name: &str,
    created_s: Option<u64>,
) -> Result<Consumer, Fault> {
    let state = State::of(call, stream)?;
    let found = state
        .consumer(name)
        .filter(|it| created_s.is_none_or(|created_s| it.created_ms / 1_000 == created_s));
    found.cloned().ok_or_else(|| no_consumer(name))
}

/// Returns the consumer of that ARN, and its stream.
pub(super) fn find_by_arn(call: Call<'_>, arn: &str) -> Result<(Arc<Stream>, Consumer), Fault> {
    let Some(Resource::Consumer { stream, name, created_s }) = consumer_in(arn) else {
        let mut constraints = Constraints::default();
        let pattern = "satisfy regular expression pattern: ^(arn):aws.*:kinesis:.*:\\d{12}:\
                       .*stream\\/[a-zA-Z0-9_.-]+\\/consumer\\/[a-zA-Z0-9_.-]+:[0-9]+";
        constraints.fail(format!("'{arn:.300}'"), "consumerARN", pattern);
        constraints.check()?;
        return Err(no_consumer(arn));
    };
    let stream = stream_named(call, stream)?;
    let consumer = find(call, &stream, name, Some(created_s))?;
    Ok((stream, consumer))
}

impl OneConsumer {
    fn find(&self, call: Call<'_>) -> Result<(Arc<Stream>, Consumer), Fault> {
        if let Some(arn) = &self.consumer_arn {
            return find_by_arn(call, arn);
        }
        if self.stream_arn.is_none() || self.consumer_name.is_none() {
            return Err(Fault::invalid_argument(
                "ConsumerARN, or StreamARN and ConsumerName, must be provided.",
            ));
        }
        let mut constraints = Constraints::default();
        constraints.consumer_name(self.consumer_name.as_deref());
        let stream = Target::new(None, self.stream_arn.as_deref()).find(call, constraints)?;
        let name = self.consumer_name.as_deref().unwrap_or_default();
        let consumer = find(call, &stream, name, None)?;
        Ok((stream, consumer))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RegisterAnswer {
    consumer: ConsumerAnswer,
}

pub(super) async fn register(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OneConsumer = call.read()?;
    let mut constraints = Constraints::default();
    constraints.required(request.stream_arn.as_ref(), "streamARN");
    constraints.consumer_name(request.consumer_name.as_deref());
    constraints.check()?;
    let target = Target::new(None, request.stream_arn.as_deref());
    let stream = target.find(call, Constraints::default())?;
    let tags = request.tags.unwrap_or_default();
    check_tags(&tags)?;
    let name = request.consumer_name.unwrap_or_default();
    let created_ms = call.inlet.clock().now_ms();
    let of = stream.name.to_string();
    let change = move |state: &mut State| {
        if state.consumer(&name).is_some() {
            let message = format!(
                "Consumer {name} under stream {of} under account {ACCOUNT} already exists."
            );
            return Err(Fault::new("ResourceInUseException", message));
        }
        if limits::KINESIS_CONSUMERS_MAX <= state.consumers.len() {
            let message = format!(
                "This request would exceed the limit of {} registered consumers of stream {of} \
                 under account {ACCOUNT}.",
                limits::KINESIS_CONSUMERS_MAX
            );
            return Err(Fault::new("LimitExceededException", message));
        }
        let consumer = Consumer { name, created_ms, tags, policy: None };
        state.consumers.push(consumer.clone());
        Ok(ConsumerAnswer::of(&of, &consumer))
    };
    let consumer = State::change(call, &stream, change).await?;
    call.write(&RegisterAnswer { consumer })
}

pub(super) async fn deregister(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OneConsumer = call.read()?;
    let (stream, consumer) = request.find(call)?;
    let arn = consumer.arn(&stream.name);
    let change = move |state: &mut State| {
        state.consumers.retain(|it| *it != consumer);
        Ok(())
    };
    State::change(call, &stream, change).await?;
    call.inlet.subscriptions().end_of(&arn);
    Ok(Vec::new())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeAnswer {
    consumer_description: ConsumerAnswer,
}

pub(super) fn describe(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OneConsumer = call.read()?;
    let (stream, consumer) = request.find(call)?;
    let stream_arn = Some(arn_of(&stream.name));
    let consumer_description =
        ConsumerAnswer { stream_arn, ..ConsumerAnswer::of(&stream.name, &consumer) };
    call.write(&DescribeAnswer { consumer_description })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListConsumers {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
    stream_creation_timestamp: Option<Moment>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListAnswer {
    consumers: Vec<ConsumerAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// What a token of `ListStreamConsumers` begins with, so that no other token is taken for one.
const TOKEN: &str = "consumer:";

pub(super) fn list(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: ListConsumers = call.read()?;
    let mut constraints = Constraints::default();
    constraints.required(request.stream_arn.as_ref(), "streamARN");
    if let Some(limit) = request.max_results {
        constraints.range(limit, "maxResults", 1..=10_000);
    }
    constraints.check()?;
    let target = Target::new(None, request.stream_arn.as_deref());
    let stream = target.find(call, Constraints::default())?;
    if let Some(Moment(at_ms)) = request.stream_creation_timestamp
        && at_ms / 1_000 != info_of(call, &stream)?.created_ms / 1_000
    {
        return Err(Fault::no_stream(&stream.name));
    }
    let after = match &request.next_token {
        None => None,
        Some(token) => {
            let text = read_token(token)?;
            Some(text.strip_prefix(TOKEN).ok_or_else(wrong_token)?.to_owned())
        }
    };
    let mut known = State::of(call, &stream)?.consumers;
    known.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let mut rest = known.iter().filter(|it| after.as_ref().is_none_or(|after| *after < it.name));
    let limit = request.max_results.and_then(|it| usize::try_from(it).ok()).unwrap_or(usize::MAX);
    let page = rest.by_ref().take(limit).map(|it| ConsumerAnswer::of(&stream.name, it));
    let consumers: Vec<ConsumerAnswer> = page.collect();
    let has_more = rest.next().is_some();
    let last = consumers.last().filter(|_| has_more);
    let next_token = last.map(|it| BASE64.encode(format!("{TOKEN}{}", it.consumer_name)));
    call.write(&ListAnswer { consumers, next_token })
}
