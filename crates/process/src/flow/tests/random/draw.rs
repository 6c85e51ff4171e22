//! Draws records and tables.

use std::collections::BTreeSet;

/// The stream and the lookup that every random project has.
const PROJECT: &str = r#"[project]
name = "random"

[stream.events]
time = "ts"

[stream.events.columns]
id = "int not null"
ts = "timestamp not null"
who = "text"
place = "text"
value = "int"
amount = "decimal(12,2)"
ratio = "float"
flag = "bool"

[lookup.places]
from = "places.csv"
key = "place"
"#;

const OTHERS: &str = r#"
[stream.others]
time = "ts"

[stream.others.columns]
id = "int not null"
ts = "timestamp not null"
who = "text"
value = "int"
"#;

/// Returns the project of these tables.
pub(super) fn project(tables: &[Table]) -> String {
    let others = if reads_others(tables) { OTHERS } else { "" };
    format!("{PROJECT}{others}")
}

/// Returns whether a table reads the second stream.
pub(super) fn reads_others(tables: &[Table]) -> bool {
    tables.iter().any(|it| it.reads.contains("others"))
}

pub(super) const PLACES: &str = "place,region,weight\np1,north,2\np2,north,3\np3,,4\né,south,\n";

const WORDS: &[&str] = &["a", "b", "B", "é", "", " a", "p1"];
const PLACES_SAID: &[&str] = &["p1", "p2", "p3", "p9", "é", ""];

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Decimal,
    /// The last digits depend on the order of the rows: nothing may be decided by it.
    Float,
    Text,
    Bool,
    /// A time that is never NULL.
    Time,
    /// A time that may be NULL, and so opens no window.
    Moment,
}

use Kind::{Bool, Decimal, Float, Int, Moment, Text, Time};

#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) settings: String,
    pub(super) sql: String,
    pub(super) columns: Vec<Column>,
    pub(super) reads: BTreeSet<String>,
    way: Way,
}

/// How a table comes to be, as far as it matters for what to draw over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Rows are only added to it, so that others follow it row by row.
    Rows,
    /// By windows.
    Windows,
    Otherwise,
}

impl Table {
    /// Returns what stands behind FROM: a name, or all of it if it has none.
    fn from(&self) -> String {
        if self.name.is_empty() { format!("({})", self.sql) } else { self.name.clone() }
    }

    /// Returns the contents of its file.
    pub(super) fn file(&self) -> String {
        let settings = match self.settings.as_str() {
            "" => String::new(),
            settings => format!("/*\n{settings}\n*/\n"),
        };
        format!("{settings}{}\n", self.sql)
    }
}

/// Draws; everything follows from the seed.
pub(super) struct Draw {
    random: fastrand::Rng,
    last_id: u64,
    /// What the columns of the table under way begin with: each table has names of its own.
    letter: char,
}

impl Draw {
    pub(super) fn new(seed: u64) -> Draw {
        Draw { random: fastrand::Rng::with_seed(seed), last_id: 0, letter: 'a' }
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        self.random.usize(0..count)
    }

