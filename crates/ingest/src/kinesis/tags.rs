//! Tags of streams and consumers: `AddTagsToStream`, `RemoveTagsFromStream`, `ListTagsForStream`,
//! `TagResource`, `UntagResource`, `ListTagsForResource`.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::limits;
use serde::{Deserialize, Serialize};

use super::state::State;
use super::target::{Resource, Target, resource_of, stream_named};
use crate::aws::Call;
use crate::aws::fault::{ACCOUNT, Fault};
use crate::aws::validate::Constraints;
use crate::inlet::Stream;

type Tags = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfStream {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    tags: Option<Tags>,
    tag_keys: Option<Vec<String>>,
    exclusive_start_tag_key: Option<String>,
    limit: Option<i64>,
}

impl OfStream {
    fn stream(&self, call: Call<'_>, constraints: Constraints) -> Result<Arc<Stream>, Fault> {
        let target = Target::new(self.stream_name.as_deref(), self.stream_arn.as_deref());
        target.find(call, constraints)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfResource {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    tags: Option<Tags>,
    tag_keys: Option<Vec<String>>,
}

impl OfResource {
    /// Returns the stream, and the consumer's name if it is about one.
    fn find(
        &self,
        call: Call<'_>,
        mut constraints: Constraints,
    ) -> Result<(Arc<Stream>, Option<String>), Fault> {
        let resource = resource_of(self.resource_arn.as_deref(), &mut constraints);
        constraints.check()?;
        let resource = resource.ok_or_else(Fault::internal)?;
        let stream = stream_named(call, resource.stream())?;
        let consumer = match resource {
            Resource::Stream(_) => None,
            Resource::Consumer { name, created_s, .. } => {
                super::consumers::find(call, &stream, name, Some(created_s))?;
                Some(name.to_owned())
            }
        };
        Ok((stream, consumer))
    }
}

/// The longest key and value of a tag, in characters.
const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;

/// Refuses tags that AWS would not take.
pub(super) fn check_tags(tags: &Tags) -> Result<(), Fault> {
    let mut constraints = Constraints::default();
    for (key, value) in tags {
        constraints.length(key, "tags.key", 1..=KEY_CHARS_MAX);
        constraints.length(value, "tags.value", 0..=VALUE_CHARS_MAX);
    }
    constraints.check()?;
    if tags.iter().any(|(key, value)| !is_tag_text(key) || !is_tag_text(value)) {
        return Err(wrong_characters());
    }
    if tags.keys().any(|it| it.to_ascii_lowercase().starts_with("aws:")) {
        return Err(Fault::invalid_argument(
            "Some tags begin with the reserved prefix 'aws:', which only AWS may use.",
        ));
    }
    if limits::KINESIS_TAGS_MAX < tags.len() {
        return Err(too_many("stream", ""));
    }
    Ok(())
}

fn is_tag_text(text: &str) -> bool {
    text.chars().all(|it| it.is_alphanumeric() || it.is_whitespace() || "_.:/=+-%@".contains(it))
}

fn wrong_characters() -> Fault {
    Fault::invalid_argument(
        "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white \
         space, _ . : / = + - % @.",
    )
}

fn too_many(kind: &str, name: &str) -> Fault {
    Fault::invalid_argument(format!(
        "Failed to add tags to {kind} {name} under account {ACCOUNT} because a given {kind} cannot \
         have more than {} tags associated with it.",
        limits::KINESIS_TAGS_MAX
    ))
}

fn check_keys(keys: Option<&Vec<String>>, constraints: &mut Constraints) {
    constraints.required(keys, "tagKeys");
    let Some(keys) = keys else { return };
    constraints.count(keys.len(), "tagKeys", 1..=limits::KINESIS_TAGS_MAX);
    for key in keys {
        constraints.length(key, "tagKeys.member", 1..=KEY_CHARS_MAX);
    }
}

fn check_new(tags: Option<&Tags>, constraints: &mut Constraints) {
    constraints.required(tags, "tags");
    if let Some(tags) = tags {
        constraints.count(tags.len(), "tags", 1..=200);
    }
}

async fn add(
    call: Call<'_>,
    stream: &Arc<Stream>,
    consumer: Option<String>,
    tags: Tags,
) -> Result<Vec<u8>, Fault> {
    check_tags(&tags)?;
    let name = stream.name.to_string();
    let change = move |state: &mut State| {
        let known = state.tags_of(consumer.as_deref()).ok_or_else(|| Fault::no_stream(&name))?;
        known.extend(tags);
        if known.len() <= limits::KINESIS_TAGS_MAX {
            Ok(())
        } else {
            Err(too_many("stream", &name))
        }
    };
    State::change(call, stream, change).await?;
    Ok(Vec::new())
}

async fn remove(
    call: Call<'_>,
    stream: &Arc<Stream>,
    consumer: Option<String>,
    keys: Vec<String>,
) -> Result<Vec<u8>, Fault> {
    if !keys.iter().all(|it| is_tag_text(it)) {
        return Err(wrong_characters());
    }
    let change = move |state: &mut State| {
        if let Some(known) = state.tags_of(consumer.as_deref()) {
            known.retain(|key, _| !keys.contains(key));
        }
        Ok(())
    };
    State::change(call, stream, change).await?;
    Ok(Vec::new())
}

pub(super) async fn add_to_stream(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OfStream = call.read()?;
    let mut constraints = Constraints::default();
    check_new(request.tags.as_ref(), &mut constraints);
    let stream = request.stream(call, constraints)?;
    add(call, &stream, None, request.tags.unwrap_or_default()).await
}

pub(super) async fn remove_from_stream(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OfStream = call.read()?;
    let mut constraints = Constraints::default();
    check_keys(request.tag_keys.as_ref(), &mut constraints);
    let stream = request.stream(call, constraints)?;
    remove(call, &stream, None, request.tag_keys.unwrap_or_default()).await
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagAnswer {
    key: String,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListTagsAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    has_more_tags: Option<bool>,
    tags: Vec<TagAnswer>,
}

fn answers(tags: Tags) -> impl Iterator<Item = TagAnswer> {
    tags.into_iter().map(|(key, value)| TagAnswer { key, value })
}

pub(super) fn list_for_stream(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OfStream = call.read()?;
    let mut constraints = Constraints::default();
    if let Some(limit) = request.limit {
        constraints.range(limit, "limit", 1..=50);
    }
    if let Some(after) = &request.exclusive_start_tag_key {
        constraints.length(after, "exclusiveStartTagKey", 1..=KEY_CHARS_MAX);
    }
    let stream = request.stream(call, constraints)?;
    let limit = request.limit.and_then(|it| usize::try_from(it).ok()).unwrap_or(usize::MAX);
    let after = request.exclusive_start_tag_key;
    let mut rest = answers(State::of(call, &stream)?.tags)
        .filter(|it| after.as_ref().is_none_or(|after| after < &it.key));
    let tags: Vec<TagAnswer> = rest.by_ref().take(limit).collect();
    let has_more_tags = Some(rest.next().is_some());
    call.write(&ListTagsAnswer { has_more_tags, tags })
}

pub(super) async fn tag_resource(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OfResource = call.read()?;
    let mut constraints = Constraints::default();
    check_new(request.tags.as_ref(), &mut constraints);
    let (stream, consumer) = request.find(call, constraints)?;
    add(call, &stream, consumer, request.tags.unwrap_or_default()).await
}

pub(super) async fn untag_resource(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OfResource = call.read()?;
    let mut constraints = Constraints::default();
    check_keys(request.tag_keys.as_ref(), &mut constraints);
    let (stream, consumer) = request.find(call, constraints)?;
    remove(call, &stream, consumer, request.tag_keys.unwrap_or_default()).await
}

pub(super) fn list_for_resource(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OfResource = call.read()?;
    let (stream, consumer) = request.find(call, Constraints::default())?;
    let mut state = State::of(call, &stream)?;
    let tags = state.tags_of(consumer.as_deref()).map(std::mem::take).unwrap_or_default();
    call.write(&ListTagsAnswer { has_more_tags: None, tags: answers(tags).collect() })
}
