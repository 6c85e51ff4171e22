//! The catalogue as system tables, made when somebody asks for them: `system.catalog`,
//! `system.columns`, `system.lineage`, `system.catalog_changes`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use show::{Catalog, Entry, EntryColumn, Origin};

use crate::described::history::Change;
use crate::pipeline::Pipeline;
use crate::system::{moment, number, schema_of, text, texts, truth};

/// Columns by name, in order.
type Columns = Vec<(&'static str, ArrayRef)>;

/// What makes the rows of one: of what there is, and of what changed.
type Make = fn(&Catalog, &[Change]) -> Columns;

/// Returns the system tables about the catalogue.
pub(crate) fn of(pipeline: &Arc<Pipeline>) -> BTreeMap<String, Arc<dyn TableProvider>> {
    let makes: [(&str, Make); 4] = [
        ("catalog", catalog),
        ("columns", columns),
        ("lineage", lineage),
        ("catalog_changes", changes),
    ];
    let table = |(name, make): (&str, Make)| {
        let schema = schema_of(&make(&Catalog::default(), &[]));
        let table = Described { pipeline: Arc::clone(pipeline), make, schema };
        (name.to_owned(), Arc::new(table) as Arc<dyn TableProvider>)
    };
    makes.into_iter().map(table).collect()
}

struct Described {
    pipeline: Arc<Pipeline>,
    make: Make,
    schema: SchemaRef,
}

impl fmt::Debug for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Described").finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for Described {
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
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let catalog = super::note(&self.pipeline);
        let changes = self.pipeline.history.lock().changes().to_vec();
        let columns = (self.make)(&catalog, &changes);
        let arrays = columns.into_iter().map(|(_, values)| values).collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), arrays)?;
        let rows = MemTable::try_new(Arc::clone(&self.schema), vec![vec![rows]])?;
        rows.scan(session, projection, &[], limit).await
    }
}

fn catalog(all: &Catalog, _: &[Change]) -> Columns {
    let rows = &all.entries;
    let briefs = || rows.iter().map(|it| &it.brief);
    let readers =
        |it: &Entry| it.read_by.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
    vec![
        ("name", text(briefs().map(|it| it.name.as_str()))),
        ("kind", text(briefs().map(|it| it.kind.word()))),
        ("layer", texts(briefs().map(|it| it.layer.clone()))),
        ("description", texts(briefs().map(|it| it.description.clone()))),
        ("owner", texts(briefs().map(|it| it.owner.clone()))),
        ("tags", texts(briefs().map(|it| Some(it.tags.join(", "))))),
        ("columns", number(rows.iter().map(|it| it.columns.len() as u64))),
        ("rows", number(briefs().map(|it| it.rows))),
        ("bytes", number(rows.iter().map(|it| it.bytes))),
        ("files", number(rows.iter().map(|it| it.files))),
        ("updated", moment(briefs().map(|it| it.updated_ms))),
        ("stale_since", moment(briefs().map(|it| it.stale_since_ms))),
        ("reads", texts(rows.iter().map(|it| Some(it.reads.join(", "))))),
        ("read_by", texts(rows.iter().map(|it| Some(readers(it))))),
        ("declared", text(rows.iter().map(|it| it.declared.as_str()))),
        ("location", texts(rows.iter().map(|it| it.location.clone()))),
    ]
}

fn columns(all: &Catalog, _: &[Change]) -> Columns {
    let numbered = all.entries.iter().map(|entry| (1_u64..).zip(&entry.columns));
    let numbers: Vec<u64> = numbered.flatten().map(|(number, _)| number).collect();
    let rows: Vec<(&Entry, &EntryColumn)> = columns_of(all).collect();
    vec![
        ("name", text(rows.iter().map(|(entry, _)| entry.brief.name.as_str()))),
        ("column_name", text(rows.iter().map(|(_, it)| it.column.name.as_str()))),
        ("position", number(numbers.into_iter())),
        ("type", text(rows.iter().map(|(_, it)| it.column.kind.as_str()))),
        ("nullable", truth(rows.iter().map(|(_, it)| it.column.nullable))),
        ("description", texts(rows.iter().map(|(_, it)| it.description.clone()))),
    ]
}

/// Returns all columns, each with what has it.
fn columns_of(all: &Catalog) -> impl Iterator<Item = (&Entry, &EntryColumn)> {
    all.entries.iter().flat_map(|entry| entry.columns.iter().map(move |it| (entry, it)))
}

fn lineage(all: &Catalog, _: &[Change]) -> Columns {
    let columns = columns_of(all);
    let rows: Vec<(&Entry, &EntryColumn, &Origin)> =
        columns.flat_map(|(entry, it)| it.from.iter().map(move |from| (entry, it, from))).collect();
    vec![
        ("name", text(rows.iter().map(|(entry, ..)| entry.brief.name.as_str()))),
        ("column_name", text(rows.iter().map(|(_, it, _)| it.column.name.as_str()))),
        ("from_name", text(rows.iter().map(|(.., from)| from.table.as_str()))),
        ("from_column", text(rows.iter().map(|(.., from)| from.column.as_str()))),
    ]
}

fn changes(_: &Catalog, rows: &[Change]) -> Columns {
    vec![
        ("at", moment(rows.iter().map(|it| Some(it.at_ms)))),
        ("name", text(rows.iter().map(|it| it.name.as_str()))),
        ("kind", text(rows.iter().map(|it| it.kind.word()))),
        ("change", text(rows.iter().map(|it| it.change.as_str()))),
        ("details", texts(rows.iter().map(|it| Some(it.details.join("; "))))),
    ]
}
