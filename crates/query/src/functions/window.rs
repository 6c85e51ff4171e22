//! The windows of GROUP BY: `tumble`, `hop` and `session`; and `window_end` of one of them.
//!
//! ```sql
//! SELECT tumble(ts, '1 minute') AS minute, count(*) AS orders FROM orders GROUP BY minute
//! SELECT hop(ts, '1 minute', '10 minutes') AS start, count(*) AS orders FROM orders GROUP BY start
//! SELECT session(ts, '30 minutes') AS start, customer, count(*) AS n FROM orders GROUP BY start, customer
//! ```
//!
//! Each gives the start of the window in which a moment lies.
//! - `tumble(ts, size)`: windows of one size, one after the other. As they need no other row, it may
//!   stand anywhere, not only in GROUP BY.
//! - `hop(ts, slide, size)`: windows of `size`, a new one every `slide`; a moment lies in each that
//!   began within `size` before it, so its row counts in several groups.
//! - `session(ts, gap)`: rows of the same other groups that follow each other within `gap`,
//!   inclusive. It starts with its first row.
//!
//! Sizes are constants: an interval (`INTERVAL '1 minute'`) or words (`'1 minute'`, `'1 hour 30
//! minutes'`). Windows of fixed size are counted from 1970-01-01 00:00:00 UTC, so that those of a
//! day begin at midnight UTC and those of a week on a Thursday. The result has the precision and
//! the zone of `ts`; of a date, it is a timestamp in microseconds, UTC. Null gives null. Months and
//! years have no fixed length and are refused: use `date_trunc('month', ts)`.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use base::Span;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_DATETIME;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl,
    Signature, Volatility,
};

mod expand;
mod starts;

pub(crate) use expand::WindowEnd;
pub use expand::{ExpandWindows, with_ends};

/// Which window it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Windows of one size, one after the other.
    Tumble,
    /// Windows of one size that overlap, or leave gaps never.
    Hop,
    /// Rows that follow each other closely.
    Session,
}

impl Kind {
    /// All kinds, in the order of the reference.
    pub const ALL: [Kind; 3] = [Kind::Tumble, Kind::Hop, Kind::Session];

    /// Returns the name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Tumble => "tumble",
            Kind::Hop => "hop",
            Kind::Session => "session",
        }
    }

    fn usage(self) -> &'static str {
        match self {
            Kind::Tumble => "write it as `tumble(ts, '1 minute')`",
            Kind::Hop => "write it as `hop(ts, '1 minute', '10 minutes')`: every minute, of ten",
            Kind::Session => "write it as `session(ts, '30 minutes')`",
        }
    }

    /// How many lengths of time it takes after the moment.
    fn lengths(self) -> usize {
        match self {
            Kind::Tumble | Kind::Session => 1,
            Kind::Hop => 2,
        }
    }
}

/// How windows follow each other, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Each of `size_ns`, one every `slide_ns`; both above zero, `slide_ns` at most `size_ns`.
    Fixed {
        /// From the start of one to the start of the next.
        slide_ns: i64,
        /// From the start of one to its end.
        size_ns: i64,
    },
    /// As long as rows follow each other within `gap_ns`.
    Session {
        /// The longest pause within a session.
        gap_ns: i64,
    },
}

impl Shape {
    fn of(kind: Kind, lengths: &[&ScalarValue]) -> Result<Shape> {
        match (kind, lengths) {
            (Kind::Tumble, [size]) => {
                let size_ns = length_ns(kind, size)?;
                Ok(Shape::Fixed { slide_ns: size_ns, size_ns })
            }
            (Kind::Hop, [slide, size]) => {
                let (slide_ns, size_ns) = (length_ns(kind, slide)?, length_ns(kind, size)?);
                if size_ns < slide_ns {
                    return plan_err!(
                        "`hop` takes first how often a window begins, then how long it is; windows \
                         that begin less often than they are long would leave rows out"
                    );
                }
                if WINDOWS_PER_ROW_MAX < size_ns / slide_ns {
                    return plan_err!(
                        "a row would lie in more than {WINDOWS_PER_ROW_MAX} windows; let them begin less often"
                    );
                }
                Ok(Shape::Fixed { slide_ns, size_ns })
            }
            (Kind::Session, [gap]) => Ok(Shape::Session { gap_ns: length_ns(kind, gap)? }),
            _ => plan_err!("`{}` has too few or too many arguments; {}", kind.name(), kind.usage()),
        }
    }

