//! Which windows a group lies in that was found by its pane.

use arrow::array::{AsArray, PrimitiveArray};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::prelude::{ident, lit};

use crate::plan::TablePlan;
use crate::trace::Walk;
use crate::trace::path::{self, Groups};

impl Walk<'_> {
    /// Puts the start of the session into a key that has the start of a pane: it is the last that
    /// begins before the pane ends.
    pub(super) async fn find_session(
        &self,
        plan: &TablePlan,
        groups: &Groups,
        key: &mut path::Key,
    ) -> Result<()> {
        let Some(window) = plan.window.as_ref().filter(|it| it.is_session) else { return Ok(()) };
        let column = plan.schema.field(window.column).name();
        let mut others = key.clone();
        let Some(place) = key.get_mut(window.group) else { return Ok(()) };
        let ScalarValue::TimestampMicrosecond(Some(pane), zone) = place.clone() else {
            return Ok(());
        };
        others.remove(window.group);
        let end = ScalarValue::TimestampMicrosecond(Some(window.end(pane)), zone.clone());
        let condition = ident(column).lt(lit(end));
        let condition = match groups.without(window.group).condition(&others) {
            Some(others) => condition.and(others),
            None => condition,
        };
        let rows = self.read(plan.name(), condition).await?;
        let starts = rows.iter().filter_map(|it| it.column_by_name(column));
        let starts = starts.filter_map(|it| it.as_primitive_opt::<TimestampMicrosecondType>());
        if let Some(start) = starts.flat_map(PrimitiveArray::iter).flatten().max() {
            *place = ScalarValue::TimestampMicrosecond(Some(start), zone);
        }
        Ok(())
    }
}

/// Returns the key once for each window that its pane lies in.
pub(super) fn of_windows(plan: &TablePlan, key: path::Key) -> Vec<path::Key> {
    let Some(window) = plan.window.as_ref().filter(|it| !it.is_one_pane()) else {
        return vec![key];
    };
    let pane = match key.get(window.group) {
        Some(ScalarValue::TimestampMicrosecond(Some(pane), zone)) => (*pane, zone.clone()),
        Some(_) | None => return vec![key],
    };
    let mut starts: Vec<i64> = window.windows_of(pane.0).collect();
    starts.sort_unstable();
    let in_window = |start: i64| {
        let mut key = key.clone();
        if let Some(value) = key.get_mut(window.group) {
            *value = ScalarValue::TimestampMicrosecond(Some(start), pane.1.clone());
        }
        key
    };
    starts.into_iter().map(in_window).collect()
}