    pub(super) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.random.usize(0..all.len())]
    }

    /// Returns true in one of so many cases.
    fn seldom(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    /// Draws the records of a step: mostly near the front of time, sometimes long past, sometimes
    /// far ahead, sometimes the same again.
    pub(super) fn records(&mut self, step: usize) -> Vec<(String, String)> {
        let mut records: Vec<(String, String)> = Vec::new();
        for _ in 0..self.below(10) {
            if !records.is_empty() && self.seldom(12) {
                records.push(self.one_of(&records.clone()).clone());
                continue;
            }
            self.last_id += 1;
            let front = i64::try_from(step).unwrap() * 20_000;
            let back = match self.below(12) {
                0 => front + 100_000,
                1 => -60_000,
                _ => 45_000,
            };
            let moment = front - self.random.i64(back.min(0)..=back.max(0));
            records.push(self.record(moment));
        }
        records
    }

    fn record(&mut self, moment_ms: i64) -> (String, String) {
        let micros = if self.seldom(5) { self.random.i64(0..1_000_000) } else { 0 };
        let seconds = moment_ms.div_euclid(1_000);
        // Whole minutes now and then: rows on the edges of windows.
        let seconds = if self.seldom(6) { seconds.div_euclid(60) * 60 } else { seconds };
        let micros = 1_767_607_200_000_000 + seconds * 1_000_000 + micros;
        let ts = rows::json::timestamp_text(micros);
        let mut fields = vec![format!("\"id\":{}", self.last_id), format!("\"ts\":\"{ts}\"")];
        let is_other = self.seldom(4);
        let mut add = |draw: &mut Draw, name: &str, value: String| {
            // A NULL said, or a field left out.
            match draw.below(8) {
                0 => fields.push(format!("\"{name}\":null")),
                1 => {}
                _ => fields.push(format!("\"{name}\":{value}")),
            }
        };
        let who = serde_json::to_string(self.one_of(WORDS)).unwrap();
        add(self, "who", who);
        let value = self.random.i32(-9..10).to_string();
        add(self, "value", value);
        if !is_other {
            let place = serde_json::to_string(self.one_of(PLACES_SAID)).unwrap();
            add(self, "place", place);
            let cents = self.random.i32(-500..1_000);
            let sign = if cents < 0 { "-" } else { "" };
            let cents = cents.abs();
            add(self, "amount", format!("\"{sign}{}.{:02}\"", cents / 100, cents % 100));
            let ratio = f64::from(self.random.i32(-20..40)) / 4.0;
            add(self, "ratio", ratio.to_string());
            let flag = self.random.bool().to_string();
            add(self, "flag", flag);
        }
        let stream = if is_other { "others" } else { "events" };
        (stream.to_owned(), format!("{{{}}}", fields.join(",")))
    }

    /// Draws one to four tables, each over the streams and the tables before it.
    pub(super) fn tables(&mut self) -> Vec<Table> {
        let events = stream("events");
        let mut sources = vec![events.clone(), events.clone(), events, stream("others")];
        let mut tables = Vec::new();
        for number in 1..=1 + self.below(4) {
            let (source, other) = match self.below(8) {
                0 => (self.one_of(&sources), self.one_of(&sources)),
                1..=3 => (self.one_of_way(&sources, Way::Rows), self.one_of(&sources)),
                4 | 5 => {
                    let windows = |draw: &mut Draw| draw.one_of_way(&sources, Way::Windows);
                    (windows(self), windows(self))
                }
                _ => (&sources[if number == 1 { 0 } else { sources.len() - 1 }], &sources[0]),
            };
            let (source, other) = (source.clone(), other.clone());
            self.letter = char::from(b'a' + u8::try_from(number).unwrap());
            let table = self.table(&format!("t{number}"), &source, &other);
            sources.push(table.clone());
            tables.push(table);
        }
        if reads_others(&tables) {
            // All must be one flow.
            tables.push(tie());
        }
        tables
    }

    /// Draws one that came to be like this, or any if there is none.
    fn one_of_way<'a>(&mut self, all: &'a [Table], way: Way) -> &'a Table {
        let fitting: Vec<&Table> = all.iter().filter(|it| it.way == way).collect();
        match fitting.as_slice() {
            [] => self.one_of(all),
            some => some[self.below(some.len())],
        }
    }

    fn table(&mut self, name: &str, source: &Table, other: &Table) -> Table {
        let (nested, below) = if self.seldom(5) {
            let letter = std::mem::replace(&mut self.letter, 'n');
            let nested = self.form(source, other);
            self.letter = letter;
            (nested.clone(), nested.reads)
        } else {
            (source.clone(), BTreeSet::from([source.name.clone()]))
        };
        let mut made = self.form(&nested, other);
        made.name = name.to_owned();
        made.reads.extend(below);
        made
    }

    /// Draws a SELECT over a table, or over two.
    fn form(&mut self, source: &Table, other: &Table) -> Table {
        let is_windows = source.way == Way::Windows;
        let made = match self.below(if is_windows { 28 } else { 20 }) {
            0..=6 => self.windows(source),
            7 | 8 => self.totals(source),
            9 | 10 => self.rows(source),
            11 | 12 => self.top(source),
            13 => match self.below(3) {
                0 => self.lag(source),
                1 => self.moving(source),
                _ => self.exists(source, other),
            },
            14 => self.union(source, other),
            15 => self.join(source, other),
            16 => self.distinct(source),
            17 | 18 | 20 | 21 | 22 => self.join_of_windows(source, other),
            19 | 23 | 24 => self.of_windows(source),
            25 | 26 => self.top(source),
            _ => self.union(source, other),
        };
        let mut made = made.or_else(|| self.rows(source)).unwrap();
        if !source.name.is_empty() {
            made.reads.insert(source.name.clone());
        }
        made
    }

    /// Windows over a time.
    fn windows(&mut self, source: &Table) -> Option<Table> {
        let time = self.column(source, &[Time])?;
        let size = *self.one_of(&["1 minute", "10 seconds", "7 minutes", "1 hour"]);
        let window = match self.below(6) {
            0 => {
                let slide = *self.one_of(&["20 seconds", "1 minute", "40 seconds"]);
                format!("hop({time}, '{slide}', '2 minutes')")
            }
            1 => format!("session({time}, '{}')", self.one_of(&["10 seconds", "1 minute"])),
            _ => format!("tumble({time}, '{size}')"),
        };
        let mut made = self.groups(source, vec![(window, Time)]);
        let late =
            *self.one_of(&["", "late = \"0 seconds\"", "late = \"1 minute\"", "late = \"1 hour\""]);
        late.clone_into(&mut made.settings);
        Some(Table { way: Way::Windows, ..made })
    }

    /// Groups of the windows below, or of the same times.
    fn of_windows(&mut self, source: &Table) -> Option<Table> {
        let time = self.column(source, &[Time])?;
        let made = self.groups(source, vec![(time, Time)]);
        let way = if source.way == Way::Windows { Way::Windows } else { Way::Otherwise };
        Some(Table { way, ..made })
    }

    /// Totals without a window.
    fn totals(&mut self, source: &Table) -> Option<Table> {
        Some(self.groups(source, Vec::new()))
    }

    fn groups(&mut self, source: &Table, mut keys: Vec<(String, Kind)>) -> Table {
        for _ in 0..self.below(3) {
            let kind = *self.one_of(&[Text, Text, Int, Bool]);
            let key = self.expression(source, kind, 1);
            // A number alone would be a position.
            let key = if key.parse::<i64>().is_ok() { format!("{key} + 0") } else { key };
            keys.push((key, kind));
        }
        let keys_count = keys.len();
        let mut columns = keys;
        for _ in 0..1 + self.below(4) {
            columns.push(self.aggregate(source));
        }
        let letter = self.letter;
        let groups: Vec<String> = (1..=keys_count).map(|it| format!("{letter}{it}")).collect();
        let mut rest = self.condition(source, "WHERE");
        if !groups.is_empty() {
            rest += &format!(" GROUP BY {}", groups.join(", "));
        }
        if self.seldom(3) {
            let least = self.below(3);
            rest += &match self.column(source, &[Int]) {
                Some(column) if self.random.bool() => format!(" HAVING sum({column}) > {least}"),
                _ => format!(" HAVING count(*) > {least}"),
            };
        }
        select(self.letter, columns, &format!("FROM {} s{rest}", source.from()))
    }

    fn aggregate(&mut self, source: &Table) -> (String, Kind) {
        let int = self.expression(source, Int, 1);
        let (call, kind) = match self.below(11) {
            0 | 1 => ("count(*)".to_owned(), Int),
            2 => (format!("sum({int})"), Int),
            3 => (format!("avg({int})"), Float),
            4 => {
                let kind = *self.one_of(&[Int, Text, Decimal]);
                let function = *self.one_of(&["min", "max"]);
                (format!("{function}({})", self.expression(source, kind, 1)), kind)
            }
            5 => {
                let kind = *self.one_of(&[Int, Text, Bool]);
                (format!("count(DISTINCT {})", self.expression(source, kind, 1)), Int)
            }
            6 => (format!("bool_and({})", self.expression(source, Bool, 1)), Bool),
            7 => match self.column(source, &[Time, Moment]) {
                Some(column) => (format!("{}({column})", self.one_of(&["min", "max"])), Moment),
                None => ("count(*)".to_owned(), Int),
            },
            8 => match self.column(source, &[Float]) {
                Some(column) => {
                    let function = *self.one_of(&["avg", "sum", "var_samp", "median", "max"]);
                    (format!("{function}({column})"), Float)
                }
                None => (format!("count({int})"), Int),
            },
            9 => (format!("sum({})", self.expression(source, Decimal, 1)), Decimal),
            _ => (format!("count({int})"), Int),
        };
        if self.seldom(4) {
            let condition = self.expression(source, Bool, 1);
            return (format!("{call} FILTER (WHERE {condition})"), kind);
        }
        (call, kind)
    }

    /// Rows one by one, perhaps beside a lookup.
    fn rows(&mut self, source: &Table) -> Option<Table> {
        let mut columns: Vec<(String, Kind)> = Vec::new();
        if let Some(time) = self.column(source, &[Time]) {
            let moved = self.seldom(3).then(|| format!("{time} + INTERVAL '30 seconds'"));
            columns.push((moved.unwrap_or(time), Time));
        }
        for _ in 0..2 + self.below(4) {
            let kind = *self.one_of(&[Int, Int, Text, Text, Decimal, Bool]);
            columns.push((self.expression(source, kind, 2), kind));
        }
        columns.extend(self.column(source, &[Float]).map(|it| (it, Float)));
        let mut from = format!("FROM {} s", source.from());
        if let (true, Some(key)) = (self.random.bool(), self.column(source, &[Text])) {
            let join = *self.one_of(&["JOIN", "LEFT JOIN"]);
            from += &format!(" {join} places AS l ON l.place = s.{key}");
            columns.push(("l.region".to_owned(), Text));
            columns.push(("l.weight".to_owned(), Int));
            // Both sides may have a column `place`.
            let owned = |(it, kind): (String, Kind)| (qualified(&it, source), kind);
            columns = columns.into_iter().map(owned).collect();
        } else {
            from += &self.condition(source, "WHERE");
        }
        let made = select(self.letter, columns, &from);
        let way = if source.way == Way::Rows { Way::Rows } else { Way::Otherwise };
        Some(Table { way, ..made })
    }

    /// The first few of each group, by all that can be told apart.
    fn top(&mut self, source: &Table) -> Option<Table> {
        let order = sound(source);
        let by = self.partition(source);
        let names = order.iter().map(|it| it.0.clone()).collect::<Vec<_>>().join(", ");
        let way = *self.one_of(&["", " DESC"]);
        let (first, _) = order.first()?.clone();
        let count = 1 + self.below(3);
        let inner = format!(
            "(SELECT {names}, row_number() OVER ({by}ORDER BY {first}{way}, {names}) AS place_of FROM {} s) x",
            source.from()
        );
        Some(select(self.letter, order, &format!("FROM {inner} WHERE place_of <= {count}")))
    }

    /// Each row beside the one before it, and sums so far.
    fn lag(&mut self, source: &Table) -> Option<Table> {
        let mut columns = sound(source);
        let by = self.partition(source);
        let names = columns.iter().map(|it| it.0.clone()).collect::<Vec<_>>().join(", ");
        let int = self.column(source, &[Int])?;
        let over = format!("OVER ({by}ORDER BY {names})");
        let (call, kind) = match self.below(4) {
            0 => (format!("lag({int}) {over}"), Int),
            1 => (format!("lead({int}, 2, 0) {over}"), Int),
            2 => (format!("rank() {over}"), Int),
            _ => (
                format!(
                    "sum({int}) OVER ({by}ORDER BY {names} ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)"
                ),
                Int,
            ),
        };
        columns.push((call, kind));
        Some(select(self.letter, columns, &format!("FROM {} s", source.from())))
    }

    /// Each row with what was about it in time, or just before it.
    fn moving(&mut self, source: &Table) -> Option<Table> {
        let time = self.column(source, &[Time])?;
        let mut columns = sound(source);
        let names = columns.iter().map(|it| it.0.clone()).collect::<Vec<_>>().join(", ");
        let by = self.partition(source);
        let int = self.column(source, &[Int])?;
        let span = *self.one_of(&["10 seconds", "1 minute", "10 minutes"]);
        let over = match self.below(3) {
            0 => {
                let until = *self.one_of(&["CURRENT ROW", "INTERVAL '20 seconds' FOLLOWING"]);
                format!("{by}ORDER BY {time} RANGE BETWEEN INTERVAL '{span}' PRECEDING AND {until}")
            }
            1 => format!("{by}ORDER BY {time}, {names} ROWS 3 PRECEDING"),
            _ => format!("{by}ORDER BY {time}, {names}"),
        };
        let call = if over.ends_with(&names) { "lag" } else { "sum" };
        columns.push((format!("{call}({int}) OVER ({over})"), Int));
        if self.random.bool() {
            columns.retain(|(name, _)| *name != time);
        }
        Some(select(self.letter, columns, &format!("FROM {} s", source.from())))
    }

    /// Rows with or without another near them in time.
    fn exists(&mut self, source: &Table, other: &Table) -> Option<Table> {
        let (left, right) = (self.column(source, &[Time])?, self.column(other, &[Time])?);
        let kind = *self.one_of(&[Text, Int]);
        let (one, two) = (self.column(source, &[kind])?, self.column(other, &[kind])?);
        let span = *self.one_of(&["10 seconds", "1 minute"]);
        let way = *self.one_of(&["EXISTS", "NOT EXISTS"]);
        let near = format!(
            "b.{right} > a.{left} - INTERVAL '{span}' AND b.{right} < a.{left} + INTERVAL '{span}'"
        );
        let rest = format!(
            "FROM {} a WHERE {way} (SELECT 1 FROM {} b WHERE b.{two} = a.{one} AND {near})",
            source.from(),
            other.from()
        );
        let columns = source.columns.iter().map(|it| (format!("a.{}", it.name), it.kind));
        let mut made = select(self.letter, columns.collect(), &rest);
        made.reads.insert(other.name.clone());
        Some(made)
    }

    fn partition(&mut self, source: &Table) -> String {
        let kinds: &[Kind] = if self.random.bool() { &[Time] } else { &[Text, Bool, Time] };
        match self.column(source, kinds) {
            Some(column) if !self.seldom(4) => format!("PARTITION BY {column} "),
            _ => String::new(),
        }
    }

    /// All rows of two tables.
    fn union(&mut self, source: &Table, other: &Table) -> Option<Table> {
        let mut sides = Vec::new();
        let times = [source, other].map(|it| self.column(it, &[Time]));
        let has_time = times.iter().all(Option::is_some);
        let kinds = [Int, Text, *self.one_of(&[Int, Text, Bool])];
        for (side, time) in [source, other].into_iter().zip(times) {
            let mut columns: Vec<(String, Kind)> = Vec::new();
            columns.extend(time.filter(|_| has_time).map(|it| (it, Time)));
            columns.extend(kinds.map(|kind| (self.expression(side, kind, 1), kind)));
            let rest = self.condition(side, "WHERE");
            sides.push(select(self.letter, columns, &format!("FROM {} s{rest}", side.from())));
        }
        let (right, left) = (sides.pop()?, sides.pop()?);
        let way = if self.seldom(4) { "UNION" } else { "UNION ALL" };
        let sql = format!("{} {way} {}", left.sql, right.sql);
        let reads = BTreeSet::from([other.name.clone()]);
        Some(Table { sql, reads, ..left })
    }

    /// Pairs of rows of two tables, near each other in time.
    fn join(&mut self, source: &Table, other: &Table) -> Option<Table> {
        let (left, right) = (self.column(source, &[Time])?, self.column(other, &[Time])?);
        let kind = *self.one_of(&[Text, Int]);
        let (one, two) = (self.column(source, &[kind])?, self.column(other, &[kind])?);
        let mut columns = vec![(format!("a.{left}"), Time), (format!("a.{one}"), kind)];
        for _ in 0..2 {
            let kind = *self.one_of(&[Int, Text, Decimal]);
            columns.extend(self.column(source, &[kind]).map(|it| (format!("a.{it}"), kind)));
            columns.extend(self.column(other, &[kind]).map(|it| (format!("b.{it}"), kind)));
        }
        let way = *self.one_of(&["JOIN", "LEFT JOIN"]);
        let bound = *self.one_of(&["10 seconds", "1 minute"]);
        let from = format!(
            "FROM {} a {way} {} b ON a.{one} = b.{two} AND b.{right} BETWEEN a.{left} AND a.{left} + INTERVAL '{bound}'",
            source.from(),
            other.from()
        );
        let mut made = select(self.letter, columns, &from);
        made.reads.insert(other.name.clone());
        Some(made)
    }

    /// Pairs of rows of the same window or moment.
    fn join_of_windows(&mut self, source: &Table, other: &Table) -> Option<Table> {
        let (left, right) = (self.column(source, &[Time])?, self.column(other, &[Time])?);
        let mut columns = vec![(format!("a.{left}"), Time)];
        for kind in [Text, *self.one_of(&[Int, Decimal, Bool, Float])] {
            columns.extend(self.column(source, &[kind]).map(|it| (format!("a.{it}"), kind)));
            columns.extend(self.column(other, &[kind]).map(|it| (format!("b.{it}"), kind)));
        }
        let way = *self.one_of(&["JOIN", "LEFT JOIN"]);
        let mut from =
            format!("FROM {} a {way} {} b ON a.{left} = b.{right}", source.from(), other.from());
        if let (Some(one), Some(two)) = (self.column(source, &[Text]), self.column(other, &[Text]))
        {
            from += &format!(" AND a.{one} = b.{two}");
        }
        let mut made = select(self.letter, columns, &from);
        made.reads.insert(other.name.clone());
        Some(made)
    }

    fn distinct(&mut self, source: &Table) -> Option<Table> {
        let kinds = [Text, *self.one_of(&[Int, Bool, Text])];
        let mut columns: Vec<(String, Kind)> = Vec::new();
        columns.extend(
            self.column(source, &[Time]).filter(|_| self.random.bool()).map(|it| (it, Time)),
        );
        columns.extend(kinds.map(|kind| (self.expression(source, kind, 1), kind)));
        let rest = self.condition(source, "WHERE");
        let mut made = select(self.letter, columns, &format!("FROM {} s{rest}", source.from()));
        made.sql = made.sql.replacen("SELECT", "SELECT DISTINCT", 1);
        Some(made)
    }

    fn condition(&mut self, source: &Table, word: &str) -> String {
        if self.random.bool() {
            return String::new();
        }
        format!(" {word} {}", self.expression(source, Bool, 2))
    }

    /// Draws a column of one of these kinds, if there is one.
    fn column(&mut self, source: &Table, kinds: &[Kind]) -> Option<String> {
        let columns = source.columns.iter().filter(|it| kinds.contains(&it.kind));
        let columns: Vec<&Column> = columns.collect();
        if columns.is_empty() { None } else { Some(self.one_of(&columns).name.clone()) }
    }

    fn expression(&mut self, source: &Table, kind: Kind, depth: usize) -> String {
        let column = self.column(source, &[kind]);
        if depth == 0 || self.seldom(3) {
            return column.unwrap_or_else(|| self.literal(kind));
        }
        let column = column.unwrap_or_else(|| self.literal(kind));
        let depth = depth - 1;
        match kind {
            Int => match self.below(6) {
                0 => format!("coalesce({column}, 0)"),
                1 => format!("{column} + {}", self.expression(source, Int, depth)),
                2 => format!("({column}) * 2 - 1"),
                3 => format!("length({})", self.expression(source, Text, depth)),
                4 => self.case(source, Int, depth),
                _ => column,
            },
            Text => match self.below(6) {
                0 => format!("coalesce({column}, '-')"),
                1 => format!("upper({column})"),
                2 => format!("nullif({column}, 'a')"),
                3 => self.case(source, Text, depth),
                4 => format!("{column} || '!'"),
                _ => column,
            },
            Bool => self.truth(source, depth),
            Decimal => match self.below(3) {
                0 => format!("coalesce({column}, 0.00)"),
                1 => self.case(source, Decimal, depth),
                _ => column,
            },
            Float | Time | Moment => column,
        }
    }

    fn case(&mut self, source: &Table, kind: Kind, depth: usize) -> String {
        let condition = self.truth(source, depth);
        let (one, other) =
            (self.expression(source, kind, depth), self.expression(source, kind, depth));
        format!("CASE WHEN {condition} THEN {one} ELSE {other} END")
    }

    fn truth(&mut self, source: &Table, depth: usize) -> String {
        let int = self.expression(source, Int, depth);
        let text = self.expression(source, Text, depth);
        match self.below(8) {
            0 => format!("{int} > {}", self.literal(Int)),
            1 => format!("{text} = {}", self.literal(Text)),
            2 => format!("({text}) IS NULL"),
            3 => format!("{text} IN ('a', 'é')"),
            4 => format!("({int}) BETWEEN -2 AND 5"),
            5 => format!("NOT ({int} % 2 = 0)"),
            6 => format!("({int} > 0 OR {text} < 'b')"),
            _ => self.column(source, &[Bool]).unwrap_or_else(|| format!("({int}) IS NOT NULL")),
        }
    }

    fn literal(&mut self, kind: Kind) -> String {
        match kind {
            Int => self.random.i32(-3..6).to_string(),
            Text => format!("'{}'", self.one_of(WORDS)),
            Bool => self.random.bool().to_string(),
            Decimal => "1.25".to_owned(),
            Float => "CAST(0.5 AS FLOAT)".to_owned(),
            Time | Moment => "TIMESTAMP '2026-01-05T10:00:00Z'".to_owned(),
        }
    }
}

