//! `tumble(ts, size)`: the start of the window of fixed size in which a moment lies.
//!
//! ```sql
//! SELECT tumble(ts, '1 minute') AS minute, count(*) AS orders FROM orders GROUP BY minute
//! ```
//!
//! `size` is a constant: an interval (`INTERVAL '1 minute'`) or words (`'1 minute'`, `'1 hour 30
//! minutes'`). Windows are counted from 1970-01-01 00:00:00 UTC, so that those of a day begin at
//! midnight UTC and those of a week on a Thursday. The result has the precision and the zone of
//! `ts`; of a date, it is a timestamp in microseconds, UTC. Null gives null. Months and years are
//! no fixed length and are refused: use `date_trunc('month', ts)`.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowTimestampType, DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use base::Span;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_DATETIME;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl,
    Signature, Volatility,
};

/// The name in SQL.
pub const NAME: &str = "tumble";

const USAGE: &str = "write it as `tumble(ts, '1 minute')`";

/// See the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Tumble {
    signature: Signature,
}

impl Tumble {
    /// Makes the function.
    pub fn new() -> Tumble {
        Tumble { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl Default for Tumble {
    fn default() -> Tumble {
        Tumble::new()
    }
}

/// A call of `tumble`, as it stands in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The moment that decides.
    pub time: Expr,
    /// How long a window is.
    pub size_ns: i64,
}

/// Returns what `expression` calls `tumble` with; an alias around the call is looked through.
pub fn window(expression: &Expr) -> Option<Window> {
    match expression {
        Expr::Alias(alias) => window(&alias.expr),
        Expr::ScalarFunction(call) if call.func.name() == NAME => match call.args.as_slice() {
            [time, Expr::Literal(size, _)] => {
                let size_ns = size_ns(size).ok()?;
                Some(Window { time: time.clone(), size_ns })
            }
            _ => None,
        },
        _ => None,
    }
}

impl ScalarUDFImpl for Tumble {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [time, size] = types else {
            return plan_err!("`tumble` takes a timestamp and a size; {USAGE}");
        };
        let time = match time {
            DataType::Timestamp(..) => time.clone(),
            DataType::Date32 | DataType::Date64 | DataType::Null => {
                DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
            }
            _ => return plan_err!("`tumble` needs a timestamp as its first argument; {USAGE}"),
        };
        match size {
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Interval(_)
            | DataType::Duration(_) => Ok(vec![time, size.clone()]),
            _ => plan_err!("the size of a window is an interval or words; {USAGE}"),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(time) => Ok(time.clone()),
            None => plan_err!("`tumble` takes a timestamp and a size; {USAGE}"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let ([time, _], [_, size]) = (args.arg_fields, args.scalar_arguments) else {
            return plan_err!("`tumble` takes a timestamp and a size; {USAGE}");
        };
        let Some(size) = size else {
            return plan_err!("the size of a window must be a constant; {USAGE}");
        };
        let size_ns = size_ns(size)?;
        if let DataType::Timestamp(unit, _) = time.data_type() {
            in_unit(size_ns, *unit)?;
        }
        Ok(Arc::new(Field::new(NAME, time.data_type().clone(), time.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [time, ColumnarValue::Scalar(size)] = args.args.as_slice() else {
            return exec_err!("the size of a window must be a constant; {USAGE}");
        };
        let size_ns = size_ns(size)?;
        match time {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(starts(array, size_ns)?)),
            ColumnarValue::Scalar(scalar) => {
                let start = starts(&scalar.to_array()?, size_ns)?;
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
        static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
            Documentation::builder(
                DOC_SECTION_DATETIME,
                "Returns the start of the window of fixed size in which a moment lies.",
                "tumble(ts, size)",
            )
            .with_sql_example(
                "SELECT tumble(ts, '1 minute') AS minute, count(*) AS n FROM t GROUP BY minute",
            )
            .with_argument("ts", "A timestamp of any precision, or a date.")
            .with_argument("size", "A constant: an interval, or words like '1 minute'.")
            .build()
        });
        Some(&DOCUMENTATION)
    }
}

/// Returns the start of the window of each moment.
fn starts(times: &ArrayRef, size_ns: i64) -> Result<ArrayRef> {
    match times.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => floor::<TimestampSecondType>(times, size_ns),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            floor::<TimestampMillisecondType>(times, size_ns)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            floor::<TimestampMicrosecondType>(times, size_ns)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            floor::<TimestampNanosecondType>(times, size_ns)
        }
        DataType::Date32 | DataType::Date64 | DataType::Null => {
            let utc = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")));
            floor::<TimestampMicrosecondType>(&cast(times, &utc)?, size_ns)
        }
        other => exec_err!("`tumble` needs a timestamp, not {other}; {USAGE}"),
    }
}

fn floor<T: ArrowTimestampType>(times: &ArrayRef, size_ns: i64) -> Result<ArrayRef> {
    let size = in_unit(size_ns, T::UNIT)?;
    let times = times.as_primitive::<T>();
    let starts: PrimitiveArray<T> = times.try_unary(|time| {
        // Rounds towards the past, so that moments before 1970 lie in their window too.
        time.checked_sub(time.rem_euclid(size)).ok_or_else(|| {
            datafusion::error::DataFusionError::Execution(
                "the window of a moment begins before all time that can be written".to_owned(),
            )
        })
    })?;
    Ok(Arc::new(starts.with_data_type(times.data_type().clone())))
}

/// Returns the length of a window in units of the timestamps it cuts; never 0 or less.
fn in_unit(size_ns: i64, unit: TimeUnit) -> Result<i64> {
    let unit_ns = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    if 0 < size_ns && size_ns % unit_ns == 0 {
        Ok(size_ns / unit_ns)
    } else {
        plan_err!("a window cannot be finer than the timestamps it cuts; make it longer")
    }
}

/// Reads the size of a window from a constant.
fn size_ns(size: &ScalarValue) -> Result<i64> {
    const DAY_NS: i64 = 86_400_000_000_000;
    let no_fixed_length = || {
        plan_err!(
            "months and years have no fixed length; use days, or `date_trunc('month', ts)` instead of `tumble`"
        )
    };
    let ns = match size {
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
        _ => return plan_err!("the size of a window must be a constant; {USAGE}"),
    };
    match ns {
        Some(ns) if 0 < ns => Ok(ns),
        Some(_) => plan_err!("a window needs a size above zero; {USAGE}"),
        None => plan_err!("a window of more than 292 years is too long; {USAGE}"),
    }
}

#[cfg(test)]
mod tests;
