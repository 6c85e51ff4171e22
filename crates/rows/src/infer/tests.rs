use spec::ColumnType;

use super::*;

fn guess_of(name: &str, values: &[&str]) -> Guess {
    let mut profile = Profile::new(name);
    for (index, value) in values.iter().enumerate() {
        profile.push(Cell::Field(value), index as u64 + 1);
    }
    Guess::of(&profile)
}

/// The type, the form and the notes of a column with these values.
fn said(name: &str, values: &[&str]) -> String {
    let guess = guess_of(name, values);
    let mut said = guess.kind.to_string();
    if guess.form != Form::Plain {
        said += &format!(" {}", guess.form);
    }
    for (word, count) in &guess.evidence.markers {
        said += &format!("; {count} `{word}`");
    }
    for note in &guess.evidence.notes {
        said += &format!("; {note}");
    }
    said
}

#[test]
fn the_narrowest_type_that_holds_is_taken() {
    assert_eq!(said("a", &["1", "-2", "+3", "0"]), "int");
    assert_eq!(said("a", &["1", "2.5", ".097", "1e-9"]), "float");
    assert_eq!(said("a", &["true", "FALSE"]), "bool");
    assert_eq!(said("a", &["2024-01-31", "2024-02-29"]), "date");
    assert_eq!(said("a", &["2024-01-31T10:00:00Z", "2024-01-31 10:00"]), "timestamp");
    assert_eq!(said("a", &["{\"a\": 1}", "[]"]), "json");
    assert_eq!(said("a", &["one", "2"]), "text");
    assert_eq!(said("a", &["2023-02-29", "2023-13-01"]), "text");
    assert_eq!(said("a", &["", "", ""]), "text; no value was seen");
}

#[test]
fn digits_that_are_no_number_stay_text() {
    let zips = "text; 1 of 3 begin with 0: digits that are no number, as `00501` in row 1";
    assert_eq!(said("zip", &["00501", "10001", "99999"]), zips);
    let mut profile = Profile::new("id");
    profile.push(Cell::Text("1001"), 1);
    profile.push(Cell::Text("1002"), 2);
    let guess = Guess::of(&profile);
    assert_eq!(guess.kind, ColumnType::Text);
    assert_eq!(guess.evidence.notes, ["2 of 2 are digits in quotes, as `1001` in row 1"]);
}

#[test]
fn one_value_that_begins_with_0_keeps_a_thousand_numbers_text() {
    let mut values = vec!["12345"; 1_000];
    values.push("01234");
    assert_eq!(guess_of("zip", &values).kind, ColumnType::Text);
}

#[test]
fn whole_numbers_beyond_64_bits_are_exact() {
    assert_eq!(said("a", &["18446744073709551616", "1"]), "decimal(38,0)");
    assert_eq!(said("a", &["9223372036854775807"]), "int");
    assert_eq!(said("a", &["9223372036854775808"]), "decimal(38,0)");
    assert_eq!(said("a", &["123456789012345678901234567890123456789"]), "text");
}

#[test]
fn words_for_nothing_are_told_and_do_not_make_text_of_numbers() {
    assert_eq!(said("a", &["1", "N/A", "3", "N/A", "-"]), "int; 2 `N/A`; 1 `-`");
    // A country or a grade may be called so.
    assert_eq!(said("a", &["NA", "DE", "FR"]), "text; 1 of 3 say `NA`");
}

#[test]
fn exceptions_are_named_if_they_are_few() {
    let mut values = vec!["17"; 300];
    values[41] = "seventeen";
    let guess = guess_of("a", &values);
    assert_eq!(guess.kind, ColumnType::Int);
    assert_eq!(guess.evidence.exceptions, 1);
    let place = Place { file: 0, row: 42 };
    assert_eq!(guess.evidence.examples, [Exception { place, value: "seventeen".to_owned() }]);
    // One in ten is no accident.
    let mut values = vec!["17"; 300];
    values.iter_mut().step_by(10).for_each(|it| *it = "many");
    assert_eq!(guess_of("a", &values).kind, ColumnType::Text);
}

