//! `mainstem crawl`: finds tables in a tree of files and proposes them as sections of a project.

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::time::SystemClock;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rows::files::{Rows, Verdict};
use rows::infer::Guess;
use serde_json::{Value, json};
use store::crawl::{self, Bucket, FoundTable, Place, Proposal, Settings};

/// Find the tables in a folder of mixed files: what each file is, its columns, their types and why.
///
/// Reads CSV of any kind, JSON, Parquet, ORC, Avro, Arrow and Excel, compressed or not; the content
/// of a file says what it is. Files of one schema are one table. Nothing is changed; what is found
/// can be put into a project with --toml or --write.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command")]
pub(crate) struct Crawl {
    /// A folder, a file, or a prefix in an object store: `s3://BUCKET/PREFIX`, `gs://`, `az://`; keys
    /// are taken from the provider's environment variables.
    #[arg(value_name = "PATH|URL")]
    place: String,

    /// Print everything that was found as JSON.
    #[arg(long, conflicts_with = "toml")]
    json: bool,

    /// Print the tables as sections of a project file, each guess with what it rests on.
    #[arg(long)]
    toml: bool,

    /// Put these sections into the project in this folder, as crawled.toml; small tables with a key
    /// are copied beside it.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["toml", "json"])]
    write: Option<PathBuf>,

    /// List every file, not only those that are no part of a table.
    #[arg(long)]
    files: bool,

    /// Go on looking, and tell what is new: files, tables, columns, types. Ctrl-C ends it.
    #[arg(long, conflicts_with_all = ["toml", "json", "write"])]
    follow: bool,

