//! A shop that pretends: facts and answers computed from the time alone, no engine, no records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Clock, Kind, Name, Place};
use serde_json::json;
use show::{
    Alert, AlertInstance, AlertState, Answer, Answers, Applying, AskError, Back, Begun, Brief,
    Catalog, Change, Chart, ChartKind, Check, Column, Dashboard, Door, Edge, Entry, EntryColumn,
    EntryKind, Facts, Flow, Journal, Notice, NoticeState, Pipeline, Question, Reject, Replay,
    Replayed, Stream, Table, TableKind, Trace, Wanted,
};

use super::tables;

/// Orders a second, on average.
const RATE: f64 = 1_840.0;

pub(crate) struct Shop {
    clock: Arc<dyn Clock>,
    opened_ms: u64,
    replayed: AtomicU64,
}

impl Shop {
    pub(crate) fn open(clock: Arc<dyn Clock>) -> Shop {
        let opened_ms = clock.now_ms();
        Shop { clock, opened_ms, replayed: AtomicU64::new(0) }
    }

    /// Records taken in since two hours before the shop opened.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "figures for show"
    )]
    fn received(&self) -> u64 {
        let open = (self.clock.now_ms() - self.opened_ms) as f64 / 1_000.0;
        (RATE * (7_200.0 + open) + 400.0 * (open / 9.0).sin() * 9.0) as u64
    }
}

#[async_trait::async_trait]
impl Answers for Shop {
    async fn ask(&self, question: Question) -> Result<Answer, AskError> {
        let sql = question.sql.trim_start();
        let is_question = ["select", "with", "explain", "show", "describe"]
            .iter()
            .any(|it| sql.to_lowercase().starts_with(it));
        if !is_question {
            let end = sql.find(char::is_whitespace).unwrap_or(sql.len());
            let start = question.sql.len() - sql.len();
            return Err(AskError {
                kind: Kind::Invalid,
                message: format!("expected a question, found `{}`", sql.get(..end).unwrap_or(sql)),
                help: Some("begin with SELECT, WITH, EXPLAIN, SHOW or DESCRIBE".to_owned()),
                position: Some(start..start + end),
            });
        }
        let (name, range) = tables::named(&question.sql).unwrap_or(("one", 0..0));
        let batch = tables::answer(name, &question.sql, self.clock.now_ms());
        let batch = batch.ok_or_else(|| AskError {
            kind: Kind::Missing,
            message: format!("table `{name}` not found"),
            help: Some("did you mean `orders`?".to_owned()),
            position: Some(range),
        })?;
        let rows = question.rows_max.unwrap_or(usize::MAX).min(batch.num_rows());
        Ok(Answer::of(batch.schema(), vec![batch.slice(0, rows)]))
    }
}

#[async_trait::async_trait]
impl Pipeline for Shop {
    fn facts(&self) -> Facts {
        let now_ms = self.clock.now_ms();
        let received = self.received();
        let dead = received / 97 - self.replayed.load(Ordering::Relaxed);
        let pending = now_ms % 40;
        let stored = received - dead - pending;
        Facts {
            project: "shop".to_owned(),
            version: "0.0.0".to_owned(),
            started_ms: self.opened_ms,
            now_ms,
            http: "http://127.0.0.1:7079".to_owned(),
            postgres: "127.0.0.1:7432".to_owned(),
            streams: vec![orders([received, stored, dead, pending], now_ms), returns(now_ms)],
            tables: tables_of(stored, now_ms),
            edges: edges(stored, received),
            alerts: alerts(now_ms),
            notices: notices(now_ms),
            dashboards: vec![sales(), products()],
            flows: vec![flow(now_ms - self.opened_ms, now_ms)],
            journal: Journal {
                bytes: 1_340_000_000 + received * 96,
                commits: received / 60,
                disk_free_bytes: Some(52_000_000_000),
                ..Journal::default()
            },
            ..Facts::default()
        }
    }

