//! What a backtest reads: the stored windows of a stretch of time, in the order in which they
//! became final.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use arrow::array::{AsArray as _, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use base::{Name, Span, limits};
use process::FlowPlan;
use spec::{AlertOn, Late, Project};

use crate::alerting::windows::Windows;

/// Answers SQL over what is stored.
#[async_trait]
pub(crate) trait Source: Send + Sync {
    /// Returns all rows of an answer; more than `rows_max` are an error.
    async fn rows(&self, sql: &str, rows_max: usize) -> anyhow::Result<Vec<RecordBatch>>;
}

/// The tables that an alert reads.
pub(crate) struct History {
    pub(crate) parts: Vec<Part>,
}

/// One of them.
pub(crate) struct Part {
    pub(crate) name: Name,
    /// In the order of `moments`, if it has windows.
    pub(crate) rows: RecordBatch,
    /// When the window of each row became final, in microseconds, rising; none without windows.
    pub(crate) moments: Vec<i64>,
    /// From the first window's start to the last one's end.
    span_us: Option<(i64, i64)>,
    is_whole: bool,
}

impl Part {
    /// Returns how many rows there were at a moment.
    pub(crate) fn count_until(&self, moment: i64) -> usize {
        self.moments.partition_point(|it| *it <= moment)
    }

    /// Returns the rows that there were at a moment; all if none is given.
    pub(crate) fn visible(&self, until: Option<i64>) -> RecordBatch {
        match until {
            Some(moment) if !self.is_whole => self.rows.slice(0, self.count_until(moment)),
            Some(_) | None => self.rows.clone(),
        }
    }
}

impl History {
    /// Reads the last stretch of every table that the alert reads.
    pub(crate) async fn read(
        project: &Project,
        flow: &FlowPlan,
        alert: &spec::Alert,
        windows: &BTreeMap<Name, Windows>,
        last: Span,
        source: &dyn Source,
    ) -> anyhow::Result<History> {
        let reading = Reading { project, flow, alert, source };
        let mut newest = None;
        for (name, of) in windows {
            newest = newest.max(reading.newest(name, of).await?.map(|it| it + of.size_us));
        }
        let last_us = i64::try_from(last.0.as_micros()).unwrap_or(i64::MAX);
        let from = newest.map_or(0, |it| it.saturating_sub(last_us));
        let mut parts = Vec::new();
        let beside = alert.reads_beside.iter().filter_map(|it| Name::new(it).ok());
        for name in alert.reads.iter().cloned().chain(beside) {
            let part = match windows.get(&name) {
                Some(of) => reading.windows(&name, of, from).await?,
                None => reading.whole(&name).await?,
            };
            parts.push(part);
        }
        Ok(History { parts })
    }

    pub(crate) fn begin_ms(&self) -> u64 {
        let starts = self.parts.iter().filter_map(|it| it.span_us).map(|(start, _)| start);
        super::to_ms(starts.min().unwrap_or(0))
    }

    pub(crate) fn end_ms(&self) -> u64 {
        let ends = self.parts.iter().filter_map(|it| it.span_us).map(|(_, end)| end);
        super::to_ms(ends.max().unwrap_or(0))
    }

    /// Returns the last moment that is known.
    pub(crate) fn end_us(&self) -> i64 {
        self.parts.iter().filter_map(|it| it.moments.last().copied()).max().unwrap_or(0)
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        let whole = self.parts.iter().filter(|it| it.is_whole);
        whole.map(|it| format!("`{}` has no windows and is taken as it is now", it.name)).collect()
    }
}

struct Reading<'a> {
    project: &'a Project,
    flow: &'a FlowPlan,
    alert: &'a spec::Alert,
    source: &'a dyn Source,
}

