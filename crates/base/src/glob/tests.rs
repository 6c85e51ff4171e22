use super::*;

#[test]
fn a_pattern_means_some_keys() {
    let cases = [
        ("**", "a", true),
        ("**", "a/b/c.csv", true),
        ("*.csv", "a.csv", true),
        ("*.csv", "a/b.csv", false),
        ("*.csv", "a.csv.gz", false),
        ("**/*.csv", "a.csv", true),
        ("**/*.csv", "a/b/c.csv", true),
        ("sales/**", "sales", true),
        ("sales/**", "sales/2024/a.csv", true),
        ("sales/**", "sale/a.csv", false),
        ("sales/*/a.csv", "sales/2024/a.csv", true),
        ("sales/*/a.csv", "sales/2024/01/a.csv", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXbYbZ", false),
        ("*", "", true),
        ("é*", "été", true),
        ("*.{csv,tsv}", "a.tsv", true),
        ("{a,b}/{c,d}.csv", "b/c.csv", true),
        ("{a,b}/{c,d}.csv", "b/e.csv", false),
        ("/a.csv", "a.csv", true),
    ];
    for (pattern, key, is_meant) in cases {
        let found = Glob::new(pattern).unwrap().matches(key);
        assert_eq!(found, is_meant, "{pattern} {key}");
    }
}

#[test]
fn a_pattern_that_is_none_says_why() {
    for pattern in ["", "a{b", "a}b", "{a{b,c}}"] {
        assert!(Glob::new(pattern).is_err(), "{pattern}");
    }
    let many = "{a,b}".repeat(7);
    assert!(Glob::new(&many).unwrap_err().contains("alternatives"));
}

#[test]
fn stars_do_not_explode() {
    let pattern = Glob::new(&"*a".repeat(50)).unwrap();
    assert!(!pattern.matches(&format!("{}b", "a".repeat(5_000))));
    let deep = Glob::new(&"**/a/".repeat(30)).unwrap();
    assert!(!deep.matches(&"a/b/".repeat(500)));
}
