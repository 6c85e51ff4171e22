//! What a person may accept: sections of a project file, each guess with what it rests on.

use std::collections::HashSet;
use std::fmt;

use base::{ByteSize, Glob};
use rows::files::{Rows, plain_name};
use rows::infer::{DateOrder, Evidence, Form, Guess};
use spec::{ColumnType, name_like};

use crate::crawl::{Crawl, FoundTable};

/// Sections of a project file. Written out they are TOML that `mainstem check` takes.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// What the crawl was.
    pub heading: String,
    /// Where the files of streams lie, if there is one.
    pub bucket: Option<Bucket>,
    /// One section a table.
    pub sections: Vec<Section>,
}

/// Where the files lie, as a project says it.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The name.
    pub name: String,
    /// A folder or an address.
    pub from: String,
    /// Settings of the store.
    pub store: Vec<(String, String)>,
    /// What a file is called that was crawled by itself.
    pub only: Option<String>,
}

/// What one table becomes.
#[derive(Debug, Clone)]
pub struct Section {
    /// The name.
    pub name: String,
    /// What was found, for people.
    pub about: Vec<String>,
    /// Where its files lie, below the root.
    pub files: String,
    /// As what it is proposed.
    pub kind: Kind,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// As what a table is proposed.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A small table that is read whole, by its file's path in the project.
    Lookup {
        /// The file.
        from: String,
        /// The column that finds a row.
        key: String,
    },
    /// Rows that come in.
    Stream {
        /// The bucket that its files lie in.
        bucket: String,
        /// Which of the bucket's objects they are.
        matching: String,
        /// Which of day and month comes first, where a file by itself could mistake it.
        dates: Option<DateOrder>,
        /// The column with the event time.
        time: Option<String>,
    },
}

/// One column of a section.
#[derive(Debug, Clone)]
pub struct Column {
    /// The name.
    pub name: String,
    /// The type to declare.
    pub kind: ColumnType,
    /// Why.
    pub why: String,
    /// Whether it can be declared: names that begin with `_` are the program's own.
    pub is_allowed: bool,
}

/// Rows of a lookup that is proposed: a person would still look into the file.
const LOOKUP_ROWS_MAX: u64 = 100_000;

/// Bytes of the file of a lookup that is proposed.
const LOOKUP_FILE_BYTES_MAX: u64 = 16_000_000;

impl Proposal {
    /// Proposes a section for each table. Small tables with a key become lookups if `lookup_path`
    /// says where in the project their file is; the others streams that read the files of `bucket`.
    pub fn of(
        crawl: &Crawl,
        bucket: Bucket,
        lookup_path: &dyn Fn(&str) -> Option<String>,
    ) -> Proposal {
        let sections: Vec<Section> =
            crawl.tables.iter().map(|it| section(crawl, it, &bucket, lookup_path)).collect();
        let (files, tables) = (crawl.files.len(), sections.len());
        let heading = format!(
            "mainstem crawl {}: {files} files, {tables} tables. Every guess says what it rests on.",
            crawl.root
        );
        let is_read = sections.iter().any(|it| matches!(it.kind, Kind::Stream { .. }));
        Proposal { heading, bucket: Some(bucket).filter(|_| is_read), sections }
    }
}

fn section(
    crawl: &Crawl,
    table: &FoundTable,
    bucket: &Bucket,
    lookup_path: &dyn Fn(&str) -> Option<String>,
) -> Section {
    let mut about = about(crawl, table);
    let files = table.pattern.clone();
    let name = table.name.clone();
    if let Some(kind) = lookup(crawl, table, lookup_path) {
        let columns = table.columns.iter().map(|it| column(crawl, table, it)).collect();
        return Section { name, about, files, kind, columns };
    }
    let (matching, doubt) = matching(crawl, table, bucket);
    about.extend(doubt);
    let columns = columns_of_stream(crawl, table);
    let time = columns.iter().zip(&table.columns).find(|(column, guess)| {
        let is_whole = guess.evidence.nulls == 0 && guess.evidence.exceptions == 0;
        column.kind == ColumnType::Timestamp && is_whole && column.is_allowed
    });
    let time = time.map(|(column, _)| column.name.clone());
    let dates = dates_of(table);
    let kind = Kind::Stream { bucket: bucket.name.clone(), matching, dates, time };
    Section { name, about, files, kind, columns }
}

