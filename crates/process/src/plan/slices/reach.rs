//! How far apart in time the rows are that a join or a window function brings together, read from
//! its condition or its frame.

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionDefinition};
use datafusion::logical_expr::{
    Between, Expr, LogicalPlan, Operator, WindowFrame, WindowFrameBound, WindowFrameUnits,
};
use query::functions::window::{self, Shape};

use super::{Tag, Tags};

/// From how long before a moment to how long after it rows matter, in microseconds. Less than zero
/// where rows only matter that come later, or were earlier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) before_us: i64,
    pub(crate) after_us: i64,
}

impl Reach {
    /// Returns the reach of rows that lie within this of rows that lie within `outer`.
    pub(crate) fn then(self, outer: Reach) -> Reach {
        Reach {
            before_us: self.before_us.saturating_add(outer.before_us),
            after_us: self.after_us.saturating_add(outer.after_us),
        }
    }

    /// Returns the reach that holds both.
    pub(crate) fn or(self, other: Reach) -> Reach {
        Reach {
            before_us: self.before_us.max(other.before_us),
            after_us: self.after_us.max(other.after_us),
        }
    }

    /// Returns the reach as the other rows see it.
    pub(crate) fn turned(self) -> Reach {
        Reach { before_us: self.after_us, after_us: self.before_us }
    }

    pub(crate) fn length_us(self) -> i64 {
        self.before_us.saturating_add(self.after_us)
    }
}

/// How far the rows of the right side of a join are from those of the left, by two columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) left: usize,
    pub(crate) right: usize,
    pub(crate) reach: Reach,
}

/// A column of one side, and from where to where the expression lies around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Around {
    side: usize,
    place: usize,
    low_us: i64,
    high_us: i64,
}

impl Around {
    fn moved(self, low_us: i64, high_us: i64) -> Around {
        Around {
            low_us: self.low_us.saturating_add(low_us),
            high_us: self.high_us.saturating_add(high_us),
            ..self
        }
    }
}

type Side<'a> = (&'a LogicalPlan, &'a Tags);

/// Finds the narrowest bound of a join whose pairs fulfil all of the conditions.
pub(crate) fn bound(conditions: &[Expr], sides: &[Side<'_>; 2]) -> Option<Bound> {
    // `one` is at most `other`.
    let mut at_most: Vec<(Around, Around)> = Vec::new();
    for condition in conditions {
        read(condition, sides, &mut at_most);
    }
    let limit = |one: (usize, usize), other: (usize, usize)| {
        let of_pair = at_most
            .iter()
            .filter(|(low, high)| ((low.side, low.place), (high.side, high.place)) == (one, other));
        of_pair.map(|(low, high)| high.high_us.saturating_sub(low.low_us)).min()
    };
    let pairs = at_most.iter().map(|(one, other)| {
        let (left, right) = if one.side == 0 { (one, other) } else { (other, one) };
        (left.place, right.place)
    });
    let bounds = pairs.filter_map(|(left, right)| {
        let after_us = limit((1, right), (0, left))?;
        let before_us = limit((0, left), (1, right))?;
        Some(Bound { left, right, reach: Reach { before_us, after_us } })
    });
    bounds.min_by_key(|it| it.reach.length_us())
}

/// Reads what a condition says of times of the two sides.
fn read(condition: &Expr, sides: &[Side<'_>; 2], at_most: &mut Vec<(Around, Around)>) {
    let mut note = |low: &Expr, high: &Expr| {
        if let (Some(low), Some(high)) = (around(low, sides), around(high, sides))
            && low.side != high.side
        {
            at_most.push((low, high));
        }
    };
    match condition {
        Expr::Between(Between { expr, negated: false, low, high }) => {
            note(low, expr);
            note(expr, high);
        }
        Expr::BinaryExpr(it) => {
            let (mut one, mut other) = ((*it.left).clone(), (*it.right).clone());
            // `b - a <= span` is `b <= a + span`.
            for (one, other) in [(&mut one, &mut other)] {
                if let Some((from, span)) = difference(one, other) {
                    (*one, *other) = (from, span);
                } else if let Some((from, span)) = difference(other, one) {
                    (*other, *one) = (from, span);
                }
            }
            match it.op {
                Operator::Lt | Operator::LtEq => note(&one, &other),
                Operator::Gt | Operator::GtEq => note(&other, &one),
                Operator::Eq => {
                    note(&one, &other);
                    note(&other, &one);
                }
                _ => {}
            }
        }
        _ => {}
    }
}

/// Takes `b - a` beside a span apart: into `b` beside `a` and the span.
fn difference(one: &Expr, span: &Expr) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(it) = one else { return None };
    if it.op != Operator::Minus || span_us(&it.right).is_some() || span_us(span).is_none() {
        return None;
    }
    Some(((*it.left).clone(), (*it.right).clone() + span.clone()))
}

/// Returns around which column of a side an expression lies.
fn around(expr: &Expr, sides: &[Side<'_>; 2]) -> Option<Around> {
    match expr {
        Expr::Alias(it) => around(&it.expr, sides),
        Expr::Column(column) => sides.iter().enumerate().find_map(|(side, (plan, tags))| {
            let place = plan.schema().maybe_index_of_column(column)?;
            let is_time = matches!(tags.get(place), Some(Some(Tag::Time(_))));
            is_time.then_some(Around { side, place, low_us: 0, high_us: 0 })
        }),
        Expr::BinaryExpr(it) => match (it.op, span_us(&it.left), span_us(&it.right)) {
            (Operator::Plus, None, Some(by)) => Some(around(&it.left, sides)?.moved(by, by)),
            (Operator::Plus, Some(by), None) => Some(around(&it.right, sides)?.moved(by, by)),
            (Operator::Minus, None, Some(by)) => Some(around(&it.left, sides)?.moved(-by, -by)),
            _ => None,
        },
        Expr::ScalarFunction(it) if it.name() == "date_trunc" => {
            let [unit, time] = it.args.as_slice() else { return None };
            Some(around(time, sides)?.moved(-unit_us(unit)?, 0))
        }
        _ => {
            let found = window::window(expr)?;
            let Shape::Fixed { slide_ns, size_ns } = found.shape else { return None };
            if slide_ns != size_ns {
                return None;
            }
            Some(around(&found.time, sides)?.moved(-(size_ns / 1_000), 0))
        }
    }
}

/// Returns how long a unit of `date_trunc` is at most.
fn unit_us(unit: &Expr) -> Option<i64> {
    let Expr::Literal(unit, _) = unit else { return None };
    let unit = unit.try_as_str()??.to_ascii_lowercase();
    let seconds = match unit.as_str() {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        "week" => 7 * 86_400,
        "month" => 31 * 86_400,
        "quarter" => 92 * 86_400,
        "year" => 366 * 86_400,
        _ => return None,
    };
    Some(seconds * 1_000_000)
}

/// Returns how long a constant span of time is; months have no length.
fn span_us(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Alias(it) => span_us(&it.expr),
        Expr::Negative(it) => Some(span_us(it)?.saturating_neg()),
        Expr::Literal(value, _) => length_us(value),
        Expr::Cast(it) => match it.expr.as_ref() {
            Expr::Literal(value, _) => length_us(&value.cast_to(it.field.data_type()).ok()?),
            _ => None,
        },
        _ => None,
    }
}

fn length_us(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(it)) => {
            let days = i64::from(it.days).saturating_mul(86_400_000_000);
            (it.months == 0).then(|| days.saturating_add(it.nanoseconds / 1_000))
        }
        ScalarValue::IntervalDayTime(Some(it)) => {
            let days = i64::from(it.days).saturating_mul(86_400_000_000);
            Some(days.saturating_add(i64::from(it.milliseconds).saturating_mul(1_000)))
        }
        ScalarValue::DurationSecond(Some(it)) => Some(it.saturating_mul(1_000_000)),
        ScalarValue::DurationMillisecond(Some(it)) => Some(it.saturating_mul(1_000)),
        ScalarValue::DurationMicrosecond(Some(it)) => Some(*it),
        ScalarValue::DurationNanosecond(Some(it)) => Some(it / 1_000),
        _ => None,
    }
}

