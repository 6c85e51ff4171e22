//! TOML that is odd, long or deep.

use proptest::prelude::{any, proptest};

use crate::document::{parse, too_deep};
use crate::fault::Faults;
use crate::load::tests::load;
use crate::source::{SourceFile, Sources};

#[test]
fn a_key_with_too_many_parts_is_refused() {
    let deep = format!("{}a = 1\n", "a.".repeat(200_000));
    assert!(load(&[("a.toml", &deep)], None).is_err());
    let header = format!("[{}a]\n", "a.".repeat(200_000));
    assert!(load(&[("a.toml", &header)], None).is_err());
    let inline = format!("x = {{ {}a = 1 }}\n", "a.".repeat(200_000));
    assert!(load(&[("a.toml", &inline)], None).is_err());
    let nested = format!("x = {}1{}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert!(load(&[("a.toml", &nested)], None).is_err());
    let tables = format!("x = {}1{}\n", "{a=".repeat(100_000), "}".repeat(100_000));
    assert!(load(&[("a.toml", &tables)], None).is_err());
}

#[test]
fn dots_elsewhere_are_no_parts() {
    let dots = ".".repeat(100);
    for text in [
        format!("a = '{dots}'"),
        format!("a = \"\\\"{dots}\""),
        format!("a = '''\n{dots}\n'{dots}\n'''"),
        format!("a = \"\"\"\\\"\"\"\n{dots}\"\"\""),
        format!("# {dots}"),
        format!("'{dots}' = 1"),
        "a = [1.5, 1.5]\n".repeat(100),
    ] {
        assert_eq!(too_deep(&text), None, "{text}");
    }
    assert!(too_deep(&format!("a = ''\n{}b = 1", "b . ".repeat(20))).is_some());
}

proptest! {
    #[test]
    fn any_text_is_a_project_or_faults(toml in any::<String>(), sql in any::<String>()) {
        let files = [("a.toml", toml.as_str()), ("b.sql", sql.as_str())];
        if let Err(faults) = load(&files, None) {
            assert!(!faults.is_empty());
            faults.render(false);
            faults.render(true);
        }
    }

    #[test]
    fn any_pieces_of_the_language_are_a_project_or_faults(
        toml in proptest::collection::vec(proptest::sample::select(TOML_PIECES), 0..40),
        comment in proptest::collection::vec(proptest::sample::select(TOML_PIECES), 0..10),
        sql in proptest::collection::vec(proptest::sample::select(SQL_PIECES), 0..30),
    ) {
        let sql = format!("/*{}*/{}", comment.concat(), sql.concat());
        let toml = toml.concat();
        let files = [("a.toml", toml.as_str()), ("b.sql", sql.as_str()), ("p.csv", "id\n")];
        if let Err(faults) = load(&files, Some("prod")) {
            assert!(!faults.is_empty());
            faults.render(false);
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_a_project_or_faults(cut in 0_usize..4_000, which in 0_usize..6) {
        let mut files = crate::load::tests::SHOP.to_vec();
        let (path, text) = files[which];
        files[which] = (path, text.split_at(text.floor_char_boundary(cut.min(text.len()))).0);
        if let Err(faults) = load(&files, None) {
            faults.render(false);
        }
    }

    #[test]
    fn places_lie_in_their_file(text in any::<String>()) {
        let mut sources = Sources::default();
        sources.add(SourceFile { path: "a".to_owned(), text: "[a]".to_owned() });
        let start = sources.add(SourceFile { path: "b".to_owned(), text: text.clone() });
        let mut faults = Faults::default();
        parse(sources.whole_text(start), start, &sources, &mut faults);
        for fault in &faults {
            assert_eq!(fault.file(), "b");
            assert!(fault.range().end <= text.len());
        }
    }
}

const TOML_PIECES: &[&str] = &[
    "[stream.s]\n",
    "[lookup.l]\n",
    "[table.t]\n",
    "[alert.a]\n",
    "[notify.n]\n",
    "[dashboard.d]\n",
    "[[dashboard.d.chart]]\n",
    "[test.x]\n",
    "[project]\n",
    "[stream.s.columns]\n",
    "[stream.s.checks]\n",
    "[[stream.s.from]]\n",
    "[stream]\n",
    "[[stream]]\n",
    "name = 'x'\n",
    "time = 'ts'\n",
    "ts = 'timestamp'\n",
    "key = ",
    "from = ",
    "'p.csv'\n",
    "['http']\n",
    "[{ door = 'generate', rate = 5 }]\n",
    "sql = ",
    "'''\nSELECT * FROM s\n'''\n",
    "\"SELECT \\\" FROM\"\n",
    "given.s = ",
    "expect.t = ",
    "'''\n{}\n'''\n",
    "columns = ",
    "checks = ",
    "{ a = 'text' }\n",
    "5\n",
    "'5 minuts'\n",
    "late = ",
    "every = ",
    "'${X}'\n",
    "webhook = ",
    "log = true\n",
    "type = 'line'\n",
    "x = 'a'\n",
    "y = ",
    "['a', 5]\n",
    "title = '{a} {'\n",
    "notify = ['n']\n",
    "\u{feff}",
    "é = 1\n",
    "= ",
    "]",
    "\"",
    "'''",
    "#",
    "\r\n",
    "\0",
    ".",
    "partition = 'day(ts)'\n",
    "s.s = 1\n",
    "*/",
    "/*",
];

const SQL_PIECES: &[&str] = &[
    "SELECT ",
    "* ",
    "a",
    "1 ",
    ", ",
    "FROM ",
    "s ",
    "t ",
    "l ",
    "b ",
    "b__dead ",
    "system.x ",
    "JOIN ",
    "ON ",
    "WHERE ",
    "GROUP BY ",
    "WITH ",
    "AS ",
    "(",
    ")",
    "'",
    "\"",
    "--",
    "\n",
    "/*",
    "*/",
    ";",
    ".",
    "count(*) ",
    "UNION ",
    "é",
    "\u{0}",
    "tumble(ts, '1 minute') ",
    "IN ",
    "= ",
    "+ ",
    "CASE ",
    "END ",
];
