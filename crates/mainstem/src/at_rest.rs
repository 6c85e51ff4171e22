//! The system tables about what is stored: `system.versions`, `system.snapshots`, `system.file_sizes`.
//!
//! Their rows are read from the tables' logs, so they are made when somebody asks for them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use ingest::{BucketSnapshot, Inlet};
use store::{LakeTable, SizeClass, SnapshotFacts, VersionFacts};

use crate::system::moment;

/// The stored tables, by name.
pub(crate) type Tables = BTreeMap<String, Arc<LakeTable>>;

/// Returns the system tables about these tables, and about the buckets that are open.
pub(crate) fn tables_of(
    tables: &Arc<Tables>,
    inlet: Option<&Inlet>,
) -> BTreeMap<String, Arc<dyn TableProvider>> {
    let one = |kind: Kind| {
        let (tables, schema) = (Arc::clone(tables), Arc::new(Schema::new(kind.fields())));
        Arc::new(AtRest { kind, tables, inlet: inlet.cloned(), schema }) as Arc<dyn TableProvider>
    };
    let kinds = [
        ("versions", Kind::Versions),
        ("snapshots", Kind::Snapshots),
        ("file_sizes", Kind::FileSizes),
    ];
    kinds.into_iter().map(|(name, kind)| (name.to_owned(), one(kind))).collect()
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Versions,
    Snapshots,
    FileSizes,
}

/// One of them.
struct AtRest {
    kind: Kind,
    tables: Arc<Tables>,
    inlet: Option<Inlet>,
    schema: SchemaRef,
}

impl Kind {
    fn fields(self) -> Vec<Field> {
        let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let (text, number) = (DataType::Utf8View, DataType::Int64);
        let columns = match self {
            Kind::Versions => vec![
                ("name", text.clone()),
                ("version", number.clone()),
                ("made", moment),
                ("operation", text),
                ("epoch", number.clone()),
                ("files_added", number.clone()),
                ("files_removed", number.clone()),
                ("files", number.clone()),
                ("bytes", number.clone()),
                ("rows", number),
                ("can_be_asked", DataType::Boolean),
            ],
            Kind::Snapshots => vec![
                ("name", text.clone()),
                ("version", number.clone()),
                ("taken", moment),
                ("files", number.clone()),
                ("bytes", number.clone()),
                ("kept_bytes", number.clone()),
                ("rows", number),
                ("kind", text),
            ],
            Kind::FileSizes => vec![
                ("name", text),
                ("bytes_from", number.clone()),
                ("bytes_below", number.clone()),
                ("files", number.clone()),
                ("bytes", number.clone()),
                ("rows", number.clone()),
                ("cold_files", number.clone()),
                ("cold_bytes", number),
            ],
        };
        columns.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect()
    }

    async fn rows(self, table: &LakeTable) -> Result<Vec<ArrayRef>, store::Error> {
        Ok(match self {
            Kind::Versions => versions(table.name(), &table.versions().await?),
            Kind::Snapshots => snapshots(table.name(), &table.snapshots()),
            Kind::FileSizes => file_sizes(table.name(), &table.file_sizes()),
        })
    }
}

impl fmt::Debug for AtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtRest").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for AtRest {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<&str> = filters.iter().filter_map(name_in).collect();
        let mut batches = Vec::new();
        for (name, table) in self.tables.iter() {
            if wanted.iter().any(|it| it != name) {
                continue;
            }
            let rows = self.kind.rows(table).await;
            let rows = rows.map_err(|error| DataFusionError::External(Box::new(error)))?;
            batches.push(RecordBatch::try_new(Arc::clone(&self.schema), rows)?);
        }
        if let (Kind::Snapshots, Some(inlet)) = (self.kind, &self.inlet) {
            for (name, rows) in inlet.bucket_snapshots() {
                let rows = of_bucket(&name, &rows);
                batches.push(RecordBatch::try_new(Arc::clone(&self.schema), rows)?);
            }
        }
        let rows = MemTable::try_new(Arc::clone(&self.schema), vec![batches])?;
        rows.scan(session, projection, &[], limit.filter(|_| filters.is_empty())).await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // Logs of tables that are not asked for are not read.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

/// Returns the table that `name = 'TABLE'` names.
fn name_in(filter: &Expr) -> Option<&str> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else {
        return None;
    };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(value, _))
        | (Expr::Literal(value, _), Expr::Column(column))
            if column.name == "name" =>
        {
            match value {
                ScalarValue::Utf8(text)
                | ScalarValue::LargeUtf8(text)
                | ScalarValue::Utf8View(text) => text.as_deref(),
                _ => None,
            }
        }
        _ => None,
    }
}

fn versions(table: &str, rows: &[VersionFacts]) -> Vec<ArrayRef> {
    let number = |of: fn(&VersionFacts) -> u64| numbers(rows.iter().map(|it| Some(of(it))));
    vec![
        name(table, rows.len()),
        number(|it| it.version),
        moment(rows.iter().map(|it| Some(it.made_ms))),
        Arc::new(StringViewArray::from_iter_values(rows.iter().map(|it| &it.operation))),
        numbers(rows.iter().map(|it| it.epoch)),
        number(|it| it.added),
        number(|it| it.removed),
        number(|it| it.files),
        number(|it| it.bytes),
        number(|it| it.rows),
        Arc::new(rows.iter().map(|it| Some(it.can_be_asked)).collect::<BooleanArray>()),
    ]
}

fn snapshots(table: &str, rows: &[SnapshotFacts]) -> Vec<ArrayRef> {
    let number = |of: fn(&SnapshotFacts) -> u64| numbers(rows.iter().map(|it| Some(of(it))));
    vec![
        name(table, rows.len()),
        number(|it| it.version),
        moment(rows.iter().map(|it| Some(it.taken_ms))),
        number(|it| it.files),
        number(|it| it.bytes),
        number(|it| it.kept_bytes),
        number(|it| it.rows),
        name("table", rows.len()),
    ]
}

fn of_bucket(bucket: &str, rows: &[BucketSnapshot]) -> Vec<ArrayRef> {
    let number = |of: fn(&BucketSnapshot) -> u64| numbers(rows.iter().map(|it| Some(of(it))));
    vec![
        name(bucket, rows.len()),
        number(|it| it.number),
        moment(rows.iter().map(|it| Some(it.taken_ms))),
        number(|it| it.files),
        number(|it| it.bytes),
        number(|it| it.kept_bytes),
        numbers(rows.iter().map(|_| None)),
        name("bucket", rows.len()),
    ]
}

fn file_sizes(table: &str, rows: &[SizeClass]) -> Vec<ArrayRef> {
    let number = |of: fn(&SizeClass) -> u64| numbers(rows.iter().map(|it| Some(of(it))));
    vec![
        name(table, rows.len()),
        number(|it| it.bytes_min),
        numbers(rows.iter().map(|it| it.bytes_max)),
        number(|it| it.files),
        number(|it| it.bytes),
        number(|it| it.rows),
        number(|it| it.cold_files),
        number(|it| it.cold_bytes),
    ]
}

fn name(table: &str, rows: usize) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(table, rows)))
}

fn numbers(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    let values = values.map(|it| it.map(|it| i64::try_from(it).unwrap_or(i64::MAX)));
    Arc::new(values.collect::<Int64Array>())
}
