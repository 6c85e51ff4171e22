//! The operations of S3 over the folders of buckets, in the words of the library's types.

use std::fs;
use std::io::{Seek as _, SeekFrom};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::http::Extensions;
use base::limits;
use s3s::S3ErrorCode::{
    BucketAlreadyOwnedByYou, InvalidArgument, InvalidRange, InvalidRequest, MalformedXML,
    MethodNotAllowed, NoSuchBucket, NotImplemented, NotModified, PreconditionFailed,
};
use s3s::dto::{self, CopySource, MetadataDirective, Timestamp};
use s3s::{S3, S3Request, S3Response, S3Result};

use crate::bucket::Bucket;
use crate::bucket::about::About;
use crate::bucket::place::Place;
use crate::inlet::Inlet;
use crate::keys::{Act, Caller};
use crate::s3::folder::{Conditions, Facts, Folder};
use crate::s3::key::Key;
use crate::s3::sink::{Sink, Wanted, Written, headers_of, hex, receive};
use crate::s3::uploads::{Upload, check_number};
use crate::s3::words::{self, about_of, check_version, copy_range, kept_headers, read_from};
use crate::s3::{Under, blocking, denied, fault, pages};

/// See the module.
pub(crate) struct Operations {
    inlet: Inlet,
}

impl Operations {
    pub(crate) fn new(inlet: Inlet) -> Operations {
        Operations { inlet }
    }

    /// Returns the bucket of that name, if there is one that the caller may know of.
    fn bucket(&self, extensions: &Extensions, name: &str) -> S3Result<Arc<Bucket>> {
        let sees = |it: &Arc<Bucket>| {
            let caller = extensions.get::<Caller>();
            caller.is_some_and(|caller| caller.sees(it.events.as_str()))
        };
        self.inlet.buckets().find(name).filter(sees).ok_or_else(|| {
            let message = format!(
                "there is no bucket `{name}` for this key; buckets are part of the project: \
                 `[bucket.{name}]`"
            );
            fault(NoSuchBucket, message)
        })
    }

    fn folder(&self, extensions: &Extensions, name: &str) -> S3Result<Folder> {
        let bucket = self.bucket(extensions, name)?;
        match &bucket.place {
            Place::Folder(root) => Ok(Folder::of(root).with_cold(bucket.cold.clone())),
            Place::Cloud { .. } => {
                let message = format!(
                    "the bucket `{name}` lies in a cloud: ask its store there; here only the \
                     objects of buckets that are folders are served"
                );
                Err(fault(NotImplemented, message))
            }
        }
    }

    /// Returns where an object lies that is asked for, if it is asked for whole and as it is now.
    fn readable(
        &self,
        extensions: &Extensions,
        (bucket, key): (&str, &str),
        (version, part): (Option<&str>, Option<i32>),
    ) -> S3Result<(Folder, Key)> {
        let folder = self.folder(extensions, bucket)?;
        check_version(version)?;
        words::check_part(part)?;
        Ok((folder, Key::new(key)?))
    }

    /// Returns where the source of a copy lies, which its caller must be allowed to read.
    fn source(&self, extensions: &Extensions, source: &CopySource) -> S3Result<(Folder, Key)> {
        let CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(fault(NotImplemented, "`x-amz-copy-source` is BUCKET/KEY"));
        };
        check_version(version_id.as_deref())?;
        let caller = extensions.get::<Caller>().cloned().unwrap_or_default();
        caller.check(Act::Read).map_err(|it| denied(&it))?;
        Ok((self.folder(extensions, bucket)?, Key::new(key)?))
    }
}

/// Returns what is known of the source of a copy, if it is as the client wants it.
fn check_source(conditions: &Conditions, facts: &Facts) -> S3Result<()> {
    conditions.check_read(facts).map_err(|it| match it.code() {
        NotModified => fault(PreconditionFailed, "the source is as it was"),
        _ => it,
    })
}

