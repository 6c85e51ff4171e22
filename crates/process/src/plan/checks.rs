//! Checks of tables: each becomes a question with one answer, over the table as it is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use base::{Name, nearest};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::SessionContext;
use spec::{CheckSeverity, Fault, Faults, Holds, SqlText, TableCheck, Word};

use crate::plan::{Known, TableKind, TablePlan, seen, select};
use crate::session;

/// A check of a table, ready to be asked.
#[derive(Debug)]
pub(crate) struct CheckPlan {
    pub(crate) table: Name,
    pub(crate) name: String,
    pub(crate) severity: CheckSeverity,
    /// What must hold, for people.
    pub(crate) told: String,
    pub(crate) asks: Asks,
    /// One row with one column; its scans name tables.
    pub(crate) question: LogicalPlan,
    /// What it reads, its table first.
    pub(crate) reads: Vec<Name>,
    pub(crate) sees_hidden: bool,
    /// Whether its answer changes while no row does.
    pub(crate) asks_time: bool,
}

/// What the answer to a check is, and which is right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Asks {
    /// The number of rows, or values, that should not be.
    Wrong,
    /// Whether it holds.
    Truth,
    /// The newest moment, in microseconds, which must not be older than this.
    Newest { within_us: i64 },
    /// The number of rows, which must be about the one before.
    Rows { percent: f64 },
}

/// A table whose checks are planned.
pub(crate) struct Of<'a> {
    /// What the check reads is registered there.
    pub(crate) session: &'a SessionContext,
    pub(crate) known: &'a BTreeMap<Name, Known>,
    pub(crate) table: &'a TablePlan,
}

/// Returns whether a check names a hidden column.
pub(crate) fn sees_hidden(check: &TableCheck) -> bool {
    let told = check.told().to_ascii_lowercase();
    rows::schema::HIDDEN.iter().any(|it| told.contains(it))
}

