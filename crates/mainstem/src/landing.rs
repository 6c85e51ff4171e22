//! Files that land in buckets, as records of the streams that read them.

use std::path::Path;
use std::sync::Arc;

use ingest::{Dates, FileRecords, OpenFile};
use rows::files::Records;
use rows::infer::DateOrder;

/// Says how files become records of a stream.
pub(crate) fn opener(stream: &spec::Stream) -> OpenFile {
    let stream = Arc::new(stream.clone());
    Arc::new(move |path: &Path, key: &str, dates: Option<Dates>| {
        let dates = dates.map(|it| match it {
            Dates::DayFirst => DateOrder::DayFirst,
            Dates::MonthFirst => DateOrder::MonthFirst,
        });
        let records = Records::open(path, key, &stream, dates)?;
        Ok(Box::new(Landed(records)) as Box<dyn FileRecords>)
    })
}

struct Landed(Records);

impl FileRecords for Landed {
    fn next(&mut self, records: &mut Vec<Vec<u8>>) -> Result<(), String> {
        self.0.next(records)
    }
}