#[async_trait::async_trait]
impl S3 for Operations {
    async fn list_buckets(
        &self,
        request: S3Request<dto::ListBucketsInput>,
    ) -> S3Result<S3Response<dto::ListBucketsOutput>> {
        let S3Request { input, extensions, .. } = request;
        let caller = extensions.get::<Caller>().cloned().unwrap_or_default();
        let prefix = input.prefix.unwrap_or_default();
        let mut seen = self.inlet.buckets().all();
        seen.retain(|it| caller.sees(it.events.as_str()) && it.name.starts_with(&prefix));
        let told = |bucket: Arc<Bucket>| {
            let made = match &bucket.place {
                Place::Folder(root) => fs::metadata(root).and_then(|it| it.modified()).ok(),
                Place::Cloud { .. } => None,
            };
            dto::Bucket {
                name: Some(bucket.name.clone()),
                creation_date: Some(Timestamp::from(made.unwrap_or(UNIX_EPOCH))),
                ..dto::Bucket::default()
            }
        };
        let buckets = blocking(move || Ok(seen.into_iter().map(told).collect())).await?;
        let owner = caller.name().map_or_else(|| "any".to_owned(), ToString::to_string);
        Ok(S3Response::new(dto::ListBucketsOutput {
            buckets: Some(buckets),
            owner: Some(dto::Owner { display_name: Some(owner.clone()), id: Some(owner) }),
            ..dto::ListBucketsOutput::default()
        }))
    }

    async fn head_bucket(
        &self,
        request: S3Request<dto::HeadBucketInput>,
    ) -> S3Result<S3Response<dto::HeadBucketOutput>> {
        self.bucket(&request.extensions, &request.input.bucket)?;
        let region = request.region.map(|it| it.as_str().to_owned());
        let output =
            dto::HeadBucketOutput { bucket_region: region, ..dto::HeadBucketOutput::default() };
        Ok(S3Response::new(output))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<dto::GetBucketLocationInput>,
    ) -> S3Result<S3Response<dto::GetBucketLocationOutput>> {
        self.bucket(&request.extensions, &request.input.bucket)?;
        Ok(S3Response::new(dto::GetBucketLocationOutput::default()))
    }

    async fn create_bucket(
        &self,
        request: S3Request<dto::CreateBucketInput>,
    ) -> S3Result<S3Response<dto::CreateBucketOutput>> {
        let name = &request.input.bucket;
        if self.bucket(&request.extensions, name).is_ok() {
            let message = format!("there is a bucket `{name}` already");
            return Err(fault(BucketAlreadyOwnedByYou, message));
        }
        let message = format!("buckets are part of the project: add `[bucket.{name}]` to it");
        Err(fault(MethodNotAllowed, message))
    }

    async fn delete_bucket(
        &self,
        request: S3Request<dto::DeleteBucketInput>,
    ) -> S3Result<S3Response<dto::DeleteBucketOutput>> {
        let name = &request.input.bucket;
        self.bucket(&request.extensions, name)?;
        let message = format!("buckets are part of the project: remove `[bucket.{name}]` from it");
        Err(fault(MethodNotAllowed, message))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<dto::ListObjectsV2Input>,
    ) -> S3Result<S3Response<dto::ListObjectsV2Output>> {
        let folder = self.folder(&request.extensions, &request.input.bucket)?;
        pages::objects_v2(&folder, request.input).await.map(S3Response::new)
    }

    async fn list_objects(
        &self,
        request: S3Request<dto::ListObjectsInput>,
    ) -> S3Result<S3Response<dto::ListObjectsOutput>> {
        let folder = self.folder(&request.extensions, &request.input.bucket)?;
        pages::objects(&folder, request.input).await.map(S3Response::new)
    }

    async fn put_object(
        &self,
        request: S3Request<dto::PutObjectInput>,
    ) -> S3Result<S3Response<dto::PutObjectOutput>> {
        let S3Request { input, headers, extensions, trailing_headers, .. } = request;
        let folder = self.folder(&extensions, &input.bucket)?;
        let key = Key::new(&input.key)?;
        let about = about_of(&headers, &key, input.metadata)?;
        let conditions = Conditions::of_etags(input.if_match, input.if_none_match);
        let wanted = Wanted::of(&headers, input.content_length, trailing_headers)?;
        let facts = if key.is_folder() {
            if input.content_length != Some(0) {
                let message = "a key that ends in `/` is a folder, and has no bytes";
                return Err(fault(InvalidArgument, message));
            }
            blocking(move || folder.put_folder(&key)).await?
        } else {
            let clock = Arc::clone(self.inlet.clock());
            let written = receive(&folder, input.body, wanted, clock).await?;
            blocking(move || put(&folder, &key, &written, about, &conditions)).await?
        };
        let output =
            dto::PutObjectOutput { e_tag: Some(facts.etag()), ..dto::PutObjectOutput::default() };
        Ok(S3Response::with_headers(output, headers_of(&facts.about.sums)))
    }

