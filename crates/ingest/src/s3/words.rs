//! What requests say and answers tell, between the library's types and ours.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, Uri};
use base::limits;
use bytes::Bytes;
use s3s::S3ErrorCode::{InvalidRange, MetadataTooLarge, NotImplemented};
use s3s::S3Result;
use s3s::dto::{self, ETagCondition, StreamingBlob};

use crate::bucket::about::About;
use crate::s3::folder::{Conditions, Facts};
use crate::s3::key::Key;
use crate::s3::sink::headers_of;
use crate::s3::{Under, fault};

/// Headers of an upload that come back with the object as they are.
const KEPT: &[&str] = &["cache-control", "content-disposition", "content-language", "expires"];
const ENCODING: &str = "content-encoding";

/// What a client may ask for that a file in a folder does not have: to say nothing would be a lie.
const REFUSED: &[&str] = &[
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
];

/// Returns what an upload says of its object.
pub(crate) fn about_of(
    headers: &HeaderMap,
    key: &Key,
    metadata: Option<HashMap<String, String>>,
) -> S3Result<About> {
    if let Some(name) = REFUSED.iter().find(|it| headers.contains_key(**it)) {
        let message = format!("`{name}` cannot be heeded for files in a folder: leave it out");
        return Err(fault(NotImplemented, message));
    }
    let metadata: BTreeMap<String, String> = metadata.unwrap_or_default().into_iter().collect();
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    let max = limits::S3_METADATA_BYTES_MAX;
    if max < bytes {
        let message = format!("the metadata of an object has at most {max} bytes, here {bytes}");
        return Err(fault(MetadataTooLarge, message));
    }
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let mut kept = BTreeMap::new();
    for name in KEPT {
        kept.extend(text(name).map(|it| ((*name).to_owned(), it.to_owned())));
    }
    // How the body came is no concern of whoever gets it.
    let encoding = text(ENCODING).unwrap_or_default().split(',').map(str::trim);
    let encoding: Vec<&str> = encoding.filter(|it| !matches!(*it, "" | "aws-chunked")).collect();
    if !encoding.is_empty() {
        kept.insert(ENCODING.to_owned(), encoding.join(","));
    }
    Ok(About {
        key: key.as_str().to_owned(),
        r#type: text("content-type").filter(|it| !it.is_empty()).map(str::to_owned),
        headers: kept,
        metadata,
        ..About::default()
    })
}

/// Returns the headers that an upload said to keep, but for those that this request names others
/// for, and the checksums if they are wanted.
pub(crate) fn kept_headers(facts: &Facts, uri: &Uri, with_sums: bool) -> HeaderMap {
    let query = uri.query().unwrap_or_default();
    let mut headers = if with_sums { headers_of(&facts.about.sums) } else { HeaderMap::new() };
    for (name, value) in &facts.about.headers {
        if query.contains(&format!("response-{name}=")) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), value.parse()) {
            headers.insert(name, value);
        }
    }
    headers
}

pub(crate) fn check_version(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("" | "null") => Ok(()),
        Some(_) => Err(fault(NotImplemented, "objects here have no versions")),
    }
}

pub(crate) fn check_part(number: Option<i32>) -> S3Result<()> {
    match number {
        None => Ok(()),
        Some(_) => Err(fault(NotImplemented, "objects are read whole or by `Range`, not by parts")),
    }
}

pub(crate) fn if_etag(etag: Option<dto::ETag>) -> Conditions {
    Conditions::of_etags(etag.map(ETagCondition::ETag), None)
}

pub(crate) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns which bytes of its source a part copies: `bytes=0-99`.
pub(crate) fn copy_range(said: Option<&str>, size: u64) -> S3Result<Range<u64>> {
    let Some(said) = said else { return Ok(0..size) };
    let range = dto::Range::parse(said).ok().and_then(|it| it.check(size).ok());
    range.ok_or_else(|| fault(InvalidRange, format!("`{said:.60}` is no range of the source")))
}

/// Reads a part of a file block by block; `under` keeps its place among the requests under way.
pub(crate) fn read_from(file: File, range: Range<u64>, under: Option<Under>) -> StreamingBlob {
    let state = (Arc::new(file), range, under);
    let blocks = futures::stream::try_unfold(state, |(file, range, under)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let end = range.end.min(range.start + limits::S3_BLOCK_BYTES as u64);
        let (from, start) = (Arc::clone(&file), range.start);
        let bytes = usize::try_from(end - start).map_err(io::Error::other)?;
        let read = tokio::task::spawn_blocking(move || {
            let mut block = vec![0; bytes];
            from.read_exact_at(&mut block, start)?;
            io::Result::Ok(Bytes::from(block))
        });
        let block = read.await.map_err(io::Error::other)??;
        Ok(Some((block, (file, end..range.end, under))))
    });
    StreamingBlob::wrap::<_, io::Error>(blocks)
}
