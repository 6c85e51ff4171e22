//! What can be asked: one snapshot of all tables, handed over by whoever has them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    SchemaProvider, TableProvider,
};
use datafusion::error::Result;

use crate::context::{CATALOG, SCHEMA, SYSTEM_SCHEMA};

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
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |tables: &BTreeMap<String, _>| tables.keys().cloned().collect::<Vec<_>>();
        f.debug_struct("Snapshot")
            .field("tables", &names(&self.tables))
            .field("system", &names(&self.system))
            .finish()
    }
}

impl Snapshot {
    /// Returns the table that `name` alone means.
    pub fn table(&self, name: &str) -> Option<&Arc<dyn TableProvider>> {
        self.tables.get(name).or_else(|| self.system.get(name))
    }

    /// Returns the catalogs as the engine reads them.
    pub(crate) fn catalogs(self: &Arc<Self>) -> Result<Arc<dyn CatalogProviderList>> {
        let catalog = MemoryCatalogProvider::new();
        for schema in [Schema::Project, Schema::System] {
            let tables = Tables { snapshot: Arc::clone(self), schema };
            catalog.register_schema(schema.name(), Arc::new(tables))?;
        }
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
        Ok(Arc::new(catalogs))
    }
}

#[derive(Debug, Clone, Copy)]
enum Schema {
    Project,
    System,
}

impl Schema {
    fn name(self) -> &'static str {
        match self {
            Schema::Project => SCHEMA,
            Schema::System => SYSTEM_SCHEMA,
        }
    }
}

/// One schema of a snapshot.
#[derive(Debug)]
struct Tables {
    snapshot: Arc<Snapshot>,
    schema: Schema,
}

impl Tables {
    fn find(&self, name: &str) -> Option<&Arc<dyn TableProvider>> {
        match self.schema {
            Schema::Project => self.snapshot.table(name),
            Schema::System => self.snapshot.system.get(name),
        }
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        match self.schema {
            Schema::Project => self.snapshot.tables.keys().cloned().collect(),
            Schema::System => self.snapshot.system.keys().cloned().collect(),
        }
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.find(name).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}