    /// Refuses lengths that timestamps of this unit cannot tell.
    fn check_unit(self, unit: TimeUnit) -> Result<()> {
        match self {
            Shape::Fixed { slide_ns, size_ns } => {
                starts::in_unit(slide_ns, unit)?;
                starts::in_unit(size_ns, unit).map(|_| ())
            }
            Shape::Session { gap_ns } => starts::in_unit(gap_ns, unit).map(|_| ()),
        }
    }
}

/// A row lies in at most so many windows of `hop`: a day every ten seconds.
const WINDOWS_PER_ROW_MAX: i64 = 8_640;

/// A call of a window, as it stands in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The moment that decides.
    pub time: Expr,
    /// How windows follow each other.
    pub shape: Shape,
}

/// Returns which window `expression` calls; an alias around the call is looked through.
pub fn window(expression: &Expr) -> Option<Window> {
    let (kind, args) = call(expression)?;
    let (time, lengths) = args.split_first()?;
    let lengths: Option<Vec<&ScalarValue>> = lengths
        .iter()
        .map(|it| match it {
            Expr::Literal(length, _) => Some(length),
            _ => None,
        })
        .collect();
    Some(Window { time: time.clone(), shape: Shape::of(kind, &lengths?).ok()? })
}

fn call(expression: &Expr) -> Option<(Kind, &[Expr])> {
    match expression {
        Expr::Alias(alias) => call(&alias.expr),
        Expr::ScalarFunction(call) => {
            let kind = Kind::ALL.into_iter().find(|it| it.name() == call.func.name())?;
            Some((kind, &call.args))
        }
        _ => None,
    }
}

/// See the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct WindowStart {
    kind: Kind,
    signature: Signature,
}