    fn catalog(&self) -> Catalog {
        let facts = self.facts();
        let plain = |columns: &[Column]| -> Vec<EntryColumn> {
            let plain = |it: &Column| EntryColumn { column: it.clone(), ..EntryColumn::default() };
            columns.iter().map(plain).collect()
        };
        let streams = facts.streams.iter().map(|it| Entry {
            brief: Brief {
                kind: EntryKind::Stream,
                name: it.name.clone(),
                description: it.description.clone(),
                layer: Some("raw".to_owned()),
                rows: it.stored,
                ..Brief::default()
            },
            columns: plain(&it.columns),
            ..Entry::default()
        });
        let tables = facts.tables.iter().map(|it| Entry {
            brief: Brief {
                kind: EntryKind::Table,
                name: it.name.clone(),
                description: it.description.clone(),
                layer: it.layer.clone(),
                rows: it.rows,
                ..Brief::default()
            },
            columns: plain(&it.columns),
            reads: it.reads.clone(),
            bytes: it.bytes,
            files: it.files,
            sql: it.sql.clone(),
            ..Entry::default()
        });
        Catalog { project: facts.project.clone(), entries: streams.chain(tables).collect() }
    }

    async fn replay_dead(&self, replay: Replay) -> Result<Replayed, AskError> {
        if replay.stream.as_str() != "orders" {
            let message = format!("stream `{}` not found", replay.stream);
            return Err(AskError::new(Kind::Missing, message));
        }
        let sent = if replay.place.is_some() { 1 } else { 1_200 };
        self.replayed.fetch_add(sent / 2, Ordering::Relaxed);
        Ok(Replayed { sent, stored: sent / 2, dead: sent - sent / 2 })
    }

    async fn run_table(&self, table: Name) -> Result<Begun, AskError> {
        Ok(Begun { table: table.to_string(), run: 1 })
    }

    async fn plan(&self, _: Wanted) -> Result<Change, AskError> {
        Ok(Change { project: "shop".to_owned(), ..Change::default() })
    }

    async fn apply(&self, wanted: Wanted) -> Result<Change, AskError> {
        self.plan(wanted).await
    }

    async fn plan_rollback(&self) -> Result<Change, AskError> {
        Ok(Change { project: "shop".to_owned(), ..Change::default() })
    }

    async fn rollback(&self, _: Back) -> Result<Change, AskError> {
        self.plan_rollback().await
    }

    fn applying(&self) -> Applying {
        Applying::default()
    }

    async fn restore(&self, wanted: show::Restore) -> Result<show::Restored, AskError> {
        let message = format!("`{}` has no earlier versions: this shop keeps none", wanted.table);
        Err(AskError::new(Kind::Missing, message))
    }

    async fn trace(&self, stream: Name, place: Place) -> Result<Trace, AskError> {
        let message = format!("`{stream}` has no record {place}: this shop keeps none");
        Err(AskError::new(Kind::Missing, message))
    }
}

fn columns(list: &[(&str, &str)]) -> Vec<Column> {
    let column = |(name, kind): &(&str, &str)| Column {
        name: (*name).to_owned(),
        kind: kind.trim_end_matches(" not null").to_owned(),
        nullable: !kind.ends_with("not null"),
    };
    list.iter().map(column).collect()
}

