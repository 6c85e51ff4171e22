//! Brings notices to those who are to be told, beside the flow and as often as it takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::limits::{MAIL_TIMEOUT, NOTICE_PAUSES, NOTICE_TIMEOUT, NOTICE_TRIED, NOTICES_MAX};
use base::{Clock, Kind, Name, task};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::alert::Alert;
use crate::mail::{Mail, Mailer};
use crate::message::Message;
use crate::notice::Notice;
use crate::way::{Carrier, Way, gone, named, no_mail_server};
use crate::webhook::{self, Attempt};

/// How patient a notifier is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The project's name, for the notices.
    pub project: String,
    /// How long a webhook may take to answer.
    pub timeout: Duration,
    /// How long a mail server may take for one mail.
    pub mail_timeout: Duration,
    /// The first pause between two attempts and the longest; it doubles from one to the other.
    pub pauses: (Duration, Duration),
    /// How long a notice is tried, counted from when it was made.
    pub tried: Duration,
    /// Notices that one target may have waiting.
    pub waiting_max: usize,
}

impl Settings {
    /// Returns the settings of a real program.
    pub fn of(project: &str) -> Settings {
        Settings {
            project: project.to_owned(),
            timeout: NOTICE_TIMEOUT,
            mail_timeout: MAIL_TIMEOUT,
            pauses: NOTICE_PAUSES,
            tried: NOTICE_TRIED,
            waiting_max: NOTICES_MAX,
        }
    }
}

/// What became of a notice at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The target has taken it.
    Delivered,
    /// It will never take it.
    Failed {
        /// Why not.
        reason: String,
    },
}

/// A notice that needs no further attempt at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The notice's id.
    pub notice: String,
    /// Its alert.
    pub alert: Name,
    /// The target.
    pub target: Name,
    /// Whether it arrived.
    pub outcome: Outcome,
}

/// How a target does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetState {
    /// Notices that wait for it, the one under way included.
    pub waiting: usize,
    /// Notices that it took.
    pub delivered: u64,
    /// Notices that it refused for good, or that were tried for too long.
    pub failed: u64,
    /// Attempts that are worth another one.
    pub retries: u64,
    /// Attempts in vain at the notice under way; above zero it is being retried.
    pub attempts_in_vain: u32,
    /// Why the last attempt in vain was that.
    pub last_error: Option<String>,
}

/// Why a notifier cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// A webhook or an address of mail is none.
    #[error("notify `{target}`: {reason}")]
    Address {
        /// The target.
        target: Name,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Mail cannot be sent.
    #[error("`project.mail`: {reason}")]
    Mail {
        /// What is wrong with it.
        reason: String,
    },
    /// The machine lacks something.
    #[error("cannot make a client for webhooks: {reason}")]
    Client {
        /// What it lacks.
        reason: String,
    },
}

impl NotifierError {
    /// Returns what the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            NotifierError::Address { .. } | NotifierError::Mail { .. } => Kind::Invalid,
            NotifierError::Client { .. } => Kind::Unavailable,
        }
    }
}

/// Delivers notices to the targets of a project.
///
/// Each way of a target has a queue with a limit and a task of its own, which keeps the order and
/// tries a notice until it is settled; a slow one holds up neither the others nor the caller. The
/// queues are memory only: what must survive a crash is in the alerts' outboxes, and
/// [`Notifier::exchange`] brings the two together as often as one likes.
#[derive(Debug)]
pub struct Notifier {
    targets: BTreeMap<Name, Arc<Target>>,
    desk: Arc<Desk>,
    workers: Vec<JoinHandle<()>>,
}