impl WindowStart {
    /// Makes the function.
    pub fn new(kind: Kind) -> WindowStart {
        WindowStart { kind, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn shape(&self, lengths: &[Option<&ScalarValue>]) -> Result<Shape> {
        match lengths.iter().copied().collect::<Option<Vec<&ScalarValue>>>() {
            Some(lengths) => Shape::of(self.kind, &lengths),
            None => plan_err!("the size of a window must be a constant; {}", self.kind.usage()),
        }
    }
}

impl ScalarUDFImpl for WindowStart {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (name, usage) = (self.kind.name(), self.kind.usage());
        let [time, lengths @ ..] = types else {
            return plan_err!("`{name}` takes a timestamp and a size; {usage}");
        };
        if lengths.len() != self.kind.lengths() {
            return plan_err!("`{name}` has too few or too many arguments; {usage}");
        }
        let time = match time {
            DataType::Timestamp(..) => time.clone(),
            DataType::Date32 | DataType::Date64 | DataType::Null => starts::utc(),
            _ => return plan_err!("`{name}` needs a timestamp as its first argument; {usage}"),
        };
        let is_length = |it: &DataType| {
            matches!(
                it,
                DataType::Utf8
                    | DataType::LargeUtf8
                    | DataType::Utf8View
                    | DataType::Interval(_)
                    | DataType::Duration(_)
            )
        };
        if !lengths.iter().all(is_length) {
            return plan_err!("the size of a window is an interval or words; {usage}");
        }
        Ok([&[time], lengths].concat())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(time) => Ok(time.clone()),
            None => plan_err!("`{}` takes a timestamp and a size", self.kind.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let ([time, ..], [_, lengths @ ..]) = (args.arg_fields, args.scalar_arguments) else {
            return plan_err!("`{}` takes a timestamp and a size", self.kind.name());
        };
        let shape = self.shape(lengths)?;
        if let DataType::Timestamp(unit, _) = time.data_type() {
            shape.check_unit(*unit)?;
        }
        // What stands for the other two when a plan runs may be NULL as far as the planner knows,
        // and a UNION above keeps what it was told here.
        let is_nullable = self.kind != Kind::Tumble || time.is_nullable();
        Ok(Arc::new(Field::new(self.name(), time.data_type().clone(), is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((time, lengths)) = args.args.split_first() else {
            return exec_err!("`{}` takes a timestamp and a size", self.kind.name());
        };
        let lengths: Vec<Option<&ScalarValue>> = lengths
            .iter()
            .map(|it| match it {
                ColumnarValue::Scalar(length) => Some(length),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        let shape = self.shape(&lengths)?;
        let size_ns = match shape {
            Shape::Fixed { slide_ns, size_ns } if slide_ns == size_ns => size_ns,
            _ => return expand::out_of_place(self.kind),
        };
        match time {
            ColumnarValue::Array(array) => {
                Ok(ColumnarValue::Array(starts::tumble(array, size_ns)?))
            }
            ColumnarValue::Scalar(scalar) => {
                let start = starts::tumble(&scalar.to_array()?, size_ns)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&start, 0)?))
            }
        }
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok(inputs.first().map_or(SortProperties::Unordered, |time| time.sort_properties))
    }

    fn preserves_lex_ordering(&self, _: &[ExprProperties]) -> Result<bool> {
        Ok(false) // Many moments share a start, so an order within them is lost.
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOCUMENTATION: LazyLock<[Documentation; 3]> =
            LazyLock::new(|| Kind::ALL.map(documentation));
        DOCUMENTATION.get(self.kind as usize)
    }
}

fn documentation(kind: Kind) -> Documentation {
    let (about, syntax, example) = match kind {
        Kind::Tumble => (
            "Returns the start of the window of fixed size in which a moment lies.",
            "tumble(ts, size)",
            "SELECT tumble(ts, '1 minute') AS minute, count(*) AS n FROM t GROUP BY minute",
        ),
        Kind::Hop => (
            "Groups by windows of `size` of which one begins every `slide`; a row lies in several.",
            "hop(ts, slide, size)",
            "SELECT hop(ts, '1 minute', '10 minutes') AS start, count(*) AS n FROM t GROUP BY start",
        ),
        Kind::Session => (
            "Groups rows that follow each other within `gap`; gives the moment of the first.",
            "session(ts, gap)",
            "SELECT session(ts, '30 minutes') AS start, who, count(*) AS n FROM t GROUP BY start, who",
        ),
    };
    Documentation::builder(DOC_SECTION_DATETIME, about, syntax)
        .with_sql_example(example)
        .with_argument("ts", "A timestamp of any precision, or a date.")
        .with_argument("size", "A constant: an interval, or words like '1 minute'.")
        .build()
}

/// Reads a length of time from a constant.
fn length_ns(kind: Kind, length: &ScalarValue) -> Result<i64> {
    let usage = kind.usage();
    const DAY_NS: i64 = 86_400_000_000_000;
    let no_fixed_length = || {
        plan_err!(
            "months and years have no fixed length; use days, or `date_trunc('month', ts)` instead"
        )
    };
    let ns = match length {
        ScalarValue::Utf8(Some(words))
        | ScalarValue::LargeUtf8(Some(words))
        | ScalarValue::Utf8View(Some(words)) => {
            let lower = words.to_ascii_lowercase();
            if lower.contains("mon") || lower.contains("year") {
                return no_fixed_length();
            }
            match words.parse::<Span>() {
                Ok(span) => i64::try_from(span.0.as_nanos()).ok(),
                Err(_not_a_span) => {
                    return plan_err!(
                        "`{words}` is not the size of a window; write a number and a unit, for example `'1 minute'`"
                    );
                }
            }
        }
        ScalarValue::IntervalYearMonth(Some(_)) => return no_fixed_length(),
        ScalarValue::IntervalMonthDayNano(Some(it)) if it.months != 0 => return no_fixed_length(),
        ScalarValue::IntervalMonthDayNano(Some(it)) => {
            i64::from(it.days).checked_mul(DAY_NS).and_then(|days| days.checked_add(it.nanoseconds))
        }
        ScalarValue::IntervalDayTime(Some(it)) => i64::from(it.days)
            .checked_mul(DAY_NS)
            .and_then(|days| days.checked_add(i64::from(it.milliseconds) * 1_000_000)),
        ScalarValue::DurationSecond(Some(it)) => it.checked_mul(1_000_000_000),
        ScalarValue::DurationMillisecond(Some(it)) => it.checked_mul(1_000_000),
        ScalarValue::DurationMicrosecond(Some(it)) => it.checked_mul(1_000),
        ScalarValue::DurationNanosecond(Some(it)) => Some(*it),
        _ => return plan_err!("the size of a window must be a constant; {usage}"),
    };
    match ns {
        Some(ns) if 0 < ns => Ok(ns),
        Some(_) => plan_err!("a window needs a length above zero; {usage}"),
        None => plan_err!("a window of more than 292 years is too long; {usage}"),
    }
}

#[cfg(test)]
mod tests;