/// Returns the window function that an expression is.
pub(crate) fn window_function(expr: &Expr) -> Option<&WindowFunction> {
    match expr {
        Expr::Alias(it) => window_function(&it.expr),
        Expr::WindowFunction(it) => Some(it),
        _ => None,
    }
}

/// Returns how far around a row its frame reaches; none if there is no bound in time.
pub(crate) fn of_frame(function: &WindowFunction, is_rising: bool) -> Option<Reach> {
    // Ranks and the like look at all rows, whatever the frame.
    let heeds_frame = match &function.fun {
        WindowFunctionDefinition::AggregateUDF(_) => true,
        WindowFunctionDefinition::WindowUDF(it) => {
            matches!(it.name(), "first_value" | "last_value" | "nth_value")
        }
    };
    let WindowFrame { units, start_bound, end_bound, .. } = &function.params.window_frame;
    let is_by_time = function.params.order_by.len() == 1;
    if !heeds_frame || !is_by_time || *units != WindowFrameUnits::Range {
        return None;
    }
    let reach = Reach {
        before_us: edge_us(start_bound)?.saturating_neg().max(0),
        after_us: edge_us(end_bound)?.max(0),
    };
    Some(if is_rising { reach } else { reach.turned() })
}

/// Returns how many rows before each the function looks at, if it looks at none after.
pub(crate) fn rows_back(function: &WindowFunction) -> Option<u64> {
    let number = |it: &Expr| match it {
        Expr::Literal(value, _) => unsigned(value),
        _ => None,
    };
    match &function.fun {
        WindowFunctionDefinition::WindowUDF(it) if it.name() == "lag" => {
            function.params.args.get(1).map_or(Some(1), number)
        }
        WindowFunctionDefinition::WindowUDF(it)
            if !matches!(it.name(), "first_value" | "last_value" | "nth_value") =>
        {
            None
        }
        _ => {
            let WindowFrame { units, start_bound, end_bound, .. } = &function.params.window_frame;
            let ends_here = match end_bound {
                WindowFrameBound::CurrentRow => true,
                WindowFrameBound::Preceding(it) => !it.is_null(),
                WindowFrameBound::Following(_) => false,
            };
            let WindowFrameBound::Preceding(rows) = start_bound else { return None };
            let is_it = *units == WindowFrameUnits::Rows && ends_here;
            unsigned(rows).filter(|_| is_it)
        }
    }
}

fn unsigned(value: &ScalarValue) -> Option<u64> {
    match value.cast_to(&DataType::UInt64).ok()? {
        ScalarValue::UInt64(number) => number,
        _ => None,
    }
}

fn edge_us(bound: &WindowFrameBound) -> Option<i64> {
    // Before types are settled an interval is a text.
    let length = |it: &ScalarValue| match it.try_as_str() {
        Some(Some(_)) => {
            let kind = DataType::Interval(IntervalUnit::MonthDayNano);
            length_us(&it.cast_to(&kind).ok()?)
        }
        _ => length_us(it),
    };
    match bound {
        WindowFrameBound::Preceding(it) => Some(length(it)?.saturating_neg()),
        WindowFrameBound::CurrentRow => Some(0),
        WindowFrameBound::Following(it) => length(it),
    }
}
