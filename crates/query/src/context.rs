//! Makes the session that every plan of the program is made on.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::config::Dialect;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};

use base::limits;

use crate::functions;
use crate::functions::window::ExpandWindows;
use crate::types::Types;

/// The catalog that holds the tables; PostgreSQL clients see it as the database.
pub const CATALOG: &str = "mainstem";

/// The schema of the project's tables.
pub const SCHEMA: &str = "public";

/// The schema of the tables in which the program tells about itself.
pub const SYSTEM_SCHEMA: &str = "system";

/// How many cores and how much memory one session may use.
#[derive(Debug, Clone)]
pub struct ContextSettings {
    /// Threads that work on one query; 1 for plans that run once per tick.
    pub partitions: usize,
    /// Memory of all queries of the session together; beyond it sorts, joins and groups spill.
    pub memory_bytes: usize,
    /// Where they spill to; without it, to the folder for temporary files of the machine.
    pub spill_folder: Option<PathBuf>,
}

impl Default for ContextSettings {
    fn default() -> ContextSettings {
        let partitions = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let memory_bytes = limits::QUERY_MEMORY_BYTES_MAX;
        ContextSettings { partitions, memory_bytes, spill_folder: None }
    }
}

/// Makes a session with our functions, in UTC, with bounded memory, and without a way to files.
///
/// # Errors
/// When the folder to spill to cannot be used.
pub fn context(settings: &ContextSettings) -> Result<SessionContext, DataFusionError> {
    Ok(SessionContext::new_with_state(state(settings)?))
}

/// See [`context()`].
pub(crate) fn state(settings: &ContextSettings) -> Result<SessionState, DataFusionError> {
    let mut config = SessionConfig::new()
        .with_target_partitions(settings.partitions.max(1))
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_information_schema(true);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.sql_parser.collect_spans = true;
    options.sql_parser.dialect = Dialect::PostgreSQL;
    // `0.01` is exact, as in PostgreSQL: sums of money stay decimals.
    options.sql_parser.parse_float_as_decimal = true;
    // The planner is not always of one mind with itself about what may be NULL (`CASE WHEN a > 1 THEN
    // a END` is not, the expression made of it is); that is no reason not to answer.
    options.execution.skip_physical_aggregate_schema_check = true;
    // Parts of JSON text cost as much wherever they are taken out, and taking them out below a filter
    // and a window fails where a column is both a part and a whole ("duplicate qualified field name").
    options.optimizer.enable_leaf_expression_pushdown = false;

    let spill = match &settings.spill_folder {
        Some(folder) => DiskManagerMode::Directories(vec![folder.clone()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let spill = DiskManagerBuilder::default()
        .with_mode(spill)
        .with_max_temp_directory_size(limits::QUERY_SPILL_BYTES_MAX);
    let consumers_named = std::num::NonZeroUsize::MIN;
    let memory =
        TrackConsumersPool::new(FairSpillPool::new(settings.memory_bytes), consumers_named);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(memory))
        .with_disk_manager_builder(spill)
        .build_arc()?;

    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_analyzer_rule(Arc::new(ExpandWindows))
        .with_type_planner(Arc::new(Types))
        .build();
    // What reads files by name has no place here: tables are handed over as providers.
    state.table_factories_mut().clear();
    functions::register(&mut state)?;
    Ok(state)
}

#[cfg(test)]
mod tests;