/// Returns the columns by which rows can be told apart for sure.
fn sound(source: &Table) -> Vec<(String, Kind)> {
    let columns = source.columns.iter().filter(|it| it.kind != Float);
    columns.map(|it| (it.name.clone(), it.kind)).collect()
}

/// Puts the table before its columns where they stand alone or in an expression.
fn qualified(expression: &str, source: &Table) -> String {
    let mut all = String::new();
    let mut word = String::new();
    let mut before = ' ';
    for letter in expression.chars().chain([' ']) {
        if letter.is_ascii_alphanumeric() || letter == '_' {
            word.push(letter);
            continue;
        }
        let is_column = source.columns.iter().any(|it| it.name == word);
        if is_column && before != '.' && before != '\'' {
            all += "s.";
        }
        all += &std::mem::take(&mut word);
        all.push(letter);
        before = letter;
    }
    all.trim_end().to_owned()
}

/// Makes a SELECT whose columns are the letter and 1, 2 and so on.
fn select(letter: char, columns: Vec<(String, Kind)>, rest: &str) -> Table {
    let mut made = Table {
        name: String::new(),
        settings: String::new(),
        sql: String::new(),
        columns: Vec::new(),
        reads: BTreeSet::new(),
        way: Way::Otherwise,
    };
    let mut list = Vec::new();
    for (number, (expression, kind)) in (1..).zip(columns) {
        let name = format!("{letter}{number}");
        list.push(format!("{expression} AS {name}"));
        made.columns.push(Column { name, kind });
    }
    made.sql = format!("SELECT {} {rest}", list.join(", "));
    made
}

fn stream(name: &str) -> Table {
    let mut columns = vec![("id", Int), ("ts", Time), ("who", Text), ("value", Int)];
    if name == "events" {
        columns.extend([("place", Text), ("amount", Decimal), ("ratio", Float), ("flag", Bool)]);
    }
    let columns = columns.into_iter().map(|(name, kind)| Column { name: name.to_owned(), kind });
    Table {
        name: name.to_owned(),
        settings: String::new(),
        sql: String::new(),
        columns: columns.collect(),
        reads: BTreeSet::new(),
        way: Way::Rows,
    }
}

/// A table that ties both streams together.
fn tie() -> Table {
    let mut made = select(
        'z',
        vec![("count(*)".to_owned(), Int)],
        "FROM (SELECT id FROM events UNION ALL SELECT id FROM others) x",
    );
    "tie".clone_into(&mut made.name);
    made.reads.extend(["events".to_owned(), "others".to_owned()]);
    made
}
