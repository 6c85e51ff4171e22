//! Finds the columns of streams that say `schema = "infer"` in their files, and writes them into the
//! project, where they stay: what is written down is never looked for again.

use std::path::Path;
use std::sync::Arc;

use base::{Glob, Name};
use journal::{Disk, RealDisk};
use rows::infer::DateOrder;
use spec::{DoorUse, Faults, Project, Stream, Texts};
use store::crawl::{self, Bucket, Kind, Place, Proposal, Section, Settings};
use tokio::runtime::Handle;

use crate::compile::setting;
use crate::projects::replace_file;

/// Objects of a bucket, by what a door says.
struct Wanted {
    bucket: String,
    matching: String,
    says_dates: bool,
}

/// Returns the texts with the columns that were found now, and warnings about those that were not.
pub(crate) async fn infer(folder: &Path, texts: Texts, env: Option<&str>) -> (Texts, Faults) {
    let mut told = Faults::default();
    // Most projects declare all columns, and need not be read twice.
    if !texts.files().values().any(|it| it.contains("infer")) {
        return (texts, told);
    }
    let secret = |name: &str| setting(name).or_else(|| spec::placeholder(name));
    let spec::Sound { project, faults } =
        spec::load_sound_texts(folder, texts.clone(), env, &secret);
    if faults.has_errors() {
        return (texts, told);
    }
    let mut files = texts.files().clone();
    for stream in project.awaited.values() {
        let path = spec::schema_path(&stream.name);
        let found = if files.contains_key(&path) {
            Err((
                format!("`{path}` declares no columns"),
                "remove it: they are found anew".to_owned(),
            ))
        } else {
            find(folder, &project, stream).await
        };
        match found.and_then(|text| write(folder, &path, &text).map(|()| text)) {
            Ok(text) => {
                eprintln!(
                    "wrote {}: the columns of `{}`",
                    folder.join(&path).display(),
                    stream.name
                );
                files.insert(path, text);
            }
            Err((why, help)) => {
                let message =
                    format!("`{}` has no columns yet, and nothing is read: {why}", stream.name);
                told.push(stream.spot.warning(message, Some(help)));
            }
        }
    }
    (Texts::from(files), told)
}

/// Why there are no columns, and what helps.
type Why = (String, String);

fn broken(why: &dyn std::fmt::Display) -> Why {
    (why.to_string(), "they are looked for again when that is mended".to_owned())
}

/// Returns what is to be written down for a stream: columns of the first door that has files.
async fn find(folder: &Path, project: &Project, stream: &Stream) -> Result<String, Why> {
    let mut why = None;
    for used in stream.from.iter().filter(|it| it.door.as_str() == "files") {
        match find_by(folder, project, &stream.name, used).await {
            Ok(text) => return Ok(text),
            Err(it) => why = why.or(Some(it)),
        }
    }
    Err(why.unwrap_or_else(|| broken(&"it has no door `files`")))
}

async fn find_by(
    folder: &Path,
    project: &Project,
    name: &Name,
    used: &DoorUse,
) -> Result<String, Why> {
    let options: toml::Table = used.options.parse().map_err(|it| broken(&it))?;
    let said = |key: &str| options.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let wanted = Wanted {
        bucket: said("bucket").unwrap_or_default(),
        matching: said("matching").unwrap_or_else(|| "**".to_owned()),
        says_dates: options.contains_key("dates"),
    };
    let only = Glob::new(&wanted.matching).map_err(|it| broken(&it))?;
    let Some(place) = place(folder, project, &wanted.bucket)? else { return Err(nothing(&wanted)) };
    let settings = Settings { only: Some(only), ..Settings::default() };
    let found = tokio::task::spawn_blocking(move || crawl::crawl(&place, &settings, &|_| ()));
    let found = found.await.map_err(|it| broken(&it))?.map_err(|it| broken(&it))?;
    let bucket =
        Bucket { name: wanted.bucket.clone(), from: String::new(), store: Vec::new(), only: None };
    let proposal = Proposal::of(&found, bucket, &|_| None);
    match proposal.sections.as_slice() {
        [section] => Ok(text(name, &wanted, section)),
        [] => Err(nothing(&wanted)),
        sections => {
            let Wanted { bucket, matching, .. } = &wanted;
            let count = sections.len();
            let why = format!("`{matching}` in `{bucket}` means files of {count} different tables");
            let patterns: Vec<String> =
                sections.iter().take(8).map(|it| format!("`{}`", it.files)).collect();
            Err((why, format!("a stream each; `matching` may be {}", patterns.join(", "))))
        }
    }
}

fn nothing(wanted: &Wanted) -> Why {
    let Wanted { bucket, matching, .. } = wanted;
    let why = format!("no file with a table matches `{matching}` in the bucket `{bucket}`");
    (why, "columns are found when one comes; or declare them".to_owned())
}

/// Returns where the objects of a bucket lie; none if there is nothing yet.
fn place(folder: &Path, project: &Project, bucket: &str) -> Result<Option<Place>, Why> {
    let events = project.buckets.get(bucket).and_then(|it| project.streams.get(&it.events));
    let door = events.and_then(|it| it.from.first());
    let Some(door) = door else { return Err(broken(&format!("there is no bucket `{bucket}`"))) };
    let options: toml::Table = door.options.parse().map_err(|it| broken(&it))?;
    let Some(from) = options.get("from").and_then(toml::Value::as_str) else {
        let why = format!("the bucket `{bucket}` does not say where it is");
        return Err((why, "add `from = \"FOLDER\"` to it, or declare the columns".to_owned()));
    };
    if !from.contains("://") {
        let path = folder.join(from);
        return Ok(path.is_dir().then(|| Place::of_path(path)));
    }
    let store = options.get("store").and_then(toml::Value::as_table).into_iter().flatten();
    let store = store.filter_map(|(key, it)| Some((key.clone(), it.as_str()?.to_owned())));
    Place::new(from, store.collect(), Handle::current()).map(Some).map_err(|it| broken(&it))
}

/// Writes what was found as a file of the project.
fn text(name: &Name, wanted: &Wanted, section: &Section) -> String {
    let mut text = format!(
        "# The columns of `{name}`, as they were found in the bucket `{}`. What stands here holds: \
         change\n# what is wrong. If this file is removed they are found anew.\n",
        wanted.bucket
    );
    for line in &section.about {
        let line: String = line.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
        text += &format!("# {line}\n");
    }
    let dates = match &section.kind {
        Kind::Stream { dates, .. } if !wanted.says_dates => *dates,
        _ => None,
    };
    if dates == Some(DateOrder::DayFirst) {
        text += "# In its dates the day comes first: add `dates = \"day first\"` to the door.\n";
    }
    text + "\n" + &section.columns_said("stream", name.as_str())
}

fn write(folder: &Path, path: &str, text: &str) -> Result<(), Why> {
    let disk: Arc<dyn Disk> = RealDisk::new();
    let (below, file) = path.rsplit_once('/').unwrap_or(("", path));
    let below = folder.join(below);
    let made = std::fs::create_dir_all(&below).map_err(anyhow::Error::from);
    let written = made.and_then(|()| replace_file(&disk, &below, file, text.as_bytes()));
    written.map_err(|error| broken(&format!("{error:#}")))
}
