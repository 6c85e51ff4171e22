//! Watches the folder of the running project, and says what a change of it would do. It never
//! applies one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use show::Waiting;
use spec::Texts;

use crate::cli::plan::told;
use crate::compile::{Compiled, compile_texts};
use crate::inferring;
use crate::pipeline::Pipeline;

/// How often the folder is looked at; files that stay the same from one look to the next are
/// written to the end.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many looks there are to one for files of streams whose columns are still to be found: listing
/// a cloud costs money.
const LOOKS_PER_SEARCH: u64 = 5;

/// What tells that a file of the folder was written.
type Stamp = Vec<(String, u64, Option<SystemTime>)>;

/// The folder as it was seen last.
struct Folder {
    dir: PathBuf,
    env: Option<String>,
    seen: Stamp,
    /// What was told of.
    told: Stamp,
}

/// Looks at the folder until the program ends; it was read when the program started.
pub(crate) fn watch(pipeline: &Arc<Pipeline>, dir: &Path, env: Option<String>) {
    let pipeline = Arc::clone(pipeline);
    let dir = dir.to_owned();
    base::task::spawn("watch the folder", async move {
        let mut folder = Folder { dir, env, seen: Stamp::new(), told: Stamp::new() };
        for looks in 0_u64.. {
            if looks.is_multiple_of(LOOKS_PER_SEARCH) {
                folder.search(&pipeline).await;
            }
            if let Some(texts) = folder.look().await {
                folder.tell(&pipeline, texts).await;
            }
            pipeline.clock.sleep(LOOK_EVERY).await;
        }
    });
}

impl Folder {
    /// Looks for columns that the running project waits for; those that are found are written into
    /// the folder, which is then another than before.
    async fn search(&self, pipeline: &Pipeline) {
        if pipeline.now().project.awaited.is_empty() {
            return;
        }
        let dir = self.dir.clone();
        if let Ok(texts) = tokio::task::spawn_blocking(move || Texts::read(&dir)).await {
            inferring::infer(&self.dir, texts, self.env.as_deref()).await;
        }
    }

    /// Returns the texts of the folder if they are others than before and written to the end.
    async fn look(&mut self) -> Option<Texts> {
        let dir = self.dir.clone();
        let stamp = tokio::task::spawn_blocking(move || spec::stamp(&dir)).await.ok()?;
        let is_settled = stamp == self.seen;
        self.seen = stamp;
        if !is_settled || self.seen == self.told {
            return None;
        }
        self.told.clone_from(&self.seen);
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || Texts::read(&dir)).await.ok()
    }

    async fn tell(&self, pipeline: &Pipeline, texts: Texts) {
        // A change under way may be what was written.
        drop(pipeline.turn_when_free().await);
        pipeline.changes.wait(None);
        if is_known(pipeline, self.env.as_deref(), &texts) {
            return;
        }
        let since_ms = pipeline.clock.now_ms();
        let dir = self.dir.display();
        let waiting = match compile_texts(&self.dir, texts, self.env.as_deref(), true).await {
            Err(faults) => {
                eprint!("{}", faults.render(crate::cli::has_colour()));
                eprintln!("the project in {dir} has faults; the one before runs on\n");
                Waiting {
                    message: "the project in the folder has faults, and the one before runs on"
                        .to_owned(),
                    help: format!("`mainstem check {dir}` shows them"),
                    has_faults: true,
                    since_ms,
                }
            }
            Ok(wanted) => match self.offer(pipeline, &wanted, since_ms) {
                Some(waiting) => waiting,
                None => return,
            },
        };
        pipeline.changes.wait(Some(waiting));
    }

    fn offer(&self, pipeline: &Pipeline, wanted: &Compiled, since_ms: u64) -> Option<Waiting> {
        let change = pipeline.compare(wanted);
        if change.is_nothing() && change.refused.is_empty() {
            return None;
        }
        let dir = self.dir.display().to_string();
        println!("the project in {dir} was edited; nothing is changed yet\n");
        println!("{}", told(&change, ("apply", &dir)));
        let count = change.items.len();
        let differ = if count == 1 { "1 thing differs" } else { &format!("{count} things differ") };
        let message = format!("the project in the folder was edited and is not applied: {differ}");
        let help = format!("`mainstem plan {dir}` says what, `mainstem apply {dir}` does it");
        Some(Waiting { message, help, has_faults: false, since_ms })
    }
}

/// Returns whether these texts run, or were left by somebody who went back from them.
fn is_known(pipeline: &Pipeline, env: Option<&str>, texts: &Texts) -> bool {
    let is_same =
        |it: &crate::projects::Source| it.env.as_deref() == env && it.files == *texts.files();
    let running = pipeline.projects.running().ok().flatten();
    let left = pipeline.projects.current().and_then(|it| it.left);
    running.iter().chain(&left).any(is_same)
}
