use query::NewTable;

use super::*;

fn table() -> NewTable {
    NewTable {
        name: "big".to_owned(),
        select: "SELECT region FROM orders".to_owned(),
        settings: vec![("keep".to_owned(), "\"30 days\"".to_owned())],
        or_replace: false,
        if_not_exists: false,
    }
}

#[test]
fn a_file_is_ours_until_somebody_edits_it() {
    let text = text_of("office", &table());
    assert!(text.starts_with("-- made in SQL by office; sum "), "{text}");
    assert!(text.ends_with("/*\nkeep = \"30 days\"\n*/\nSELECT region FROM orders\n"), "{text}");
    assert!(is_ours(&text) && was_ours(&text));
    let edited = text.replace("region", "total");
    assert!(!is_ours(&edited) && was_ours(&edited));
    assert!(!is_ours("SELECT 1") && !was_ours("SELECT 1"));
}

#[test]
fn what_sql_did_not_make_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let text = text_of("office", &table());
    assert_eq!(replace(folder.path(), "tables/big.sql", Some(&text)).unwrap(), None);
    let path = folder.path().join("tables/big.sql");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let other = text_of("till", &table());
    let before = replace(folder.path(), "tables/big.sql", Some(&other)).unwrap();
    assert_eq!(before.as_deref(), Some(text.as_str()));
    fs::write(&path, "SELECT 2 AS two").unwrap();
    assert!(replace(folder.path(), "tables/big.sql", Some(&text)).is_err());
    assert!(replace(folder.path(), "tables/big.sql", None).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "SELECT 2 AS two");
    fs::write(&path, &other).unwrap();
    replace(folder.path(), "tables/big.sql", None).unwrap();
    assert!(!path.try_exists().unwrap());
    let left: Vec<_> = fs::read_dir(folder.path().join("tables")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_link_leads_nowhere() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(outside.path(), folder.path().join("tables")).unwrap();
    let text = text_of("office", &table());
    assert!(replace(folder.path(), "tables/big.sql", Some(&text)).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}
