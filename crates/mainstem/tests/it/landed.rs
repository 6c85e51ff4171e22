//! The examples that read files which land, on data that others have published: campaigns out of
//! three systems, and a year of flights in one file.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::{Program, copied, data};

async fn read(program: &Program, files: u64) {
    let sql = "SELECT count(*) FROM landing_events WHERE event = 'read'";
    for _ in 0..1_200 {
        if program.count(sql).await == files {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", program.sql("SELECT event, key, message FROM landing_events").await);
}

fn text(path: &Path) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    if path.extension().is_some_and(|it| it == "gz") {
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        std::io::BufReader::new(file).read_to_string(&mut text).unwrap();
    }
    text
}

fn put(landing: &Path, key: &str, text: &str) {
    let path = landing.join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Times and values of a published series.
fn series(path: &Path) -> Vec<(String, f64)> {
    let text = text(path);
    let lines = text.lines().skip(1).map(|it| it.split_once(',').unwrap());
    lines.map(|(at, value)| (at.to_owned(), value.parse().unwrap())).collect()
}

/// Mentions of a company as posts of its campaign, one object a line.
fn posts(network: &str, campaign: &str, mentions: &[(String, f64)]) -> String {
    mentions.iter().fold(String::new(), |mut text, (at, count)| {
        let post = json!({"network": network, "campaign": campaign, "posted_at": at,
            "views": *count as u64, "clicks": 0});
        writeln!(text, "{post}").unwrap();
        text
    })
}

/// The published cost of a click, hour by hour, as an ad platform exports it: a hundred clicks each.
fn ads(platform: &str, campaign: &str, costs: &[(String, f64)]) -> (String, i64) {
    let mut text = "Platform,Campaign,Hour,Views,Clicks,Cost\n".to_owned();
    let mut cents = 0;
    for (at, cost) in costs {
        let cost = (cost * 10_000.0).round() as i64;
        cents += cost;
        writeln!(text, "{platform},{campaign},{at},1000,100,{}.{:02}", cost / 100, cost % 100)
            .unwrap();
    }
    (text, cents)
}

/// Prospects of the CRM as deals that were won for a thousandth of what they earn.
fn deals(prospects: &str) -> (String, usize, u64) {
    let mut text = "deal_id;closed_at;customer;source;amount\n".to_owned();
    let (mut count, mut sum) = (0, 0);
    for line in prospects.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let (Some(mail), Some(income)) = (
            fields.iter().find(|it| it.contains('@')),
            fields.iter().position(|it| it.contains('@')).and_then(|it| fields.get(it + 1)),
        ) else {
            continue;
        };
        let amount = income.parse::<u64>().unwrap() / 1_000;
        let source = ["Spring Sale", "spring-sale", "Newsletter", ""][count % 4];
        let day = 1 + count % 28;
        writeln!(text, "d{count};2015-03-{day:02}T12:00:00Z;{mail};{source};{amount}.00").unwrap();
        (count, sum) = (count + 1, sum + amount);
    }
    (text, count, sum)
}

#[tokio::test(flavor = "multi_thread")]
async fn published_costs_mentions_and_prospects_become_one_table_of_campaigns() {
    let Some(published) = data("marketing") else { return };
    let folder = tempfile::tempdir().unwrap();
    let project = copied("marketing", folder.path());
    let landing = project.join("landing");
    let (apple, amazon) = (
        series(&published.join("tweet_volume/Twitter_volume_AAPL.csv.gz")),
        series(&published.join("tweet_volume/Twitter_volume_AMZN.csv.gz")),
    );
    assert_eq!((apple.len(), amazon.len()), (15_902, 15_831));
    let (clicks, other) = (
        series(&published.join("nab_ad_exchange/exchange-2_cpc_results.csv")),
        series(&published.join("nab_ad_exchange/exchange-4_cpc_results.csv")),
    );
    let (deals, count, sum) = deals(&text(&published.join("crm_prospects.csv.gz")));
    assert_eq!((count, sum), (2_059, 109_740), "the published prospects, thousands of income");
    let (spring, spring_cents) = ads("exchange 2", "spring_sale", &clicks);
    let (news, news_cents) = ads("exchange 4", "NEWSLETTER", &other);
    put(&landing, "social/apple.ndjson", &posts("twitter", "#SpringSale", &apple));
    put(&landing, "crm/deals.csv", &deals);
    let own = folder.path().join("data");
    let program = Program::start(&project, &own);
    put(&landing, "ads/exchange-2.csv", &spring);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    program.kill();
    put(&landing, "social/amazon.ndjson", &posts("twitter", "Newsletter", &amazon));
    put(&landing, "ads/exchange-4.csv", &news);
    let program = Program::start(&project, &own);
    read(&program, 5).await;
    for (stream, rows) in [("posts", 31_733), ("ads", 3_267), ("deals", 2_059)] {
        let settled = program.settle(stream).await;
        assert_eq!((settled.received, settled.dead), (rows, 0), "{stream}");
    }
    campaigns(&program, [spring_cents, news_cents]).await;
    program.stop();
}

async fn campaigns(program: &Program, cents: [i64; 2]) {
    let sql = "SELECT campaign, owner, views, clicks, CAST(cost * 100 AS BIGINT), deals, \
        CAST(revenue AS BIGINT) FROM kpi_campaigns ORDER BY campaign";
    let rows = program.sql(sql).await;
    let names: Vec<&Value> = rows.iter().map(|it| &it[0]).collect();
    assert_eq!(names, ["newsletter", "springsale", "unknown"], "{rows:?}");
    let of = |row: usize, from: usize| rows[row][from..].iter().map(|it| it.as_i64().unwrap());
    let (news, spring, unknown) = (0, 1, 2);
    let take = |row: usize| of(row, 2).take(4).collect::<Vec<_>>();
    assert_eq!(take(spring), [1_360_453 + 1_624_000, 162_400, cents[0], 1_030]);
    assert_eq!(take(news), [843_768 + 1_643_000, 164_300, cents[1], 515]);
    assert_eq!(take(unknown), [0, 0, 0, 514]);
    assert_eq!((0..3).map(|it| of(it, 6).sum::<i64>()).sum::<i64>(), 109_740);
    let days = "SELECT CAST(sum(revenue) AS BIGINT), sum(views) FROM campaign_days";
    let wanted = vec![json!(109_740), json!(1_360_453 + 843_768 + 3_267_000)];
    assert_eq!(program.sql(days).await, [wanted]);
    let weeks = "SELECT sum(deals) FROM customer_weeks";
    assert_eq!(program.count(weeks).await, 2_059);
    let over = "SELECT title FROM system.alerts WHERE alert = 'over_budget' AND state = 'firing'";
    let over = program.sql(over).await;
    assert_eq!(over.len(), 2, "both have cost more than their budget: {over:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_of_flights_lands_as_one_file_through_a_kill_and_gives_the_published_facts() {
    let Some(flights) = data("warehouse/nycflights13/flights.parquet") else { return };
    let folder = tempfile::tempdir().unwrap();
    let project = copied("big-batch", folder.path());
    let landing = project.join("landing/flights");
    std::fs::create_dir_all(&landing).unwrap();
    let own = folder.path().join("data");
    let program = Program::start(&project, &own);
    let part = landing.join("flights.parquet.part");
    std::fs::write(&part, std::fs::read(flights).unwrap()).unwrap();
    std::fs::rename(part, landing.join("flights.parquet")).unwrap();
    // Somewhere within the file.
    for _ in 0..600 {
        let received = program
            .count("SELECT sum(received) FROM system.conservation WHERE stream = 'flights'")
            .await;
        if 20_000 < received {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    program.kill();
    let program = Program::start(&project, &own);
    read(&program, 1).await;
    flown(&program).await;
    program.stop();
    let program = Program::start(&project, &own);
    flown(&program).await;
    program.stop();
}

async fn flown(program: &Program) {
    let settled = program.settle("flights").await;
    assert_eq!((settled.received, settled.dead), (336_776, 0));
    let tails = "SELECT count(DISTINCT tailnum) FROM flights";
    assert_eq!(program.count(tails).await, 4_043);
    let airports =
        "SELECT origin, sum(flights), sum(cancelled) FROM weeks GROUP BY origin ORDER BY origin";
    let wanted = [
        json!(["EWR", 120_835, 3_239]),
        json!(["JFK", 111_279, 1_863]),
        json!(["LGA", 104_662, 3_153]),
    ];
    let wanted = wanted.map(|it| it.as_array().unwrap().clone());
    assert_eq!(program.sql(airports).await, wanted);
    let weeks = "SELECT count(*) FROM weeks";
    assert_eq!(program.count(weeks).await, 159, "53 weeks of three airports");
    let routes = "SELECT count(*), sum(flights), sum(miles), max(flights) FROM routes";
    let wanted = [223, 327_346, 343_180_156, 11_159].map(Value::from);
    assert_eq!(program.sql(routes).await, [wanted.to_vec()]);
    let carriers = "SELECT name, flights, cancelled, CAST(round(mean_delay * 1000) AS BIGINT), an_hour_late \
        FROM kpi_carriers ORDER BY mean_delay DESC LIMIT 2";
    let wanted = [
        json!(["Frontier Airlines", 685, 3, 21_921, 87]),
        json!(["AirTran Airways", 3_260, 73, 20_116, 360]),
    ];
    let wanted = wanted.map(|it| it.as_array().unwrap().clone());
    assert_eq!(program.sql(carriers).await, wanted);
}