    async fn get_object(
        &self,
        request: S3Request<dto::GetObjectInput>,
    ) -> S3Result<S3Response<dto::GetObjectOutput>> {
        let S3Request { input, uri, extensions, .. } = request;
        let whole = (input.version_id.as_deref(), input.part_number);
        let (folder, key) = self.readable(&extensions, (&input.bucket, &input.key), whole)?;
        let conditions = Conditions::of_etags(input.if_match, input.if_none_match)
            .and_times(input.if_modified_since, input.if_unmodified_since);
        let (file, facts) = blocking(move || {
            let (file, facts) = folder.find(&key)?;
            conditions.check_read(&facts)?;
            Ok((file, facts))
        })
        .await?;
        let range = match input.range {
            None => 0..facts.size,
            Some(range) => range.check(facts.size)?,
        };
        if input.range.is_some() && range.is_empty() {
            return Err(fault(InvalidRange, "the object has no bytes"));
        }
        let content_range =
            input.range.map(|_| format!("bytes {}-{}/{}", range.start, range.end - 1, facts.size));
        let with_sums = input.range.is_none() && input.checksum_mode.is_some();
        let headers = kept_headers(&facts, &uri, with_sums);
        let output = dto::GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(words::number(range.end - range.start)),
            content_range,
            content_type: Some(facts.r#type()),
            e_tag: Some(facts.etag()),
            last_modified: Some(Timestamp::from(facts.changed)),
            metadata: Some(facts.about.metadata.into_iter().collect()),
            body: file.map(|it| read_from(it, range, extensions.get::<Under>().cloned())),
            ..dto::GetObjectOutput::default()
        };
        Ok(S3Response::with_headers(output, headers))
    }

    async fn head_object(
        &self,
        request: S3Request<dto::HeadObjectInput>,
    ) -> S3Result<S3Response<dto::HeadObjectOutput>> {
        let S3Request { input, uri, extensions, .. } = request;
        let whole = (input.version_id.as_deref(), input.part_number);
        let (folder, key) = self.readable(&extensions, (&input.bucket, &input.key), whole)?;
        let conditions = Conditions::of_etags(input.if_match, input.if_none_match)
            .and_times(input.if_modified_since, input.if_unmodified_since);
        let facts = blocking(move || {
            let facts = folder.facts(&key)?;
            conditions.check_read(&facts).map(|()| facts)
        })
        .await?;
        let headers = kept_headers(&facts, &uri, input.checksum_mode.is_some());
        let output = dto::HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(words::number(facts.size)),
            content_type: Some(facts.r#type()),
            e_tag: Some(facts.etag()),
            last_modified: Some(Timestamp::from(facts.changed)),
            metadata: Some(facts.about.metadata.into_iter().collect()),
            ..dto::HeadObjectOutput::default()
        };
        Ok(S3Response::with_headers(output, headers))
    }

