//! The bytes on disk: docs/formats/journal.md says the same in words.

/// Bytes of a frame's header.
pub(crate) const HEADER_BYTES: usize = 64;
