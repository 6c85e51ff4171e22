//! News for open pages, once a second, computed once for all of them.
//!
//! ```text
//!   round (each second)            one slot                each page
//!   facts + rates ─┐
//!   charts watched ┴─► Board ──► watch channel ──► sends the parts it has not sent yet
//! ```
//!
//! The slot always holds the newest board, so a page that reads slowly skips what it missed and
//! never makes another wait. A chart is asked again only when its table changed or time moved its
//! window, and never for more than a fifth of the time.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::response::sse::Event;
use base::{Clock, Kind, limits};
use futures::Stream;
use futures::future::select;
use serde::Serialize;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use crate::answers::Answers;
use crate::charts::{self, ChartData};
use crate::facts::{Chart, Facts};
use crate::fault::Refusal;
use crate::graph::{self, Graph};
use crate::pipeline::Pipeline;
use crate::rates::Rates;

/// How long a chart may stand while its table does not change: its window moves with the time.
const CHART_STANDS: Duration = Duration::from_secs(10);

/// A chart rests this many times as long as its answer took.
const REST_FACTOR: u32 = 4;

pub(crate) struct Hub {
    answers: Arc<dyn Answers>,
    pipeline: Arc<dyn Pipeline>,
    clock: Arc<dyn Clock>,
    inner: std::sync::Mutex<Inner>,
    board: watch::Sender<Arc<Board>>,
    pages: Arc<Semaphore>,
    joined: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    rates: Rates,
    /// How many pages watch each dashboard.
    watched: BTreeMap<String, usize>,
}

/// Everything pages may want now.
#[derive(Default)]
struct Board {
    is_closed: bool,
    round: u64,
    facts: Part,
    charts: BTreeMap<(String, usize), Drawn>,
}

/// A text, and the round in which it last changed.
#[derive(Clone, Default)]
struct Part {
    round: u64,
    text: Arc<str>,
}

/// A chart as it was last asked.
#[derive(Clone)]
struct Drawn {
    part: Part,
    /// What the table was like; another one is a reason to ask again.
    seen: (u64, u64, Option<u64>),
    chart: Chart,
    asked: Duration,
    took: Duration,
}

#[derive(Serialize)]
struct FactsNews<'a> {
    #[serde(flatten)]
    facts: &'a Facts,
    graph: Graph,
}

#[derive(Serialize)]
struct ChartNews<'a> {
    dashboard: &'a str,
    index: usize,
    #[serde(flatten)]
    data: &'a ChartData,
}

