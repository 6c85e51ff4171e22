//! Brings notices to those who are to be told, beside the flow and as often as it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::limits::{NOTICE_PAUSES, NOTICE_TIMEOUT, NOTICE_TRIED, NOTICES_MAX};
use base::{Clock, Kind, Name, task};
use parking_lot::Mutex;
use reqwest::{Client, Url};
use spec::NotifyFormat;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::alert::Alert;
use crate::message::Message;
use crate::notice::{Notice, NoticeState};
use crate::webhook::{self, Attempt};

/// How patient a notifier is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The project's name, for the notices.
    pub project: String,
    /// How long a webhook may take to answer.
    pub timeout: Duration,
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
    /// A webhook is no address.
    #[error("notify `{target}`: {reason}")]
    Address {
        /// The target.
        target: Name,
        /// What is wrong with it.
        reason: &'static str,
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
            NotifierError::Address { .. } => Kind::Invalid,
            NotifierError::Client { .. } => Kind::Unavailable,
        }
    }
}

/// Delivers notices to the targets of a project.
///
/// Each target has a queue with a limit and a task of its own, which keeps the order and tries a
/// notice until it is settled; a slow target holds up neither the others nor the caller. The
/// queues are memory only: what must survive a crash is in the alerts' outboxes, and
/// [`Notifier::exchange`] brings the two together as often as one likes.
#[derive(Debug)]
pub struct Notifier {
    targets: BTreeMap<Name, Arc<Target>>,
    desk: Arc<Desk>,
    workers: Vec<JoinHandle<()>>,
    client: Client,
}

