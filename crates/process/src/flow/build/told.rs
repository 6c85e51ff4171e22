//! Tables by windows that a build reads: their rows are replaced, so it hears which windows changed,
//! as a table above them does in life.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use base::{Epoch, Name};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

use super::{Beside, Build, STRETCH_ROWS, stored_of, visible};
use crate::error::Error;
use crate::flow::open::Past;
use crate::operator::Start;
use crate::plan::FlowPlan;
use crate::plan::slices::Slices;
use crate::setup::Grown;

/// A table that tells which windows changed.
pub(super) struct Told {
    name: Name,
    grown: Arc<dyn Grown>,
    /// The column that tells the window of a row.
    column: String,
    /// What tells the stretch of a moment, if it is computed by stretches.
    slices: Option<Slices>,
}

/// Windows of all these tables whose rows may have changed, in order of time: start, place of the
/// table, rows.
type Windows = BTreeMap<(Start, usize), u64>;

impl Told {
    pub(super) fn all(
        beside: &Beside,
        plan: &FlowPlan,
        grown: &BTreeMap<Name, Arc<dyn Grown>>,
    ) -> Result<Vec<Told>, Error> {
        let links = plan.tables.iter().filter(|it| beside.built.contains(it.name()));
        let links = links.filter_map(|it| it.slices.as_ref()).flat_map(|it| &it.links);
        let column = |name: &Name| links.clone().find(|it| it.table == *name);
        let told = beside.told.iter().map(|name| {
            let (Some(grown), Some(link)) = (grown.get(name), column(name)) else {
                return Err(Error::StorageMissing(name.to_string()));
            };
            let own = plan.tables.iter().find(|it| it.name() == name);
            Ok(Told {
                name: name.clone(),
                grown: Arc::clone(grown),
                column: link.column.clone(),
                slices: own.and_then(|it| it.slices.clone()),
            })
        });
        told.collect()
    }

    fn start_of(&self, moment: i64) -> Start {
        self.slices.as_ref().map_or(moment, |it| it.slice_of(moment))
    }

    /// Tells `note` the window of each row that may have changed.
    async fn note_windows(
        &self,
        session: &SessionContext,
        mut note: impl FnMut(Start),
    ) -> Result<(), Error> {
        let failed = |error: DataFusionError| Error::table(&self.name, error);
        let moved = session.read_table(self.grown.moved()?).map_err(failed)?;
        let starts = moved.select_columns(&[self.column.as_str()]).map_err(failed)?;
        let mut starts = starts.execute_stream().await.map_err(failed)?;
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        while let Some(batch) = starts.try_next().await.map_err(failed)? {
            let times = cast(batch.column(0), &micros).map_err(|it| failed(it.into()))?;
            let times = times.as_primitive::<TimestampMicrosecondType>();
            times.iter().flatten().for_each(|it| note(self.start_of(it)));
        }
        Ok(())
    }
}

impl Build {
    /// Hears which windows changed since the last call, a bounded number of rows after the other,
    /// in order of time; returns how many rows they have.
    ///
    /// What lies above a window is computed from all that is stored, so windows may be heard of in
    /// any order, and twice. In order of time those above become final on the way, and need not be
    /// kept in memory.
    pub(super) async fn hear(&mut self, past: &Past) -> Result<u64, Error> {
        let (mut windows, mut reached) = (Windows::new(), Vec::new());
        for (place, told) in self.told.iter().enumerate() {
            let point = past.table(&told.name).map(|(_, _, it)| it.clone());
            reached.push(point.as_ref().and_then(|it| it.watermark_us));
            visible(&told.name, &told.grown, point, &self.flow.clock).await?;
            let session = &self.flow.session;
            told.note_windows(session, |start| *windows.entry((start, place)).or_default() += 1)
                .await?;
            // What came after is no harm: it is heard of next time.
            let cold = told.grown.rows(None, Epoch(u64::MAX))?.rows;
            if let Some(stored) = stored_of(&mut self.flow, &told.name) {
                stored.cold = cold;
            }
        }
        let rows: u64 = windows.values().sum();
        self.progress.rows.fetch_add(rows, Ordering::Relaxed);
        let (mut some, mut some_rows): (BTreeMap<Name, BTreeSet<Start>>, u64) = Default::default();
        for ((start, place), rows) in windows {
            if STRETCH_ROWS <= some_rows {
                let until = |it: Option<i64>| it.map(|it| it.min(start));
                self.hear_of(std::mem::take(&mut some), some_rows, &reached, &until).await?;
                some_rows = 0;
            }
            let Some(told) = self.told.get(place) else { continue };
            some.entry(told.name.clone()).or_default().insert(start);
            some_rows += rows;
        }
        self.hear_of(some, some_rows, &reached, &|it| it).await?;
        Ok(rows)
    }

    /// Tells those above of windows, and that time has come to what `until` makes of the watermarks.
    async fn hear_of(
        &mut self,
        windows: BTreeMap<Name, BTreeSet<Start>>,
        rows: u64,
        reached: &[Option<i64>],
        until: &(dyn Fn(Option<i64>) -> Option<i64> + Sync),
    ) -> Result<(), Error> {
        for (told, reached) in self.told.iter().zip(reached) {
            let run = self.flow.tables.iter_mut().find(|it| *it.name() == told.name);
            if let Some(given) = run.and_then(|it| it.given.as_mut()) {
                given.watermark_us = until(*reached);
            }
        }
        let now_ms = self.flow.clock.now_ms();
        Box::pin(self.flow.refresh_told(now_ms, windows, true)).await;
        self.flow.epoch_records += rows;
        self.progress.rows_done.fetch_add(rows, Ordering::Relaxed);
        self.check()?;
        if self.flow.settings.epoch_bytes <= self.flow.hot_bytes() {
            self.store().await?;
        }
        Ok(())
    }
}
