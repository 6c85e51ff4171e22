//! Where a page of the rows of one key ended.

use base::Kind;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ingest::ItemFault;

/// The sort value of the last row, and how many rows with that value were given out: rows that
/// share it are told apart by their order, which does not change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) sort: Vec<u8>,
    pub(super) count: usize,
}

impl Cursor {
    /// Takes in that a row was given out.
    pub(super) fn step(&mut self, sort: &[u8]) {
        if self.sort == sort {
            self.count += 1;
        } else {
            (self.sort, self.count) = (sort.to_vec(), 1);
        }
    }

    pub(super) fn write(&self) -> String {
        format!("{}.{}", self.count, URL_SAFE_NO_PAD.encode(&self.sort))
    }

    pub(super) fn read(text: &str) -> Result<Cursor, ItemFault> {
        let parse = || {
            let (count, sort) = text.split_once('.')?;
            let sort = URL_SAFE_NO_PAD.decode(sort).ok()?;
            Some(Cursor { sort, count: count.parse().ok()? })
        };
        parse().ok_or_else(|| ItemFault {
            kind: Kind::Invalid,
            message: "that is not where an answer ended".to_owned(),
            help: Some("hand back what the answer before said, unchanged".to_owned()),
        })
    }
}