#[test]
fn the_order_of_day_and_month_is_decided_by_evidence() {
    let decided = "date written as DD/MM/YYYY; `31/01/2024` in row 2 decides the order";
    assert_eq!(said("a", &["01/02/2024", "31/01/2024"]), decided);
    let decided = "date written as MM/DD/YY; `01/31/24` in row 2 decides the order";
    assert_eq!(said("a", &["01/02/24", "01/31/24"]), decided);
    let open = "date written as MM/DD/YYYY; day and month could be the other way round: no value \
                has a day after the 12th";
    assert_eq!(said("a", &["01/02/2024", "03/04/2024"]), open);
    // Where points stand the day comes first.
    assert!(said("a", &["01.02.2024", "03.04.2024"]).starts_with("date written as DD.MM.YYYY;"));
}

#[test]
fn days_and_moments_are_known_in_many_forms() {
    assert_eq!(said("a", &["Jun 12 1998", "Aug 07 1998"]), "date written as Mon DD YYYY");
    assert_eq!(said("a", &["January 5, 2024"]), "date written as Mon DD YYYY");
    assert_eq!(said("a", &["12-Jun-98", "1-Jul-01"]), "date written as DD-Mon-YY");
    assert_eq!(said("a", &["2001/01/14 21:55"]), "timestamp written as YYYY/MM/DD HH:MM");
    assert_eq!(
        said("a", &["12/Oct/2000:13:55:36 -0700"]),
        "timestamp written as DD/Mon/YYYY HH:MM:SS"
    );
    assert_eq!(
        said("a", &["1/31/2024 1:05 PM"]).split(';').next().unwrap(),
        "timestamp written as MM/DD/YYYY HH:MM"
    );
    assert_eq!(said("order_date", &["20240131", "20231201"]), "date written as YYYYMMDD");
    assert_eq!(said("order_id", &["20240131", "20231201"]), "int");
    assert_eq!(
        said("a", &["2024-01-05T00:00:00", "2024-01-06T00:00:00"]),
        "date with and without a time of day; every time of day is 0:00"
    );
    for text in ["1.2.10", "10-11-12", "1/2/3", "12:30", "31/31/2024", "1 2 3", "Mon", "May"] {
        assert_eq!(guess_of("a", &[text]).kind, ColumnType::Text, "{text}");
    }
}

#[test]
fn what_a_form_says_is_what_the_decoder_reads() {
    for (text, plain) in [
        ("31/01/2024", "2024-01-31"),
        ("Jun 12 1998", "1998-06-12"),
        ("1-Jul-01", "2001-07-01"),
        ("20240131", "2024-01-31"),
        ("1/8/90 0:00", "1990-01-08"),
    ] {
        let guess = guess_of("date", &[text, text]);
        assert_eq!(guess.kind, ColumnType::Date, "{text}");
        assert_eq!(guess.form.plain(text, true), plain);
    }
    let guess = guess_of("a", &["12/Oct/2000:13:55:36 -0700"]);
    let plain = guess.form.plain("12/Oct/2000:13:55:36 -0700", false);
    assert_eq!(plain, "2000-10-12T13:55:36.000000-07:00");
    assert_eq!(guess_of("a", &["1.234,56", "7,5"]).form.plain("-1.234,56", false), "-1234.56");
    assert_eq!(guess_of("a", &["1,234.5", "7"]).form.plain("1,234,567.5", false), "1234567.5");
}

#[test]
fn numbers_are_known_with_commas() {
    assert_eq!(said("a", &["1,234.5", "12"]), "float written like 1,234.56");
    assert_eq!(said("a", &["1.234,5", "12,25"]), "float written like 1.234,56");
    let open = "int written like 1,234.56; the comma could also stand before decimals: no value \
                decides it";
    assert_eq!(said("a", &["1,234", "5"]), open);
}

#[test]
fn a_range_reads_commas_as_its_column_does() {
    let range = |values: &[&str]| guess_of("a", values).evidence.range.unwrap();
    let pair = |least: &str, greatest: &str| (least.to_owned(), greatest.to_owned());
    assert_eq!(range(&["0,142", "1,403"]), pair("0.142", "1.403"));
    assert_eq!(range(&["-1,403", "0,5", "12"]), pair("-1.403", "12"));
    assert_eq!(range(&["1.403", "7,25"]), pair("7.25", "1403"));
    assert_eq!(range(&["1,403", "7.25"]), pair("7.25", "1403"));
    assert_eq!(
        range(&["1,403", "12"]),
        pair("12", "1403"),
        "as the column says: nothing decides it"
    );
}

