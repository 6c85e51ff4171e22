//! Takes in the bytes of an object: to a hidden file, with their MD5 and the checksums that the
//! client sent along.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::HeaderMap;
use base::{Clock, limits};
use base64::Engine as _;
use bytes::Bytes;
use futures::StreamExt as _;
use md5::{Digest as _, Md5};
use s3s::S3ErrorCode::{
    BadDigest, EntityTooLarge, IncompleteBody, InvalidDigest, InvalidRequest, MissingContentLength,
    RequestTimeout, SignatureDoesNotMatch,
};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3Result, StdError, TrailingHeaders};

use crate::aws::wire::BASE64;
use crate::s3::folder::Folder;
use crate::s3::{blocking, failed, fault};

/// The algorithms of checksums that are known.
const ALGORITHMS: &[&str] = &["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];

/// What a checksum's header begins with; `algorithm`, `type` and `mode` are none.
const CHECKSUM: &str = "x-amz-checksum-";
const NO_CHECKSUMS: &[&str] = &["algorithm", "type", "mode"];

/// What a client says of the bytes it sends.
pub(crate) struct Wanted {
    bytes: Option<u64>,
    md5: Option<String>,
    /// Checksums by algorithm; those without a value come behind the bytes.
    sums: BTreeMap<String, Option<String>>,
    trailers: Option<TrailingHeaders>,
}

impl Wanted {
    /// Reads what the headers say; a checksum that cannot be verified is refused.
    pub(crate) fn of(
        headers: &HeaderMap,
        bytes: Option<i64>,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<Wanted> {
        let mut sums = BTreeMap::new();
        let text = |it: &axum::http::HeaderValue| it.to_str().unwrap_or_default().trim().to_owned();
        for (name, value) in headers {
            let Some(algorithm) = name.as_str().strip_prefix(CHECKSUM) else { continue };
            let value = text(value);
            // The checksum of the checksums of parts, `…-3`: each part was verified by itself.
            if !NO_CHECKSUMS.contains(&algorithm) && !value.contains('-') {
                sums.insert(algorithm.to_owned(), Some(value));
            }
        }
        let named = headers.get_all("x-amz-trailer").iter().map(text);
        for name in named.flat_map(|it| it.split(',').map(str::to_owned).collect::<Vec<_>>()) {
            if let Some(algorithm) = name.trim().to_ascii_lowercase().strip_prefix(CHECKSUM) {
                sums.entry(algorithm.to_owned()).or_insert(None);
            }
        }
        if let Some(unknown) = sums.keys().find(|it| !ALGORITHMS.contains(&it.as_str())) {
            let known = ALGORITHMS.join(", ");
            let message = format!("the checksum `{unknown:.40}` is not known here; send {known}");
            return Err(fault(InvalidRequest, message));
        }
        // A body in signed pieces is longer than what is in it, or comes without a length.
        let inside = headers.get("x-amz-decoded-content-length").map(text);
        let inside = inside.and_then(|it| it.parse().ok());
        let bytes = inside.or_else(|| bytes.and_then(|it| u64::try_from(it).ok()));
        Ok(Wanted { bytes, md5: headers.get("content-md5").map(text), sums, trailers })
    }

    /// Of an object that parts are made into: `Content-MD5` would be that of the list of parts.
    pub(crate) fn of_parts(headers: &HeaderMap, bytes: Option<i64>) -> S3Result<Wanted> {
        Ok(Wanted { md5: None, ..Wanted::of(headers, bytes, None)? })
    }

    /// Of bytes that lie here already.
    pub(crate) fn of_copy(bytes: u64) -> Wanted {
        Wanted { bytes: Some(bytes), md5: None, sums: BTreeMap::new(), trailers: None }
    }

    /// Of bytes of which nothing was said.
    pub(crate) fn of_unknown() -> Wanted {
        Wanted { bytes: None, md5: None, sums: BTreeMap::new(), trailers: None }
    }

    fn hasher(&self) -> ChecksumHasher {
        let wants = |algorithm: &str| self.sums.contains_key(algorithm);
        ChecksumHasher {
            crc32: wants("crc32").then(Crc32::new),
            crc32c: wants("crc32c").then(Crc32c::new),
            sha1: wants("sha1").then(Sha1::new),
            sha256: wants("sha256").then(Sha256::new),
            crc64nvme: wants("crc64nvme").then(Crc64Nvme::new),
        }
    }

    /// Compares what came with what was said of it.
    fn check(&self, bytes: u64, md5: &[u8], sums: &BTreeMap<String, String>) -> S3Result<()> {
        if let Some(said) = self.bytes.filter(|it| *it != bytes) {
            let message = format!("{bytes} bytes came of {said} that were announced");
            return Err(fault(IncompleteBody, message));
        }
        if let Some(said) = &self.md5 {
            let said = BASE64.decode(said).ok().filter(|it| it.len() == md5.len());
            let Some(said) = said else {
                return Err(fault(InvalidDigest, "`Content-MD5` is no MD5 in base64"));
            };
            if said != md5 {
                return Err(fault(BadDigest, "what came has another MD5 than `Content-MD5` says"));
            }
        }
        let trailers = self.trailers.as_ref().and_then(TrailingHeaders::take).unwrap_or_default();
        for (algorithm, said) in &self.sums {
            let behind = trailers.get(format!("{CHECKSUM}{algorithm}"));
            let behind = behind.and_then(|it| it.to_str().ok()).map(str::trim);
            let Some(said) = said.as_deref().or(behind) else {
                let message = format!("the checksum `{algorithm}` did not come behind the bytes");
                return Err(fault(InvalidRequest, message));
            };
            if sums.get(algorithm).map(String::as_str) != Some(said) {
                let message = format!("what came has another {algorithm} than was said of it");
                return Err(fault(BadDigest, message));
            }
        }
        Ok(())
    }
}

/// A file that is removed when this is dropped, unless it was renamed.
#[derive(Debug)]
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    pub(crate) fn new(path: PathBuf) -> Temporary {
        Temporary(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "what was left of an upload was not removed");
        }
    }
}

