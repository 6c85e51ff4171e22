//! Parquet: its footer says everything.

use ::parquet::arrow::parquet_to_arrow_schema;
use ::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};

use crate::files::{
    BadRows, Chunks, FoundTable, Looked, Rows, Source, TableFormat, Verdict, declared,
};
use crate::infer::Profile;

pub(crate) fn look(source: &dyn Source) -> Looked {
    let size = source.size();
    let end = source.read_at(size.saturating_sub(4), 4);
    match end.as_deref() {
        Ok(b"PAR1") if 12 <= size => {}
        Ok(b"PARE") => return Looked::nothing(Verdict::Unknown("encrypted Parquet".to_owned())),
        Ok(_) => {
            let why = "it begins as Parquet and has no footer".to_owned();
            return Looked::nothing(Verdict::Truncated(why));
        }
        Err(error) => return Looked::nothing(Verdict::Unreadable(error.to_string())),
    }
    let chunks = Chunks(source.again());
    let found = ParquetMetaDataReader::new().parse_and_finish(&chunks).and_then(|metadata| {
        let file = metadata.file_metadata();
        let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
        Ok((metadata, schema))
    });
    let (metadata, schema) = match found {
        Ok(found) => found,
        Err(error) => return Looked::nothing(Verdict::Corrupt(format!("its footer: {error}"))),
    };
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    let columns = declared::profiles(&schema, rows)
        .into_iter()
        .map(|it| {
            let nulls = nulls(&metadata, &it);
            it.with_nulls(nulls)
        })
        .collect();
    let verdict = if is_cut(&metadata, size) {
        Verdict::Corrupt("its footer names bytes beyond its end".to_owned())
    } else {
        Verdict::Ok
    };
    let table = FoundTable {
        name: None,
        format: TableFormat::Parquet,
        columns,
        rows: Rows::Exactly(rows),
        bad_rows: BadRows::default(),
        notes: Vec::new(),
    };
    Looked::table(verdict, table)
}

/// Sums what the row groups say of a column that is no list and no struct.
fn nulls(metadata: &ParquetMetaData, column: &Profile) -> Option<u64> {
    let schema = metadata.file_metadata().schema_descr();
    let index = schema.columns().iter().position(|it| {
        let parts = it.path().parts();
        parts.len() == 1 && parts.first() == Some(&column.name)
    })?;
    metadata
        .row_groups()
        .iter()
        .map(|it| it.columns().get(index)?.statistics()?.null_count_opt())
        .sum()
}

fn is_cut(metadata: &ParquetMetaData, size: u64) -> bool {
    metadata.row_groups().iter().flat_map(RowGroupMetaData::columns).any(|it| {
        let begin = it.dictionary_page_offset().unwrap_or_else(|| it.data_page_offset());
        let (begin, length) = (u64::try_from(begin), u64::try_from(it.compressed_size()));
        match (begin, length) {
            (Ok(begin), Ok(length)) => begin.checked_add(length).is_none_or(|end| size < end),
            _ => true,
        }
    })
}
