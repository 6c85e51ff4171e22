//! The options of made-up fields, and the faults in them.

use expect_test::{Expect, expect};

use super::*;

fn check(fields: &str, fault: &Expect) {
    let fields: BTreeMap<String, FieldOptions> = toml::from_str(fields).unwrap();
    let found = build(&fields).unwrap_err();
    let key = found.key.unwrap_or_default();
    let help = found.help.map(|it| format!(" ({it})")).unwrap_or_default();
    fault.assert_eq(&format!("{key}: {}{help}", found.message));
}

#[test]
fn faults_name_the_option() {
    check(
        "a = {}",
        &expect!["fields.a: say what the field holds; one of counter, uuid, time, one_of, among, integer, decimal, chance, product, constant"],
    );
    check(
        "a = { integer = [1, 2], counter = 'x' }",
        &expect!["fields.a.integer: a field holds one thing; keep one of counter, uuid, time, one_of, among, integer, decimal, chance, product, constant"],
    );
    check(
        "a = { integer = [1, 2], skew = 1.0 }",
        &expect!["fields.a.skew: `skew` goes with one_of or among, not with `integer`"],
    );
    check(
        "price = { decimal = [1, 2], per = 'prodct' }\nproduct = { among = 3 }",
        &expect!["fields.price: there is no field `prodct` (did you mean `product`?)"],
    );
    check(
        "a = { product = ['a', 'b'] }\nb = { integer = [1, 2] }",
        &expect!["fields: these fields depend on each other: a"],
    );
    check(
        "a = { product = ['b', 'c'] }\nb = { integer = [1, 2] }\nc = { uuid = true }",
        &expect!["fields.a.product: `c` is not an `integer` or `decimal` field"],
    );
    check(
        "a = { one_of = ['x', 'y'], weights = [1] }",
        &expect!["fields.a.weights: one number for each of the 2 values, not below 0"],
    );
    check("a = { integer = [5, 1] }", &expect!["fields.a.integer: the smaller number comes first: `[1, 5]`"]);
    check("a = { among = 0 }", &expect!["fields.a.among: a number between 1 and 1000000"]);
    check("a = { decimal = [1e300, 2e300] }", &expect!["fields.a.decimal: too many digits"]);
    check("a = { uuid = false }", &expect!["fields.a.uuid: write `uuid = true`, or leave it out"]);
}

#[test]
fn skew_prefers_the_first() {
    let chances = Chances::new((1..=10).map(|rank| 1.0 / f64::from(rank)));
    let mut counts = [0; 10];
    for step in 0..10_000 {
        counts[chances.choose(f64::from(step) / 10_000.0)] += 1;
    }
    assert!(counts.is_sorted_by(|one, other| one >= other), "{counts:?}");
    assert!((3_300..3_500).contains(&counts[0]), "{counts:?}");
    // What never comes is never chosen, at either end.
    let chances = Chances::new([0.0, 1.0, 0.0].into_iter());
    assert_eq!([chances.choose(0.0), chances.choose(0.5), chances.choose(0.999_999)], [1, 1, 1]);
}
