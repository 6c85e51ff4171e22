//! The project files of a folder: which ones there are, and which are overlays.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use base::limits;

use crate::fault::Faults;
use crate::source::{SourceFile, Spot};

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// `NAME.toml`
    Settings,
    /// `NAME.ENV.toml` for the environment asked for
    Overlay,
    /// `NAME.ENV.toml` for another environment, or none
    OtherOverlay,
    /// `NAME.sql`
    Sql,
}

/// Returns what the file at `path` is for; nothing if it is no project file.
pub(crate) fn role(path: &str, env: Option<&str>) -> Option<Role> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.strip_suffix(".sql").is_some_and(|it| !it.is_empty()) {
        return Some(Role::Sql);
    }
    let stem = name.strip_suffix(".toml").filter(|it| !it.is_empty())?;
    Some(match stem.rsplit_once('.').filter(|(below, _)| !below.is_empty()) {
        None => Role::Settings,
        Some((_, of)) if env == Some(of) => Role::Overlay,
        Some(_) => Role::OtherOverlay,
    })
}

/// Returns the path of the file that the overlay at `path` lies on.
pub(crate) fn below(path: &str) -> Option<String> {
    let (below, _) = path.strip_suffix(".toml")?.rsplit_once('.')?;
    Some(format!("{below}.toml"))
}

/// Returns the project files of `folder`, sorted by path; what cannot be read is faulted.
pub(crate) fn read(folder: &Path, faults: &mut Faults) -> Vec<SourceFile> {
    let mut paths = Vec::new();
    collect(folder, "", 0, &mut paths, faults);
    paths.sort();
    if limits::PROJECT_FILES_MAX < paths.len() {
        let message = format!("more than {} project files", limits::PROJECT_FILES_MAX);
        let help = "is this the right folder?".to_owned();
        faults.push(Spot::outside(&folder.display().to_string(), "").fault(message, Some(help)));
        return Vec::new();
    }
    paths.into_iter().filter_map(|path| read_file(folder, path, faults)).collect()
}

/// Returns path, length and last change of each project file.
pub(crate) fn stamp(folder: &Path) -> Vec<(String, u64, Option<SystemTime>)> {
    let mut paths = Vec::new();
    collect(folder, "", 0, &mut paths, &mut Faults::default());
    paths.sort();
    let stamped = paths.into_iter().take(limits::PROJECT_FILES_MAX).map(|path| {
        let known = fs::metadata(folder.join(&path)).ok();
        let length = known.as_ref().map_or(0, fs::Metadata::len);
        (path, length, known.and_then(|it| it.modified().ok()))
    });
    stamped.collect()
}

fn read_file(folder: &Path, path: String, faults: &mut Faults) -> Option<SourceFile> {
    let mut bytes = Vec::new();
    let file = fs::File::open(folder.join(&path));
    let read =
        file.and_then(|it| it.take(limits::PROJECT_FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    let spot = || Spot::outside(&path, "");
    if let Err(error) = read {
        let help = "make it readable, or remove it".to_owned();
        faults.push(spot().fault(format!("cannot be read: {error}"), Some(help)));
        return None;
    }
    if limits::PROJECT_FILE_BYTES_MAX < u64::try_from(bytes.len()).unwrap_or(u64::MAX) {
        let message = format!("larger than {} bytes", limits::PROJECT_FILE_BYTES_MAX);
        let help = "split it; data belongs into streams and lookups".to_owned();
        faults.push(spot().fault(message, Some(help)));
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(SourceFile { path, text }),
        Err(wrong) => {
            let valid = wrong.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(wrong.as_bytes()).into_owned();
            let mut spot = Spot::outside(&path, &text);
            // Up to there the bytes are the same.
            spot.range = valid..valid + char::REPLACEMENT_CHARACTER.len_utf8();
            faults.push(spot.fault("this is not UTF-8", Some("save the file as UTF-8".to_owned())));
            None
        }
    }
}

fn collect(folder: &Path, below: &str, depth: usize, paths: &mut Vec<String>, faults: &mut Faults) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let path = if below.is_empty() { folder.display().to_string() } else { below.into() };
            let help = "name the folder with the project's files".to_owned();
            let message = format!("this folder cannot be read: {error}");
            return faults.push(Spot::outside(&path, "").fault(message, Some(help)));
        }
    };
    for entry in entries.filter_map(Result::ok) {
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str() else { continue };
        let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        // Links to folders are not followed: they could lead back here.
        let is_folder = entry.file_type().is_ok_and(|it| it.is_dir());
        let is_ours = !matches!(name, ".mainstem" | ".git");
        if is_folder && is_ours && depth < limits::PROJECT_FOLDER_DEPTH_MAX {
            collect(&entry.path(), &path, depth + 1, paths, faults);
        } else if !is_folder
            && role(name, None).is_some()
            && paths.len() <= limits::PROJECT_FILES_MAX
        {
            paths.push(path);
        }
    }
}

/// Returns the beginning of a data file of the project.
pub(crate) fn head(folder: &Path, path: &str) -> Result<String, String> {
    let file = fs::File::open(folder.join(path)).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    })?;
    let mut bytes = Vec::new();
    let length_max = u64::try_from(limits::LOOKUP_HEADER_BYTES_MAX).unwrap_or(u64::MAX);
    file.take(length_max).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
