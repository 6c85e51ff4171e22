use std::sync::atomic::{AtomicUsize, Ordering};

use base::time::ManualClock;
use futures::{FutureExt, StreamExt};

use super::*;
use crate::answers::{Answer, AskError, Question};
use crate::shop::Shop;

/// Counts what it is asked.
struct Counting {
    shop: Shop,
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl Answers for Counting {
    async fn ask(&self, question: Question) -> Result<Answer, AskError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.shop.ask(question).await
    }
}

struct Bench {
    hub: Arc<Hub>,
    answers: Arc<Counting>,
    clock: Arc<ManualClock>,
}

fn bench() -> Bench {
    let hand = ManualClock::at(1_767_607_200_000);
    let clock: Arc<dyn Clock> = Arc::new(Arc::clone(&hand));
    let shop = || Shop::open(Arc::clone(&clock));
    let answers = Arc::new(Counting { shop: shop(), asked: AtomicUsize::new(0) });
    let hub = Hub::start(Arc::clone(&answers) as _, Arc::new(shop()), Arc::clone(&clock));
    Bench { hub, answers, clock: hand }
}

/// Lets the rounds run until nothing moves any more.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// What an event says, as it goes over the wire.
fn wire(event: &Event) -> String {
    format!("{event:?}")
}

fn waiting(page: &mut (impl Stream<Item = Result<Event, Infallible>> + Unpin)) -> Vec<String> {
    let mut events = Vec::new();
    while let Some(Some(Ok(event))) = page.next().now_or_never() {
        events.push(wire(&event));
    }
    events
}

#[tokio::test]
async fn a_page_gets_the_facts_and_its_charts() {
    let bench = bench();
    let mut page = Box::pin(bench.hub.open(Some("sales".to_owned())).unwrap());
    settle().await;
    let events = waiting(&mut page);
    let count = |word: &str| events.iter().filter(|it| it.contains(word)).count();
    assert!(0 < count("event: facts"), "{events:?}");
    assert_eq!(count("event: chart"), 7);
}

#[tokio::test]
async fn many_pages_cost_as_much_as_one() {
    let bench = bench();
    let pages: Vec<_> =
        (0..50).map(|_| Box::pin(bench.hub.open(Some("sales".to_owned())).unwrap())).collect();
    settle().await;
    assert_eq!(bench.answers.asked.load(Ordering::SeqCst), 7);
    bench.clock.advance(Duration::from_secs(1));
    settle().await;
    assert!(bench.answers.asked.load(Ordering::SeqCst) <= 14);
    drop(pages);
}

#[tokio::test]
async fn without_a_page_no_chart_is_asked() {
    let bench = bench();
    let page = bench.hub.open(Some("sales".to_owned())).unwrap();
    drop(page);
    for _ in 0..5 {
        settle().await;
        bench.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(bench.answers.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_slow_page_skips_what_it_missed() {
    let bench = bench();
    let mut slow = Box::pin(bench.hub.open(None).unwrap());
    settle().await;
    waiting(&mut slow);
    for _ in 0..30 {
        bench.clock.advance(Duration::from_secs(1));
        settle().await;
    }
    // Thirty rounds later it gets the newest only.
    assert_eq!(waiting(&mut slow).len(), 1);
}

#[tokio::test]
async fn a_chart_is_sent_again_only_when_it_changed() {
    let bench = bench();
    let mut page = Box::pin(bench.hub.open(Some("sales".to_owned())).unwrap());
    settle().await;
    waiting(&mut page);
    // `kpi_regions` is asked each second and always differs; `popular_products` differs too.
    // Without any time passing, another round brings facts but no chart.
    bench.hub.joined.notify_one();
    settle().await;
    let events = waiting(&mut page);
    assert!(events.iter().all(|it| !it.contains("event: chart")), "{events:?}");
}

#[tokio::test]
async fn pages_are_bounded() {
    let bench = bench();
    let pages: Vec<_> =
        (0..limits::LIVE_PAGES_MAX).map(|_| bench.hub.open(None).unwrap()).collect();
    assert!(bench.hub.open(None).is_err());
    drop(pages);
    assert!(bench.hub.open(None).is_ok());
}

#[tokio::test]
async fn closing_ends_every_page() {
    let bench = bench();
    let mut page = Box::pin(bench.hub.open(None).unwrap());
    settle().await;
    waiting(&mut page);
    bench.hub.close();
    assert!(page.next().await.is_none());
    // And no round opens it again.
    settle().await;
    let mut late = Box::pin(bench.hub.open(None).unwrap());
    assert!(late.next().await.is_none());
}
