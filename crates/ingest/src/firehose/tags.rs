//! Tags of delivery streams.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::streams::change_one;
use super::{delivery_of, name_of};
use crate::aws::Call;
use crate::aws::fault::Fault;
use crate::aws::validate::Constraints;

/// As many tags as Firehose allows.
const TAGS_MAX: usize = 50;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

/// Reads the tags of a request.
pub(super) fn read(tags: Option<&Value>) -> Result<BTreeMap<String, String>, Fault> {
    let Some(tags) = tags else { return Ok(BTreeMap::new()) };
    let tags: Vec<Tag> = serde_json::from_value(tags.clone())
        .map_err(|error| Fault::serialization(error.to_string()))?;
    let mut constraints = Constraints::default();
    for (index, tag) in tags.iter().enumerate() {
        let member = |name: &str| format!("tags.{}.member.{name}", index + 1);
        constraints.length(&tag.key, member("key"), 1..=128);
        constraints.length(&tag.value, member("value"), 0..=256);
    }
    constraints.check()?;
    let tags: BTreeMap<_, _> = tags.into_iter().map(|it| (it.key, it.value)).collect();
    if TAGS_MAX < tags.len() { Err(too_many()) } else { Ok(tags) }
}

fn too_many() -> Fault {
    let message = format!("a delivery stream has at most {TAGS_MAX} tags");
    Fault::new("LimitExceededException", message)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    delivery_stream_name: Option<String>,
    tags: Option<Value>,
    tag_keys: Option<Vec<String>>,
    exclusive_start_tag_key: Option<String>,
    limit: Option<i64>,
}

pub(super) async fn tag(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: Request = call.read()?;
    let mut constraints = Constraints::default();
    let name = name_of(request.delivery_stream_name.as_deref(), &mut constraints);
    constraints.required(request.tags.as_ref(), "tags");
    constraints.check()?;
    let tags = read(request.tags.as_ref())?;
    change_one(call.inlet, &name, move |entry| {
        entry.tags.extend(tags);
        if TAGS_MAX < entry.tags.len() { Err(too_many()) } else { Ok(()) }
    })
    .await?;
    call.write(&json!({}))
}

pub(super) async fn untag(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: Request = call.read()?;
    let mut constraints = Constraints::default();
    let name = name_of(request.delivery_stream_name.as_deref(), &mut constraints);
    constraints.required(request.tag_keys.as_ref(), "tagKeys");
    constraints.check()?;
    let keys = request.tag_keys.unwrap_or_default();
    change_one(call.inlet, &name, move |entry| {
        entry.tags.retain(|key, _| !keys.contains(key));
        Ok(())
    })
    .await?;
    call.write(&json!({}))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListAnswer {
    tags: Vec<Tag>,
    has_more_tags: bool,
}

pub(super) fn list(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: Request = call.read()?;
    let mut constraints = Constraints::default();
    let name = name_of(request.delivery_stream_name.as_deref(), &mut constraints);
    if let Some(limit) = request.limit {
        constraints.range(limit, "limit", 1..=50);
    }
    constraints.check()?;
    let entry = delivery_of(call.inlet, &name)?.entry;
    let after = request.exclusive_start_tag_key.unwrap_or_default();
    let limit = usize::try_from(request.limit.unwrap_or(50)).unwrap_or(0);
    let mut rest = entry.tags.into_iter().filter(|(key, _)| after < *key);
    let tags = rest.by_ref().take(limit).map(|(key, value)| Tag { key, value }).collect();
    call.write(&ListAnswer { tags, has_more_tags: rest.next().is_some() })
}