/// Returns in which order all dates of a table are, if a value decides it and a file without such a
/// value would be read in the other.
pub(crate) fn dates_of(table: &FoundTable) -> Option<DateOrder> {
    let mut decided = table.columns.iter().filter_map(|it| it.evidence.dates);
    let first = decided.next()?;
    let is_same = decided.all(|it| it == first);
    let is_whole = table.columns.iter().all(|it| match it.form {
        Form::Moment { .. } => it.evidence.exceptions == 0,
        _ => true,
    });
    (is_same && is_whole && first == DateOrder::DayFirst).then_some(first)
}

/// Returns the pattern that means the files of a table, and what is to be said about it.
fn matching(crawl: &Crawl, table: &FoundTable, bucket: &Bucket) -> (String, Option<String>) {
    if let Some(only) = &bucket.only {
        return (only.clone(), None);
    }
    let own: HashSet<usize> = table.files.iter().copied().collect();
    let counts = |pattern: &str| {
        let glob = Glob::new(pattern).ok()?;
        let means = crawl.files.iter().enumerate().filter(|(_, it)| glob.matches(&it.path));
        let (ours, others): (Vec<_>, Vec<_>) = means.partition(|(index, _)| own.contains(index));
        let others = others.iter().filter(|(_, it)| !it.tables.is_empty()).count();
        Some((ours.len(), others))
    };
    match counts(&table.pattern) {
        Some((ours, 0)) if ours == own.len() => (table.pattern.clone(), None),
        Some((ours, others)) if ours == own.len() => {
            let doubt = format!("the pattern means {others} files of other tables, too");
            (table.pattern.clone(), Some(doubt))
        }
        _ => {
            let doubt = "no pattern was found for its files: write one for `matching`";
            ("**".to_owned(), Some(doubt.to_owned()))
        }
    }
}

/// The door reads values in the form in which files write them, so that a column has its own type,
/// and finds columns whatever their case and signs, so that they have names of SQL.
fn columns_of_stream(crawl: &Crawl, table: &FoundTable) -> Vec<Column> {
    let mut names = HashSet::new();
    let mut columns = Vec::new();
    for guess in table.columns.iter().chain(&table.partitions) {
        let mut column = column(crawl, table, guess);
        let like = name_like(&guess.name);
        if plain_name(&like) == plain_name(&guess.name) && names.insert(like.clone()) {
            (column.name, column.is_allowed) = (like, true);
        }
        if guess.evidence.exceptions == 0 {
            column.kind = guess.kind;
            column.why = why(crawl, table, guess);
        }
        columns.push(column);
    }
    columns
}

fn lookup(
    crawl: &Crawl,
    table: &FoundTable,
    lookup_path: &dyn Fn(&str) -> Option<String>,
) -> Option<Kind> {
    let &[index] = table.files.as_slice() else { return None };
    let path = &crawl.files.get(index)?.path;
    let is_plain = table.layout.as_ref().is_none_or(|it| {
        matches!(it.dialect.delimiter, b',' | b';' | b'\t')
            && it.has_header
            && it.preamble == 0
            && it.encoding == "UTF-8"
    });
    let lower = path.to_ascii_lowercase();
    let endings = [".csv", ".tsv", ".ndjson", ".jsonl"];
    let is_small = table.rows.count() <= LOOKUP_ROWS_MAX && table.size <= LOOKUP_FILE_BYTES_MAX;
    let is_all = table.rows == Rows::Exactly(table.sampled) && table.bad_rows.0 == 0;
    if !is_plain || !is_small || !is_all || !endings.iter().any(|it| lower.ends_with(it)) {
        return None;
    }
    let key = key(table)?.name.clone();
    Some(Kind::Lookup { from: lookup_path(path)?, key })
}

/// The column that tells the rows apart, one that is called like it before others.
fn key(table: &FoundTable) -> Option<&Guess> {
    let is_fit = |it: &&Guess| {
        it.is_unique()
            && it.form == Form::Plain
            && !it.name.starts_with('_')
            && it.evidence.exceptions == 0
            && matches!(it.kind, ColumnType::Int | ColumnType::Text)
            && it.evidence.chars.is_none_or(|(_, most)| most <= 64)
    };
    let called = |it: &&Guess| {
        let name = it.name.to_ascii_lowercase();
        ["id", "key", "code", "sku", "iata"].iter().any(|word| name.ends_with(word))
    };
    let first = table.columns.first().filter(is_fit);
    let fit = || table.columns.iter().filter(is_fit);
    fit().find(called).or(first).or_else(|| fit().next())
}

