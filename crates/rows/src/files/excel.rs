//! Workbooks: each sheet is a table.

use base::{ByteSize, limits};
use calamine::{Data, DataRef, ExcelDateTime, Reader, Xls, Xlsx};

use crate::files::delimited::{Grid, found_of_grid};
use crate::files::{Cursor, FoundTable, Looked, Rows, Source, TableFormat, Verdict};

/// Looks at an `xlsx`, cell by cell: a sheet's size is what one cell at its corner says.
pub(crate) fn look_new(source: &dyn Source) -> Looked {
    let mut book = match Xlsx::new(Cursor::new(source.again())) {
        Ok(book) => book,
        Err(error) => return Looked::nothing(Verdict::Corrupt(format!("as a workbook: {error}"))),
    };
    let mut sheets = Vec::new();
    for name in book.sheet_names().into_iter().take(limits::CRAWL_MEMBERS_MAX) {
        match grid_of(&mut book, &name) {
            Ok(grid) => sheets.push((name, grid)),
            Err(why) => {
                return Looked::nothing(Verdict::Corrupt(format!("the sheet `{name}`: {why}")));
            }
        }
    }
    answer(sheets)
}

fn grid_of(book: &mut Xlsx<Cursor>, name: &str) -> Result<Grid, String> {
    let mut cells = book.worksheet_cells_reader(name).map_err(|error| error.to_string())?;
    let mut grid = Grid::default();
    let mut row = None;
    while let Some(cell) = cells.next_cell().map_err(|error| error.to_string())? {
        let (at, column) = cell.get_position();
        let column = usize::try_from(column).unwrap_or(usize::MAX);
        if limits::CRAWL_COLUMNS_MAX <= column {
            return Err(format!("more than {} columns", limits::CRAWL_COLUMNS_MAX));
        }
        let text = text_of_ref(cell.get_value());
        if row != Some(at) {
            if limits::CRAWL_ROWS <= grid.rows.len() as u64 {
                grid.is_cut = true;
                break;
            }
            row = Some(at);
            grid.rows.push(Vec::new());
        }
        let Some(fields) = grid.rows.last_mut() else { continue };
        fields.resize(fields.len().max(column), String::new());
        match fields.get_mut(column) {
            Some(field) => *field = text,
            None => fields.push(text),
        }
    }
    if grid.is_cut {
        let end = u64::from(cells.dimensions().end.0);
        grid.rows_about = end.max(grid.rows.len() as u64);
    }
    Ok(grid)
}

/// Looks at an `xls`, or at another file of the same old kind.
pub(crate) fn look(source: &dyn Source) -> Looked {
    let most = limits::CRAWL_INFLATED_BYTES_MAX as u64;
    if most < source.size() {
        let why = format!("an old workbook of {}", ByteSize(source.size()));
        return Looked::nothing(Verdict::Unknown(why));
    }
    let mut book = match Xls::new(Cursor::new(source.again())) {
        Ok(book) => book,
        Err(error) => {
            let why = format!("an old Office file that is no workbook: {error}");
            return Looked::nothing(Verdict::Unknown(why));
        }
    };
    let mut sheets = Vec::new();
    for name in book.sheet_names().into_iter().take(limits::CRAWL_MEMBERS_MAX) {
        let range = match book.worksheet_range(&name) {
            Ok(range) => range,
            Err(error) => {
                return Looked::nothing(Verdict::Corrupt(format!("the sheet `{name}`: {error}")));
            }
        };
        let most = usize::try_from(limits::CRAWL_ROWS).unwrap_or(usize::MAX);
        let rows = range.rows().take(most).map(|row| row.iter().map(text_of).collect()).collect();
        let is_cut = most < range.height();
        sheets.push((name, Grid { rows, is_cut, rows_about: range.height() as u64 }));
    }
    answer(sheets)
}

fn answer(sheets: Vec<(String, Grid)>) -> Looked {
    let count = sheets.iter().filter(|(_, grid)| !grid.rows.is_empty()).count();
    let mut tables: Vec<FoundTable> = Vec::new();
    for (name, grid) in sheets {
        let about = grid.is_cut.then_some(grid.rows_about);
        let Some((layout, mut table)) = found_of_grid(grid) else { continue };
        table.format = TableFormat::Excel;
        table.name = (1 < count).then_some(name);
        if !layout.has_header {
            table.notes.push("no row names the columns".to_owned());
        }
        if let Some(about) = about {
            table.rows = Rows::About(about);
        }
        tables.push(table);
    }
    let verdict = if tables.is_empty() { Verdict::Empty } else { Verdict::Ok };
    Looked { verdict, compression: None, tables }
}

pub(crate) fn text_of(value: &Data) -> String {
    match value {
        Data::Int(value) => value.to_string(),
        Data::Float(value) => float(*value),
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => text.clone(),
        Data::Bool(value) => value.to_string(),
        Data::DateTime(value) => moment(value),
        Data::Error(_) | Data::Empty => String::new(),
    }
}

fn text_of_ref(value: &DataRef<'_>) -> String {
    match value {
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::String(text) => text.clone(),
        DataRef::Float(value) => float(*value),
        DataRef::Int(value) => value.to_string(),
        DataRef::Bool(value) => value.to_string(),
        DataRef::DateTime(value) => moment(value),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::Error(_) | DataRef::Empty => String::new(),
    }
}

/// Workbooks know only one kind of number.
fn float(value: f64) -> String {
    value.to_string()
}

fn moment(value: &ExcelDateTime) -> String {
    if !value.is_datetime() {
        return float(value.as_f64());
    }
    let (year, month, day, hour, minute, second, millis) = value.to_ymd_hms_milli();
    let date = format!("{year:04}-{month:02}-{day:02}");
    match (hour, minute, second, millis) {
        (0, 0, 0, 0) => date,
        (_, _, _, 0) => format!("{date}T{hour:02}:{minute:02}:{second:02}"),
        _ => format!("{date}T{hour:02}:{minute:02}:{second:02}.{millis:03}"),
    }
}