impl Hub {
    /// Starts the rounds; they end when the hub is dropped or closed.
    pub(crate) fn start(
        answers: Arc<dyn Answers>,
        pipeline: Arc<dyn Pipeline>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Hub> {
        let hub = Arc::new(Hub {
            answers,
            pipeline,
            clock,
            inner: std::sync::Mutex::default(),
            board: watch::Sender::new(Arc::new(Board::default())),
            pages: Arc::new(Semaphore::new(limits::LIVE_PAGES_MAX)),
            joined: Arc::new(Notify::new()),
        });
        drop(base::task::spawn("live pages", run(Arc::downgrade(&hub))));
        hub
    }

    /// Ends all live pages and the rounds, so that the server can stop.
    pub(crate) fn close(&self) {
        self.board.send_modify(|board| {
            *board = Arc::new(Board { is_closed: true, ..Board::default() });
        });
        self.joined.notify_one();
    }

    /// Returns the facts now, with the rates known.
    pub(crate) fn facts(&self) -> Facts {
        let mut facts = self.pipeline.facts();
        self.lock().rates.fill(&mut facts);
        facts
    }

    /// Opens a live page that watches `dashboard`, unless too many are open.
    pub(crate) fn open(
        self: &Arc<Hub>,
        dashboard: Option<String>,
    ) -> Result<impl Stream<Item = Result<Event, Infallible>> + use<>, Refusal> {
        let full = |_closed_or_full| {
            let message = format!("{} live pages are open already", limits::LIVE_PAGES_MAX);
            Refusal::new(Kind::Throttled, message).help("close some, or ask `GET /v1/pipeline`")
        };
        let permit = Arc::clone(&self.pages).try_acquire_owned().map_err(full)?;
        if let Some(name) = &dashboard {
            *self.lock().watched.entry(name.clone()).or_default() += 1;
        }
        let news = self.board.subscribe();
        let page = Page {
            hub: Arc::clone(self),
            dashboard,
            news,
            sent_facts: 0,
            sent_charts: BTreeMap::new(),
            waiting: VecDeque::new(),
            is_first: true,
            _permit: permit,
        };
        self.joined.notify_one();
        Ok(futures::stream::unfold(page, async |mut page| Some((Ok(page.next().await?), page))))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn round(&self) {
        let mut facts = self.pipeline.facts();
        let watched: Vec<String> = {
            let mut inner = self.lock();
            inner.rates.observe(&mut facts);
            inner.watched.keys().cloned().collect()
        };
        let before = Arc::clone(&self.board.borrow());
        let round = before.round + 1;
        let graph = graph::of(&facts);
        let text = serde_json::to_string(&FactsNews { facts: &facts, graph }).unwrap_or_default();
        let told = Part { round, text: text.into() };
        // The facts at once; charts may take a moment.
        let charts = before.charts.clone();
        self.tell(Board { is_closed: false, round, facts: told.clone(), charts });
        if watched.is_empty() {
            return;
        }
        let mut charts = BTreeMap::new();
        for dashboard in facts.dashboards.iter().filter(|it| watched.contains(&it.name)) {
            for (index, chart) in dashboard.charts.iter().enumerate() {
                let place = (dashboard.name.clone(), index);
                let drawn = before.charts.get(&place);
                let drawn = self.draw(&place, chart, &facts, drawn, round + 1).await;
                charts.insert(place, drawn);
            }
        }
        self.tell(Board { is_closed: false, round: round + 1, facts: told, charts });
    }

    fn tell(&self, board: Board) {
        self.board.send_if_modified(|slot| {
            let is_open = !slot.is_closed;
            if is_open {
                *slot = Arc::new(board);
            }
            is_open
        });
    }

    async fn draw(
        &self,
        (dashboard, index): &(String, usize),
        chart: &Chart,
        facts: &Facts,
        before: Option<&Drawn>,
        round: u64,
    ) -> Drawn {
        let now = self.clock.elapsed();
        let seen = state_of(&chart.from, facts);
        if let Some(drawn) = before.filter(|it| it.chart == *chart) {
            let stood = now.saturating_sub(drawn.asked);
            let is_due = seen != drawn.seen || CHART_STANDS <= stood;
            if !is_due || stood < drawn.took * REST_FACTOR {
                return drawn.clone();
            }
        }
        let data = charts::ask(&*self.answers, &self.clock, chart, facts).await;
        let took = self.clock.elapsed().saturating_sub(now);
        let news = ChartNews { dashboard, index: *index, data: &data };
        let text = serde_json::to_string(&news).unwrap_or_default();
        let part = match before {
            Some(drawn) if *drawn.part.text == *text => drawn.part.clone(),
            _ => Part { round, text: text.into() },
        };
        Drawn { part, seen, chart: chart.clone(), asked: now, took }
    }
}

/// What changes when the table `name` changes.
fn state_of(name: &str, facts: &Facts) -> (u64, u64, Option<u64>) {
    let table = facts.tables.iter().find(|it| it.name == name);
    let stream = facts.streams.iter().find(|it| it.name == name);
    match (table, stream) {
        (Some(it), _) => (it.rows, it.written, it.updated_ms),
        (None, Some(it)) => (it.stored, it.dead, it.last_arrived_ms),
        // A system table or one of dead letters: its moments are not known, so ask each time.
        (None, None) => (0, facts.now_ms, None),
    }
}

async fn run(hub: Weak<Hub>) {
    loop {
        let Some(it) = hub.upgrade() else { return };
        if it.board.borrow().is_closed {
            return;
        }
        it.round().await;
        let joined = Arc::clone(&it.joined);
        let pause = it.clock.sleep(limits::LIVE_EVERY);
        drop(it);
        let joined = std::pin::pin!(joined.notified());
        select(pause, joined).await;
    }
}

/// One open page.
struct Page {
    hub: Arc<Hub>,
    dashboard: Option<String>,
    news: watch::Receiver<Arc<Board>>,
    sent_facts: u64,
    sent_charts: BTreeMap<usize, u64>,
    waiting: VecDeque<Event>,
    is_first: bool,
    _permit: OwnedSemaphorePermit,
}

impl Page {
    /// Returns the next event, or nothing when the program stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if !std::mem::take(&mut self.is_first) {
                self.news.changed().await.ok()?;
            }
            let board = Arc::clone(&self.news.borrow_and_update());
            if board.is_closed {
                return None;
            }
            self.take(&board);
        }
    }

    /// Queues what of `board` this page has not sent yet.
    fn take(&mut self, board: &Board) {
        if self.sent_facts < board.facts.round {
            self.sent_facts = board.facts.round;
            self.waiting.push_back(Event::default().event("facts").data(&*board.facts.text));
        }
        let Some(name) = &self.dashboard else { return };
        for ((_, index), drawn) in board.charts.iter().filter(|((it, _), _)| it == name) {
            let sent = self.sent_charts.entry(*index).or_default();
            if *sent < drawn.part.round {
                *sent = drawn.part.round;
                self.waiting.push_back(Event::default().event("chart").data(&*drawn.part.text));
            }
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let Some(name) = &self.dashboard else { return };
        let mut inner = self.hub.lock();
        if let Some(count) = inner.watched.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                inner.watched.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
