//! Lists page by page: objects, the parts of an upload, uploads.

use std::time::{Duration, UNIX_EPOCH};

use base::limits;
use base64::Engine as _;
use s3s::S3ErrorCode::{InvalidArgument, NotImplemented};
use s3s::S3Result;
use s3s::dto::{self, EncodingType, Timestamp};

use crate::aws::wire::BASE64;
use crate::s3::folder::Folder;
use crate::s3::list::{Asked, Entry};
use crate::s3::words::number;
use crate::s3::{blocking, failed, fault};

/// Lists objects.
pub(crate) async fn objects_v2(
    folder: &Folder,
    input: dto::ListObjectsV2Input,
) -> S3Result<dto::ListObjectsV2Output> {
    let after = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => after_of(token)?,
        (None, after) => after.clone().unwrap_or_default(),
    };
    let asked = Asked {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        after,
        max: max_of(input.max_keys)?,
    };
    let told = Told::of(folder, asked, input.encoding_type.as_ref()).await?;
    Ok(dto::ListObjectsV2Output {
        name: Some(input.bucket),
        key_count: Some(told.count),
        max_keys: Some(told.max),
        is_truncated: Some(told.next.is_some()),
        next_continuation_token: told.next.as_deref().map(token_of),
        contents: Some(told.objects),
        common_prefixes: Some(told.prefixes),
        prefix: Some(told.encoding.write(&input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|it| told.encoding.write(&it)),
        start_after: input.start_after.map(|it| told.encoding.write(&it)),
        continuation_token: input.continuation_token,
        encoding_type: input.encoding_type,
        ..dto::ListObjectsV2Output::default()
    })
}