/// Bytes that came whole, are what the client said, and are on disk, hidden.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) file: File,
    pub(crate) place: Temporary,
    pub(crate) md5: Vec<u8>,
    pub(crate) sums: BTreeMap<String, String>,
}

/// Takes bytes in.
pub(crate) struct Sink {
    folder: Folder,
    file: File,
    place: Temporary,
    bytes: u64,
    md5: Md5,
    hasher: ChecksumHasher,
}

impl Sink {
    pub(crate) fn open(folder: &Folder, wanted: &Wanted) -> S3Result<Sink> {
        folder.check_room(wanted.bytes.unwrap_or(0))?;
        let place = folder.temporary().map_err(|it| failed(&it))?;
        let file = File::options().read(true).write(true).create_new(true).open(&place);
        Ok(Sink {
            folder: folder.clone(),
            file: file.map_err(|it| failed(&it))?,
            place: Temporary::new(place),
            bytes: 0,
            md5: Md5::new(),
            hasher: wanted.hasher(),
        })
    }

    pub(crate) fn write(&mut self, piece: &[u8]) -> S3Result<()> {
        self.md5.update(piece);
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        self.file.write_all(piece).map_err(|it| failed(&it))
    }

    /// Takes a part that lies here already. Where no checksum is asked for the system copies it, and
    /// there is no MD5 of the whole: nobody asks for that of an object made of parts.
    pub(crate) fn copy(&mut self, part: &mut File, wanted: &Wanted) -> S3Result<()> {
        if wanted.sums.is_empty() {
            self.bytes += io::copy(part, &mut self.file).map_err(|it| failed(&it))?;
            return Ok(());
        }
        self.write_all(part, u64::MAX)
    }

    /// Takes so many bytes, or all there are, of what lies here already.
    pub(crate) fn write_all(&mut self, from: &mut File, bytes: u64) -> S3Result<()> {
        let mut from = from.take(bytes);
        let mut block = vec![0; limits::S3_BLOCK_BYTES];
        loop {
            let count = from.read(&mut block).map_err(|it| failed(&it))?;
            let Some(piece) = block.get(..count).filter(|it| !it.is_empty()) else { return Ok(()) };
            self.write(piece)?;
        }
    }