impl Reading<'_> {
    fn schema(&self, name: &str) -> anyhow::Result<SchemaRef> {
        let schemas = crate::alerting::schemas_of(self.flow);
        schemas.get(name).cloned().with_context(|| {
            format!("`{name}` is no table of the project, so its past is not stored")
        })
    }

    /// Returns the start of the newest window that the alert sees.
    async fn newest(&self, name: &Name, windows: &Windows) -> anyhow::Result<Option<i64>> {
        let column = quoted(&windows.column);
        let table = quoted(name);
        let condition = self.condition(name, windows, None).await?;
        let sql = format!("SELECT max({column}) AS newest FROM {table}{condition}");
        self.moment(&sql).await
    }

    /// Asks for one moment.
    async fn moment(&self, sql: &str) -> anyhow::Result<Option<i64>> {
        let rows = self.source.rows(sql, 1).await?;
        let moment = rows.first().and_then(|it| {
            let moments = it.columns().first()?.as_primitive_opt::<TimestampMicrosecondType>()?;
            moments.iter().next().flatten()
        });
        Ok(moment)
    }

    /// Which windows the alert sees, as SQL: only those that are final unless it is `on = "open"`.
    async fn condition(
        &self,
        name: &Name,
        windows: &Windows,
        from: Option<i64>,
    ) -> anyhow::Result<String> {
        let column = quoted(&windows.column);
        let moment = |it: i64| format!("TIMESTAMP '{}'", rows::json::timestamp_text(it));
        let mut conditions = Vec::new();
        if let Some(from) = from {
            conditions.push(format!("{column} >= {}", moment(from)));
        }
        match (self.alert.on, *name == windows.of) {
            (AlertOn::Open, _) => {}
            (AlertOn::Final, true) => conditions.push("_final".to_owned()),
            (AlertOn::Final, false) => {
                // Whose windows they are says which are over.
                let of_column = self.flow.window(&windows.of).map(|(column, _)| column);
                let of_column = quoted(&of_column.unwrap_or_default());
                let of = quoted(&windows.of);
                let sql = format!("SELECT max({of_column}) AS newest FROM {of} WHERE _final");
                conditions.push(match self.moment(&sql).await? {
                    Some(newest) => format!("{column} <= {}", moment(newest)),
                    None => "false".to_owned(),
                });
            }
        }
        Ok(match conditions.as_slice() {
            [] => String::new(),
            all => format!(" WHERE {}", all.join(" AND ")),
        })
    }

    async fn windows(&self, name: &Name, windows: &Windows, from: i64) -> anyhow::Result<Part> {
        let condition = self.condition(name, windows, Some(from)).await?;
        let rows = self.rows(name, &condition).await?;
        let starts = rows
            .column_by_name(&windows.column)
            .and_then(|it| it.as_primitive_opt::<TimestampMicrosecondType>())
            .context("the column of a window holds its start")?;
        let hold_us = match (self.alert.on, self.late(&windows.of)) {
            (AlertOn::Final, Late::Hold(span)) => i64::try_from(span.0.as_micros())?,
            (AlertOn::Final, Late::Dead) | (AlertOn::Open, _) => 0,
        };
        let end = |start: i64| start.saturating_add(windows.size_us);
        // Rows without a window belong to no moment.
        let mut order: Vec<(i64, u32)> =
            starts.iter().zip(0_u32..).filter_map(|(it, row)| Some((it?, row))).collect();
        order.sort_unstable();
        let span_us = order.first().zip(order.last()).map(|(first, last)| (first.0, end(last.0)));
        let moments = order.iter().map(|(start, _)| end(*start).saturating_add(hold_us)).collect();
        let places: UInt32Array = order.iter().map(|(_, row)| *row).collect();
        let rows = take_record_batch(&rows, &places)?;
        Ok(Part { name: name.clone(), rows, moments, span_us, is_whole: false })
    }

    fn late(&self, table: &Name) -> Late {
        let table = self.project.tables.get(table);
        table.map_or_else(|| Late::Hold(Span::default()), |it| it.late)
    }

    async fn whole(&self, name: &Name) -> anyhow::Result<Part> {
        let rows = self.rows(name, "").await?;
        let (moments, span_us) = (Vec::new(), None);
        Ok(Part { name: name.clone(), rows, moments, span_us, is_whole: true })
    }

    /// Reads rows of a table in the types of the project, the hidden column included.
    async fn rows(&self, name: &Name, condition: &str) -> anyhow::Result<RecordBatch> {
        let schema = self.schema(name)?;
        let columns: Vec<String> = schema.fields().iter().map(|it| quoted(it.name())).collect();
        let sql = format!("SELECT {} FROM {}{condition}", columns.join(", "), quoted(name));
        let found = self.source.rows(&sql, limits::BACKTEST_ROWS_MAX).await;
        let found = found.with_context(|| {
            format!("`{name}` cannot be read; a shorter `--last` reads less of it")
        })?;
        let found = found.iter().map(|it| rows::schema::cast(it, &schema));
        let found = found.collect::<Result<Vec<_>, _>>()?;
        let bytes: usize = found.iter().map(RecordBatch::get_array_memory_size).sum();
        if limits::QUERY_MEMORY_BYTES_MAX < bytes {
            bail!("`{name}` has more rows in that time than fit into memory; shorten `--last`");
        }
        Ok(concat_batches(&schema, &found)?)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
