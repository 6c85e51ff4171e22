//! Which windows a moment lies in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, PrimitiveArray, PrimitiveBuilder};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowTimestampType, DataType, Field, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::error::DataFusionError;

/// The type of moments that come from dates.
pub(super) fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}

/// Calls a function with the type of the timestamps in an array; dates become timestamps first.
macro_rules! with_times {
    ($times:expr, $function:ident, $($argument:expr),*) => {
        match $times.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => {
                $function::<TimestampSecondType>($times, $($argument),*)
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                $function::<TimestampMillisecondType>($times, $($argument),*)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                $function::<TimestampMicrosecondType>($times, $($argument),*)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                $function::<TimestampNanosecondType>($times, $($argument),*)
            }
            DataType::Date32 | DataType::Date64 | DataType::Null => {
                $function::<TimestampMicrosecondType>(&cast($times, &utc())?, $($argument),*)
            }
            other => exec_err!("a window needs a timestamp, not {other}"),
        }
    };
}

/// Returns the start of the window of each moment.
pub(super) fn tumble(times: &ArrayRef, size_ns: i64) -> Result<ArrayRef> {
    with_times!(times, floor_all, size_ns)
}

/// Returns the starts of the windows of each moment, as a list, the earliest first.
pub(super) fn hop(times: &ArrayRef, slide_ns: i64, size_ns: i64) -> Result<ArrayRef> {
    with_times!(times, hops, slide_ns, size_ns)
}

/// Returns the start of the session of each moment; the moments are in order, nulls last.
pub(super) fn session(times: &ArrayRef, gap_ns: i64) -> Result<ArrayRef> {
    with_times!(times, sessions, gap_ns)
}

fn floor_all<T: ArrowTimestampType>(times: &ArrayRef, size_ns: i64) -> Result<ArrayRef> {
    let size = in_unit(size_ns, T::UNIT)?;
    let times = times.as_primitive::<T>();
    let starts: PrimitiveArray<T> = times.try_unary(|time| floor(time, size))?;
    Ok(Arc::new(starts.with_data_type(times.data_type().clone())))
}

/// Rounds towards the past, so that moments before 1970 lie in their window too.
fn floor(time: i64, size: i64) -> Result<i64> {
    match time.checked_sub(time.rem_euclid(size)) {
        Some(start) => Ok(start),
        None => exec_err!("the window of a moment begins before all time that can be written"),
    }
}

fn hops<T: ArrowTimestampType>(times: &ArrayRef, slide_ns: i64, size_ns: i64) -> Result<ArrayRef> {
    let (slide, size) = (in_unit(slide_ns, T::UNIT)?, in_unit(size_ns, T::UNIT)?);
    let times = times.as_primitive::<T>();
    let mut starts = PrimitiveBuilder::<T>::new();
    let mut lengths = Vec::with_capacity(times.len());
    for time in times {
        let mut length = 0;
        if let Some(time) = time {
            let last = floor(time, slide)?;
            // The first that has not ended: the smallest multiple of the slide above `time - size`.
            let first = time.checked_sub(size).ok_or_else(before_all_time)?;
            let mut start = floor(first, slide)?.checked_add(slide).ok_or_else(before_all_time)?;
            while start <= last {
                starts.append_value(start);
                length += 1;
                start += slide;
            }
        }
        lengths.push(length);
    }
    let starts = starts.finish().with_data_type(times.data_type().clone());
    let field = Arc::new(Field::new_list_field(times.data_type().clone(), true));
    let nulls: Option<NullBuffer> = times.nulls().cloned();
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(starts), nulls)?))
}

fn before_all_time() -> DataFusionError {
    DataFusionError::Execution(
        "the window of a moment begins before all time that can be written".to_owned(),
    )
}

fn sessions<T: ArrowTimestampType>(times: &ArrayRef, gap_ns: i64) -> Result<ArrayRef> {
    let gap = in_unit(gap_ns, T::UNIT)?;
    let times = times.as_primitive::<T>();
    let mut open: Option<(i64, i64)> = None;
    let starts: PrimitiveArray<T> = times
        .iter()
        .map(|time| {
            let time = time?;
            let start = match open {
                Some((start, last)) if time.saturating_sub(last) <= gap => start,
                _ => time,
            };
            open = Some((start, time));
            Some(start)
        })
        .collect();
    Ok(Arc::new(starts.with_data_type(times.data_type().clone())))
}

/// Returns a length of time in units of the timestamps it cuts; never 0 or less.
pub(super) fn in_unit(length_ns: i64, unit: TimeUnit) -> Result<i64> {
    let unit_ns = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    if 0 < length_ns && length_ns % unit_ns == 0 {
        Ok(length_ns / unit_ns)
    } else {
        plan_err!("a window cannot be finer than the timestamps it cuts; make it longer")
    }
}
