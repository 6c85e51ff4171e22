//! What is wrong in a project, where, and what to write instead.

use std::fmt;
use std::ops::Range;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    MietteSpanContents, SourceCode, SourceSpan, SpanContents,
};

use crate::source::{SourceFile, Spot};

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The project cannot run.
    Error,
    /// It can, but probably not as meant.
    Warning,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    severity: Severity,
    spot: Spot,
    message: String,
    help: Option<String>,
    beside: Vec<(Spot, String)>,
}

impl Fault {
    pub(crate) fn new(
        severity: Severity,
        spot: Spot,
        message: String,
        help: Option<String>,
    ) -> Fault {
        Fault { severity, spot, message, help, beside: Vec::new() }
    }

    /// Adds a second place that has to do with it, and what it is.
    #[must_use]
    pub fn beside(mut self, spot: Spot, label: impl Into<String>) -> Fault {
        self.beside.push((spot, label.into()));
        self
    }

    /// Returns how bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Returns the path of the file below the project's folder.
    pub fn file(&self) -> &str {
        &self.spot.file.path
    }

    /// Returns the bytes of the file it points to.
    pub fn range(&self) -> Range<usize> {
        self.spot.range.clone()
    }

    /// Returns where it is.
    pub fn spot(&self) -> &Spot {
        &self.spot
    }

    /// Returns what is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns what to do about it.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl Faults {
    /// Returns them as a person reads them: file, line, column, the line itself with a marker, and
    /// what to do; with colours and drawn lines, or plain.
    pub fn render(&self, color: bool) -> String {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::none() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(100).with_links(false);
        let mut text = String::new();
        for fault in &self.all {
            if handler.render_report(&mut text, &Shown(fault)).is_err() {
                text.push_str(&fault.to_string());
            }
            text.push('\n');
        }
        text
    }
}

/// A fault whose place and advice are drawn, not told.
#[derive(Debug)]
struct Shown<'a>(&'a Fault);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.0.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|it| Box::new(it) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.0.spot.file.as_ref())
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let fault = self.0;
        let main = LabeledSpan::new_primary_with_span(None, fault.spot.range.clone());
        let same_file = fault.beside.iter().filter(|(spot, _)| spot.file == fault.spot.file);
        let beside = same_file.map(|(spot, label)| {
            LabeledSpan::new_with_span(Some(label.clone()), spot.range.clone())
        });
        Some(Box::new(std::iter::once(main).chain(beside)))
    }
}

impl SourceCode for SourceFile {
    /// Returns the whole lines of `span`, whatever lines around it are asked for. Without lines
    /// around, what is asked for is where the span begins.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let length = self.text.len();
        let start = self.text.floor_char_boundary(span.offset().min(length));
        let end = self.text.ceil_char_boundary((span.offset() + span.len()).clamp(start, length));
        let (above, rest) = self.text.split_at(start);
        let line_start = above.rfind('\n').map_or(0, |it| it + 1);
        let (_, below) = rest.split_at(end - start);
        let line_end = below.find('\n').map_or(length, |it| end + it);
        let lines = self.text.get(line_start..line_end).unwrap_or_default();
        let column = above.get(line_start..).unwrap_or_default().chars().count();
        Ok(Box::new(MietteSpanContents::new_named(
            self.path.clone(),
            lines.as_bytes(),
            (line_start, lines.len()).into(),
            above.matches('\n').count(),
            if before == 0 { column } else { 0 },
            lines.matches('\n').count() + 1,
        )))
    }
}

impl fmt::Display for Fault {
    /// Writes one line: `file:line:column: message`, then the help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.spot.line_and_column();
        write!(f, "{}:{line}:{column}: {}", self.spot.file.path, self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

/// All faults of a project, sorted by file and place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    all: Vec<Fault>,
}

impl Faults {
    /// Adds one.
    pub fn push(&mut self, fault: Fault) {
        self.all.push(fault);
    }

    /// Adds those of another check.
    pub fn merge(&mut self, others: Faults) {
        self.all.extend(others.all);
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns them in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.all.iter()
    }

    /// Drops all but the first `count`.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.all.truncate(count);
    }

    /// Sorts them by file and place, and drops what is said twice.
    pub fn settle(&mut self) {
        self.all.sort_by(|one, other| {
            let key = |it: &Fault| (it.spot.range.start, it.spot.range.end);
            one.file().cmp(other.file()).then_with(|| key(one).cmp(&key(other)))
        });
        self.all
            .dedup_by(|second, first| second.spot == first.spot && second.message == first.message);
    }

    /// Returns whether one of them keeps the project from running.
    pub fn has_errors(&self) -> bool {
        self.all.iter().any(|it| it.severity == Severity::Error)
    }
}

impl FromIterator<Fault> for Faults {
    fn from_iter<T: IntoIterator<Item = Fault>>(faults: T) -> Faults {
        Faults { all: faults.into_iter().collect() }
    }
}

impl Extend<Fault> for Faults {
    fn extend<T: IntoIterator<Item = Fault>>(&mut self, faults: T) {
        self.all.extend(faults);
    }
}

impl IntoIterator for Faults {
    type Item = Fault;
    type IntoIter = std::vec::IntoIter<Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.all {
            writeln!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