/// What all workers share.
#[derive(Debug)]
struct Desk {
    settings: Settings,
    clock: Arc<dyn Clock>,
    carrier: Carrier,
    papers: Mutex<Papers>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Papers {
    /// Target and id of notices under way, until their settlement is taken.
    under_way: BTreeMap<(Name, String), UnderWay>,
    /// Settlements to be taken, by alert.
    settled: BTreeMap<Name, Vec<Settled>>,
}

/// What became of a notice so far, by the ways of its target.
#[derive(Debug, Default)]
struct UnderWay {
    /// Ways that have not settled it.
    open: usize,
    /// Why others failed for good.
    failures: Vec<String>,
}

#[derive(Debug)]
struct Target {
    name: Name,
    ways: Vec<Way>,
    /// One for each way.
    queues: Vec<mpsc::Sender<Arc<Notice>>>,
    state: Mutex<TargetPapers>,
}

/// How a target does, and how its ways do.
#[derive(Debug, Default)]
struct TargetPapers {
    sum: TargetState,
    /// Attempts in vain at the notice under way, by the place of the way.
    in_vain: BTreeMap<usize, (u32, String)>,
}

impl TargetPapers {
    fn whole(&self) -> TargetState {
        let worst = self.in_vain.values().max_by_key(|(attempts, _)| *attempts);
        let mut state = self.sum.clone();
        if let Some((attempts, reason)) = worst {
            state.attempts_in_vain = *attempts;
            state.last_error = Some(reason.clone());
        }
        state
    }
}

impl Notifier {
    /// Starts a task for each way of each target. A TLS provider must be installed before.
    pub fn start(
        declared: &BTreeMap<Name, spec::Notify>,
        mail: Option<&spec::Mail>,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Notifier, NotifierError> {
        let client =
            webhook::client(settings.timeout).map_err(|reason| NotifierError::Client { reason })?;
        let mailer = mail.map(|it| Mailer::new(it, settings.mail_timeout)).transpose();
        let mailer = mailer.map_err(|reason| NotifierError::Mail { reason })?;
        let carrier = Carrier { project: settings.project.clone(), client, mailer };
        let papers = Mutex::new(Papers::default());
        let desk = Arc::new(Desk { settings, clock, carrier, papers, changed: Notify::new() });
        let mut targets = BTreeMap::new();
        let mut waiting = Vec::new();
        for (name, notify) in declared {
            let ways = Way::all(notify)
                .map_err(|reason| NotifierError::Address { target: name.clone(), reason })?;
            let made = ways.iter().map(|_| mpsc::channel(desk.settings.waiting_max.max(1)));
            let (queues, of_ways): (Vec<_>, Vec<_>) = made.unzip();
            let state = Mutex::default();
            let target = Arc::new(Target { name: name.clone(), ways, queues, state });
            for (place, queue) in of_ways.into_iter().enumerate() {
                waiting.push((Arc::clone(&target), place, queue));
            }
            targets.insert(name.clone(), target);
        }
        let work = |(target, place, waiting)| {
            task::spawn("notify", work_off(Arc::clone(&desk), target, place, waiting))
        };
        let workers = waiting.into_iter().map(work).collect();
        Ok(Notifier { targets, desk, workers })
    }

    /// Tells an alert what became of its notices, then queues those of its outbox that are not
    /// under way. Call it after each `observe` and `elapse`, after a restart, and when
    /// [`Notifier::changed`] says so; whatever finds no room stays in the outbox.
    ///
    /// Returns whether the alert's state has changed.
    pub fn exchange(&self, alert: &mut Alert) -> bool {
        let settled = self.take_settled(alert.name());
        alert.settle(&settled);
        let mut unknown = Vec::new();
        for (notice, waiting) in alert.outbox() {
            for name in waiting {
                match self.targets.get(name) {
                    Some(target) => self.offer(target, notice),
                    None => unknown.push(Settled {
                        notice: notice.id.clone(),
                        alert: notice.alert.clone(),
                        target: name.clone(),
                        outcome: Outcome::Failed { reason: "no such notify".to_owned() },
                    }),
                }
            }
        }
        alert.settle(&unknown);
        !settled.is_empty() || !unknown.is_empty()
    }

    /// Waits until some notice was settled that [`Notifier::exchange`] has not told its alert yet.
    pub async fn changed(&self) {
        loop {
            let changed = self.desk.changed.notified();
            if !self.desk.papers.lock().settled.is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// Returns the ways by which a target is told, each to be tried by itself.
    pub fn ways(&self, target: &str) -> Vec<String> {
        let ways = self.targets.get(target).map_or(&[][..], |it| it.ways.as_slice());
        ways.iter().map(Way::name).collect()
    }

    /// Tells a target of the project something that is no notice, by one of its ways, once: whoever
    /// calls keeps the message, and decides whether to try again.
    pub async fn tell(&self, message: &Message, way: &str) -> Attempt {
        let target = self.targets.get(&message.notify);
        match target.and_then(|it| named(&it.ways, way)) {
            Some(way) => self.desk.carrier.message(way, message).await,
            None => gone(&message.notify, way),
        }
    }

    /// Sends `body` to an address that is no target, once.
    pub async fn post(&self, address: &str, headers: &[(&str, &str)], body: String) -> Attempt {
        let client = &self.desk.carrier.client;
        match webhook::address(address) {
            Ok(url) => webhook::post_with(client, &url, headers, body).await,
            Err(reason) => Attempt::Refused { reason: reason.to_owned() },
        }
    }

    /// Sends a mail to an address that is no target, once.
    pub async fn mail(&self, to: &str, mail: &Mail) -> Attempt {
        match read_mailbox(to) {
            Ok(to) => self.desk.carrier.mail(&to, mail).await,
            Err(reason) => Attempt::Refused { reason },
        }
    }

    /// Returns why no mail can be sent to this address, if so.
    pub fn check_mail(&self, to: &str) -> Result<(), String> {
        match &self.desk.carrier.mailer {
            Some(_) => read_mailbox(to).map(drop),
            None => Err(no_mail_server().to_owned()),
        }
    }

    /// Returns how each target does.
    pub fn states(&self) -> BTreeMap<Name, TargetState> {
        self.targets.iter().map(|(name, it)| (name.clone(), it.state.lock().whole())).collect()
    }

    /// Waits until nothing is under way, at most for `patience`, then ends all tasks. What is left
    /// is in the outboxes.
    pub async fn stop(self, patience: Duration) {
        let is_idle = || self.targets.values().all(|it| it.state.lock().sum.waiting == 0);
        let out_of_patience = self.desk.clock.sleep(patience);
        let idle = async {
            loop {
                let changed = self.desk.changed.notified();
                if is_idle() {
                    return;
                }
                changed.await;
            }
        };
        tokio::select! {
            () = idle => {}
            () = out_of_patience => {}
        }
        // Dropping ends the tasks.
    }

    fn take_settled(&self, alert: &Name) -> Vec<Settled> {
        let mut papers = self.desk.papers.lock();
        let settled = papers.settled.remove(alert).unwrap_or_default();
        for it in &settled {
            papers.under_way.remove(&(it.target.clone(), it.notice.clone()));
        }
        settled
    }

    /// Queues a notice, unless it is under way or there is no room.
    fn offer(&self, target: &Target, notice: &Notice) {
        let paper = (target.name.clone(), notice.id.clone());
        let mut papers = self.desk.papers.lock();
        if papers.under_way.contains_key(&paper) {
            return;
        }
        // All ways or none: whoever finds no room tries again later.
        let room = target.queues.iter().map(mpsc::Sender::try_reserve);
        let Ok(room) = room.collect::<Result<Vec<_>, _>>() else { return };
        // The counts go up before a worker can take them down.
        target.state.lock().sum.waiting += 1;
        papers.under_way.insert(paper, UnderWay { open: room.len(), failures: Vec::new() });
        let notice = Arc::new(notice.clone());
        room.into_iter().for_each(|it| it.send(Arc::clone(&notice)));
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.abort();
        }
    }
}

fn read_mailbox(text: &str) -> Result<lettre::message::Mailbox, String> {
    let read = spec::Mailbox::parse(text).and_then(|it| crate::mail::mailbox(&it));
    read.map_err(|wrong| format!("`{text}` is no address of mail: {wrong}"))
}

async fn work_off(
    desk: Arc<Desk>,
    target: Arc<Target>,
    place: usize,
    mut waiting: mpsc::Receiver<Arc<Notice>>,
) {
    while let Some(notice) = waiting.recv().await {
        let failure = deliver(&desk, &target, place, &notice).await;
        target.state.lock().in_vain.remove(&place);
        settle(&desk, &target, &notice, failure);
    }
}

/// Notes that one way is done with a notice; with the last one it is settled.
fn settle(desk: &Desk, target: &Target, notice: &Notice, failure: Option<String>) {
    let mut papers = desk.papers.lock();
    let paper = (target.name.clone(), notice.id.clone());
    let Some(under_way) = papers.under_way.get_mut(&paper) else { return };
    under_way.failures.extend(failure);
    under_way.open = under_way.open.saturating_sub(1);
    if 0 < under_way.open {
        return;
    }
    let failures = std::mem::take(&mut under_way.failures);
    let outcome = if failures.is_empty() {
        Outcome::Delivered
    } else {
        Outcome::Failed { reason: failures.join("; ") }
    };
    note(target, notice, &outcome);
    let settled = Settled {
        notice: notice.id.clone(),
        alert: notice.alert.clone(),
        target: target.name.clone(),
        outcome,
    };
    papers.settled.entry(notice.alert.clone()).or_default().push(settled);
    drop(papers);
    desk.changed.notify_waiters();
}

/// Counts and logs what became of a notice.
fn note(target: &Target, notice: &Notice, outcome: &Outcome) {
    let state = &mut target.state.lock().sum;
    state.waiting = state.waiting.saturating_sub(1);
    match outcome {
        Outcome::Delivered => {
            state.delivered += 1;
            state.last_error = None;
        }
        Outcome::Failed { reason } => {
            state.failed += 1;
            state.last_error = Some(reason.clone());
            let Notice { alert, id, .. } = notice;
            warn!(notify = %target.name, %alert, id, error = reason, "notice was not delivered");
        }
    }
}

/// Tries until the notice is settled by one way; returns why it failed for good, if it did.
async fn deliver(desk: &Desk, target: &Target, place: usize, notice: &Notice) -> Option<String> {
    let way = target.ways.get(place)?;
    loop {
        let (reason, after) = match desk.carrier.notice(way, notice).await {
            Attempt::Delivered => return None,
            Attempt::Refused { reason } => return Some(way.reason(reason)),
            Attempt::Again { reason, after } => (way.reason(reason), after),
        };
        let age_ms = desk.clock.now_ms().saturating_sub(notice.at_ms);
        if desk.settings.tried <= Duration::from_millis(age_ms) {
            return Some(format!("given up: {reason}"));
        }
        let attempts = {
            let mut state = target.state.lock();
            state.sum.retries += 1;
            let in_vain = state.in_vain.entry(place).or_default();
            *in_vain = (in_vain.0.saturating_add(1), reason);
            in_vain.0
        };
        let pause = pause_after(attempts, desk.settings.pauses, after);
        desk.clock.sleep(pause).await;
    }
}

/// Returns the pause after some attempts in vain: it doubles, and a random part of it keeps many
/// notifiers from coming back at the same moment.
fn pause_after(
    attempts: u32,
    (first, longest): (Duration, Duration),
    asked_for: Option<Duration>,
) -> Duration {
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1).min(30));
    let whole = first.saturating_mul(doubled).min(longest);
    let pause = whole / 2 + whole.mul_f64(fastrand::f64() / 2.0);
    // A target may ask for more, but not for ever.
    asked_for.map_or(pause, |it| pause.max(it.min(longest)))
}

#[cfg(test)]
pub(crate) mod tests;
