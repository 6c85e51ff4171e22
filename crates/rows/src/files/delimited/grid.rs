//! Rows of texts: whether the first names the columns, and what they are called.

use std::collections::HashSet;

use crate::files::delimited::{Dialect, Layout};
use crate::files::{BadRows, FoundTable, Rows, TableFormat};
use crate::infer::{Cell, Profile, looks_like_a_value};

/// Rows as they stand in a sheet.
#[derive(Debug, Default)]
pub(crate) struct Grid {
    pub(crate) rows: Vec<Vec<String>>,
    /// Whether there are more.
    pub(crate) is_cut: bool,
    /// How many there are then.
    pub(crate) rows_about: u64,
}

/// Whether there is a header, and what is to be said about it.
pub(crate) struct Header {
    pub(crate) is_there: bool,
    pub(crate) note: Option<&'static str>,
}

/// Decides whether the first row names the columns, by what the others hold.
pub(crate) fn header(rows: &[Vec<String>]) -> Header {
    let yes = Header { is_there: true, note: None };
    let no = Header { is_there: false, note: Some("no line names the columns") };
    let Some((first, rest)) = rows.split_first() else { return no };
    let cells: Vec<&str> = first.iter().map(|it| it.trim()).collect();
    let mut seen = HashSet::new();
    // The column of row numbers that programs write has no name.
    let is_named = cells.iter().enumerate().all(|(index, cell)| {
        (index == 0 && cell.is_empty() && 1 < cells.len())
            || (!cell.is_empty() && !looks_like_a_value(cell))
    });
    let are_different = cells.iter().all(|it| seen.insert(*it));
    if !is_named {
        let years = cells.iter().skip(1).all(|it| is_year(it)) && 2 < cells.len();
        let is_first = !cells.first().is_some_and(|it| looks_like_a_value(it));
        return if years && is_first { yes } else { no };
    }
    if rest.is_empty() {
        return Header { is_there: true, note: Some("only one line: taken as the names") };
    }
    let column = |index: usize| rest.iter().filter_map(move |it| it.get(index)).map(|it| it.trim());
    let mut is_typed = false;
    for (index, cell) in cells.iter().enumerate() {
        let filled: Vec<&str> = column(index).filter(|it| !it.is_empty()).collect();
        let values = filled.iter().filter(|it| looks_like_a_value(it)).count();
        is_typed |= !filled.is_empty() && filled.len() <= values * 2;
        if 1 < rest.len() && filled.iter().any(|it| it == cell) {
            return no; // What should be a name is a value further down.
        }
    }
    if is_typed {
        return yes;
    }
    let are_words = cells.iter().all(|it| it.chars().count() <= 60 && !it.contains(['@', '\n']));
    if are_words && are_different {
        Header { is_there: true, note: Some("all is text: the first line is taken as the names") }
    } else {
        no
    }
}

fn is_year(cell: &str) -> bool {
    cell.len() == 4 && cell.parse::<u32>().is_ok_and(|it| (1_900..2_100).contains(&it))
}

/// Gives every column a name of its own.
pub(crate) fn names_of<'a>(cells: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut used = HashSet::new();
    for (index, cell) in cells.enumerate() {
        let cell = cell.trim();
        let base = if cell.is_empty() { format!("column_{}", index + 1) } else { cell.to_owned() };
        let mut name = base.clone();
        let mut number = 2;
        while !used.insert(name.clone()) {
            name = format!("{base}_{number}");
            number += 1;
        }
        names.push(name);
    }
    names
}

/// Makes a table of a grid: titles above it are passed over.
pub(crate) fn found_of_grid(grid: Grid) -> Option<(Layout, FoundTable)> {
    let width = grid.rows.iter().map(Vec::len).max().unwrap_or(0);
    let filled = |row: &Vec<String>| row.iter().filter(|it| !it.is_empty()).count();
    let begin = grid.rows.iter().position(|it| width <= filled(it) * 2)?;
    let mut rows: Vec<Vec<String>> = grid.rows.into_iter().skip(begin).collect();
    for row in &mut rows {
        row.resize(width, String::new());
    }
    let header = header(rows.get(..rows.len().min(super::dialect::RECORDS)).unwrap_or_default());
    let names = match rows.first() {
        Some(first) if header.is_there => names_of(first.iter().map(String::as_str)),
        _ => names_of(std::iter::repeat_n("", width)),
    };
    let mut columns: Vec<Profile> = names.iter().map(|it| Profile::new(it)).collect();
    let mut count = 0;
    for row in rows.iter().skip(usize::from(header.is_there)) {
        count += 1;
        for (column, cell) in columns.iter_mut().zip(row) {
            column.push(Cell::Field(cell), count);
        }
    }
    let mut notes = Vec::new();
    if 0 < begin {
        notes.push(format!("{begin} rows stand above the table"));
    }
    let layout = Layout {
        dialect: Dialect::USUAL,
        preamble: begin,
        has_header: header.is_there,
        encoding: "UTF-8",
    };
    let table = FoundTable {
        name: None,
        format: TableFormat::Csv(layout.clone()),
        columns,
        rows: if grid.is_cut { Rows::About(grid.rows_about) } else { Rows::Exactly(count) },
        bad_rows: BadRows::default(),
        notes,
    };
    Some((layout, table))
}