fn orders([received, stored, dead, pending]: [u64; 4], now_ms: u64) -> Stream {
    let reject = |kind: &str, check: Option<&str>, count| Reject {
        kind: kind.to_owned(),
        check: check.map(str::to_owned),
        count,
    };
    let check = |name: &str, sql: &str| Check { name: name.to_owned(), sql: sql.to_owned() };
    Stream {
        name: "orders".to_owned(),
        description: Some(
            "One record for each line of an order, as the shop's till sends it.".to_owned(),
        ),
        doors: vec![
            Door { kind: "http".to_owned(), records: received / 4, per_second: 0.0 },
            Door { kind: "kinesis".to_owned(), records: received - received / 4, per_second: 0.0 },
        ],
        columns: columns(&[
            ("order_id", "text not null"),
            ("ts", "timestamp not null"),
            ("customer_id", "text"),
            ("product_id", "text"),
            ("region", "text"),
            ("quantity", "int"),
            ("unit_price", "decimal(10,2)"),
            ("total", "decimal(12,2)"),
            ("_shard", "int not null"),
            ("_sequence", "int not null"),
            ("_arrived", "timestamp not null"),
        ]),
        checks: vec![
            check("price_is_positive", "unit_price > 0 AND quantity > 0"),
            check("total_is_right", "abs(total - unit_price * quantity) < 0.01"),
        ],
        time: Some("ts".to_owned()),
        key: Some("customer_id".to_owned()),
        replay: "7 days".to_owned(),
        shards: 4,
        received,
        stored,
        dead,
        pending,
        bytes: received * 96,
        rejects: vec![
            reject("check", Some("total_is_right"), received / 97 * 6 / 10),
            reject("check", Some("price_is_positive"), received / 97 * 3 / 10),
            reject("decode", None, received / 970),
        ],
        lag_ms: 12 + now_ms % 17,
        last_arrived_ms: Some(now_ms - 4),
        ..Stream::default()
    }
}

fn returns(_now_ms: u64) -> Stream {
    Stream {
        name: "returns".to_owned(),
        description: Some("Goods that come back.".to_owned()),
        doors: vec![Door { kind: "http".to_owned(), ..Door::default() }],
        columns: columns(&[("order_id", "text not null"), ("ts", "timestamp not null")]),
        time: Some("ts".to_owned()),
        replay: "24 hours".to_owned(),
        shards: 1,
        ..Stream::default()
    }
}

fn table(name: &str, kind: TableKind, reads: &[&str], sql: &str) -> Table {
    Table {
        name: name.to_owned(),
        kind,
        sql: sql.to_owned(),
        reads: reads.iter().map(|it| (*it).to_owned()).collect(),
        flow: (kind != TableKind::Lookup).then(|| "orders".to_owned()),
        ..Table::default()
    }
}

#[expect(clippy::too_many_lines, reason = "a list, not logic")]
fn tables_of(stored: u64, now_ms: u64) -> Vec<Table> {
    let clean = "SELECT o.order_id, o.ts, o.customer_id, upper(o.region) AS region, o.product_id,\n       \
                 o.quantity, o.total, p.name AS product_name, p.category\n\
                 FROM orders o LEFT JOIN products p ON p.product_id = o.product_id";
    let sales = "SELECT tumble(ts, '1 minute') AS minute, region, category,\n       \
                 count(*) AS orders, sum(total) AS revenue\n\
                 FROM orders_clean\nGROUP BY minute, region, category";
    let usual = "SELECT minute, region, sum(revenue) AS revenue,\n       \
                 avg(sum(revenue)) OVER (PARTITION BY region ORDER BY minute\n         \
                 ROWS BETWEEN 60 PRECEDING AND 1 PRECEDING) AS usual\n\
                 FROM sales_by_minute\nGROUP BY minute, region";
    let popular = "SELECT product_name, sum(quantity) AS quantity\nFROM sales_by_minute\n\
                   GROUP BY product_name";
    let kpi = "SELECT count(*) AS orders, sum(total) AS revenue FROM orders_clean";
    let sold = &[
        ("minute", "timestamp"),
        ("region", "text"),
        ("category", "text"),
        ("orders", "int"),
        ("revenue", "decimal(22,2)"),
    ];
    let updated_ms = Some(now_ms - 300);
    vec![
        Table {
            rows: 40,
            updated_ms: Some(now_ms - 1_620_000),
            columns: columns(&[("product_id", "text"), ("name", "text"), ("category", "text")]),
            ..table("products", TableKind::Lookup, &[], "")
        },
        Table {
            rows: stored,
            written: stored,
            bytes: stored * 21,
            files: 38,
            updated_ms,
            columns: columns(&[
                ("order_id", "text"),
                ("ts", "timestamp"),
                ("customer_id", "text"),
                ("region", "text"),
                ("product_id", "text"),
                ("quantity", "int"),
                ("total", "decimal(12,2)"),
                ("product_name", "text"),
                ("category", "text"),
            ]),
            time: Some("ts".to_owned()),
            description: Some("Orders that passed the checks, with names.".to_owned()),
            ..table("orders_clean", TableKind::Append, &["orders", "products"], clean)
        },
        Table {
            rows: 120 * 20,
            written: 120 * 20,
            updated_ms,
            corrections: 14,
            watermark_ms: Some(now_ms - 602_000),
            layer: Some("reporting".to_owned()),
            columns: columns(sold),
            time: Some("minute".to_owned()),
            description: Some("Orders and revenue of each minute, region, category.".to_owned()),
            ..table("sales_by_minute", TableKind::Windowed, &["orders_clean"], sales)
        },
        Table {
            rows: 600,
            updated_ms: Some(now_ms - 22_000),
            layer: Some("reporting".to_owned()),
            columns: columns(&[
                ("minute", "timestamp"),
                ("region", "text"),
                ("revenue", "decimal(22,2)"),
                ("usual", "float"),
            ]),
            time: Some("minute".to_owned()),
            ..table("sales_against_usual", TableKind::Recomputed, &["sales_by_minute"], usual)
        },
        Table {
            rows: 10,
            updated_ms,
            layer: Some("kpi".to_owned()),
            columns: columns(&[("product_name", "text"), ("quantity", "int")]),
            stale_since_ms: Some(now_ms - 95_000),
            stale_reason: Some("division by zero in `revenue / items`".to_owned()),
            ..table("popular_products", TableKind::Running, &["sales_by_minute"], popular)
        },
        Table {
            rows: 1,
            updated_ms,
            layer: Some("kpi".to_owned()),
            columns: columns(&[("orders", "int"), ("revenue", "decimal(22,2)")]),
            ..table("kpi_sales", TableKind::Running, &["orders_clean"], kpi)
        },
    ]
}