    async fn delete_object(
        &self,
        request: S3Request<dto::DeleteObjectInput>,
    ) -> S3Result<S3Response<dto::DeleteObjectOutput>> {
        let S3Request { input, extensions, .. } = request;
        let folder = self.folder(&extensions, &input.bucket)?;
        check_version(input.version_id.as_deref())?;
        let key = Key::new(&input.key)?;
        let conditions = Conditions::of_etags(input.if_match, None);
        blocking(move || folder.remove(&key, &conditions)).await?;
        Ok(S3Response::new(dto::DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<dto::DeleteObjectsInput>,
    ) -> S3Result<S3Response<dto::DeleteObjectsOutput>> {
        let S3Request { input, extensions, .. } = request;
        let folder = self.folder(&extensions, &input.bucket)?;
        let max = limits::S3_PAGE_MAX;
        if max < input.delete.objects.len() {
            return Err(fault(MalformedXML, format!("name at most {max} keys at a time")));
        }
        let quiet = input.delete.quiet.unwrap_or_default();
        let output = blocking(move || {
            let (mut deleted, mut errors) = (Vec::new(), Vec::new());
            for object in input.delete.objects {
                let conditions = words::if_etag(object.e_tag);
                let removed = check_version(object.version_id.as_deref())
                    .and_then(|()| folder.remove(&Key::new(&object.key)?, &conditions));
                match removed {
                    Ok(()) if quiet => {}
                    Ok(()) => deleted.push(dto::DeletedObject {
                        key: Some(object.key),
                        ..dto::DeletedObject::default()
                    }),
                    Err(error) => errors.push(dto::Error {
                        code: Some(error.code().as_str().to_owned()),
                        message: error.message().map(str::to_owned),
                        key: Some(object.key),
                        version_id: None,
                    }),
                }
            }
            Ok(dto::DeleteObjectsOutput {
                deleted: Some(deleted),
                errors: Some(errors),
                request_charged: None,
            })
        });
        Ok(S3Response::new(output.await?))
    }

    async fn copy_object(
        &self,
        request: S3Request<dto::CopyObjectInput>,
    ) -> S3Result<S3Response<dto::CopyObjectOutput>> {
        let S3Request { input, headers, extensions, .. } = request;
        let folder = self.folder(&extensions, &input.bucket)?;
        let (from, source) = self.source(&extensions, &input.copy_source)?;
        let key = Key::new(&input.key)?;
        let directive = input.metadata_directive.as_ref().map(MetadataDirective::as_str);
        let about = match directive {
            Some(MetadataDirective::REPLACE) => Some(about_of(&headers, &key, input.metadata)?),
            _ if from.root() == folder.root() && source == key => {
                let message = "this copies an object to itself and changes nothing; send \
                               `x-amz-metadata-directive: REPLACE` to change what is said of it";
                return Err(fault(InvalidRequest, message));
            }
            _ => None,
        };
        let conditions =
            Conditions::of_etags(input.copy_source_if_match, input.copy_source_if_none_match)
                .and_times(
                    input.copy_source_if_modified_since,
                    input.copy_source_if_unmodified_since,
                );
        let facts = blocking(move || {
            let (file, facts) = from.find(&source)?;
            check_source(&conditions, &facts)?;
            let Some(mut file) = file else { return folder.put_folder(&key) };
            let wanted = Wanted::of_copy(facts.size);
            let mut sink = Sink::open(&folder, &wanted)?;
            sink.write_all(&mut file, facts.size)?;
            let written = sink.finish(&wanted)?;
            let sums = facts.about.sums.clone();
            let about = About { sums, ..about.unwrap_or(facts.about) };
            put(&folder, &key, &written, about, &Conditions::default())
        })
        .await?;
        Ok(S3Response::new(dto::CopyObjectOutput {
            copy_object_result: Some(dto::CopyObjectResult {
                e_tag: Some(facts.etag()),
                last_modified: Some(Timestamp::from(facts.changed)),
                ..dto::CopyObjectResult::default()
            }),
            ..dto::CopyObjectOutput::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<dto::CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::CreateMultipartUploadOutput>> {
        let S3Request { input, headers, extensions, .. } = request;
        let folder = self.folder(&extensions, &input.bucket)?;
        let key = Key::new(&input.key)?;
        if key.is_folder() {
            let message = "a key that ends in `/` is a folder, and has no bytes";
            return Err(fault(InvalidArgument, message));
        }
        let upload = Upload {
            id: String::new(),
            started_ms: self.inlet.clock().now_ms(),
            about: about_of(&headers, &key, input.metadata)?,
            algorithm: input.checksum_algorithm.as_ref().map(|it| it.as_str().to_owned()),
            sum_of: input.checksum_type.as_ref().map(|it| it.as_str().to_owned()),
        };
        let id = blocking(move || folder.begin_upload(&upload)).await?;
        Ok(S3Response::new(dto::CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            ..dto::CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<dto::UploadPartInput>,
    ) -> S3Result<S3Response<dto::UploadPartOutput>> {
        let S3Request { input, headers, extensions, trailing_headers, .. } = request;
        let folder = self.folder(&extensions, &input.bucket)?;
        check_number(input.part_number)?;
        let wanted = Wanted::of(&headers, input.content_length, trailing_headers)?;
        let (id, key) = (input.upload_id, input.key);
        let (id, key, folder) =
            blocking(move || folder.upload(&id, &key).map(|_upload| (id, key, folder))).await?;
        let clock = Arc::clone(self.inlet.clock());
        let written = receive(&folder, input.body, wanted, clock).await?;
        let number = input.part_number;
        let written =
            blocking(move || folder.put_part((&id, &key), number, &written).map(|()| written))
                .await?;
        let output = dto::UploadPartOutput {
            e_tag: Some(dto::ETag::Strong(hex(&written.md5))),
            ..dto::UploadPartOutput::default()
        };
        Ok(S3Response::with_headers(output, headers_of(&written.sums)))
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<dto::UploadPartCopyInput>,
    ) -> S3Result<S3Response<dto::UploadPartCopyOutput>> {
        let S3Request { input, extensions, .. } = request;
        let folder = self.folder(&extensions, &input.bucket)?;
        let (from, source) = self.source(&extensions, &input.copy_source)?;
        check_number(input.part_number)?;
        let conditions =
            Conditions::of_etags(input.copy_source_if_match, input.copy_source_if_none_match)
                .and_times(
                    input.copy_source_if_modified_since,
                    input.copy_source_if_unmodified_since,
                );
        let (etag, changed) = blocking(move || {
            let (file, facts) = from.find(&source)?;
            check_source(&conditions, &facts)?;
            let range = copy_range(input.copy_source_range.as_deref(), facts.size)?;
            let wanted = Wanted::of_copy(range.end - range.start);
            let mut sink = Sink::open(&folder, &wanted)?;
            if let Some(mut file) = file {
                let moved = file.seek(SeekFrom::Start(range.start));
                moved.map_err(|it| crate::s3::failed(&it))?;
                sink.write_all(&mut file, range.end - range.start)?;
            }
            let written = sink.finish(&wanted)?;
            folder.put_part((&input.upload_id, &input.key), input.part_number, &written)?;
            Ok((hex(&written.md5), facts.changed))
        })
        .await?;
        Ok(S3Response::new(dto::UploadPartCopyOutput {
            copy_part_result: Some(dto::CopyPartResult {
                e_tag: Some(dto::ETag::Strong(etag)),
                last_modified: Some(Timestamp::from(changed)),
                ..dto::CopyPartResult::default()
            }),
            ..dto::UploadPartCopyOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<dto::CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::CompleteMultipartUploadOutput>> {
        let S3Request { input, headers, extensions, .. } = request;
        let folder = self.folder(&extensions, &input.bucket)?;
        let key = Key::new(&input.key)?;
        let wanted = Wanted::of_parts(&headers, input.mpu_object_size)?;
        let listed = input.multipart_upload.and_then(|it| it.parts).unwrap_or_default();
        let conditions = Conditions::of_etags(input.if_match, input.if_none_match);
        let facts = blocking(move || {
            folder.complete((&input.upload_id, &key), &listed, &wanted, &conditions)
        })
        .await?;
        Ok(S3Response::new(dto::CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(facts.etag()),
            ..dto::CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<dto::AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::AbortMultipartUploadOutput>> {
        let S3Request { input, extensions, .. } = request;
        let folder = self.folder(&extensions, &input.bucket)?;
        blocking(move || folder.end_upload(&input.upload_id, &input.key)).await?;
        Ok(S3Response::new(dto::AbortMultipartUploadOutput::default()))
    }

    async fn list_parts(
        &self,
        request: S3Request<dto::ListPartsInput>,
    ) -> S3Result<S3Response<dto::ListPartsOutput>> {
        let S3Request { input, extensions, .. } = request;
        let folder = self.folder(&extensions, &input.bucket)?;
        blocking(move || pages::parts(&folder, input)).await.map(S3Response::new)
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<dto::ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<dto::ListMultipartUploadsOutput>> {
        let S3Request { input, extensions, .. } = request;
        let folder = self.folder(&extensions, &input.bucket)?;
        blocking(move || pages::uploads(&folder, input)).await.map(S3Response::new)
    }
}

/// Puts an object that came whole in its place.
pub(crate) fn put(
    folder: &Folder,
    key: &Key,
    written: &Written,
    about: About,
    conditions: &Conditions,
) -> S3Result<Facts> {
    let (etag, mut sums) = (hex(&written.md5), about.sums);
    sums.extend(written.sums.clone());
    let about = About { key: key.as_str().to_owned(), etag, sums, ..about };
    folder.put(key, written, about, conditions)
}
