//! A measured figure beside what limits it, and the table of them in a Markdown file.

use std::fmt::Write as _;
use std::time::Duration;

/// One figure beside its limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What was measured; its row in the table is found by it.
    pub what: String,
    /// Ours, in `unit`.
    pub ours: f64,
    /// What limits it, and how much that is.
    pub limit: Option<(String, f64)>,
    /// The unit of both.
    pub unit: &'static str,
    /// The goal, in words.
    pub goal: &'static str,
    /// What else belongs to it: CPU, memory, percentiles.
    pub note: String,
}

const HEAD: &str =
    "| measurement | ours | limit in the same run | ratio | goal | |\n|---|--:|--:|--:|---|---|\n";
const MARKS: (&str, &str) = ("<!-- bench -->\n", "<!-- /bench -->");

impl Figure {
    fn row(&self) -> String {
        let (limit, ratio) = match &self.limit {
            Some((name, value)) => (
                format!("{} {} ({name})", short(*value), self.unit),
                format!("{:.2}", self.ours / value),
            ),
            None => (String::new(), String::new()),
        };
        let ours = short(self.ours);
        let Figure { what, unit, goal, note, .. } = self;
        format!("| {what} | {ours} {unit} | {limit} | {ratio} | {goal} | {note} |")
    }
}

/// Writes the table of some figures.
pub fn table(figures: &[Figure]) -> String {
    let mut text = HEAD.to_owned();
    for it in figures {
        writeln!(text, "{}", it.row()).unwrap_or_default();
    }
    text
}

/// Puts figures into the table between the `bench` marks of a Markdown file: each over the row of
/// its name, or beside the others of this run. Rows of other names stay as they are. None if there
/// are no marks.
pub fn merge(text: &str, figures: &[Figure]) -> Option<String> {
    let (before, rest) = text.split_once(MARKS.0)?;
    let (between, after) = rest.split_once(MARKS.1)?;
    let mut rows: Vec<String> = between.lines().skip(2).map(str::to_owned).collect();
    let place_of = |rows: &[String], figure: &Figure| {
        let name = format!("| {} |", figure.what);
        rows.iter().position(|it| it.starts_with(&name))
    };
    let mut next = figures.iter().find_map(|it| place_of(&rows, it)).unwrap_or(rows.len());
    for figure in figures {
        if let Some(place) = place_of(&rows, figure) {
            rows.splice(place..=place, [figure.row()]);
            next = place + 1;
        } else {
            rows.insert(next, figure.row());
            next += 1;
        }
    }
    let rows: String = rows.iter().flat_map(|it| [it.as_str(), "\n"]).collect();
    Some(format!("{before}{}{HEAD}{rows}{}{after}", MARKS.0, MARKS.1))
}

/// Writes three digits that matter.
pub fn short(value: f64) -> String {
    match value {
        it if 1e9 <= it => format!("{:.1} G", it / 1e9),
        it if 1e6 <= it => format!("{:.2} M", it / 1e6),
        it if 1e4 <= it => format!("{:.0} k", it / 1e3),
        it if 100.0 <= it => format!("{it:.0}"),
        it if 1.0 <= it => format!("{it:.1}"),
        it => format!("{it:.2}"),
    }
}

/// Returns the value below which `share` of the sorted values lie.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let place = ((last as f64) * share).round();
    sorted.get(place as usize).copied().unwrap_or_default()
}

/// Returns the middle of some rounds.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Reads how many seconds a measurement is to take.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().unwrap_or_default();
    if (0.1..=600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("`{text}` is not a number of seconds from 0.1 to 600"))
    }
}

#[cfg(test)]
mod tests;