/// Lists objects as older clients ask for them.
pub(crate) async fn objects(
    folder: &Folder,
    input: dto::ListObjectsInput,
) -> S3Result<dto::ListObjectsOutput> {
    let asked = Asked {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        after: input.marker.clone().unwrap_or_default(),
        max: max_of(input.max_keys)?,
    };
    let told = Told::of(folder, asked, input.encoding_type.as_ref()).await?;
    Ok(dto::ListObjectsOutput {
        name: Some(input.bucket),
        max_keys: Some(told.max),
        is_truncated: Some(told.next.is_some()),
        next_marker: told.next.map(|it| told.encoding.write(&it)),
        contents: Some(told.objects),
        common_prefixes: Some(told.prefixes),
        prefix: Some(told.encoding.write(&input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|it| told.encoding.write(&it)),
        marker: Some(told.encoding.write(&input.marker.unwrap_or_default())),
        encoding_type: input.encoding_type,
        ..dto::ListObjectsOutput::default()
    })
}

/// Returns how many entries a page has.
fn max_of(max: Option<i32>) -> S3Result<usize> {
    let Some(max) = max else { return Ok(limits::S3_PAGE_MAX) };
    let max = usize::try_from(max);
    let max = max.map_err(|_negative| fault(InvalidArgument, "a page has 0 entries or more"))?;
    Ok(max.min(limits::S3_PAGE_MAX))
}

/// Returns the token by which a list goes on behind a key.
fn token_of(key: &str) -> String {
    BASE64.encode(key)
}

fn after_of(token: &str) -> S3Result<String> {
    let key = BASE64.decode(token).ok().and_then(|it| String::from_utf8(it).ok());
    key.ok_or_else(|| fault(InvalidArgument, "the continuation token is none of ours"))
}

/// How keys are written in a list.
#[derive(Debug, Clone, Copy)]
struct Encoding {
    is_url: bool,
}

impl Encoding {
    fn write(self, text: &str) -> String {
        if !self.is_url {
            return text.to_owned();
        }
        let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.~/*".contains(&it);
        let mut out = String::with_capacity(text.len());
        for byte in text.bytes() {
            if plain(byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
        out
    }
}

/// A page of a list in the words of the library.
struct Told {
    objects: Vec<dto::Object>,
    prefixes: Vec<dto::CommonPrefix>,
    count: i32,
    max: i32,
    /// What the next page goes on behind, if there is one.
    next: Option<String>,
    encoding: Encoding,
}

impl Told {
    async fn of(folder: &Folder, asked: Asked, encoding: Option<&EncodingType>) -> S3Result<Told> {
        let encoding = Encoding { is_url: encoding.is_some_and(|it| it.as_str() == "url") };
        let (folder, max) = (folder.clone(), asked.max);
        let page = blocking(move || folder.list(&asked).map_err(|it| failed(&it))).await?;
        let count = |it: usize| i32::try_from(it).unwrap_or(i32::MAX);
        let mut told = Told {
            objects: Vec::new(),
            prefixes: Vec::new(),
            count: count(page.entries.len()),
            max: count(max),
            next: page.entries.last().filter(|_| page.is_cut).map(|it| it.key().to_owned()),
            encoding,
        };
        for entry in page.entries {
            match entry {
                Entry::Object(key, facts) => told.objects.push(dto::Object {
                    key: Some(encoding.write(&key)),
                    e_tag: Some(facts.etag()),
                    size: Some(number(facts.size)),
                    last_modified: Some(Timestamp::from(facts.changed)),
                    storage_class: Some(dto::ObjectStorageClass::from_static("STANDARD")),
                    ..dto::Object::default()
                }),
                Entry::Prefix(prefix) => {
                    let prefix = Some(encoding.write(&prefix));
                    told.prefixes.push(dto::CommonPrefix { prefix });
                }
            }
        }
        Ok(told)
    }
}

/// Lists the parts of an upload.
pub(crate) fn parts(folder: &Folder, input: dto::ListPartsInput) -> S3Result<dto::ListPartsOutput> {
    let max = max_of(input.max_parts)?;
    let (upload, mut parts) = folder.parts(&input.upload_id, &input.key)?;
    parts.retain(|it| input.part_number_marker.unwrap_or_default() < it.number);
    let is_cut = max < parts.len();
    parts.truncate(max);
    let next = parts.last().map(|it| it.number);
    let told = |part: &crate::s3::uploads::Part| dto::Part {
        part_number: Some(part.number),
        e_tag: Some(dto::ETag::Strong(part.md5.clone())),
        size: Some(number(part.bytes)),
        last_modified: Some(Timestamp::from(part.changed)),
        ..dto::Part::default()
    };
    Ok(dto::ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        parts: Some(parts.iter().map(told).collect()),
        part_number_marker: input.part_number_marker,
        next_part_number_marker: next.filter(|_| is_cut),
        max_parts: i32::try_from(max).ok(),
        is_truncated: Some(is_cut),
        checksum_algorithm: upload.algorithm.map(dto::ChecksumAlgorithm::from),
        checksum_type: upload.sum_of.map(dto::ChecksumType::from),
        ..dto::ListPartsOutput::default()
    })
}

/// Lists the uploads that are open.
pub(crate) fn uploads(
    folder: &Folder,
    input: dto::ListMultipartUploadsInput,
) -> S3Result<dto::ListMultipartUploadsOutput> {
    if input.delimiter.is_some() {
        return Err(fault(NotImplemented, "uploads are listed without a delimiter"));
    }
    let encoding =
        Encoding { is_url: input.encoding_type.as_ref().is_some_and(|it| it.as_str() == "url") };
    let max = max_of(input.max_uploads)?;
    let mut uploads = folder.uploads()?;
    let prefix = input.prefix.clone().unwrap_or_default();
    uploads.retain(|it| it.about.key.starts_with(&prefix));
    // Behind an upload of a key are those of it that were begun later, and all other keys.
    if let Some(after) = &input.key_marker {
        let marker = input.upload_id_marker.as_deref();
        let place =
            uploads.iter().position(|it| it.about.key == *after && Some(it.id.as_str()) == marker);
        let place =
            place.map_or_else(|| uploads.partition_point(|it| it.about.key <= *after), |it| it + 1);
        uploads.drain(..place);
    }
    let is_cut = max < uploads.len();
    uploads.truncate(max);
    let last = uploads.last().filter(|_| is_cut).cloned();
    let told = |upload: &crate::s3::uploads::Upload| dto::MultipartUpload {
        key: Some(encoding.write(&upload.about.key)),
        upload_id: Some(upload.id.clone()),
        initiated: Some(Timestamp::from(UNIX_EPOCH + Duration::from_millis(upload.started_ms))),
        ..dto::MultipartUpload::default()
    };
    Ok(dto::ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        uploads: Some(uploads.iter().map(told).collect()),
        prefix: Some(encoding.write(&prefix)),
        key_marker: Some(encoding.write(&input.key_marker.unwrap_or_default())),
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        next_key_marker: last.as_ref().map(|it| encoding.write(&it.about.key)),
        next_upload_id_marker: last.map(|it| it.id),
        max_uploads: i32::try_from(max).ok(),
        is_truncated: Some(is_cut),
        encoding_type: input.encoding_type,
        ..dto::ListMultipartUploadsOutput::default()
    })
}