fn edges(stored: u64, received: u64) -> Vec<Edge> {
    let edge = |from: &str, to: &str, rows, lag_ms| Edge {
        from: from.to_owned(),
        to: to.to_owned(),
        rows,
        lag_ms,
        ..Edge::default()
    };
    vec![
        edge("orders", "orders_clean", received, 18),
        edge("orders_clean", "sales_by_minute", stored, 18),
        edge("orders_clean", "kpi_sales", stored, 18),
        edge("sales_by_minute", "sales_against_usual", stored / 400, 21_000),
        edge("sales_by_minute", "popular_products", stored / 500, 95_000),
    ]
}

fn alerts(now_ms: u64) -> Vec<Alert> {
    let instance = |region: &str, state, ago_ms, title: &str| AlertInstance {
        key: vec![("region".to_owned(), region.to_owned())],
        state,
        since_ms: now_ms - ago_ms,
        title: title.to_owned(),
        row: BTreeMap::from([
            ("region".to_owned(), json!(region)),
            ("revenue".to_owned(), json!("18240.50")),
            ("usual".to_owned(), json!(5_102.2)),
        ]),
    };
    let spike =
        |region: &str| format!("Sales spike in {region}: 18240.50 in one minute, usually 5102.20");
    vec![
        Alert {
            name: "sales_spike".to_owned(),
            sql: "SELECT region, minute, revenue, usual FROM sales_against_usual\n\
                  WHERE revenue > 3 * usual"
                .to_owned(),
            reads: vec!["sales_against_usual".to_owned()],
            notify: vec!["oncall".to_owned()],
            instances: vec![
                instance("FR", AlertState::Firing, 184_000, &spike("FR")),
                instance("ES", AlertState::Pending, 21_000, &spike("ES")),
                instance("DE", AlertState::Resolved, 2_460_000, &spike("DE")),
            ],
            asked_ms: Some(now_ms - 1_200),
            ..Alert::default()
        },
        Alert {
            name: "no_orders".to_owned(),
            description: Some("Nobody has bought anything for five minutes.".to_owned()),
            sql: "SELECT 1 FROM kpi_sales WHERE newest < now() - INTERVAL '5 minutes'".to_owned(),
            reads: vec!["kpi_sales".to_owned()],
            notify: vec!["oncall".to_owned()],
            hold: "2 minutes".to_owned(),
            asked_ms: Some(now_ms - 400),
            ..Alert::default()
        },
    ]
}

