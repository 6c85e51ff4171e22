use super::{byte_at, closed};

#[test]
fn columns_are_characters() {
    let sql = "SELECT 'größe 🎉',\n\tregin";
    assert_eq!(byte_at(sql, 1, 1), 0);
    assert_eq!(sql.get(byte_at(sql, 2, 2)..), Some("regin"));
    assert_eq!(sql.get(byte_at(sql, 1, 17)..), Some(",\n\tregin"));
    assert_eq!(byte_at(sql, 9, 9), sql.len());
    assert_eq!(byte_at(sql, 0, 0), 0);
}

#[test]
fn a_call_ends_with_its_parenthesis() {
    for (sql, start, end, expected) in [
        ("count(*) AS n", 0, 5, "count(*)"),
        ("sum(total * 2), x", 0, 13, "sum(total * 2)"),
        ("f('a)b', g(1)) + 1", 0, 1, "f('a)b', g(1))"),
        ("region FROM (x)", 0, 6, "region"),
        ("f(x", 0, 1, "f"),
    ] {
        assert_eq!(sql.get(start..closed(sql, start, end)), Some(expected), "{sql}");
    }
}
