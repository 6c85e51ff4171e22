//! Lookups: small tables read whole, from files of the project.

use base::{Name, Span, nearest};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::column::{self, Column, ColumnEntry, Columns, Described};
use crate::ctx::{Declared, LoadCtx};
use crate::document::Value;
use crate::said::{Entries, Said, Words, listed};
use crate::source::{Spot, Word};

/// A small table read whole.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// The file, by its path in the project.
    pub from: Word,
    /// What the file is written in.
    pub format: LookupFormat,
    /// The column that finds a row.
    pub key: Word,
    /// The column that says from when on a row is valid, where a key has several rows.
    pub valid_from: Option<Word>,
    /// The column that says up to when a row is valid; up to the next row of the key if not said.
    pub valid_to: Option<Word>,
    /// How often the file is read again, whether it looks changed or not.
    pub every: Option<Span>,
    /// The columns with a declared type; the types of the others are found from their values.
    pub columns: Vec<Column>,
    /// What its columns are, for people.
    pub descriptions: Vec<Described>,
    /// What it is, for people.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Free words to find it by.
    pub tags: Vec<String>,
}

/// What the file of a lookup is written in; its ending says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupFormat {
    /// Values between commas, semicolons or tabs; the first line names the columns.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// Parquet.
    Parquet,
}

const FORMATS: &[(&str, LookupFormat)] = &[
    ("csv", LookupFormat::Csv),
    ("tsv", LookupFormat::Csv),
    ("ndjson", LookupFormat::Ndjson),
    ("jsonl", LookupFormat::Ndjson),
    ("parquet", LookupFormat::Parquet),
];

/// `[lookup.NAME]`: a small table, read whole from a file of the project.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["from", "key"]))]
pub(crate) struct LookupOptions {
    /// The file, by its path in the project's folder: `.csv` (or `.tsv`) with a first line that names
    /// the columns, `.ndjson` (or `.jsonl`) with an object a line, or `.parquet`.
    from: Option<Said<String>>,
    /// The column that finds a row.
    key: Option<Said<String>>,
    /// The column that says from when on a row is valid, where a key has several rows, as prices
    /// have. Joins then ask for the row of their moment: `o.ts >= p.since AND o.ts < p.valid_to`.
    valid_from: Option<Said<String>>,
    /// The column that says up to when a row is valid; without it the column `valid_to` is added,
    /// with the time at which the next row of the same key begins.
    valid_to: Option<Said<String>>,
    /// How often the file is read again, whether it looks changed or not; a file that looks changed
    /// is read at once anyway.
    every: Option<Said<Words<Span>>>,
    /// Types of columns, where they should not be found from the values: `zip = "text"`; and what
    /// columns are, for people: `zip = { description = "where it is delivered" }`.
    #[serde(default)]
    columns: Entries<ColumnEntry>,
    /// What it is, for people.
    description: Option<String>,
    /// Who answers for it.
    owner: Option<String>,
    /// Free words to find it by.
    #[serde(default)]
    tags: Vec<String>,
}

pub(crate) fn read(ctx: &mut LoadCtx<'_>, declared: Declared, value: Value<'_>) -> Option<Lookup> {
    let before = ctx.faults.len();
    let options: LookupOptions = ctx.read(value);
    let is_sound = ctx.faults.len() == before;
    let columns = column::read(ctx, options.columns);
    let every = ctx.span(options.every, "every");
    let needed = [("from", "products.csv", &options.from), ("key", "product_id", &options.key)];
    for (key, example, said) in needed {
        if said.is_none() && is_sound {
            let help = format!("add `{key} = \"{example}\"`");
            ctx.missing(&declared.spot, format!("`{}` has no `{key}`", declared.name), help);
        }
    }
    if let (Some(said), None) = (&options.valid_to, &options.valid_from) {
        let message = "`valid_to` without `valid_from`".to_owned();
        let help =
            "add `valid_from = \"COLUMN\"`, which says from when on a row is valid".to_owned();
        ctx.fault(&said.range, message, Some(help));
    }
    let (from, key) = (options.from?, options.key?);
    let format = format_of(&from.value);
    let named = [Some(&key), options.valid_from.as_ref(), options.valid_to.as_ref()];
    check_file(ctx, &from, format, &named, &columns);
    Some(Lookup {
        from: ctx.word(&from),
        format: format.unwrap_or(LookupFormat::Csv),
        key: ctx.word(&key),
        valid_from: options.valid_from.map(|it| ctx.word(&it)),
        valid_to: options.valid_to.map(|it| ctx.word(&it)),
        every,
        columns: columns.typed,
        descriptions: columns.descriptions,
        description: options.description,
        owner: options.owner,
        tags: options.tags,
        name: declared.name,
        spot: declared.spot,
    })
}