fn about(crawl: &Crawl, table: &FoundTable) -> Vec<String> {
    let inside = table.inside.as_ref().map(|it| format!(", `{it}` in it")).unwrap_or_default();
    let files = match table.files.as_slice() {
        [_] => String::new(),
        files => format!(", {} files", files.len()),
    };
    let pattern = if table.pattern.is_empty() { crawl.root.as_str() } else { &table.pattern };
    let mut about = vec![format!(
        "{pattern}{inside}{files}: {}, {}, {}",
        rows_said(table.rows),
        ByteSize(table.size),
        formats_said(table)
    )];
    for guess in &table.partitions {
        let range = range_said(&guess.evidence).unwrap_or_default();
        about.push(
            format!("its folders say `{}`: {} {range}", guess.name, guess.kind)
                .trim_end()
                .to_owned(),
        );
    }
    about.extend(table.notes.iter().cloned());
    if let (count @ 1.., examples) = &table.bad_rows {
        let first = examples.first().map(|(file, row, why)| {
            let path = crawl.files.get(*file).map_or("", |it| it.path.as_str());
            format!(", the first in {path} row {row}: {why}")
        });
        about.push(format!("{count} rows do not fit{}", first.unwrap_or_default()));
    }
    about
}

/// Says how many rows there are.
pub fn rows_said(rows: Rows) -> String {
    match rows {
        Rows::Exactly(1) => "1 row".to_owned(),
        Rows::Exactly(count) => format!("{} rows", grouped(count)),
        Rows::About(count) => format!("about {} rows", grouped(rounded(count))),
    }
}

/// An estimate has two digits that mean something.
fn rounded(count: u64) -> u64 {
    let mut unit = 1;
    while 100 <= count / unit {
        unit *= 10;
    }
    (count + unit / 2) / unit * unit
}

/// Writes 1234567 as 1,234,567.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if 0 < index && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Says in what its files are written.
pub fn formats_said(table: &FoundTable) -> String {
    let formats = match table.formats.as_slice() {
        [(format, _)] => format.clone(),
        formats => {
            let each: Vec<String> =
                formats.iter().map(|(format, count)| format!("{count} {format}")).collect();
            each.join(", ")
        }
    };
    let mut said = vec![formats];
    if let Some(layout) = &table.layout {
        let delimiter = match layout.dialect.delimiter {
            b',' => None,
            b'\t' => Some("tabs".to_owned()),
            b' ' => Some("spaces".to_owned()),
            it if it.is_ascii_control() => Some(format!("the byte {it}")),
            it => Some(format!("`{}`", char::from(it))),
        };
        said.extend(delimiter.map(|it| format!("with {it} between")));
        if layout.encoding != "UTF-8" {
            said.push(format!("in {}", layout.encoding));
        }
    }
    said.join(" ")
}

fn column(crawl: &Crawl, table: &FoundTable, guess: &Guess) -> Column {
    let Evidence { markers, exceptions, .. } = &guess.evidence;
    let kind = guess.plain_kind();
    // A record with one of these would be rejected; as text nothing is lost.
    let is_clean = markers.is_empty() && *exceptions == 0;
    let declared = if is_clean { kind } else { ColumnType::Text };
    let mut why = why(crawl, table, guess);
    if declared != guess.kind {
        why = format!("{}: {why}", guess.kind);
    }
    let is_allowed = !guess.name.starts_with('_') && !guess.name.is_empty();
    Column { name: guess.name.clone(), kind: declared, why, is_allowed }
}

/// Says what a guess rests on, in one line.
pub fn why(crawl: &Crawl, table: &FoundTable, guess: &Guess) -> String {
    let Evidence { seen, nulls, markers, distinct, exceptions, examples, notes, .. } =
        &guess.evidence;
    let mut said = Vec::new();
    if guess.form != Form::Plain {
        said.push(guess.form.to_string());
    }
    if guess.evidence.is_declared {
        said.push("as the file says".to_owned());
    }
    let place = |file: u32, row: u64| {
        let index = usize::try_from(file).ok().and_then(|it| table.files.get(it));
        let path = index.and_then(|it| crawl.files.get(*it)).map_or("", |it| it.path.as_str());
        if table.files.len() < 2 { format!("row {row}") } else { format!("{path} row {row}") }
    };
    if 0 < *exceptions {
        let first: Vec<String> = examples
            .iter()
            .take(2)
            .map(|it| format!("`{}` in {}", it.value, place(it.place.file, it.place.row)))
            .collect();
        let of = grouped(*seen - *nulls);
        said.push(format!("{} of {of} values are not: {}", grouped(*exceptions), first.join(", ")));
    }
    for (word, count) in markers {
        said.push(format!("{} of {} say `{word}`", grouped(*count), grouped(*seen)));
    }
    match (*nulls, *seen) {
        (0, _) | (_, 0) => {}
        (nulls, seen) if nulls == seen => said.push(format!("empty in all {}", grouped(seen))),
        (nulls, seen) => said.push(format!("{} of {} empty", grouped(nulls), grouped(seen))),
    }
    said.extend(range_said(&guess.evidence));
    match distinct {
        _ if guess.is_unique() => said.push("all different".to_owned()),
        Some(it) if it.count == 1 && 1 < *seen => said.push("always the same".to_owned()),
        Some(it) if !it.is_cut && 1 < it.count && it.count <= 20 && 40 < *seen => {
            said.push(format!("{} different", it.count));
        }
        _ => {}
    }
    said.extend(notes.iter().cloned());
    said.join("; ")
}

