use super::{Catalog, Database, Snapshot};
use crate::sample::Sample;
use datafusion::catalog::CatalogProvider;

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