/// What all workers share.
#[derive(Debug)]
struct Desk {
    settings: Settings,
    clock: Arc<dyn Clock>,
    papers: Mutex<Papers>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Papers {
    /// Target and id of notices under way, until their settlement is taken.
    under_way: BTreeSet<(Name, String)>,
    /// Settlements to be taken, by alert.
    settled: BTreeMap<Name, Vec<Settled>>,
}

#[derive(Debug)]
struct Target {
    name: Name,
    webhook: Option<Url>,
    format: NotifyFormat,
    log: bool,
    queue: mpsc::Sender<Notice>,
    state: Mutex<TargetState>,
}

impl Notifier {
    /// Starts a task for each target. A TLS provider must be installed before.
    pub fn start(
        declared: &BTreeMap<Name, spec::Notify>,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Notifier, NotifierError> {
        let client =
            webhook::client(settings.timeout).map_err(|reason| NotifierError::Client { reason })?;
        let papers = Mutex::new(Papers::default());
        let desk = Arc::new(Desk { settings, clock, papers, changed: Notify::new() });
        let mut targets = BTreeMap::new();
        let mut queues = Vec::new();
        for (name, notify) in declared {
            let webhook = notify.webhook.as_ref().map(|it| webhook::address(it.reveal()));
            let webhook = webhook
                .transpose()
                .map_err(|reason| NotifierError::Address { target: name.clone(), reason })?;
            let (queue, waiting) = mpsc::channel(desk.settings.waiting_max.max(1));
            let target = Arc::new(Target {
                name: name.clone(),
                webhook,
                format: notify.format,
                log: notify.log,
                queue,
                state: Mutex::new(TargetState::default()),
            });
            queues.push((Arc::clone(&target), waiting));
            targets.insert(name.clone(), target);
        }
        let work = |(target, waiting)| {
            task::spawn("notify", work_off(Arc::clone(&desk), target, waiting, client.clone()))
        };
        let workers = queues.into_iter().map(work).collect();
        Ok(Notifier { targets, desk, workers, client })
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

    /// Tells a target of the project something that is no notice, once: whoever calls keeps the
    /// message, and decides whether to try again.
    pub async fn tell(&self, message: &Message) -> Attempt {
        let Some(target) = self.targets.get(&message.notify) else {
            return Attempt::Refused { reason: "no such notify".to_owned() };
        };
        if target.log {
            let Message { notify, id, subject, text, .. } = message;
            info!(%notify, id, subject, text, "message");
        }
        let Some(url) = &target.webhook else { return Attempt::Delivered };
        let body = match target.format {
            NotifyFormat::Json => message.to_json(&self.desk.settings.project),
            NotifyFormat::Slack => message.to_slack(),
        };
        webhook::post(&self.client, url, &message.id, body).await
    }

    /// Sends `body` to an address that is no target, once.
    pub async fn post(&self, address: &str, headers: &[(&str, &str)], body: String) -> Attempt {
        match webhook::address(address) {
            Ok(url) => webhook::post_with(&self.client, &url, headers, body).await,
            Err(reason) => Attempt::Refused { reason: reason.to_owned() },
        }
    }

    /// Returns how each target does.
    pub fn states(&self) -> BTreeMap<Name, TargetState> {
        self.targets.iter().map(|(name, it)| (name.clone(), it.state.lock().clone())).collect()
    }

    /// Waits until nothing is under way, at most for `patience`, then ends all tasks. What is left
    /// is in the outboxes.
    pub async fn stop(self, patience: Duration) {
        let is_idle = || self.targets.values().all(|it| it.state.lock().waiting == 0);
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
        if papers.under_way.contains(&paper) {
            return;
        }
        // The count goes up before the worker can take it down.
        target.state.lock().waiting += 1;
        if target.queue.try_send(notice.clone()).is_ok() {
            papers.under_way.insert(paper);
        } else {
            target.state.lock().waiting -= 1;
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.abort();
        }
    }
}

async fn work_off(
    desk: Arc<Desk>,
    target: Arc<Target>,
    mut waiting: mpsc::Receiver<Notice>,
    client: Client,
) {
    while let Some(notice) = waiting.recv().await {
        let outcome = deliver(&desk, &target, &client, &notice).await;
        note(&target, &notice, &outcome);
        let settled = Settled {
            notice: notice.id,
            alert: notice.alert.clone(),
            target: target.name.clone(),
            outcome,
        };
        desk.papers.lock().settled.entry(notice.alert).or_default().push(settled);
        desk.changed.notify_waiters();
    }
}

/// Counts and logs what became of a notice.
fn note(target: &Target, notice: &Notice, outcome: &Outcome) {
    let mut state = target.state.lock();
    state.waiting -= 1;
    state.attempts_in_vain = 0;
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

/// Tries until the notice is settled.
async fn deliver(desk: &Desk, target: &Target, client: &Client, notice: &Notice) -> Outcome {
    if target.log {
        log(notice);
    }
    let Some(url) = &target.webhook else { return Outcome::Delivered };
    let project = &desk.settings.project;
    let body = match target.format {
        NotifyFormat::Json => notice.to_json(project),
        NotifyFormat::Slack => notice.to_slack(project),
    };
    loop {
        let attempt = webhook::post(client, url, &notice.id, body.clone()).await;
        let (reason, after) = match attempt {
            Attempt::Delivered => return Outcome::Delivered,
            Attempt::Refused { reason } => return Outcome::Failed { reason },
            Attempt::Again { reason, after } => (reason, after),
        };
        let age_ms = desk.clock.now_ms().saturating_sub(notice.at_ms);
        if desk.settings.tried <= Duration::from_millis(age_ms) {
            return Outcome::Failed { reason: format!("given up: {reason}") };
        }
        let attempts = {
            let mut state = target.state.lock();
            state.retries += 1;
            state.attempts_in_vain = state.attempts_in_vain.saturating_add(1);
            state.last_error = Some(reason);
            state.attempts_in_vain
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

fn log(notice: &Notice) {
    let Notice { alert, id, key, title, .. } = notice;
    match notice.state {
        NoticeState::Firing => warn!(%alert, id, key, title, "alert fires"),
        NoticeState::Reminder => warn!(%alert, id, key, title, "alert still fires"),
        NoticeState::Resolved => info!(%alert, id, key, title, "alert is resolved"),
    }
}

#[cfg(test)]
mod tests;