    /// Look at so many files at a time; as many as there are processors if not said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// The file that `--write` makes.
const WRITTEN: &str = "crawled.toml";

/// The environment variables that say how to reach an object store.
const PROVIDERS: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// How often a place that is followed is listed.
const FOLLOW_EVERY: Duration = Duration::from_secs(2);

/// Files without a table that are listed unless all are asked for.
const LISTED_MAX: usize = 50;

impl Crawl {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let options = std::env::vars()
            .filter(|(name, _)| PROVIDERS.iter().any(|it| name.starts_with(it)))
            .collect();
        let place = Place::new(&self.place, options, tokio::runtime::Handle::current())?;
        let mut settings = Settings::default();
        if let Some(threads) = self.threads {
            settings.threads = usize::from(threads);
        }
        let place = Arc::new(place);
        let found = crawl_once(&place, &settings).await?;
        if self.follow {
            self.print(&found, &mut std::io::stdout().lock())?;
            return follow(&place, &settings, found).await;
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{:#}", to_json(&found))?;
        } else if self.toml {
            let bucket = bucket(&self.place, Path::new(""));
            let proposal = Proposal::of(&found, bucket, &|path| below(&self.place, path));
            write!(out, "{proposal}")?;
            self.say_of_others(&found);
        } else if let Some(folder) = &self.write {
            write_into(folder, &self.place, &found, &mut out)?;
        } else {
            self.print(&found, &mut out)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, found: &crawl::Crawl, out: &mut impl Write) -> anyhow::Result<()> {
        let others = found.files.iter().filter(|it| it.verdict != Verdict::Ok).count();
        let mut counts = vec![
            super::counted(found.files.len(), "file"),
            super::counted(found.tables.len(), "table"),
        ];
        if 0 < others {
            counts.push(format!("{others} not as they should be"));
        }
        writeln!(out, "{}: {}", found.root, counts.join(", "))?;
        if found.is_cut {
            writeln!(out, "there are more files: crawl a part of them")?;
        }
        for table in &found.tables {
            print_table(found, table, out)?;
        }
        let listed = found.files.iter().filter(|it| self.files || it.verdict != Verdict::Ok);
        let most = if self.files { usize::MAX } else { LISTED_MAX };
        for (index, file) in listed.enumerate() {
            if index == 0 {
                writeln!(out)?;
            }
            if index == most {
                writeln!(out, "… and more: --files lists all")?;
                break;
            }
            let (word, reason) = (file.verdict.word(), file.verdict.reason());
            let path = if file.path.is_empty() { &found.root } else { &file.path };
            let gap = if reason.is_empty() { "" } else { ": " };
            writeln!(out, "{word:14}  {path}{gap}{reason}")?;
        }
        Ok(())
    }

    /// Says on the error output what the sections do not say.
    fn say_of_others(&self, found: &crawl::Crawl) {
        let others = found.files.iter().filter(|it| it.verdict != Verdict::Ok).count();
        if 0 < others {
            let files = super::counted(others, "file");
            eprintln!("{files} not as they should be: `mainstem crawl {}` lists them", self.place);
        }
    }
}

async fn crawl_once(place: &Arc<Place>, settings: &Settings) -> anyhow::Result<crawl::Crawl> {
    let (place, settings) = (Arc::clone(place), settings.clone());
    let found = tokio::task::spawn_blocking(move || {
        let bar = progress_bar();
        let found = crawl::crawl(&place, &settings, &|it| {
            bar.set_length(it.all as u64);
            bar.set_position(it.done as u64);
        });
        bar.finish_and_clear();
        found
    });
    Ok(found.await??)
}

/// Tells what is new until the program is ended.
async fn follow(
    place: &Arc<Place>,
    settings: &Settings,
    mut before: crawl::Crawl,
) -> anyhow::Result<ExitCode> {
    let clock = SystemClock::start();
    let mut known = None;
    loop {
        clock.sleep(FOLLOW_EVERY).await;
        let (at, with) = (Arc::clone(place), settings.clone());
        let stamp = tokio::task::spawn_blocking(move || crawl::stamp(&at, &with)).await??;
        if known == Some(stamp) {
            continue;
        }
        known = Some(stamp);
        let after = crawl_once(place, settings).await?;
        let mut out = std::io::stdout().lock();
        for change in crawl::changes(&before, &after) {
            writeln!(out, "{change}")?;
        }
        out.flush()?;
        before = after;
    }
}

fn print_table(
    found: &crawl::Crawl,
    table: &FoundTable,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let path = if table.pattern.is_empty() { &found.root } else { &table.pattern };
    let inside = table.inside.as_ref().map(|it| format!(" `{it}`")).unwrap_or_default();
    let rows = crawl::rows_said(table.rows);
    let formats = crawl::formats_said(table);
    let files = super::counted(table.files.len(), "file");
    writeln!(out, "\n{}  {path}{inside}: {files}, {rows}, {formats}", table.name)?;
    let columns = table.columns.iter().chain(&table.partitions);
    let width = columns.map(|it| it.name.chars().count()).max().unwrap_or(0).min(40);
    let mut line = |guess: &Guess, extra: &str| {
        let why = crawl::why(found, table, guess);
        let text = format!("  {:width$}  {:13}  {extra}{why}", guess.name, guess.kind.to_string());
        writeln!(out, "{}", text.trim_end())
    };
    for guess in &table.columns {
        line(guess, "")?;
    }
    for guess in &table.partitions {
        line(guess, "by folder; ")?;
    }
    for note in &table.notes {
        writeln!(out, "  - {note}")?;
    }
    if let (count @ 1.., examples) = &table.bad_rows {
        writeln!(out, "  - {} that do not fit:", super::counted(usize::try_from(*count)?, "row"))?;
        for (file, row, why) in examples {
            let path = found.files.get(*file).map_or("", |it| it.path.as_str());
            writeln!(out, "      {path} row {row}: {why}")?;
        }
    }
    Ok(())
}

fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} files, {eta} left")
        .unwrap_or_else(|_wrong_template| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

/// Returns the path of a crawled file below the current folder, where it is.
fn below(root: &str, path: &str) -> Option<String> {
    let here = std::env::current_dir().ok()?;
    let whole = if path.is_empty() { PathBuf::from(root) } else { Path::new(root).join(path) };
    let whole = whole.canonicalize().ok()?;
    whole.strip_prefix(here.canonicalize().ok()?).ok()?.to_str().map(str::to_owned)
}

/// Says where the files lie for the project in `folder`.
fn bucket(root: &str, folder: &Path) -> Bucket {
    let mut only = None;
    let (from, store) = if root.contains("://") {
        (root.to_owned(), store_settings(root))
    } else {
        let path = Path::new(root).canonicalize().unwrap_or_else(|_| PathBuf::from(root));
        let mut place = path.as_path();
        if let (true, Some(parent), Some(name)) = (path.is_file(), path.parent(), path.file_name())
        {
            (place, only) = (parent, Some(name.to_string_lossy().into_owned()));
        }
        // A folder of the project goes with it wherever that goes.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let project = folder.canonicalize().unwrap_or_default();
        let below = place.strip_prefix(&project).ok().filter(|it| !it.as_os_str().is_empty());
        (below.unwrap_or(place).display().to_string(), Vec::new())
    };
    let last = from.trim_end_matches('/').rsplit('/').next().unwrap_or(&from);
    Bucket { name: spec::name_like(last), from, store, only }
}

/// The settings that the environment has for the store at `root`, as a project names the environment.
fn store_settings(root: &str) -> Vec<(String, String)> {
    let names = std::env::vars().map(|(name, _)| name);
    let is_ours = |name: &String| {
        PROVIDERS.iter().any(|it| name.starts_with(it)) && ingest::is_store_setting(root, name)
    };
    let mut names: Vec<String> = names.filter(is_ours).collect();
    names.sort_unstable();
    names.into_iter().map(|it| (it.to_ascii_lowercase(), format!("${{{it}}}"))).collect()
}

fn write_into(
    folder: &Path,
    root: &str,
    found: &crawl::Crawl,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let target = folder.join(WRITTEN);
    if target.try_exists()? {
        bail!("{} is there already; move it away first", target.display());
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let is_local = !root.contains("://");
    let name_of = |path: &str| {
        let whole = if path.is_empty() { root } else { path };
        whole.rsplit('/').next().unwrap_or(whole).to_owned()
    };
    let lookup_path = |path: &str| {
        let name = name_of(path);
        let is_free = !folder.join(&name).try_exists().unwrap_or(true);
        (is_local && is_free).then_some(name)
    };
    let proposal = Proposal::of(found, bucket(root, folder), &lookup_path);
    let mut copied = Vec::new();
    for (section, table) in proposal.sections.iter().zip(&found.tables) {
        let crawl::Kind::Lookup { from, .. } = &section.kind else { continue };
        let file = table.files.first().and_then(|it| found.files.get(*it));
        let Some(file) = file else { continue };
        let source = if file.path.is_empty() {
            PathBuf::from(root)
        } else {
            Path::new(root).join(&file.path)
        };
        std::fs::copy(&source, folder.join(from))
            .with_context(|| format!("cannot copy {}", source.display()))?;
        copied.push(from.clone());
    }
    std::fs::write(&target, proposal.to_string())
        .with_context(|| format!("cannot write {}", target.display()))?;
    let sections = super::counted(proposal.sections.len(), "section");
    writeln!(out, "wrote {} with {sections}", target.display())?;
    for name in copied {
        writeln!(out, "copied {name} beside it")?;
    }
    writeln!(out, "read it, change what is wrong, then: mainstem check {}", folder.display())?;
    Ok(())
}

fn to_json(found: &crawl::Crawl) -> Value {
    let tables: Vec<Value> = found.tables.iter().map(|it| table_to_json(found, it)).collect();
    let files: Vec<Value> = found
        .files
        .iter()
        .map(|file| {
            let names: Vec<&str> = file
                .tables
                .iter()
                .filter_map(|it| found.tables.get(*it))
                .map(|it| it.name.as_str())
                .collect();
            json!({
                "path": file.path,
                "bytes": file.size,
                "verdict": file.verdict.word(),
                "reason": file.verdict.reason(),
                "format": file.format,
                "tables": names,
            })
        })
        .collect();
    json!({
        "root": found.root,
        "tables": tables,
        "files": files,
        "hidden": found.hidden,
        "is_cut": found.is_cut,
    })
}

fn table_to_json(found: &crawl::Crawl, table: &FoundTable) -> Value {
    let path = |file: usize| found.files.get(file).map_or("", |it| it.path.as_str());
    let column = |guess: &Guess| {
        let evidence = &guess.evidence;
        let examples: Vec<Value> = evidence
            .examples
            .iter()
            .map(|it| {
                let file = usize::try_from(it.place.file).ok().and_then(|at| table.files.get(at));
                let file = file.map_or("", |at| path(*at));
                json!({ "value": it.value, "file": file, "row": it.place.row })
            })
            .collect();
        json!({
            "name": guess.name,
            "type": guess.kind.to_string(),
            "form": guess.form.to_string(),
            "seen": evidence.seen,
            "nulls": evidence.nulls,
            "missing": evidence.missing,
            "null_words": evidence.markers.iter().map(|(word, count)| json!({ "word": word, "count": count })).collect::<Vec<_>>(),
            "distinct": evidence.distinct.map(|it| it.count),
            "is_distinct_cut": evidence.distinct.map(|it| it.is_cut),
            "least": evidence.range.as_ref().map(|it| it.0.clone()),
            "greatest": evidence.range.as_ref().map(|it| it.1.clone()),
            "chars_min": evidence.chars.map(|it| it.0),
            "chars_max": evidence.chars.map(|it| it.1),
            "exceptions": evidence.exceptions,
            "examples": examples,
            "is_declared": evidence.is_declared,
            "notes": evidence.notes,
        })
    };
    let bad: Vec<Value> = table
        .bad_rows
        .1
        .iter()
        .map(|(file, row, why)| json!({ "file": path(*file), "row": row, "reason": why }))
        .collect();
    json!({
        "name": table.name,
        "pattern": table.pattern,
        "inside": table.inside,
        "formats": table.formats.iter().map(|(format, count)| json!({ "format": format, "files": count })).collect::<Vec<_>>(),
        "files": table.files.iter().map(|it| path(*it)).collect::<Vec<_>>(),
        "bytes": table.size,
        "rows": table.rows.count(),
        "is_rows_exact": matches!(table.rows, Rows::Exactly(_)),
        "sampled": table.sampled,
        "columns": table.columns.iter().map(column).collect::<Vec<_>>(),
        "partitions": table.partitions.iter().map(column).collect::<Vec<_>>(),
        "bad_rows": { "count": table.bad_rows.0, "examples": bad },
        "notes": table.notes,
    })
}
