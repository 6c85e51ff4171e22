//! What is kept survives, and what is damaged is named.

use super::*;

type Names = Vec<String>;

#[test]
fn a_change_is_there_after_a_restart_and_a_failed_one_never_was() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::<Names>::default();
    kept.open(folder.path(), "names.json").unwrap();
    let add = |names: &mut Names| -> Result<usize, KeptFault> {
        names.push("a".to_owned());
        Ok(names.len())
    };
    assert_eq!(kept.change(add).unwrap(), 1);
    let refuse = |names: &mut Names| -> Result<(), KeptFault> {
        names.push("b".to_owned());
        Err(KeptFault { file: PathBuf::new(), reason: "no".to_owned(), is_damage: false })
    };
    kept.change(refuse).unwrap_err();
    assert_eq!(*kept.now(), ["a"]);
    let again = Kept::<Names>::default();
    again.open(folder.path(), "names.json").unwrap();
    assert_eq!(*again.now(), ["a"]);
}

#[test]
fn a_damaged_file_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("names.json"), "[\"a\"").unwrap();
    let fault = Kept::<Names>::default().open(folder.path(), "names.json").unwrap_err();
    assert!(fault.is_damage && fault.to_string().contains("names.json"), "{fault}");
}
