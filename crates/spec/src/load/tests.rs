//! Whole projects, right and wrong.

use expect_test::{Expect, expect};

use crate::{Faults, Project, load_texts};

pub(crate) const SHOP: &[(&str, &str)] = &[
    (
        "mainstem.toml",
        r#"[project]
name  = "shop"

[stream.orders]                     # HTTP POST, the Kinesis API and Kafka all write into it
time = "ts"                         # event time
key  = "customer_id"                # order is kept per key
replay = "7 days"                   # how long records stay replayable; rows are kept for ever

[stream.orders.columns]
order_id    = "text not null"
ts          = "timestamp not null"
customer_id = "text"
product_id  = "text"
region      = "text"
quantity    = "int"
unit_price  = "decimal(10,2)"
total       = "decimal(12,2)"

[stream.orders.checks]              # a row that fails one goes to the table orders__dead, with the reason
price_is_positive = "unit_price > 0 AND quantity > 0"
total_is_right    = "abs(total - unit_price * quantity) < 0.01"

[lookup.products]
from  = "products.csv"
key   = "product_id"
every = "1 hour"

[alert.sales_spike]                 # one row = one alert; it resolves when the row is gone
sql = '''
SELECT region, minute, revenue, usual FROM sales_against_usual WHERE revenue > 3 * usual
'''
key    = ["region"]
notify = ["oncall"]
title  = "Sales spike in {region}: {revenue} in one minute, usually {usual}"

[notify.oncall]
webhook = "${ONCALL_WEBHOOK}"

[dashboard.sales]
title = "Sales now"

[[dashboard.sales.chart]]
title = "Revenue per minute"
type  = "line"
from  = "sales_by_minute"
x     = "minute"
y     = "revenue"
by    = "region"
last  = "2 hours"
"#,
    ),
    (
        "orders_clean.sql",
        r#"/*
partition = "day(ts)"
keep      = "5 years"
*/
SELECT o.order_id, o.ts, o.customer_id, upper(o.region) AS region, o.quantity, o.total, p.name AS product_name, p.category
FROM orders o LEFT JOIN products p ON p.product_id = o.product_id
"#,
    ),
    (
        "sales_by_minute.sql",
        r#"/*
layer = "reporting"
late  = "10 minutes"
*/
SELECT tumble(ts, '1 minute') AS minute, region, category, count(*) AS orders, sum(total) AS revenue
FROM orders_clean
GROUP BY minute, region, category
"#,
    ),
    (
        "sales_against_usual.sql",
        r#"SELECT minute, region, sum(revenue) AS revenue,
       avg(sum(revenue)) OVER (PARTITION BY region ORDER BY minute ROWS BETWEEN 60 PRECEDING AND 1 PRECEDING) AS usual
FROM sales_by_minute
GROUP BY minute, region
"#,
    ),
    (
        "tests/orders.toml",
        r#"[test.a_bad_price_is_rejected_and_not_counted]
given.orders = '''
{"order_id":"1","ts":"2026-01-05T10:00:10Z","region":"fr","product_id":"p1","quantity":2,"unit_price":10,"total":20}
{"order_id":"2","ts":"2026-01-05T10:00:20Z","region":"fr","product_id":"p1","quantity":1,"unit_price":-5,"total":-5}
'''
expect.sales_by_minute = '''
{"minute":"2026-01-05T10:00:00Z","region":"FR","orders":1,"revenue":20}
'''
expect.orders__dead = '''
{"check":"price_is_positive"}
'''
"#,
    ),
    ("products.csv", "product_id,name,category\np1,boots,shoes\n"),
];

pub(crate) fn webhook(name: &str) -> Option<String> {
    (name == "ONCALL_WEBHOOK").then(|| "https://hooks.example/1".to_owned())
}

pub(crate) fn load(files: &[(&str, &str)], env: Option<&str>) -> Result<Project, Faults> {
    load_texts(files, env, &webhook)
}

/// Compares the faults of a project of one TOML file.
pub(crate) fn check(toml: &str, expected: &Expect) {
    check_all(&[("mainstem.toml", toml)], expected);
}

pub(crate) fn check_all(files: &[(&str, &str)], expected: &Expect) {
    let faults = match load(files, None) {
        Ok(project) => project.warnings,
        Err(faults) => faults,
    };
    expected.assert_eq(&faults.to_string());
}

