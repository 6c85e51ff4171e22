//! What can be asked: one snapshot of all tables, handed over by whoever has them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::error::Result;
use parking_lot::RwLock;

use crate::context::{CATALOG, SCHEMA, SYSTEM_SCHEMA};
use crate::hidden::{Shown, WHOLE};
use crate::past::{PAST, Past};

/// The schema in which PostgreSQL's clients look for what there is.
const PG_CATALOG: &str = "pg_catalog";

/// Knows all tables as they are now.
pub trait Catalog: Send + Sync {
    /// Returns all tables at one moment; asked once per statement. All providers of one snapshot
    /// must show the same moment, however long the statement runs.
    fn snapshot(&self) -> Arc<Snapshot>;
}

/// All tables at one moment.
#[derive(Default, Clone)]
pub struct Snapshot {
    /// The tables of the project, by name.
    pub tables: BTreeMap<String, Arc<dyn TableProvider>>,
    /// The tables in which the program tells about itself: `system.NAME`, and as bare `NAME` if no
    /// table of the project has the name.
    pub system: BTreeMap<String, Arc<dyn TableProvider>>,
    /// The buckets: schemas whose tables are patterns of keys.
    pub buckets: BTreeMap<String, Arc<dyn SchemaProvider>>,
    /// The tables as they were; without it only the newest rows can be asked for.
    pub past: Option<Arc<dyn Past>>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |tables: &BTreeMap<String, _>| tables.keys().cloned().collect::<Vec<_>>();
        f.debug_struct("Snapshot")
            .field("tables", &names(&self.tables))
            .field("system", &names(&self.system))
            .field("buckets", &self.buckets.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Snapshot {
    /// Returns the table that `name` alone means, with its hidden columns.
    pub fn table(&self, name: &str) -> Option<&Arc<dyn TableProvider>> {
        self.tables.get(name).or_else(|| self.system.get(name))
    }

    /// Returns the names that a question may use alone.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().chain(self.system.keys()).map(String::as_str)
    }
}

/// The one database, at one moment or as it is now.
pub(crate) struct Database {
    tables: Source,
    postgres: OnceLock<Arc<dyn SchemaProvider>>,
    past: RwLock<Vec<Arc<dyn TableProvider>>>,
}

enum Source {
    Moment(Arc<Snapshot>),
    Now(Arc<dyn Catalog>),
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Database {
    /// Shows one snapshot, and PostgreSQL's own tables if they are given.
    pub(crate) fn at(
        snapshot: &Arc<Snapshot>,
        postgres: Option<Arc<dyn SchemaProvider>>,
    ) -> Arc<Database> {
        let database = Database {
            tables: Source::Moment(Arc::clone(snapshot)),
            postgres: postgres.map_or_else(OnceLock::new, OnceLock::from),
            past: RwLock::default(),
        };
        Arc::new(database)
    }

    /// Shows what there is whenever it is asked; for what only names tables.
    pub(crate) fn now(catalog: Arc<dyn Catalog>) -> Arc<Database> {
        let (postgres, past) = (OnceLock::new(), RwLock::default());
        Arc::new(Database { tables: Source::Now(catalog), postgres, past })
    }

    /// Shows the tables that stand for earlier versions, numbered from 0.
    pub(crate) fn show_past(&self, tables: Vec<Arc<dyn TableProvider>>) {
        *self.past.write() = tables;
    }

    /// Returns PostgreSQL's own tables, if they were registered.
    pub(crate) fn postgres(&self) -> Option<Arc<dyn SchemaProvider>> {
        self.postgres.get().cloned()
    }
}

impl CatalogProvider for Database {
    fn schema_names(&self) -> Vec<String> {
        let postgres = self.postgres.get().map(|_| PG_CATALOG);
        [SCHEMA, SYSTEM_SCHEMA].into_iter().chain(postgres).map(str::to_owned).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name == PG_CATALOG {
            return self.postgres();
        }
        let snapshot = match &self.tables {
            Source::Moment(snapshot) => Arc::clone(snapshot),
            Source::Now(catalog) => catalog.snapshot(),
        };
        let part = match name {
            SCHEMA => Part::Project,
            SYSTEM_SCHEMA => Part::System,
            WHOLE => Part::Whole,
            PAST => return Some(Arc::new(Numbered(self.past.read().clone()))),
            bucket => return snapshot.buckets.get(bucket).cloned(),
        };
        Some(Arc::new(Tables { snapshot, part }))
    }

    fn register_schema(
        &self,
        name: &str,
        schema: Arc<dyn SchemaProvider>,
    ) -> Result<Option<Arc<dyn SchemaProvider>>> {
        if name == PG_CATALOG && self.postgres.set(schema).is_ok() {
            Ok(None)
        } else {
            datafusion::common::plan_err!("schemas cannot be made here")
        }
    }
}

/// The list of the one database.
#[derive(Debug)]
pub(crate) struct Databases(pub(crate) Arc<Database>);

impl CatalogProviderList for Databases {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None // There is one database, and it stays.
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        let database: Arc<dyn CatalogProvider> = Arc::<Database>::clone(&self.0);
        (name == CATALOG).then_some(database)
    }
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Project,
    System,
    Whole,
}

/// One schema of a snapshot.
#[derive(Debug)]
struct Tables {
    snapshot: Arc<Snapshot>,
    part: Part,
}

impl Tables {
    fn find(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        match self.part {
            Part::Project => self.snapshot.table(name).map(Shown::of),
            Part::System => self.snapshot.system.get(name).cloned(),
            Part::Whole => self.snapshot.tables.get(name).cloned(),
        }
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        match self.part {
            Part::Project => self.snapshot.tables.keys().cloned().collect(),
            Part::System => self.snapshot.system.keys().cloned().collect(),
            Part::Whole => Vec::new(),
        }
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.find(name))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}

/// Tables whose names are their numbers.
#[derive(Debug)]
struct Numbered(Vec<Arc<dyn TableProvider>>);

#[async_trait]
impl SchemaProvider for Numbered {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let number = name.parse::<usize>().ok();
        Ok(number.and_then(|it| self.0.get(it)).map(Arc::clone))
    }

    fn table_exist(&self, name: &str) -> bool {
        name.parse::<usize>().is_ok_and(|it| it < self.0.len())
    }
}

#[cfg(test)]
mod tests;
