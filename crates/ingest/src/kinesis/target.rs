//! Which stream, shard or consumer a request is about.

use std::sync::Arc;

use journal::{ShardInfo, StreamInfo};

use super::sequence;
use crate::aws::Call;
use crate::aws::fault::{ACCOUNT, Fault};
use crate::aws::validate::Constraints;
use crate::aws::validate::members::{Member, NAME_PATTERN, is_name};
use crate::inlet::Stream;

/// The region of every resource; SDKs want one in an ARN.
pub(super) const REGION: &str = "us-east-1";

/// Members by which requests name things.
pub(super) const MEMBERS: &[Member] = &[
    Member::text("StreamARN", 1..=2_048, STREAM_ARN, |it| {
        stream_in(it).is_some_and(|name| !name.contains('/'))
    }),
    Member::text("StreamId", 1..=24, "[a-z0-9]{20}-[a-z0-9]{3}", is_stream_id),
    Member::text("ConsumerName", 1..=128, NAME_PATTERN, is_name),
    Member::text("ConsumerARN", 1..=2_048, CONSUMER_ARN, |it| consumer_in(it).is_some()),
    Member::text("ExclusiveStartShardId", 1..=128, NAME_PATTERN, is_name),
    Member::text("ExclusiveStartStreamName", 1..=128, NAME_PATTERN, is_name),
];

const STREAM_ARN: &str = "arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+";
const RESOURCE_ARN: &str = "arn:aws.*:kinesis:.*:\\d{12}:.*stream/\\S+";
const CONSUMER_ARN: &str = "^(arn):aws.*:kinesis:.*:\\d{12}:.*stream\\/[a-zA-Z0-9_.-]+\\/consumer\\/\
                            [a-zA-Z0-9_.-]+:[0-9]+";

fn is_stream_id(text: &str) -> bool {
    let is_part = |it: &str, length: usize| {
        it.len() == length && it.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
    };
    text.split_once('-').is_some_and(|(one, other)| is_part(one, 20) && is_part(other, 3))
}

/// How a request names its stream.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(super) name: Option<&'a str>,
    arn: Option<&'a str>,
}

impl<'a> Target<'a> {
    pub(crate) fn new(name: Option<&'a str>, arn: Option<&'a str>) -> Target<'a> {
        Target { name, arn }
    }

    /// Returns the stream, if `constraints` and its name are met.
    pub(super) fn find(
        self,
        call: Call<'_>,
        mut constraints: Constraints,
    ) -> Result<Arc<Stream>, Fault> {
        let name = name_of(self, &mut constraints);
        constraints.check()?;
        stream_named(call, &name.unwrap_or_default())
    }
}

/// Returns the name of the stream that is meant; what is wrong with it goes to `constraints`.
pub(crate) fn name_of(target: Target<'_>, constraints: &mut Constraints) -> Option<String> {
    let by_arn = target.arn.and_then(|arn| {
        let found = stream_in(arn).filter(|name| !name.contains('/'));
        if found.is_none() {
            let constraint = format!("satisfy regular expression pattern: {STREAM_ARN}");
            constraints.fail(format!("'{arn:.300}'"), "streamARN", &constraint);
        }
        constraints.length(arn, "streamARN", 1..=2_048);
        found.map(str::to_owned)
    });
    if let Some(name) = target.name {
        constraints.stream_name(name);
        return Some(name.to_owned());
    }
    if target.arn.is_none() {
        constraints.required(target.name.as_ref(), "streamName");
    }
    by_arn
}

/// Returns what follows `stream/` in an ARN of Kinesis.
fn stream_in(arn: &str) -> Option<&str> {
    let (head, name) = arn.strip_prefix("arn:aws")?.split_once(":stream/")?;
    (head.contains(":kinesis:") && !name.is_empty()).then_some(name)
}

/// A resource that has tags and a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    Stream(&'a str),
    /// A consumer by the name of its stream, its own, and when it was registered, in seconds.
    Consumer {
        stream: &'a str,
        name: &'a str,
        created_s: u64,
    },
}

/// Returns the resource that an ARN names; what is wrong with it goes to `constraints`.
pub(super) fn resource_of<'a>(
    arn: Option<&'a str>,
    constraints: &mut Constraints,
) -> Option<Resource<'a>> {
    let member = "resourceARN";
    constraints.required(arn, member);
    let arn = arn?;
    let found = stream_in(arn).and_then(|name| match name.split_once('/') {
        None => Some(Resource::Stream(name)),
        Some(_) => consumer_in(arn),
    });
    if found.is_none() {
        let pattern = format!("satisfy regular expression pattern: {RESOURCE_ARN}");
        constraints.fail(format!("'{arn:.300}'"), member, &pattern);
    }
    constraints.length(arn, member, 1..=2_048);
    found
}

/// Reads the ARN of a consumer.
pub(super) fn consumer_in(arn: &str) -> Option<Resource<'_>> {
    let (stream, rest) = stream_in(arn)?.split_once("/consumer/")?;
    let (name, created_s) = rest.rsplit_once(':')?;
    let created_s = created_s.parse().ok()?;
    Some(Resource::Consumer { stream, name, created_s })
}

impl Resource<'_> {
    pub(super) fn stream(&self) -> &str {
        match self {
            Resource::Stream(stream) | Resource::Consumer { stream, .. } => stream,
        }
    }
}

/// Returns the stream of that name.
pub(crate) fn stream_named(call: Call<'_>, name: &str) -> Result<Arc<Stream>, Fault> {
    call.inlet.stream(name).map_err(|refusal| Fault::of(&refusal, name))
}

pub(super) fn info_of(call: Call<'_>, stream: &Stream) -> Result<StreamInfo, Fault> {
    let info = call.inlet.journal().stream_info(stream.id);
    info.map_err(|error| Fault::of(&error.into(), &stream.name))
}

/// Returns the shard that a request names.
pub(super) fn shard_named(
    call: Call<'_>,
    stream: &Stream,
    id: Option<&str>,
) -> Result<ShardInfo, Fault> {
    let id = id.unwrap_or_default();
    let found = sequence::read_shard_id(id);
    let found = found.and_then(|it| call.inlet.journal().shard_info(stream.id, it).ok());
    found.ok_or_else(|| Fault::no_shard(id, &stream.name))
}

pub(super) fn arn_of(stream: &str) -> String {
    format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}")
}

/// Does what may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_panicked: tokio::task::JoinError| Fault::internal())
}