impl Of<'_> {
    /// Plans a check.
    pub(crate) async fn plan(
        &self,
        check: &TableCheck,
        reads: Vec<Name>,
    ) -> Result<CheckPlan, Faults> {
        let (asks, sql) = self.question(check)?;
        let failed = |error: &DataFusionError| self.fault(check, error);
        let plan = self.session.state().create_logical_plan(&sql).await;
        let question = plan.map_err(|it| failed(&it))?;
        let is_truth = |it: &DataType| matches!(it, DataType::Boolean | DataType::Null);
        let fields = question.schema().fields();
        if asks == Asks::Truth && !fields.iter().all(|it| is_truth(it.data_type())) {
            let help = "compare it with something, for example `count(*) > 0`".to_owned();
            let message = format!("the check `{}` is neither true nor false", check.name);
            return Err(one(check.spot.fault(message, Some(help))));
        }
        let asks_time = session::asks_time(&question);
        let state = session::at(self.session, 0);
        state.create_physical_plan(&question).await.map_err(|it| failed(&it))?;
        Ok(CheckPlan {
            table: self.table.name().clone(),
            name: check.name.clone(),
            severity: check.severity,
            told: check.told(),
            asks,
            question,
            reads,
            sees_hidden: sees_hidden(check),
            asks_time,
        })
    }

    /// One that stops what it waits for would never hold again.
    pub(crate) fn refuse_circle(
        &self,
        check: &TableCheck,
        reads: &[Name],
        tables: &[Arc<TablePlan>],
    ) -> Result<(), Faults> {
        let own = self.table.name();
        let others = reads.iter().filter(|it| *it != own);
        let mut behind = others.filter(|it| is_behind(tables, it, own));
        let Some(name) = behind.next().filter(|_| check.severity == CheckSeverity::Fail) else {
            return Ok(());
        };
        let message = format!("`{name}` reads `{own}`, so this check would stop what it looks at");
        let help = "let it warn only, or check it on the table behind".to_owned();
        Err(one(check.spot.fault(message, Some(help))))
    }

    /// Returns what is asked, as SQL.
    fn question(&self, check: &TableCheck) -> Result<(Asks, String), Faults> {
        let table = quoted(self.table.name());
        Ok(match &check.holds {
            Holds::Condition(sql) => self.condition(sql)?,
            Holds::NoRows { sql, .. } => {
                let select = sql.text.trim().trim_end_matches(';');
                (Asks::Wrong, format!("SELECT count(*) FROM (\n{select}\n)"))
            }
            Holds::Unique(columns) => {
                self.has_columns(self.table.name(), columns)?;
                let columns: Vec<String> = columns.iter().map(|it| quoted(it.as_str())).collect();
                let there: Vec<String> =
                    columns.iter().map(|it| format!("{it} IS NOT NULL")).collect();
                let (columns, there) = (columns.join(", "), there.join(" AND "));
                let sql = format!(
                    "SELECT count(*) FROM (SELECT {columns} FROM {table} WHERE {there} \
                     GROUP BY {columns} HAVING count(*) > 1)"
                );
                (Asks::Wrong, sql)
            }
            Holds::NotNull(columns) => {
                self.has_columns(self.table.name(), columns)?;
                let missing: Vec<String> =
                    columns.iter().map(|it| format!("{} IS NULL", quoted(it.as_str()))).collect();
                let missing = missing.join(" OR ");
                (Asks::Wrong, format!("SELECT count(*) FROM {table} WHERE {missing}"))
            }
            Holds::References { column, table: other, to } => {
                self.has_columns(self.table.name(), std::slice::from_ref(column))?;
                self.has_columns(other.as_str(), std::slice::from_ref(to))?;
                let (column, other, to) =
                    (quoted(column.as_str()), quoted(other.as_str()), quoted(to.as_str()));
                let sql = format!(
                    "SELECT count(*) FROM {table} AS o WHERE o.{column} IS NOT NULL AND NOT EXISTS \
                     (SELECT 1 FROM {other} AS t WHERE t.{to} = o.{column})"
                );
                (Asks::Wrong, sql)
            }
            Holds::Fresh { within, column } => {
                let column = self.time_column(check, column.as_ref())?;
                let within_us = i64::try_from(within.0.as_micros()).unwrap_or(i64::MAX);
                let sql = format!("SELECT max({}) FROM {table}", quoted(&column));
                (Asks::Newest { within_us }, sql)
            }
            Holds::RowChange { percent, spot } => {
                if self.table.kind != TableKind::Recomputed {
                    let name = self.table.name();
                    let message = format!(
                        "`row_change` compares one run with the one before, and `{name}` has no runs"
                    );
                    let help = "it is for tables that are recomputed; count in a condition instead";
                    return Err(one(spot.fault(message, Some(help.to_owned()))));
                }
                (Asks::Rows { percent: percent.0 }, format!("SELECT count(*) FROM {table}"))
            }
        })
    }

    /// A condition that aggregates is asked once, another of each row.
    fn condition(&self, sql: &SqlText) -> Result<(Asks, String), Faults> {
        let (name, text) = (self.table.name(), sql.text.trim());
        let schema = DFSchema::try_from(Schema::clone(&self.table.schema));
        let written =
            schema.and_then(|it| self.session.state().create_logical_expr(&sql.text, &it));
        let written = written.map_err(|error| {
            match query::check::condition(sql, name, &self.table.schema) {
                Err(faults) => Faults::from_iter(faults),
                Ok(()) => one(select::fault_of(sql, &error)),
            }
        })?;
        let of_all = written.exists(|it| Ok(matches!(it, Expr::AggregateFunction(_))));
        if of_all.unwrap_or_default() {
            return Ok((Asks::Truth, format!("SELECT (\n{text}\n) FROM {}", quoted(name))));
        }
        // Its faults are told as those of a stream's check are, each at its place.
        query::check::condition(sql, name, &self.table.schema).map_err(Faults::from_iter)?;
        let sql = format!("SELECT count(*) FROM {} WHERE (\n{text}\n) IS NOT TRUE", quoted(name));
        Ok((Asks::Wrong, sql))
    }

    fn has_columns(&self, table: &str, columns: &[Word]) -> Result<(), Faults> {
        let Some(known) = self.known.get(table) else { return Ok(()) };
        let schema = seen(&known.schema, false);
        let names: Vec<&str> = schema.fields().iter().map(|it| it.name().as_str()).collect();
        let missing = columns.iter().filter(|it| !names.contains(&it.as_str()));
        let faults = missing.map(|word| {
            let help = match nearest(word.as_str(), names.iter().copied()) {
                Some(right) => format!("did you mean `{right}`?"),
                None => format!("its columns are {}", names.join(", ")),
            };
            word.fault(format!("`{table}` has no column `{word}`"), Some(help))
        });
        let faults = Faults::from_iter(faults);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn time_column(&self, check: &TableCheck, column: Option<&Word>) -> Result<String, Faults> {
        let help = "add `column = \"COLUMN\"` with a timestamp column".to_owned();
        let Some(column) = column else {
            let message = format!("`{}` has no time by which it could be fresh", self.table.name());
            let found = self.table.time_column();
            return found.ok_or_else(|| one(check.spot.fault(message, Some(help))));
        };
        self.has_columns(self.table.name(), std::slice::from_ref(column))?;
        let field = self.table.schema.field_with_name(column.as_str());
        if field.is_ok_and(|it| matches!(it.data_type(), DataType::Timestamp(..))) {
            return Ok(column.text.clone());
        }
        Err(one(column.fault(format!("`{column}` is no timestamp"), Some(help))))
    }

    /// Says why a question does not plan.
    fn fault(&self, check: &TableCheck, error: &DataFusionError) -> Faults {
        let Holds::NoRows { sql, .. } = &check.holds else {
            return one(check.spot.fault(error.strip_backtrace(), None));
        };
        let schemas = self.known.iter();
        let schemas = schemas.map(|(name, it)| (name.to_string(), seen(&it.schema, true)));
        match query::check::select(sql, &schemas.collect()) {
            Err(faults) => Faults::from_iter(faults),
            Ok(_) => one(select::fault_of(sql, error)),
        }
    }
}

/// Returns whether a table reads another, by way of others too.
fn is_behind(tables: &[Arc<TablePlan>], table: &Name, other: &Name) -> bool {
    let found = tables.iter().find(|it| it.name() == table || it.dead == *table);
    let mut reads = found.into_iter().flat_map(|it| &it.reads);
    reads.any(|it| it == other || is_behind(tables, it, other))
}

fn one(fault: Fault) -> Faults {
    Faults::from_iter([fault])
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