/// Writes what a project declares, a line each.
pub(crate) fn summary(project: &Project) -> String {
    let mut lines = vec![format!("project {}", project.name)];
    for it in project.streams.values() {
        lines.push(format!(
            "stream {} time={:?} key={:?} replay={} {} keep={:?} shards={} idle={} {:?}",
            it.name,
            it.time,
            it.key,
            it.replay,
            it.replay_size,
            it.keep,
            it.shards,
            it.idle,
            it.from
        ));
        for column in &it.columns {
            let null = if column.not_null { " not null" } else { "" };
            lines.push(format!("  {} {}{null}", column.name, column.kind));
        }
        lines.extend(it.checks.iter().map(|it| format!("  check {}: {:?}", it.name, it.sql)));
    }
    for it in project.lookups.values() {
        lines.push(format!("lookup {} {:?} {:?} {:?}", it.name, it.from, it.key, it.every));
    }
    for name in project.order() {
        let it = &project.tables[&name];
        lines.push(format!("table {name} {:?} {:?}", it.reads, it.reads_beside));
        let partition = it.partition.as_ref().map(|it| (&it.column, it.unit));
        lines.push(format!(
            "  {:?} {:?} {partition:?} keep={:?} every={:?} publish={}",
            it.layer,
            it.late,
            it.keep,
            it.every(),
            it.publish
        ));
        lines.push(format!("  {}", it.sql.text.lines().next().unwrap_or_default()));
        let checks = it.checks.iter();
        lines.extend(checks.map(|it| format!("  check {} {:?}", it.name, it.severity)));
    }
    for it in project.alerts.values() {
        lines.push(format!(
            "alert {} {:?} key={:?} notify={:?} for={} {:?} title={:?}",
            it.name, it.reads, it.key, it.notify, it.hold, it.on, it.title_columns
        ));
    }
    for it in project.notifies.values() {
        lines.push(format!("notify {} {:?} {:?} {}", it.name, it.webhook, it.format, it.log));
    }
    for it in project.dashboards.values() {
        for chart in &it.charts {
            lines.push(format!(
                "chart {:?} {:?} x={:?} y={:?} by={:?} last={:?}",
                chart.kind, chart.from, chart.x, chart.y, chart.by, chart.last
            ));
        }
    }
    for it in project.tests.values() {
        lines.push(format!("test {}", it.name));
        lines.extend(it.given.iter().map(|(name, it)| format!("  given {name}: {}", it.len())));
        lines.extend(it.expect.iter().map(|(name, it)| format!("  expect {name}: {}", it.len())));
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_shop_loads() {
    let project = load(SHOP, None).unwrap_or_else(|it| panic!("{}", it.render(false)));
    assert!(project.warnings.is_empty(), "{}", project.warnings);
    expect![[r#"
        project shop
        stream orders time=Some("ts") key=Some("customer_id") replay=7 days 10 GB keep=None shards=1 idle=10 seconds [DoorUse { door: "http", options: [] }, DoorUse { door: "kinesis", options: [] }]
          order_id text not null
          ts timestamp not null
          customer_id text
          product_id text
          region text
          quantity int
          unit_price decimal(10,2)
          total decimal(12,2)
          check price_is_positive: "unit_price > 0 AND quantity > 0"
          check total_is_right: "abs(total - unit_price * quantity) < 0.01"
        lookup products "products.csv" "product_id" Some(Span(3600s))
        table orders_clean [`orders`, `products`] []
          None Hold(Span(0ns)) Some(("ts", Some(Day))) keep=Some(Span(157680000s)) every=None publish=1 minute
          SELECT o.order_id, o.ts, o.customer_id, upper(o.region) AS region, o.quantity, o.total, p.name AS product_name, p.category
        table sales_by_minute [`orders_clean`] []
          Some("reporting") Hold(Span(600s)) None keep=None every=None publish=1 minute
          SELECT tumble(ts, '1 minute') AS minute, region, category, count(*) AS orders, sum(total) AS revenue
        table sales_against_usual [`sales_by_minute`] []
          None Hold(Span(0ns)) None keep=None every=None publish=1 minute
          SELECT minute, region, sum(revenue) AS revenue,
        alert sales_spike [`sales_against_usual`] key=["region"] notify=[`oncall`] for=0 seconds Final title=["region", "revenue", "usual"]
        notify oncall Some([secret]) Json false
        chart Line "sales_by_minute" x=Some("minute") y=["revenue"] by=Some("region") last=Some(Span(7200s))
        test a_bad_price_is_rejected_and_not_counted
          given orders: 2
          expect orders__dead: 1
          expect sales_by_minute: 1
    "#]].assert_eq(&summary(&project));
}

/// Reads a project of the repository's examples.
fn example(name: &str, env: Option<&str>) -> Project {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let loaded = crate::load(&root.join(name), env, &webhook);
    loaded.unwrap_or_else(|it| panic!("{}", it.render(false)))
}

#[test]
fn the_examples_load_without_a_word() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut count = 0;
    for entry in std::fs::read_dir(root).expect("there are examples") {
        let entry = entry.expect("they can be listed");
        let name = entry.file_name().into_string().expect("their names are text");
        let project = example(&name, None);
        assert!(project.warnings.is_empty(), "{}", project.warnings);
        count += 1;
    }
    assert!(2 <= count);
}

#[test]
fn an_overlay_of_the_shop_gives_a_web_hook() {
    let project = example("shop", Some("prod"));
    let oncall = &project.notifies["oncall"];
    assert_eq!(oncall.webhook.as_ref().map(crate::Secret::reveal), Some("https://hooks.example/1"));
    assert!(oncall.log, "what the overlay does not name stays");
}

#[test]
fn overlays_merge_key_by_key_and_replace_lists() {
    let files = [
        (
            "main.toml",
            "[stream.s]\nkey = 'a'\nfrom = ['http', 'kinesis']\ntags = ['x', 'y']\ncolumns = { a = 'text', b = 'int' }\n",
        ),
        (
            "main.prod.toml",
            "[stream.s]\nfrom = ['http']\nshards = 4\ncolumns.b = 'float'\ncolumns.c = 'bool'\n[notify.n]\nlog = true\n",
        ),
        ("main.test.toml", "[stream.s]\nshards = 'this is not read'\n"),
    ];
    let without = load(&files, None).unwrap_or_else(|it| panic!("{it}"));
    let with = load(&files, Some("prod")).unwrap_or_else(|it| panic!("{it}"));
    expect![[r#"
        project project
        stream s time=None key=Some("a") replay=1 day 10 GB keep=None shards=1 idle=10 seconds [DoorUse { door: "http", options: [] }, DoorUse { door: "kinesis", options: [] }]
          a text
          b int
        project project
        stream s time=None key=Some("a") replay=1 day 10 GB keep=None shards=4 idle=10 seconds [DoorUse { door: "http", options: [] }]
          a text
          b float
          c bool
        notify n None Json true
    "#]].assert_eq(&(summary(&without) + &summary(&with)));
}

#[test]
fn a_fault_in_an_overlay_is_shown_there() {
    let files = [
        ("main.toml", "[stream.s]\nkey = 'a'\ncolumns.a = 'text'\n"),
        ("main.prod.toml", "[stream.s]\nkey = 'b'\n"),
    ];
    let faults = load(&files, Some("prod")).expect_err("`b` is no column");
    expect![[r#"
        main.prod.toml:2:7: `key` names the column `b`, which is not declared; did you mean `a`?
    "#]]
    .assert_eq(&faults.to_string());
}

#[test]
fn an_environment_without_files_is_odd() {
    let files =
        [("main.toml", "[notify.n]\nlog = true\n"), ("main.prod.toml", ""), ("x.v2.toml", "")];
    let project = load(&files, Some("prd")).unwrap_or_else(|it| panic!("{it}"));
    expect![[r#"
        main.prod.toml:1:1: no file is for the environment `prd`; did you mean `--env prod`?
        x.v2.toml:1:1: read only with `--env v2`, and there is no `x.toml`; a file named NAME.ENV.toml overlays NAME.toml; rename it if it should not
    "#]].assert_eq(&project.warnings.to_string());
}

#[test]
fn all_faults_come_at_once_and_in_order() {
    let toml = r#"
[stream.orders]
time = 'tss'
kye = 'id'
replay = '5 minuts'
shards = 'four'
[stream.orders.columns]
ts = 'timestamp'
id = 'txt'
price = 'decimal(50,2)'
[stream.orders.checks]
a = 'price >'
"#;
    check_all(
        &[
            ("b.toml", toml),
            ("a.sql", "SELECT * FROM ordrs, orders__ded"),
            ("b.sql", "SELECT a FROM orders WHERE"),
        ],
        &expect![[r#"
            a.sql:1:15: there is no table `ordrs`; did you mean `orders`?
            a.sql:1:22: there is no table `orders__ded`; did you mean `orders__dead`?
            b.sql:1:27: the SQL ends where an expression should follow
            b.toml:3:8: `time` names the column `tss`, which is not declared; did you mean `ts`?
            b.toml:4:1: unknown key `kye`; did you mean `key`?
            b.toml:5:10: `5 minuts` is not a duration; write `"5 minutes"`
            b.toml:6:10: `shards` must be a whole number or "auto", not the string "four"
            b.toml:9:6: `txt` is not a type; did you mean `text`?
            b.toml:10:9: `decimal(50,2)` is not a type; write `decimal(10,2)`: all digits, at most 38, and those after the point
            b.toml:12:13: the SQL ends where an expression should follow
        "#]],
    );
}

/// Takes away the margin that all lines have, as an expectation is read.
fn without_margin(text: &str) -> String {
    let lines = text.lines().filter(|it| !it.is_empty());
    let margin = lines.map(|it| it.len() - it.trim_start().len()).min().unwrap_or(0);
    text.lines().map(|it| format!("{}\n", it.get(margin..).unwrap_or_default())).collect()
}

#[test]
fn a_fault_shows_its_line_and_a_marker() {
    let toml = "[stream.orders]\ncolumns.id = 'text'\nkey = \"idd\"\n[dashboard.orders]\n";
    let faults = load(&[("a.toml", toml)], None).expect_err("`idd` is no column");
    expect![[r#"
          x `key` names the column `idd`, which is not declared
           ,-[a.toml:3:7]
         3 | key = "idd"
           :       ^^^^^
           `----
          help: did you mean `id`?

          x `orders` is the name of a stream already
           ,-[a.toml:1:9]
         1 | [stream.orders]
           :         ^^^|^^
           :            `-- first declared here
           `----
           ,-[a.toml:4:12]
         4 | [dashboard.orders]
           :            ^^^^^^
           `----
          help: rename one; the first is at a.toml:1:9

    "#]]
    .assert_eq(&without_margin(&faults.render(false)));
    assert!(faults.render(true).contains("\u{1b}["));
}

#[test]
fn a_bucket_brings_a_stream_and_a_table_along() {
    let toml = "[bucket.landing]\nfrom = 'in'\nowner = 'Ann'\n[table.t]\nsql = 'SELECT key FROM landing_objects'\n";
    let project = load(&[("mainstem.toml", toml)], None).unwrap();
    let bucket = project.buckets.values().next().unwrap();
    assert_eq!(
        (bucket.events.as_str(), bucket.objects.as_str()),
        ("landing_events", "landing_objects")
    );
    let events = &project.streams["landing_events"];
    let options: toml::Table = events.from[0].options.parse().unwrap();
    assert_eq!(
        options.to_string(),
        "from = \"in\"\n",
        "what is about the bucket is not for its door"
    );
    assert_eq!(events.owner.as_deref(), Some("Ann"));
    assert_eq!(project.tables["landing_objects"].reads, ["landing_events"]);
    check(
        "[bucket.a]\n[stream.a_events]\ncolumns = { x = 'int' }\n[bucket.b]\nowner = 1\n",
        &expect![[r#"
            mainstem.toml:2:9: `a_events` is the name of a stream already; rename one; the first is at mainstem.toml:1:9
            mainstem.toml:5:9: `owner` must be a string, not the integer `1`
        "#]],
    );
}

#[test]
fn unknown_sections_and_those_to_come() {
    let toml = "[streams.a]\n[report.b]\n[modle.c]\n[x]\n[table]\nsql = 'SELECT 1'\n[[alert]]\n[project]\nname='a'\nnmae='b'\n";
    check(
        toml,
        &expect![[r#"
            mainstem.toml:1:2: unknown section `streams`; did you mean `stream`?
            mainstem.toml:2:2: `report` is not available yet; this version knows project, stream, bucket, lookup, table, alert, notify, dashboard and test
            mainstem.toml:3:2: unknown section `modle`; did you mean `model`?
            mainstem.toml:4:2: unknown section `x`; the sections are project, stream, bucket, lookup, table, alert, notify, dashboard and test
            mainstem.toml:6:1: `sql` is no `table`; write `[table.NAME]`, then its settings
            mainstem.toml:7:1: `alert` needs a name; write `[alert.NAME]`, then its settings
            mainstem.toml:10:1: unknown key `nmae`; did you mean `name`?
        "#]],
    );
    check(
        "project = 'shop'\ntop = 1\nlookup = []\n",
        &expect![[r#"
            mainstem.toml:1:1: `project` is a section; write `[project]`, then `name = "…"`
            mainstem.toml:2:1: unknown section `top`; the sections are project, stream, bucket, lookup, table, alert, notify, dashboard and test
            mainstem.toml:3:10: `lookup` needs a name; write `[lookup.NAME]`, then its settings
        "#]],
    );
}

#[test]
fn names_are_usable_in_sql_and_unique() {
    let toml = r#"
notify.Orders.log = true
notify.order.log = true
notify._x.log = true
notify.a__dead.log = true
notify.system.log = true
notify.'9 to 5'.log = true
notify.''.log = true
notify.same.log = true
test.'it works!'.expect.a = ''
"#;
    check_all(
        &[
            ("a.toml", toml),
            ("b.toml", "[project]\nname = 'b'\n[dashboard.same]\n"),
            ("c.toml", "[project]\nname = 'c'\n"),
            ("same.sql", "SELECT 1"),
            ("MyTable.sql", "SELECT 1"),
        ],
        &expect![[r#"
            MyTable.sql:1:1: `MyTable` cannot be a name; rename the file: a name is a lower-case letter, then lower-case letters, digits and `_`; write `my_table`
            a.toml:2:8: `Orders` cannot be a name; a name is a lower-case letter, then lower-case letters, digits and `_`; write `orders`
            a.toml:3:8: `order` cannot be a name; SQL reserves the word; write for example `order_1` or `all_order`
            a.toml:4:8: `_x` cannot be a name; a name is a lower-case letter, then lower-case letters, digits and `_`; write `x`
            a.toml:5:8: `a__dead` cannot be a name; names that end in `__dead` are the dead letters of streams and tables
            a.toml:6:8: `system` cannot be a name; `system.…` are the program's own tables; choose another name
            a.toml:7:8: `9 to 5` cannot be a name; a name is a lower-case letter, then lower-case letters, digits and `_`; write `to`
            a.toml:8:8: `` cannot be a name; a name is a lower-case letter, then lower-case letters, digits and `_`
            a.toml:10:6: `it works!` cannot be the name of a test; a test's name is a letter, then letters, digits, `_` and `-`
            b.toml:3:12: `same` is the name of a notify already; rename one; the first is at a.toml:9:8
            c.toml:1:2: a second `project` section; keep one; the first is at b.toml:1:2
            same.sql:1:1: `same` is the name of a notify already; rename one; the first is at a.toml:9:8
        "#]],
    );
}

#[test]
fn syntax_errors_do_not_hide_the_rest_and_make_no_false_alarms() {
    check_all(
        &[
            ("a.toml", "[stream.orders]\nkey = id\nreplay = '1 hour\ntime = 'ts'\n[stream.b\n"),
            ("b.toml", "[notify.n]\nlog = 'yes'\n[notify.n]\n"),
            ("x.sql", "SELECT * FROM orders, b"),
        ],
        &expect![[r#"
            a.toml:2:7: the string `id` has no quotes; put it in quotes: `"id"`
            a.toml:3:17: invalid literal string; expected `'`
            a.toml:5:10: unclosed table; expected `]`
            b.toml:2:7: `log` must be `true` or `false`, not the string "yes"
            b.toml:3:9: this key is given twice; keep one; a section may be opened only once in a file
        "#]],
    );
}

#[test]
fn a_cron_in_a_comment_must_not_end_it() {
    check_all(
        &[
            ("a.toml", "[stream.orders]\ncolumns.id = 'int'\n"),
            ("x.sql", "/*\ncron = '*/10 * * * *'\n*/\nSELECT id FROM orders"),
        ],
        &expect![[r#"
            x.sql:2:9: this ends the comment, within a text; write the steps of a `cron` as `0-59/10`, or the settings of this table into a .toml file
        "#]],
    );
}

#[test]
fn secrets_that_are_not_set_are_named() {
    let toml = r#"
notify.n.webhook = "https://${HOST}/${PATH}"
notify.m.webhook = '${ONCALL_WEBHOOK'
notify.o.webhook = 'oncall@example.org'
stream.s.columns.a = 'text'
stream.s.from = [{ door = 'x', password = '${PASSWORD}' }]
"#;
    check(
        toml,
        &expect![[r#"
        mainstem.toml:2:29: the secret `HOST` is not set; set the environment variable `HOST`
        mainstem.toml:2:37: the secret `PATH` is not set; set the environment variable `PATH`
        mainstem.toml:3:21: `${` without `}`; write it as `${NAME}`
        mainstem.toml:4:20: the webhook is no web address; it must begin with `https://` or `http://`
        mainstem.toml:6:44: the secret `PASSWORD` is not set; set the environment variable `PASSWORD`
    "#]],
    );
    let toml = "[notify.n]\nwebhook = '${A}'\n";
    let project = load_texts(&[("a.toml", toml)], None, &crate::placeholder);
    let project = project.unwrap_or_else(|it| panic!("{it}"));
    let secret = project.notifies["n"].webhook.clone().expect("it stands for itself");
    assert_eq!((format!("{secret:?}").as_str(), secret.reveal()), ("[secret]", "${A}"));
}

#[test]
fn circles_are_shown_with_their_way() {
    check_all(
        &[
            ("a.sql", "SELECT * FROM c"),
            ("b.sql", "SELECT * FROM a"),
            ("c.sql", "SELECT * FROM b JOIN d ON true"),
            ("d.sql", "SELECT 1 AS x"),
            ("e.sql", "SELECT * FROM a"),
            ("f.sql", "SELECT * FROM f"),
            ("g.sql", "SELECT * FROM g__dead"),
        ],
        &expect![[r#"
            a.sql:1:1: tables read each other in a circle: `a` reads `c` reads `b` reads `a`; one of them must read something else
            f.sql:1:1: `f` reads itself; one of them must read something else
            g.sql:1:1: `g` reads itself; one of them must read something else
        "#]],
    );
}

#[test]
fn a_folder_that_is_none_is_a_fault() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let empty = crate::load(folder.path(), None, &webhook).expect_err("there is nothing");
    assert!(empty.to_string().contains("there are no project files"), "{empty}");
    let missing = crate::load(&folder.path().join("none"), None, &webhook).expect_err("no folder");
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
}

#[test]
fn files_below_the_folder_count_but_not_those_of_the_program() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let write = |path: &str, text: &[u8]| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
        std::fs::write(path, text).expect("it can be written");
    };
    write("a/b/c.toml", b"[notify.n]\nlog = true\n");
    write(".mainstem/d.toml", b"this is not TOML");
    let project = crate::load(folder.path(), None, &webhook).unwrap_or_else(|it| panic!("{it}"));
    assert_eq!(project.notifies.len(), 1);
    assert!(!project.name.is_empty());
    write("latin.toml", b"[notify.m]\nlog = true # \xe9\n");
    write("big.sql", &vec![b' '; (1 << 20) + 1]);
    let faults = crate::load(folder.path(), None, &webhook).expect_err("they cannot be read");
    expect![[r#"
        big.sql:1:1: larger than 1048576 bytes; split it; data belongs into streams and lookups
        latin.toml:2:14: this is not UTF-8; save the file as UTF-8
    "#]]
    .assert_eq(&faults.to_string());
}

#[test]
fn a_lookup_is_checked_against_its_file() {
    let toml = r#"
lookup.a = { from = 'none.csv', key = 'id' }
lookup.b = { from = 'p.csv', key = 'idd', columns.nme = 'text' }
lookup.c = { from = '../p.csv', key = 'id' }
lookup.d = { from = 'p.json', key = 'id' }
lookup.e = { key = 5 }
lookup.f = {}
lookup.g = { from = 'empty.csv', key = 'id' }
lookup.h = { from = 'p.csv', key = 'id', valid_from = 'nam', valid_to = 'name' }
lookup.i = { from = 'p.csv', key = 'id', valid_to = 'name' }
"#;
    check_all(
        &[("a.toml", toml), ("p.csv", "\u{feff}id,\"name\"\r\n1,a\r\n"), ("empty.csv", "\n")],
        &expect![[r#"
            a.toml:2:21: `none.csv` cannot be read: there is no such file; write its path below the project's folder, as in `"products.csv"`
            a.toml:3:36: `p.csv` has no column `idd`; did you mean `id`?
            a.toml:3:51: `p.csv` has no column `nme`; did you mean `name`?
            a.toml:4:21: `../p.csv` is not in the project; write its path below the project's folder, as in `"products.csv"`
            a.toml:5:21: `p.json` is no file that a lookup can be read from; a lookup is read from a file that ends in `.csv`, `.tsv`, `.ndjson`, `.jsonl` or `.parquet`
            a.toml:6:20: `key` must be a string, not the integer `5`
            a.toml:7:8: `f` has no `from`; add `from = "products.csv"`
            a.toml:7:8: `f` has no `key`; add `key = "product_id"`
            a.toml:8:21: `empty.csv` has no first line; its first line must name the columns: `product_id,name`
            a.toml:9:55: `p.csv` has no column `nam`; did you mean `name`?
            a.toml:10:53: `valid_to` without `valid_from`; add `valid_from = "COLUMN"`, which says from when on a row is valid
        "#]],
    );
}

#[test]
fn settings_of_a_sql_file_are_checked_in_place() {
    let checks = r#"/*
checks.a = 'x >'
checks.b = { sql = 'count(*) = 1', severity = 'fatal' }
checks.c = {}
checks.d = 4
checks.e = '1 IN (SELECT x FROM a)'
*/ SELECT 1"#;
    check_all(
        &[
            (
                "a.sql",
                "-- About a.\n/*\nlate = '5 minuts'\nlayr = 'raw'\nsql = 'SELECT 2'\n*/\nSELECT 1",
            ),
            ("b.sql", "/* Sales by minute, for the board. */ SELECT 1"),
            ("c.sql", "/*\npartition = 'week(ts)'\nkeep = '0 s'\npublish = 5\n*/\n  -- later\n"),
            ("d.sql", "/* late = 'dead' /* partition = 'a' */ */ SELECT 1"),
            ("e.sql", checks),
            ("f.sql", "/* keep = '1 day'"),
        ],
        &expect![[r#"
            a.sql:3:8: `5 minuts` is not a duration; write `"5 minutes"`
            a.sql:4:1: unknown key `layr`; did you mean `layer`?
            a.sql:5:7: `sql` in a SQL file; remove it: the SELECT stands below the comment
            b.sql:1:3: this comment holds no settings; the first block comment holds the table's settings in TOML; write prose with `--`, or as `description = "…"`
            c.sql:2:13: `week` is not known here; write one of `hour`, `day`, `month` or `year`
            c.sql:3:8: `keep` must be longer than nothing; write a duration such as "10 minutes", or leave `keep` out
            c.sql:4:11: `publish` must be a duration such as "10 minutes", not the integer `5`
            c.sql:5:3: there is no SELECT; write one `SELECT … FROM …`
            d.sql:1:18: unexpected key or value; expected newline, `#`
            e.sql:2:16: the SQL ends where an expression should follow
            e.sql:3:47: `fatal` is not known here; write one of `warn` or `fail`
            e.sql:4:8: the check `c` says nothing; add `sql = "CONDITION"`, or another of `sql`, `unique`, `not_null`, `references`, `freshness` or `row_change`
            e.sql:5:12: `d` must be a condition in SQL, or `{ unique = "..", severity = "fail" }`, not the integer `4`
            e.sql:6:33: a condition cannot read `a`; a condition sees the rows of its own table; write `references`, or a SELECT of the rows that must not be
            f.sql:1:18: unexpected EOF while in a multi-line comment
        "#]],
    );
}

#[test]
fn doors_and_columns_are_checked() {
    let toml = r#"
[stream.a]
from = 'http'
[stream.b]
from = []
columns.a = 'text'
[stream.c]
from = [5, {}, { door = 5 }]
columns.a = 'text'
[stream.d]
time = 'x'
shards = 5000
idle = '0 s'
format = 'jsn'
replay_size = '10 gigs'
columns = { x = 'text', _y = 'int', z = 'number' }
checks = { c = 'x IN (SELECT a FROM b)' }
[stream.e]
columns = 'all'
[stream.f.columns]
x = 5
[stream.g]
time = 'x'
columns = { x = 'text' }
"#;
    check(
        toml,
        &expect![[r#"
            mainstem.toml:2:9: `a` has no columns; add `[stream.a.columns]` with `NAME = "TYPE"`
            mainstem.toml:3:8: `from` must be a list of doors; write a list: `from = ["http", "kinesis"]`
            mainstem.toml:5:8: a stream needs a door; name one, or leave `from` out for `["http", "kinesis"]`
            mainstem.toml:8:9: this is no door; write its name, or `{ door = "NAME", OPTION = .. }`
            mainstem.toml:8:12: which door?; write its name, or `{ door = "NAME", OPTION = .. }`
            mainstem.toml:8:25: `door` must be the name of a door; write its name, or `{ door = "NAME", OPTION = .. }`
            mainstem.toml:11:8: `time` needs a timestamp, and `x` is text; declare it as `x = "timestamp not null"`
            mainstem.toml:12:10: a stream cannot have 5000 shards; write a number from 1 to 1024, or "auto"
            mainstem.toml:13:8: `idle` must be longer than nothing; write a duration such as "10 minutes", or leave `idle` out
            mainstem.toml:14:10: `jsn` is not known here; did you mean `"json"`?
            mainstem.toml:15:15: `10 gigs` is not a size; write a number and a unit, for example `"2 GB"`
            mainstem.toml:16:25: `_y` cannot be a column; columns that begin with `_` are the program's own; choose another name
            mainstem.toml:16:41: `number` is not a type; the types are `text`, `int`, `float`, `decimal(10,2)`, `bool`, `timestamp`, `date`, `json` and `bytes`
            mainstem.toml:17:37: a check cannot read `b`; a check of a stream sees one row; compare in a table instead
            mainstem.toml:19:11: `columns` must be a table of names and values, not the string "all"
            mainstem.toml:21:5: `x` must be a type such as "text not null", not the integer `5`
            mainstem.toml:23:8: `time` needs a timestamp, and `x` is text; declare it as `x = "timestamp not null"`
        "#]],
    );
}

#[test]
fn alerts_and_dashboards_are_checked() {
    let toml = r#"
[alert.a]
sql = 'SELECT 1 AS x FROM n'
notify = ['m', 'zzz']
key = 5
for = 'soon'
on = 'closed'
title = 'x {y} {z'
[alert.b]
[alert.c]
sql = 'SELECT * FROM d'
notify = 'n'
remind = '0 s'
[notify.n]
[dashboard.d]
[dashboard.f]
[[dashboard.f.chart]]
type = 'pie'
from = 'b'
limit = 0
zoom = 1
[dashboard.g]
[[dashboard.g.chart]]
type = 'line'
from = 'nothing'
[[dashboard.g.chart]]
type = 'table'
"#;
    check(
        toml,
        &expect![[r#"
            mainstem.toml:3:27: `n` is of section `notify` and cannot be read; FROM can name streams, lookups and tables
            mainstem.toml:4:11: there is no notify `m`; did you mean `n`?
            mainstem.toml:4:16: there is no notify `zzz`; declare it: `[notify.zzz]`
            mainstem.toml:5:7: `key` must be a string or a list of strings, not the integer `5`
            mainstem.toml:6:7: `soon` is not a duration; write a number and a unit, for example `"5 minutes"`
            mainstem.toml:7:6: `closed` is not known here; write one of `final` or `open`
            mainstem.toml:8:16: `{` without `}`; close it with `}` after the name of a column
            mainstem.toml:9:8: `b` has no `sql`; add `sql = '''SELECT …'''`: each of its rows is an alert
            mainstem.toml:11:22: `d` is of section `dashboard` and cannot be read; FROM can name streams, lookups and tables
            mainstem.toml:13:10: `remind` must be longer than nothing; write a duration such as "10 minutes", or leave `remind` out
            mainstem.toml:14:9: `n` tells nobody; add `webhook = "${NAME}"`, `email = "name@example.com"` or `log = true`
            mainstem.toml:15:12: `d` has no charts; add `[[dashboard.d.chart]]`
            mainstem.toml:18:8: `pie` is not known here; write one of `line`, `area`, `bar`, `number` or `table`
            mainstem.toml:20:9: `limit` cannot be 0; write a number from 1 up
            mainstem.toml:21:1: unknown key `zoom`; the keys here are `title`, `type`, `from`, `x`, `y`, `by`, `last`, `limit` and `fill`
            mainstem.toml:23:1: the chart has no `x`; add `x = "COLUMN"`
            mainstem.toml:23:1: the chart has no `y`; add `y = "COLUMN"`
            mainstem.toml:25:8: there is no table `nothing`; declare `[stream.nothing]` or write `nothing.sql`; the program's own tables are `system.NAME`
            mainstem.toml:26:1: the chart has no `from`; add `from = "TABLE"`
        "#]],
    );
}

#[test]
fn lines_of_tests_are_checked() {
    let toml = r#"
[stream.orders]
columns.id = 'text'
[lookup.p]
from = 'p.csv'
key = 'id'
[test.orders]
given.ordrs = '{}'
given.orders = "{\"id\":\n"
given.p = '''
{"id": 1}
[1]
  {"id": x}
'''
expect.orders = '{"a":1} {"b":2}'
expect.order_dead = '{}'
[test.b]
given.orders = '''
{"id": 1}
not json
'''
"#;
    check_all(
        &[("a.toml", toml), ("p.csv", "id")],
        &expect![[r#"
            a.toml:8:7: there is no stream or lookup `ordrs`; did you mean `orders`?
            a.toml:9:16: this line is no JSON object: EOF while parsing a value; it will become a dead letter
            a.toml:12:1: this line is no JSON object: it is a list; write one JSON object a line: `{"column": "value"}`
            a.toml:13:10: this line is no JSON object: expected value; write one JSON object a line: `{"column": "value"}`
            a.toml:15:26: this line is no JSON object: trailing characters; write one JSON object a line: `{"column": "value"}`
            a.toml:16:8: there is no table `order_dead`; did you mean `orders__dead`?
            a.toml:17:7: `b` expects nothing; add `expect.TABLE = '''…'''` with one JSON object a line
            a.toml:20:2: this line is no JSON object: expected value; it will become a dead letter
        "#]],
    );
}