fn range_said(evidence: &Evidence) -> Option<String> {
    let (least, greatest) = evidence.range.as_ref()?;
    let cut = |text: &str| {
        let mut short: String = text.chars().take(24).collect();
        if short.len() < text.len() {
            short.push('…');
        }
        short
    };
    Some(if least == greatest {
        cut(least)
    } else {
        format!("{} .. {}", cut(least), cut(greatest))
    })
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {}", one_line(&self.heading))?;
        if let Some(bucket) = &self.bucket {
            writeln!(f, "\n[bucket.{}]", bucket.name)?;
            writeln!(f, "from = {}", quoted(&bucket.from))?;
            let store = bucket.store.iter();
            let store = store.map(|(name, value)| format!("{} = {}", key_of(name), quoted(value)));
            let store = store.collect::<Vec<_>>().join(", ");
            if !store.is_empty() {
                writeln!(f, "store = {{ {store} }}")?;
            }
        }
        for section in &self.sections {
            write!(f, "\n{section}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.about {
            writeln!(f, "# {}", one_line(line))?;
        }
        let kind = match &self.kind {
            Kind::Lookup { from, key } => {
                writeln!(f, "[lookup.{}]", self.name)?;
                writeln!(f, "from = {}", quoted(from))?;
                writeln!(f, "key  = {}", quoted(key))?;
                "lookup"
            }
            Kind::Stream { bucket, matching, dates, time } => {
                writeln!(f, "[stream.{}]", self.name)?;
                let (bucket, matching) = (quoted(bucket), quoted(matching));
                let dates = match dates {
                    Some(DateOrder::DayFirst) => ", dates = \"day first\"",
                    Some(DateOrder::MonthFirst) => ", dates = \"month first\"",
                    None => "",
                };
                writeln!(
                    f,
                    "from = [{{ door = \"files\", bucket = {bucket}, matching = {matching}{dates} }}]"
                )?;
                if let Some(time) = time {
                    writeln!(f, "time = {}", quoted(time))?;
                }
                "stream"
            }
        };
        write!(f, "\n{}", self.columns_said(kind, &self.name))
    }
}

impl Section {
    /// Writes its columns as those of a `kind` of that name.
    pub fn columns_said(&self, kind: &str, name: &str) -> String {
        let mut text = format!("[{kind}.{name}.columns]\n");
        let entries: Vec<(String, &Column)> = self
            .columns
            .iter()
            .map(|it| (format!("{} = {}", key_of(&it.name), quoted(&it.kind.to_string())), it))
            .collect();
        let usual = entries.iter().map(|it| it.0.chars().count()).filter(|it| *it <= 40).max();
        let width = usual.unwrap_or(0);
        for (entry, column) in &entries {
            let out = if column.is_allowed { "" } else { "# not to be declared: " };
            let line = format!("{out}{entry:width$}  # {}", one_line(&column.why));
            text += line.trim_end_matches("# ").trim_end();
            text.push('\n');
        }
        if self.columns.iter().all(|it| !it.is_allowed) && kind == "stream" {
            text += "value = \"json\"\n";
        }
        text
    }
}

fn key_of(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '_' | '-'));
    if is_bare { name.to_owned() } else { quoted(name) }
}

/// Writes a text as TOML does.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for sign in text.chars() {
        match sign {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            sign if sign.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(sign))),
            sign => out.push(sign),
        }
    }
    out.push('"');
    out
}

/// What stands in a comment must not end it.
fn one_line(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}
