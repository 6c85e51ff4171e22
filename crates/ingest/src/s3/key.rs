//! Keys of objects: paths below the folder of a bucket, and nothing else.

use base::limits;
use s3s::S3ErrorCode::{InvalidArgument, KeyTooLongError};
use s3s::S3Result;

use crate::s3::fault;

/// A key that a file can be called by; one that ends in `/` is a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    pub(crate) fn new(text: &str) -> S3Result<Key> {
        let max = limits::S3_KEY_BYTES_MAX;
        if max < text.len() {
            let message = format!("a key has at most {max} bytes, this one {}", text.len());
            return Err(fault(KeyTooLongError, message));
        }
        for part in text.strip_suffix('/').unwrap_or(text).split('/') {
            let max = limits::S3_KEY_PART_BYTES_MAX;
            if max < part.len() {
                let message = "what is between two `/` of a key is a file's name";
                let message = format!("{message}: at most {max} bytes, here {}", part.len());
                return Err(fault(KeyTooLongError, message));
            }
            let why = if part.is_empty() {
                "has nothing between two `/`, or begins with one"
            } else if part.starts_with('.') {
                "has a part that begins with a dot"
            } else if part.chars().any(char::is_control) {
                "has a control character"
            } else {
                continue;
            };
            let message = format!(
                "the key `{}` {why}; a key is a path of files and folders below the bucket's folder",
                text.escape_debug()
            );
            return Err(fault(InvalidArgument, message));
        }
        Ok(Key(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.0.ends_with('/')
    }

    /// Returns the names of the folders and the file.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.trim_end_matches('/').split('/')
    }
}
