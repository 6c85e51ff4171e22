use expect_test::{Expect, expect};

use super::{LookupData, LookupFile};

fn declared(from: &str) -> spec::Lookup {
    let folder = tempfile::tempdir().unwrap();
    let toml = "[project]\nname = \"p\"\n[lookup.pages]\nfrom = \"pages.csv\"\nkey = \"page\"\n";
    std::fs::write(folder.path().join("mainstem.toml"), toml).unwrap();
    std::fs::write(folder.path().join("pages.csv"), "page\n/a\n").unwrap();
    let project = spec::load(folder.path(), None, &spec::placeholder).unwrap();
    let mut declared = project.lookups.values().next().unwrap().clone();
    from.clone_into(&mut declared.from.text);
    declared
}

fn read(from: &str, text: &str, before: Option<&LookupData>) -> Result<LookupData, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(from), text).unwrap();
    let data = LookupFile::of(&declared(from), folder.path()).read(before);
    data.map_err(|it| it.replace(&folder.path().display().to_string(), "."))
}

fn check(from: &str, text: &str, expected: &Expect) {
    let is = match read(from, text, None) {
        Err(error) => format!("{error}\n"),
        Ok(data) => {
            let schema = data.schema();
            let types =
                schema.fields().iter().map(|it| format!("{}: {}", it.name(), it.data_type()));
            let lines = rows::json::lines(&data.rows);
            format!("{}\n{}\n", types.collect::<Vec<_>>().join(", "), lines.join("\n"))
        }
    };
    expected.assert_eq(&is);
}

#[test]
fn types_are_found_from_the_values() {
    check(
        "pages.csv",
        "page,weight,price,since,at,zip,on,note\n\
         /a,2,1.5,2026-01-05,2026-01-05T10:00:00Z,007,true,\n\
         /b,,2,2026-01-06,2026-01-05 10:00:01,123,false,\"x, y\"\n",
        &expect![[r#"
            page: Utf8View, weight: Int64, price: Float64, since: Date32, at: Timestamp(µs, "UTC"), zip: Utf8View, on: Boolean, note: Utf8View
            {"page":"/a","weight":2,"price":1.5,"since":"2026-01-05","at":"2026-01-05T10:00:00Z","zip":"007","on":true,"note":null}
            {"page":"/b","weight":null,"price":2.0,"since":"2026-01-06","at":"2026-01-05T10:00:01Z","zip":"123","on":false,"note":"x, y"}
        "#]],
    );
    check(
        "pages.ndjson",
        "{\"page\":\"/a\",\"weight\":2,\"tags\":[1]}\n\n{\"page\":7,\"weight\":2.5}\n",
        &expect![[r#"
            page: Utf8View, tags: Utf8View, weight: Float64
            {"page":"/a","tags":"[1]","weight":2.0}
            {"page":"7","tags":null,"weight":2.5}
        "#]],
    );
}

#[test]
fn what_is_wrong_is_told_with_its_row() {
    let csv = |text, expected: &Expect| check("pages.csv", text, expected);
    csv(
        "name\nx\n",
        &expect!["`./pages.csv` has no column `page`, which is its key; its columns are name\n"],
    );
    csv(
        "page,n\n/a,1\n/a,2\n",
        &expect![[r#"
        `./pages.csv`, row 2: the key `page` is "/a" a second time; it must be unique
    "#]],
    );
    csv("page,n\n,1\n", &expect!["`./pages.csv`, row 1: the key `page` is empty\n"]);
}

#[test]
fn a_new_version_keeps_the_columns_of_the_first() {
    let first = read("pages.csv", "page,n\n/a,1\n", None).unwrap();
    let second = read("pages.csv", "page,n,more\n/a,1,x\n/b,2,y\n", Some(&first)).unwrap();
    assert_eq!(second.schema(), first.schema());
    assert_ne!(second.version(), first.version());
    let error = read("pages.csv", "page,n\n/a,many\n", Some(&first)).unwrap_err();
    assert!(error.contains("row 1"), "{error}");
}
