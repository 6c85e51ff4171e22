//! ORC: its footer says everything.

use orc_rust::ArrowReaderBuilder;

use crate::files::{
    BadRows, Chunks, FoundTable, Looked, Rows, Source, TableFormat, Verdict, declared,
};

pub(crate) fn look(source: &dyn Source) -> Looked {
    // The last byte is the length of the postscript, which ends with the magic word before it.
    let size = source.size();
    match source.read_at(size.saturating_sub(4), 4).as_deref() {
        Ok([b'O', b'R', b'C', _]) => {}
        Ok(_) => {
            let why = "it begins as ORC and has no footer".to_owned();
            return Looked::nothing(Verdict::Truncated(why));
        }
        Err(error) => return Looked::nothing(Verdict::Unreadable(error.to_string())),
    }
    let builder = match ArrowReaderBuilder::try_new(Chunks(source.again())) {
        Ok(builder) => builder,
        Err(error) => return Looked::nothing(Verdict::Corrupt(format!("its footer: {error}"))),
    };
    let rows = builder.file_metadata().number_of_rows();
    let table = FoundTable {
        name: None,
        format: TableFormat::Orc,
        columns: declared::profiles(&builder.schema(), rows),
        rows: Rows::Exactly(rows),
        bad_rows: BadRows::default(),
        notes: Vec::new(),
    };
    Looked::table(Verdict::Ok, table)
}