#[test]
fn money_with_a_fixed_number_of_decimals_is_exact() {
    assert_eq!(said("unit_price", &["12.50", "3.99", "100.00"]), "decimal(18,2)");
    assert_eq!(
        said("level", &["12.50", "3.99", "100.00"]),
        "float; always 2 decimals: decimal(18,2) would keep them exact"
    );
    assert_eq!(said("price", &["12.5", "3.99"]), "float");
}

#[test]
fn percentages_and_currencies_are_text_and_said() {
    assert_eq!(said("a", &["5%", "7.5 %"]), "text; 2 of 2 are percentages, as `5%` in row 1");
    assert_eq!(said("a", &["$5", "$1,200.50"]), "text; 2 of 2 have a currency, as `$5` in row 1");
    assert_eq!(
        said("a", &["5 €", "1.200,50 €"]),
        "text; 2 of 2 have a currency, as `5 €` in row 1"
    );
    assert_eq!(said("a", &["yes", "no"]), "text; 2 of 2 say yes or no, as `yes` in row 1");
    assert_eq!(said("created_at", &["1700000000"]), "int; could be seconds since 1970");
    assert_eq!(said("ts", &["1700000000123"]), "int; could be milliseconds since 1970");
}

#[test]
fn profiles_of_several_files_add_up() {
    let mut all = Profile::new("a");
    for file in 0..3 {
        let mut profile = Profile::new("a");
        profile.push(Cell::Field("5"), 1);
        profile.push(Cell::Field(if file == 2 { "6.5" } else { "" }), 2);
        profile.set_file(file);
        all.merge(profile);
    }
    let guess = Guess::of(&all);
    assert_eq!(guess.kind, ColumnType::Float);
    assert_eq!((guess.evidence.seen, guess.evidence.nulls), (6, 2));
    assert_eq!(guess.evidence.distinct, Some(Distinct { count: 2, is_cut: false }));
    assert_eq!(guess.evidence.range, Some(("5".to_owned(), "6.5".to_owned())));
}

proptest::proptest! {
    #[test]
    fn any_text_has_a_type_and_no_panic(values in proptest::collection::vec(".{0,40}", 0..8)) {
        let mut profile = Profile::new("a date");
        for value in &values {
            for cell in [Cell::Field(value), Cell::Text(value), Cell::Number(value)] {
                profile.push(cell, 1);
            }
        }
        let guess = Guess::of(&profile);
        for value in &values {
            let _plain = guess.form.plain(value, true);
        }
    }

    #[test]
    fn the_range_of_numbers_is_that_of_their_plain_values(
        values in proptest::collection::vec("-?[0-9]{1,3}([.,][0-9]{1,3}){0,2}", 1..6),
    ) {
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        let guess = guess_of("a", &texts);
        let is_number = matches!(
            guess.kind,
            ColumnType::Int | ColumnType::Float | ColumnType::Decimal { .. }
        );
        if is_number && guess.evidence.exceptions == 0 {
            let plain = texts.iter().map(|it| guess.form.plain(it, false).parse::<f64>().unwrap());
            let plain: Vec<f64> = plain.collect();
            let (least, greatest) = guess.evidence.range.unwrap();
            let least_of = plain.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest_of = plain.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            for (said, is) in [(least, least_of), (greatest, greatest_of)] {
                let differs = (said.parse::<f64>().unwrap() - is).abs() > 1e-6;
                assert!(!differs, "{said}, not {is}: {texts:?}");
            }
        }
    }

    #[test]
    fn texts_that_look_like_values_are_no_panic(text in "[0-9/.:, TZAPMapmJun+-]{0,30}") {
        let guess = guess_of("day", &[&text]);
        let _plain = guess.form.plain(&text, true);
        let _plain = guess.form.plain(&text, false);
    }
}