fn notices(now_ms: u64) -> Vec<Notice> {
    let notice = |id: &str, about: &str, region: &str, ago_ms, state| Notice {
        id: id.to_owned(),
        alert: "sales_spike".to_owned(),
        notify: "oncall".to_owned(),
        text: format!("Sales spike in {region}: 18240.50 in one minute, usually 5102.20"),
        about: about.to_owned(),
        made_ms: now_ms - ago_ms,
        state,
        tries: 1,
        error: None,
    };
    let failed = notice("n2", "resolved", "DE", 2_459_000, NoticeState::Failed);
    vec![
        notice("n3", "firing", "FR", 184_000, NoticeState::Delivered),
        Notice { tries: 5, error: Some("the webhook answered 503".to_owned()), ..failed },
        notice("n1", "firing", "DE", 2_700_000, NoticeState::Delivered),
    ]
}

fn chart(title: &str, kind: ChartKind, from: &str, x: Option<&str>, y: &[&str]) -> Chart {
    Chart {
        title: title.to_owned(),
        kind,
        from: from.to_owned(),
        x: x.map(str::to_owned),
        y: y.iter().map(|it| (*it).to_owned()).collect(),
        ..Chart::default()
    }
}

fn sales() -> Dashboard {
    let by_region =
        |it: Chart| Chart { by: Some("region".to_owned()), last_ms: Some(7_200_000), ..it };
    let minute = Some("minute");
    let line =
        chart("Revenue per minute", ChartKind::Line, "sales_by_minute", minute, &["revenue"]);
    let area = chart("Orders per minute", ChartKind::Area, "sales_by_minute", minute, &["orders"]);
    let product = Some("product_name");
    vec![
        chart("Revenue so far", ChartKind::Number, "kpi_sales", None, &["revenue"]),
        chart("Orders so far", ChartKind::Number, "kpi_sales", None, &["orders"]),
        Chart {
            last_ms: Some(3_600_000),
            ..chart("Orders, last hour", ChartKind::Number, "sales_by_minute", minute, &["orders"])
        },
        by_region(line),
        by_region(area),
        chart("Popular products", ChartKind::Bar, "popular_products", product, &["quantity"]),
        chart("By region", ChartKind::Table, "kpi_regions", None, &[]),
    ]
    .into_iter()
    .fold(
        Dashboard { name: "sales".to_owned(), title: "Sales now".to_owned(), charts: Vec::new() },
        |mut dashboard, chart| {
            dashboard.charts.push(chart);
            dashboard
        },
    )
}

fn products() -> Dashboard {
    let product = Some("product_name");
    let bars =
        chart("Popular products", ChartKind::Bar, "popular_products", product, &["quantity"]);
    let broken = chart("Returns by reason", ChartKind::Bar, "return_reasons", product, &["count"]);
    Dashboard {
        name: "bestsellers".to_owned(),
        title: "Products".to_owned(),
        charts: vec![bars, broken],
    }
}

fn flow(open_ms: u64, now_ms: u64) -> Flow {
    Flow {
        name: "orders".to_owned(),
        tables: ["orders_clean", "sales_by_minute", "sales_against_usual", "popular_products"]
            .map(str::to_owned)
            .to_vec(),
        running: true,
        epoch: 1_412 + open_ms / 5_000,
        epoch_ms: Some(now_ms - now_ms % 5_000),
        ticks: 48_210 + open_ms / 20,
        flush_seconds: 31.4,
        flushes: 1_412 + open_ms / 5_000,
        hot_bytes: 41_200_000,
        hot_rows: 210_400,
        lag_ms: 18,
        ..Flow::default()
    }
}