fn format_of(path: &str) -> Option<LookupFormat> {
    let (_, ending) = path.rsplit_once('.')?;
    FORMATS.iter().find(|(it, _)| it.eq_ignore_ascii_case(ending)).map(|(_, format)| *format)
}

fn check_file(
    ctx: &mut LoadCtx<'_>,
    from: &Said<String>,
    format: Option<LookupFormat>,
    named: &[Option<&Said<String>>],
    columns: &Columns,
) {
    let path = &from.value;
    let leaves = path.split(['/', '\\']).any(|it| it == "..") || path.starts_with(['/', '\\']);
    let help = "write its path below the project's folder, as in `\"products.csv\"`".to_owned();
    if leaves || path.is_empty() {
        return ctx.fault(&from.range, format!("`{path}` is not in the project"), Some(help));
    }
    let Some(format) = format else {
        let endings: Vec<String> = FORMATS.iter().map(|(it, _)| format!(".{it}")).collect();
        let endings: Vec<&str> = endings.iter().map(String::as_str).collect();
        let help = format!("a lookup is read from a file that ends in {}", listed(&endings));
        let message = format!("`{path}` is no file that a lookup can be read from");
        return ctx.fault(&from.range, message, Some(help));
    };
    let head = match (ctx.head)(path) {
        Ok(head) => head,
        Err(why) => {
            return ctx.fault(&from.range, format!("`{path}` cannot be read: {why}"), Some(help));
        }
    };
    if format != LookupFormat::Csv {
        return; // Its columns are known when its rows are read.
    }
    let Some(header) = header(&head) else {
        let help = "its first line must name the columns: `product_id,name`".to_owned();
        return ctx.fault(&from.range, format!("`{path}` has no first line"), Some(help));
    };
    let typed = columns.typed.iter().map(|it| (it.name.clone(), it.spot.clone()));
    let untyped = columns.untyped.iter().map(|it| (it.text.clone(), it.spot.clone()));
    let named = named.iter().flatten().map(|it| (it.value.clone(), ctx.spot(&it.range)));
    let wanted: Vec<(String, Spot)> = named.chain(typed).chain(untyped).collect();
    for (column, spot) in wanted {
        if !header.contains(&column) {
            let names: Vec<&str> = header.iter().map(String::as_str).collect();
            let help = match nearest(&column, names.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("its first line names {}", listed(&names).replace(" or ", " and ")),
            };
            let message = format!("`{path}` has no column `{column}`");
            ctx.faults.push(spot.fault(message, Some(help)));
        }
    }
}

/// Returns the names in the first line of a CSV file.
fn header(head: &str) -> Option<Vec<String>> {
    let head = head.strip_prefix('\u{feff}').unwrap_or(head);
    let first_line = head.lines().next().unwrap_or_default();
    let separators = ['\t', ';', ','];
    let separator = separators.into_iter().max_by_key(|it| first_line.matches(*it).count())?;
    let mut names = vec![String::new()];
    let mut is_quoted = false;
    let mut signs = head.chars().peekable();
    while let Some(sign) = signs.next() {
        let name = names.last_mut()?;
        match sign {
            '"' if is_quoted && signs.peek() == Some(&'"') => {
                name.push('"');
                signs.next();
            }
            '"' => is_quoted = !is_quoted,
            sign if sign == separator && !is_quoted => names.push(String::new()),
            '\r' | '\n' if !is_quoted => break,
            other => name.push(other),
        }
    }
    let is_empty = names.iter().all(|it| it.trim().is_empty());
    (!is_empty).then(|| names.iter().map(|it| it.trim().to_owned()).collect())
}
