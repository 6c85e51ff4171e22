//! Readers that follow a stream, fast and slow.

use super::*;
use crate::tests::Fixture;

const NOTES: &str = "/v1/streams/notes/records";

fn pump(fixture: &Fixture, stream: &str, from: Option<&str>) -> Result<Pump, HttpFault> {
    Pump::new(&fixture.inlet, fixture.inlet.stream(stream).unwrap(), from)
}

fn follow(
    fixture: &Fixture,
    stream: &str,
    from: Option<&str>,
    room: usize,
) -> tokio::sync::mpsc::Receiver<News> {
    let (sender, news) = tokio::sync::mpsc::channel(room);
    drop(base::task::spawn("test", pump(fixture, stream, from).unwrap().run(sender)));
    news
}

/// The texts of records up to the next position, and the position.
async fn batch(news: &mut tokio::sync::mpsc::Receiver<News>) -> (Vec<String>, String) {
    let mut texts = Vec::new();
    loop {
        match news.recv().await.unwrap() {
            News::Record(record) => {
                let record: serde_json::Value = serde_json::from_str(&record).unwrap();
                texts.push(record["text"].as_str().unwrap().to_owned());
            }
            News::Position(position) => return (texts, position),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_is_shown_and_a_position_goes_on_where_it_was() {
    let fixture = Fixture::new();
    fixture.post(NOTES, &[], "a\nb").await;
    let mut late = follow(&fixture, "notes", None, 16);
    let mut early = follow(&fixture, "notes", Some("trim_horizon"), 16);
    let (texts, position) = batch(&mut early).await;
    assert_eq!((texts, position.as_str()), (vec!["a".to_owned(), "b".to_owned()], "0:2"));
    // The one that began at the end has nothing yet.
    tokio::task::yield_now().await;
    fixture.post(NOTES, &[], "c").await;
    assert_eq!(batch(&mut late).await, (vec!["c".to_owned()], "0:3".to_owned()));
    assert_eq!(batch(&mut early).await, (vec!["c".to_owned()], "0:3".to_owned()));
    let mut again = follow(&fixture, "notes", Some("0:1"), 16);
    assert_eq!(batch(&mut again).await, (vec!["b".to_owned(), "c".to_owned()], "0:3".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_shards_are_followed_each_in_its_order() {
    let fixture = Fixture::new();
    let lines: Vec<String> =
        (0..200).map(|it| format!("{{\"customer\":\"c{}\",\"n\":{it}}}", it % 20)).collect();
    fixture.post("/v1/streams/orders/records", &[], lines.join("\n")).await;
    let mut news = follow(&fixture, "orders", Some("trim_horizon"), 16);
    let mut last = BTreeMap::new();
    let mut count = 0;
    while count < 200 {
        for text in batch(&mut news).await.0 {
            let order: serde_json::Value = serde_json::from_str(&text).unwrap();
            let n = order["n"].as_u64().unwrap();
            assert!(last.insert(order["customer"].to_string(), n).is_none_or(|it| it < n));
            count += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_is_told_and_cut_off() {
    let fixture = Fixture::new();
    fixture.post(NOTES, &[], "a\nb\nc\nd\ne\nf").await;
    // Room for the last word and two others.
    let mut news = follow(&fixture, "notes", Some("trim_horizon"), 3);
    for _ in 0..200 {
        fixture.clock.advance(limits::FOLLOW_STALL_MAX);
        pause(Duration::from_millis(5)).await;
        if news.is_closed() || news.len() == 3 {
            break;
        }
    }
    let mut said = Vec::new();
    while let Some(news) = news.recv().await {
        said.push(news);
    }
    let Some(News::End(reason)) = said.pop() else { panic!("{said:?}") };
    assert_eq!(reason, "nothing was taken for 30 seconds; go on from 0:0");
    assert_eq!(said.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_the_journal_does() {
    let fixture = Fixture::new();
    fixture.inlet.journal().close();
    let mut news = follow(&fixture, "notes", None, 16);
    assert!(matches!(news.recv().await, Some(News::End(_))));
    assert_eq!(news.recv().await, None);
}

#[test]
fn a_position_is_read_as_it_is_written() {
    let fixture = Fixture::new();
    let pump = pump(&fixture, "orders", Some("2:5,0:1")).unwrap();
    assert_eq!(pump.position(), "0:1,1:0,2:5,3:0");
    for wrong in ["", "yesterday", "0", "0:x", "0:1;1:2"] {
        assert!(self::pump(&fixture, "orders", Some(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn bytes_that_are_no_text_are_base64() {
    let place = base::Place { shard: ShardId(1), sequence: SequenceNumber(2) };
    let record = |key, bytes| written(&Record { place, arrived_ms: 3, key, bytes });
    assert_eq!(record("", b"a\n\"b"), r#"{"arrived_ms":3,"place":"1:2","text":"a\n\"b"}"#);
    assert_eq!(record("k", b"\xff"), r#"{"arrived_ms":3,"base64":"/w==","key":"k","place":"1:2"}"#);
}

/// Lets real time pass: what is waited for happens on other threads.
async fn pause(span: Duration) {
    base::time::SystemClock::start().sleep(span).await;
}
