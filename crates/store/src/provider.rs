//! A table at rest as SQL sees it: one unchanging list of files, pruned before any is opened.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::ObjectMeta;

use crate::state::{LakeFile, View};

/// Bytes read from the end of a file in the hope that they hold all of its metadata.
const METADATA_BYTES: usize = 64 * 1024;

/// The table at one version of its log.
#[derive(Clone)]
pub(crate) struct LakeProvider {
    view: Arc<View>,
}

impl LakeProvider {
    pub(crate) fn new(view: Arc<View>) -> LakeProvider {
        LakeProvider { view }
    }

    /// Returns the files that may hold rows that pass all `filters`.
    fn chosen(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<Arc<LakeFile>>> {
        let files = &self.view.files;
        let Some(condition) = conjunction(filters.iter().cloned()) else {
            return Ok(files.clone());
        };
        let schema = &self.view.schema;
        let named = DFSchema::try_from(Arc::clone(schema))?;
        let condition = state.create_physical_expr(condition, &named)?;
        // A condition that says nothing of bounds prunes nothing.
        let pruning = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema));
        let Ok(condition) = pruning.try_build(condition) else {
            return Ok(files.clone());
        };
        if condition.always_true() {
            return Ok(files.clone());
        }
        let kept = condition.prune(&Bounds { view: &self.view })?;
        let kept = files.iter().zip(kept).filter(|(_, may)| *may);
        Ok(kept.map(|(file, _)| Arc::clone(file)).collect())
    }
}

impl fmt::Debug for LakeProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeProvider").field("facts", &self.view.facts).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for LakeProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.view.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut files = self.chosen(state, filters)?;
        if let (Some(limit), true) = (limit, filters.is_empty()) {
            files = enough(files, limit);
        }
        let schema = &self.view.schema;
        if files.is_empty() {
            let shown = match projection {
                Some(columns) => Arc::new(schema.project(columns)?),
                None => Arc::clone(schema),
            };
            return Ok(Arc::new(EmptyExec::new(shown)));
        }
        let known = files.iter().map(|it| it.planner.as_ref());
        let known = Statistics::try_merge_iter(known, schema)?;
        let groups: Vec<PartitionedFile> = files.iter().map(|it| to_planner(it)).collect();
        let groups = FileGroup::new(groups).split_files(state.config().target_partitions());

        let url = ObjectStoreUrl::local_filesystem();
        let store = state.runtime_env().object_store(&url)?;
        let footers = state.runtime_env().cache_manager.get_file_metadata_cache();
        let reader = Arc::new(CachedParquetFileReaderFactory::new(store, footers));
        let source = ParquetSource::new(Arc::clone(schema))
            .with_table_parquet_options(state.table_options().parquet.clone())
            .with_metadata_size_hint(METADATA_BYTES)
            .with_parquet_file_reader_factory(reader);
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(known)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // Files and row groups are left out by their bounds; the rows that remain are looked at.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        let known = self.view.files.iter().map(|it| it.planner.as_ref());
        Statistics::try_merge_iter(known, &self.view.schema).ok()
    }
}

/// Returns the first files that together have `limit` rows.
fn enough(files: Vec<Arc<LakeFile>>, limit: usize) -> Vec<Arc<LakeFile>> {
    let mut rows = 0;
    let mut taken = Vec::new();
    for file in files {
        if limit as u64 <= rows {
            break;
        }
        rows += file.facts.as_ref().map_or(0, |it| it.rows);
        taken.push(file);
    }
    taken
}

fn to_planner(file: &LakeFile) -> PartitionedFile {
    let modified = std::time::SystemTime::UNIX_EPOCH
        + std::time::Duration::from_millis(u64::try_from(file.modified_ms).unwrap_or(0));
    let meta = ObjectMeta {
        location: file.location.clone(),
        last_modified: modified.into(),
        size: file.bytes,
        e_tag: None,
        version: None,
    };
    PartitionedFile::new_from_meta(meta).with_statistics(Arc::clone(&file.planner))
}

/// The bounds of all files, column by column. Inexact ones serve as well: they only are wider.
struct Bounds<'a> {
    view: &'a View,
}

impl Bounds<'_> {
    fn of(
        &self,
        column: &Column,
        which: impl Fn(&LakeFile, usize) -> Option<ScalarValue>,
    ) -> Option<ArrayRef> {
        let (index, field) = self.view.schema.column_with_name(&column.name)?;
        if field.data_type().is_floating() {
            // NaN is above all bounds and is left out of them.
            return None;
        }
        let unknown = ScalarValue::try_from(field.data_type()).ok()?;
        let values = self.view.files.iter();
        let values = values.map(|it| which(it, index).unwrap_or_else(|| unknown.clone()));
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for Bounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of(column, |file, index| file.column(index)?.min.clone())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of(column, |file, index| file.column(index)?.max.clone())
    }

    fn num_containers(&self) -> usize {
        self.view.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let (index, _) = self.view.schema.column_with_name(&column.name)?;
        let nulls = self.view.files.iter().map(|it| it.column(index)?.nulls);
        Some(Arc::new(nulls.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows = self.view.files.iter().map(|it| Some(it.facts.as_ref()?.rows));
        Some(Arc::new(rows.collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[cfg(test)]
mod tests;
