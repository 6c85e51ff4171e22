//! Tests of the catalogue's history: what differs is told once, and survives a start and a torn line.

use show::{Brief, EntryColumn};

use super::*;

fn table(name: &str, owner: Option<&str>, columns: &[&str]) -> Entry {
    let column = |it: &&str| EntryColumn {
        column: Column { name: (*it).to_owned(), kind: "int".to_owned(), nullable: true },
        ..EntryColumn::default()
    };
    let brief = Brief {
        kind: EntryKind::Table,
        name: name.to_owned(),
        owner: owner.map(str::to_owned),
        ..Brief::default()
    };
    Entry { brief, columns: columns.iter().map(column).collect(), ..Entry::default() }
}

fn catalog(entries: Vec<Entry>) -> Catalog {
    Catalog { project: "shop".to_owned(), entries }
}

fn told(history: &History) -> Vec<String> {
    let line =
        |it: &Change| format!("{} {} {} {}", it.at_ms, it.change, it.name, it.details.join("; "));
    history.changes().iter().map(|it| line(it).trim_end().to_owned()).collect()
}

#[test]
fn what_differs_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::open(folder.path()).unwrap();
    let first = catalog(vec![table("a", None, &["x", "y"]), table("b", None, &[])]);
    history.note(&first, 1).unwrap();
    history.note(&first, 2).unwrap();
    let mut more = Entry { bytes: 9, ..table("a", None, &["x", "y"]) };
    more.brief.rows = 9;
    history.note(&catalog(vec![more, table("b", None, &[])]), 3).unwrap();
    let second = catalog(vec![table("a", Some("zoe"), &["y", "z"]), table("c", None, &[])]);
    history.note(&second, 4).unwrap();
    let expected = [
        "1 added a",
        "1 added b",
        "4 changed a owner: none → zoe; + column z int; - column x",
        "4 added c",
        "4 dropped b",
    ];
    assert_eq!(told(&history), expected);
    let mut again = History::open(folder.path()).unwrap();
    assert_eq!(told(&again), expected);
    again.note(&second, 5).unwrap();
    assert_eq!(told(&again), expected, "nothing changed since");
}

#[test]
fn what_is_said_about_columns_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.ndjson");
    let mut history = History::open(folder.path()).unwrap();
    history.note(&catalog(vec![table("a", None, &["x", "y"])]), 1).unwrap();
    let before = fs::read_to_string(&path).unwrap();
    assert!(!before.contains("descriptions"), "a line as earlier programs wrote it: {before}");
    let mut said = table("a", None, &["x", "y"]);
    said.columns[1].description = Some("why".to_owned());
    let mut history = History::open(folder.path()).unwrap();
    history.note(&catalog(vec![said.clone()]), 2).unwrap();
    history.note(&catalog(vec![said]), 3).unwrap();
    history.note(&catalog(vec![table("a", None, &["x", "y"])]), 4).unwrap();
    let expected = [
        "1 added a",
        "2 changed a description of y: none → why",
        "4 changed a description of y: why → none",
    ];
    assert_eq!(told(&History::open(folder.path()).unwrap()), expected);
}

#[test]
fn a_torn_line_is_cut_off_and_noticed_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.ndjson");
    let both = catalog(vec![table("a", None, &["x"]), table("b", None, &[])]);
    let mut history = History::open(folder.path()).unwrap();
    history.note(&both, 1).unwrap();
    let whole = fs::read(&path).unwrap();
    let first = whole.iter().position(|it| *it == b'\n').unwrap() + 1;
    for cut in first..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let mut history = History::open(folder.path()).unwrap();
        assert_eq!(told(&history), ["1 added a"], "cut at {cut}");
        history.note(&both, 2).unwrap();
        assert_eq!(told(&History::open(folder.path()).unwrap()), ["1 added a", "2 added b"]);
    }
}
