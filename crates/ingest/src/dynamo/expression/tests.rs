use proptest::prelude::*;

use super::*;

fn read(text: &str) -> String {
    match condition(text) {
        Ok(condition) => condition.to_string(),
        Err(error) => error.to_string(),
    }
}

fn read_paths(text: &str) -> String {
    match paths(text) {
        Ok(paths) => paths.iter().map(Path::to_string).collect::<Vec<_>>().join(" | "),
        Err(error) => error.to_string(),
    }
}

#[test]
fn conditions_are_read_by_how_tightly_they_bind() {
    for (text, read_as) in [
        ("a=:a", "a = :a"),
        ("a = :a or b = :b and c = :c", "a = :a OR b = :b AND c = :c"),
        ("(a = :a OR b = :b) AND c = :c", "(a = :a OR b = :b) AND c = :c"),
        ("NOT a = :a AND b = :b", "NOT a = :a AND b = :b"),
        ("NOT (a = :a AND b = :b)", "NOT (a = :a AND b = :b)"),
        ("a BETWEEN :l AND :h AND b > :b", "a BETWEEN :l AND :h AND b > :b"),
        ("(a) between (:l) and (:h)", "a BETWEEN :l AND :h"),
        ("#a.b[3].#c IN (:a,:b , :c)", "#a.b[3].#c IN (:a, :b, :c)"),
        ("size(a.b) >= :n", "size(a.b) >= :n"),
        ("attribute_exists(a)", "attribute_exists(a)"),
        ("(#n0 = :v0 AND begins_with(#n1, :v1))", "#n0 = :v0 AND begins_with(#n1, :v1)"),
        ("a <> b", "a <> b"),
        (":v < a", ":v < a"),
        ("_shard = :s", "_shard = :s"),
        ("a = :a OR (b = :b OR c = :c)", "a = :a OR (b = :b OR c = :c)"),
    ] {
        assert_eq!(read(text), read_as, "{text}");
    }
}

#[test]
fn what_is_no_condition_is_refused_where_it_goes_wrong() {
    let syntax =
        |token: &str, near: &str| format!("Syntax error; token: \"{token}\", near: \"{near}\"");
    for (text, refused) in [
        ("a", syntax("<EOF>", "a")),
        ("a =", syntax("<EOF>", "=")),
        ("a = :a AND", syntax("<EOF>", "AND")),
        ("a AND b = :b", syntax("AND", "a AND b")),
        ("a == :a", syntax("=", "== :a")),
        ("a = :a)", syntax(")", ":a)")),
        ("(a = :a", syntax("<EOF>", ":a")),
        ("a = 5", syntax("5", "= 5")),
        ("a = 'x'", syntax("'", "= 'x")),
        ("user-name = :a", syntax("-", "user-name")),
        ("a = :a = :b", syntax("=", ":a = :b")),
        ("a IN ()", syntax(")", "()")),
        ("a IN :a", syntax(":a", "IN :a")),
        ("a BETWEEN :a OR :b", syntax("OR", ":a OR :b")),
        ("a BETWEEN (b = :b) AND :c", syntax("=", "b = :b")),
        ("a = (b = :b)", syntax("=", "b = :b")),
        ("(a) AND b = :b", syntax("AND", ") AND b")),
        ("NOT a", syntax("<EOF>", "a")),
        ("size() = :a", syntax(")", "() =")),
        ("a[b] = :a", syntax("b", "[b]")),
        ("a. = :a", syntax("=", ". = :a")),
        ("# = :a", syntax("#", "# =")),
        ("é = :a", syntax("é", "é =")),
        (
            "a[99999999999999999999999] = :a",
            "Invalid list index; index: 99999999999999999999999".into(),
        ),
        ("", "The expression can not be empty;".into()),
        ("((a = :a))", "The expression has redundant parentheses;".into()),
        ("((a)) = :a", "The expression has redundant parentheses;".into()),
    ] {
        assert_eq!(read(text), refused, "{text}");
    }
}

