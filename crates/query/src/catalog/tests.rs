use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::error::DataFusionError;

use super::{Catalog, Database, Snapshot};
use crate::engine::with_nearest_table;
use crate::sample::Sample;
use crate::words;

#[test]
fn names_of_the_project_come_first() {
    let snapshot = Sample::default().snapshot();
    let columns = |name: &str| snapshot.table(name).unwrap().schema().fields().len();
    assert_eq!(columns("orders"), 6);
    assert_eq!(columns("streams"), 1);
    assert!(snapshot.table("nothing").is_none());
}

#[test]
fn what_is_not_for_people_is_not_listed() {
    let database = Database::at(&Sample::default().snapshot(), None);
    assert_eq!(database.schema_names(), ["public", "system"]);
    let public = database.schema("public").unwrap();
    assert!(public.table_exist("streams"));
    assert!(!public.table_names().contains(&"streams".to_owned()));
    assert!(database.schema("_whole").unwrap().table_names().is_empty());
    assert!(format!("{:?}", Snapshot::default()).contains("Snapshot"));
}

#[test]
fn a_bucket_that_is_nearly_named_is_offered() {
    let bucket: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
    let buckets = BTreeMap::from([("landing".to_owned(), bucket)]);
    let snapshot = Snapshot { buckets, ..Snapshot::default() };
    let said = |table: &str| {
        let error = DataFusionError::Plan(format!("table '{table}' not found"));
        let error = with_nearest_table(words::of("", &error), &snapshot);
        (error.message, error.help)
    };
    let (message, help) = said("mainstem.landin.days/a.csv");
    assert_eq!(message, "table `landin.days/a.csv` not found");
    assert_eq!(help.as_deref(), Some("did you mean the bucket `landing`?"));
    let (message, help) = said("mainstem.public.orders");
    assert_eq!((message.as_str(), help), ("table `orders` not found", None));
}