    /// Takes a block; the disk may have filled meanwhile.
    fn write_block(&mut self, pieces: &[Bytes]) -> S3Result<()> {
        self.folder.check_room(0)?;
        pieces.iter().try_for_each(|it| self.write(it))
    }

    /// Ends the file: what came must be what the client said.
    pub(crate) fn finish(self, wanted: &Wanted) -> S3Result<Written> {
        let Sink { file, place, bytes, md5, hasher, .. } = self;
        let md5 = md5.finalize().to_vec();
        let sums = sums_of(hasher);
        wanted.check(bytes, &md5, &sums)?;
        file.sync_all().map_err(|it| failed(&it))?;
        Ok(Written { file, place, md5, sums })
    }
}

/// Takes the body of a request in; nothing is left of one that breaks off.
pub(crate) async fn receive(
    folder: &Folder,
    body: Option<StreamingBlob>,
    wanted: Wanted,
    clock: Arc<dyn Clock>,
) -> S3Result<Written> {
    let Some(announced) = wanted.bytes else {
        return Err(fault(MissingContentLength, "say by `Content-Length` how many bytes come"));
    };
    let max = limits::S3_PUT_BYTES_MAX;
    if max < announced {
        let message = format!("one request takes {max} bytes; send more of them in parts");
        return Err(fault(EntityTooLarge, message));
    }
    let folder = folder.clone();
    let (mut sink, wanted) =
        blocking(move || Sink::open(&folder, &wanted).map(|it| (it, wanted))).await?;
    let mut body = body;
    let (mut pieces, mut gathered, mut taken) = (Vec::new(), 0, 0);
    while let Some(frames) = &mut body {
        let piece = tokio::select! {
            biased;
            piece = frames.next() => piece,
            () = clock.sleep(limits::S3_STALL_MAX) => {
                return Err(fault(RequestTimeout, "nothing came for a minute"));
            }
        };
        let Some(piece) = piece else { break };
        let piece = piece.map_err(|it| broken(&it))?;
        taken += piece.len() as u64;
        if announced < taken {
            return Err(fault(IncompleteBody, "more bytes came than were announced"));
        }
        gathered += piece.len();
        pieces.push(piece);
        if limits::S3_BLOCK_BYTES <= gathered {
            let block = std::mem::take(&mut pieces);
            gathered = 0;
            sink = blocking(move || sink.write_block(&block).map(|()| sink)).await?;
        }
    }
    blocking(move || {
        sink.write_block(&pieces)?;
        sink.finish(&wanted)
    })
    .await
}

/// Says why a body broke off, as the library tells it only in words.
fn broken(error: &StdError) -> S3Error {
    let text = error.to_string();
    if text.contains("SignatureMismatch") {
        return fault(SignatureDoesNotMatch, "a piece of the body has another signature");
    }
    if text.contains("Sha256Mismatch") {
        let code = s3s::S3ErrorCode::from_bytes(b"XAmzContentSHA256Mismatch").unwrap_or(BadDigest);
        let mut fault = fault(code, "what came has another SHA-256 than was signed");
        fault.set_status_code(axum::http::StatusCode::BAD_REQUEST);
        return fault;
    }
    fault(IncompleteBody, format!("the body broke off: {text}"))
}

fn sums_of(hasher: ChecksumHasher) -> BTreeMap<String, String> {
    let sums = hasher.finalize();
    let all = [
        ("crc32", sums.checksum_crc32),
        ("crc32c", sums.checksum_crc32c),
        ("crc64nvme", sums.checksum_crc64nvme),
        ("sha1", sums.checksum_sha1),
        ("sha256", sums.checksum_sha256),
    ];
    all.into_iter().filter_map(|(name, sum)| Some((name.to_owned(), sum?))).collect()
}

/// Returns the headers that tell checksums.
pub(crate) fn headers_of(sums: &BTreeMap<String, String>) -> HeaderMap {
    let header = |(name, sum): (&String, &String)| {
        let name = axum::http::HeaderName::try_from(format!("{CHECKSUM}{name}")).ok()?;
        Some((name, sum.parse().ok()?))
    };
    sums.iter().filter_map(header).collect()
}

/// Writes bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}