#[test]
fn expressions_have_limits() {
    let long = format!("a = :{}", "v".repeat(4096));
    let size = "Expression size has exceeded the maximum allowed size; expression size: 4101";
    assert_eq!(read(&long), size);
    let chain = |count: usize| vec!["a=:a"; count].join(" OR ");
    assert_eq!(read(&chain(150)).matches('a').count(), 300);
    let many = "The expression contains too many operators; maximum operators: 300";
    assert_eq!(read(&chain(151)), many);
    // Parentheses on both sides, as SDKs write chains.
    let left = (1..150).fold("a=:a".to_owned(), |inner, _| format!("({inner} OR a=:a)"));
    assert_eq!(read(&left).matches(":a").count(), 150);
    let right = (1..140).fold("a=:a".to_owned(), |inner, _| format!("(a=:a OR {inner})"));
    assert_eq!(read(&right).matches(":a").count(), 140);
    let open = read(&"(".repeat(4096));
    assert_eq!(open, "Syntax error; token: \"<EOF>\", near: \"(\"");
    assert_eq!(read(&"NOT ".repeat(1000)), many);
    assert_eq!(read(&format!("{}a = :a", "NOT ".repeat(299))).matches("NOT").count(), 299);
    let deep = "The expression has too many functions in each other";
    assert_eq!(read(&format!("{}a", "size(".repeat(700))), deep);
    let operands = vec![":a"; 101].join(",");
    let too_many = "The IN operator is provided with too many operands; number of operands: 101";
    assert_eq!(read(&format!("a IN ({operands})")), too_many);
}

#[test]
fn paths_are_read() {
    assert_eq!(read_paths("a, #b.c[0] ,d[1][2].e"), "a | #b.c[0] | d[1][2].e");
    assert_eq!(read_paths("a,"), "Syntax error; token: \"<EOF>\", near: \",\"");
    assert_eq!(read_paths("a b"), "Syntax error; token: \"b\", near: \"a b\"");
    assert_eq!(read_paths(""), "The expression can not be empty;");
    assert_eq!(read_paths("a, (b)"), "Syntax error; token: \"(\", near: \", (b\"");
}

fn name() -> impl Strategy<Value = String> {
    let is_free = |it: &String| {
        let words = ["and", "or", "not", "between", "in"];
        !words.contains(&it.to_ascii_lowercase().as_str())
    };
    "#?[a-zA-Z_][a-zA-Z0-9_]{0,3}".prop_filter("a keyword", is_free)
}

fn path() -> impl Strategy<Value = Path> {
    let step = prop_oneof![name().prop_map(Step::Name), (0_usize..1_000).prop_map(Step::Index)];
    (name(), prop::collection::vec(step, 0..3)).prop_map(|(head, steps)| Path { head, steps })
}

fn operand() -> impl Strategy<Value = Operand> {
    let leaf =
        prop_oneof![path().prop_map(Operand::Path), ":[a-zA-Z0-9_]{1,4}".prop_map(Operand::Value),];
    leaf.prop_recursive(2, 4, 2, |inner| call_of(inner).prop_map(Operand::Call))
}

fn call_of(operand: impl Strategy<Value = Operand>) -> impl Strategy<Value = Call> {
    let arguments = prop::collection::vec(operand, 1..3);
    ("[a-z]{2}_[a-z]{2}", arguments).prop_map(|(name, arguments)| Call { name, arguments })
}

fn comparator() -> impl Strategy<Value = Comparator> {
    prop::sample::select(vec![
        Comparator::Equal,
        Comparator::Unequal,
        Comparator::Less,
        Comparator::LessOrEqual,
        Comparator::Greater,
        Comparator::GreaterOrEqual,
    ])
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        (operand(), comparator(), operand()).prop_map(|(a, it, b)| Condition::Compare(a, it, b)),
        (operand(), operand(), operand()).prop_map(|(a, b, c)| Condition::Between(a, b, c)),
        (operand(), prop::collection::vec(operand(), 1..4))
            .prop_map(|(value, among)| Condition::In(value, among)),
        call_of(operand()).prop_map(Condition::Call),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        let pair = || (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
        prop_oneof![
            pair().prop_map(|(left, right)| Condition::And(left, right)),
            pair().prop_map(|(left, right)| Condition::Or(left, right)),
            inner.clone().prop_map(|it| Condition::Not(Box::new(it))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same_condition(written in any_condition()) {
        let text = written.to_string();
        prop_assert_eq!(condition(&text), Ok(written), "{}", text);
    }

    #[test]
    fn what_is_printed_reads_as_the_same_paths(written in prop::collection::vec(path(), 1..5)) {
        let text = written.iter().map(Path::to_string).collect::<Vec<_>>().join(", ");
        prop_assert_eq!(paths(&text), Ok(written), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        drop(condition(&text));
        drop(paths(&text));
    }

    #[test]
    fn any_tokens_are_read_or_refused(tokens in prop::collection::vec(
        prop::sample::select(vec![
            "(", ")", "[", "]", ",", ".", "=", "<>", "<", ">=", "AND", "OR", "NOT", "BETWEEN",
            "IN", "a", "#b", ":c", "7", "size(", "?",
        ]),
        0..30,
    )) {
        let text = tokens.join(" ");
        if let Ok(read) = condition(&text) {
            prop_assert_eq!(condition(&read.to_string()), Ok(read));
        }
        drop(paths(&text));
    }
}
