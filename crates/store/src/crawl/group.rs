//! Files of one schema become one table.

use std::collections::{HashMap, HashSet};

use base::limits::INFER_EXAMPLES_MAX;
use rows::files::{Layout, Looked, Rows, TableFormat, Verdict, partitions};
use rows::infer::{Cell, Guess, Profile};

use crate::crawl::pattern::{self, Pattern};
use crate::crawl::place::Listed;
use crate::crawl::{FoundFile, FoundTable, free_name};

/// Tables as their files come.
#[derive(Default)]
pub(crate) struct Groups {
    tables: Vec<Building>,
    /// The tables of a pattern, format and place in the file.
    by_key: HashMap<(Pattern, &'static str, Option<String>), Vec<usize>>,
}

struct Building {
    pattern: Pattern,
    inside: Option<String>,
    formats: Vec<(String, u64)>,
    layout: Option<Layout>,
    files: Vec<usize>,
    size: u64,
    rows: Rows,
    sampled: u64,
    columns: Vec<Profile>,
    places: HashMap<String, usize>,
    partitions: Vec<Profile>,
    bad_rows: (u64, Vec<(usize, u64, String)>),
    notes: Vec<String>,
}

impl Groups {
    /// Adds what was found in a file; answers the tables that it is now part of.
    pub(crate) fn add(&mut self, index: usize, file: &Listed, looked: &Looked) -> Vec<usize> {
        let pattern = Pattern::of(&file.path);
        let is_usable = matches!(
            looked.verdict,
            Verdict::Ok | Verdict::Truncated(_) | Verdict::Misencoded(_) | Verdict::HalfUploaded(_)
        );
        if !is_usable {
            return Vec::new();
        }
        let mut tables = Vec::new();
        for found in &looked.tables {
            // What a broken file holds tells nothing about the type of a table that has whole ones.
            let key = (pattern.clone(), family(&found.format), found.name.clone());
            let known = self.by_key.entry(key).or_default();
            let fit = known
                .iter()
                .copied()
                .find(|it| self.tables.get(*it).is_some_and(|table| table.fits(&found.columns)));
            let place = match fit {
                Some(place) => place,
                None if looked.verdict == Verdict::Ok => {
                    let place = self.tables.len();
                    known.push(place);
                    self.tables.push(Building::new(pattern.clone(), found));
                    place
                }
                None => continue,
            };
            if let Some(table) = self.tables.get_mut(place) {
                table.add(index, file, found, looked);
                tables.push(place);
            }
        }
        tables
    }

    /// Ends the grouping: answers the tables, and for each earlier place the one it has now.
    pub(crate) fn finish(
        self,
        root: &str,
        files: &[FoundFile],
        deltas: &[String],
    ) -> (Vec<FoundTable>, Vec<usize>) {
        let (tables, mut places) = join_alike(self.tables);
        let mut order: Vec<usize> = (0..tables.len()).collect();
        order.sort_by_key(|it| tables.get(*it).and_then(|it| it.files.first().copied()));
        let mut ranks = vec![0; tables.len()];
        for (rank, place) in order.iter().enumerate() {
            if let Some(at) = ranks.get_mut(*place) {
                *at = rank;
            }
        }
        for place in &mut places {
            *place = ranks.get(*place).copied().unwrap_or(0);
        }
        let mut sorted: Vec<(usize, Building)> = ranks.iter().copied().zip(tables).collect();
        sorted.sort_by_key(|it| it.0);
        let mut names = HashSet::new();
        let found =
            sorted.into_iter().map(|(_, it)| it.finish(root, files, deltas, &mut names)).collect();
        (found, places)
    }
}

impl Building {
    fn new(pattern: Pattern, found: &rows::files::FoundTable) -> Building {
        let layout = match &found.format {
            TableFormat::Csv(layout) => Some(layout.clone()),
            _ => None,
        };
        Building {
            pattern,
            inside: found.name.clone(),
            formats: Vec::new(),
            layout,
            files: Vec::new(),
            size: 0,
            rows: Rows::Exactly(0),
            sampled: 0,
            columns: Vec::new(),
            places: HashMap::new(),
            partitions: Vec::new(),
            bad_rows: (0, Vec::new()),
            notes: Vec::new(),
        }
    }

    /// Whether a file with these columns can be of this table: half of the fewer ones are shared.
    fn fits(&self, columns: &[Profile]) -> bool {
        let shared = columns.iter().filter(|it| self.places.contains_key(&it.name)).count();
        let fewer = columns.len().min(self.columns.len());
        fewer <= shared * 2
    }

    fn add(
        &mut self,
        index: usize,
        file: &Listed,
        found: &rows::files::FoundTable,
        looked: &Looked,
    ) {
        let number = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let sampled = found.columns.iter().map(Profile::seen).max().unwrap_or(0);
        for profile in &found.columns {
            let mut profile = profile.clone();
            profile.set_file(number);
            match self.places.get(&profile.name).and_then(|it| self.columns.get_mut(*it)) {
                Some(known) => known.merge(profile),
                None => {
                    let mut column = Profile::new(&profile.name);
                    column.push_missing(self.sampled);
                    self.places.insert(profile.name.clone(), self.columns.len());
                    column.merge(profile);
                    self.columns.push(column);
                }
            }
        }
        self.sampled += sampled;
        for column in &mut self.columns {
            column.push_missing(self.sampled.saturating_sub(column.seen()));
        }
        for (name, value) in partitions(&file.path) {
            let known = self.partitions.iter().position(|it| it.name == name);
            let at = known.unwrap_or_else(|| {
                self.partitions.push(Profile::new(&name));
                self.partitions.len() - 1
            });
            if let Some(column) = self.partitions.get_mut(at) {
                let cell = value.as_deref().map_or(Cell::Null, Cell::Field);
                column.push(cell, u64::from(number) + 1);
            }
        }
        let mut format = found.format.word().to_owned();
        if let Some(compression) = looked.compression {
            format = format!("{format} {compression}");
        }
        match self.formats.iter_mut().find(|it| it.0 == format) {
            Some(known) => known.1 += 1,
            None => self.formats.push((format, 1)),
        }
        self.bad_rows.0 += found.bad_rows.count;
        let room = INFER_EXAMPLES_MAX.saturating_sub(self.bad_rows.1.len());
        let examples = found.bad_rows.examples.iter().take(room);
        self.bad_rows.1.extend(examples.map(|(row, why)| (index, *row, why.clone())));
        for note in &found.notes {
            if !self.notes.contains(note) && self.notes.len() < NOTES_MAX {
                self.notes.push(note.clone());
            }
        }
        self.size += file.size;
        self.rows = self.rows.plus(found.rows);
        self.files.push(index);
    }

    /// Adds the files of another table of the same columns.
    fn join(&mut self, other: Building) {
        if self.pattern.stem != other.pattern.stem {
            "*".clone_into(&mut self.pattern.stem);
        }
        if self.pattern.folder != other.pattern.folder {
            let parent = self.pattern.folder.rsplit_once('/').map_or("", |it| it.0);
            self.pattern.folder = format!("{parent}/*");
        }
        let before = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        for mut profile in other.columns {
            profile.shift_files(before);
            if let Some(known) =
                self.places.get(&profile.name).and_then(|it| self.columns.get_mut(*it))
            {
                known.merge(profile);
            }
        }
        for partition in other.partitions {
            match self.partitions.iter_mut().find(|it| it.name == partition.name) {
                Some(known) => known.merge(partition),
                None => self.partitions.push(partition),
            }
        }
        for (format, count) in other.formats {
            match self.formats.iter_mut().find(|it| it.0 == format) {
                Some(known) => known.1 += count,
                None => self.formats.push((format, count)),
            }
        }
        self.bad_rows.0 += other.bad_rows.0;
        self.bad_rows.1.extend(other.bad_rows.1);
        self.bad_rows.1.truncate(INFER_EXAMPLES_MAX);
        self.notes.extend(
            other.notes.into_iter().filter(|it| !self.notes.contains(it)).collect::<Vec<_>>(),
        );
        self.notes.truncate(NOTES_MAX);
        self.size += other.size;
        self.rows = self.rows.plus(other.rows);
        self.sampled += other.sampled;
        self.files.extend(other.files);
    }

    fn finish(
        mut self,
        root: &str,
        files: &[FoundFile],
        deltas: &[String],
        names: &mut HashSet<String>,
    ) -> FoundTable {
        let paths: Vec<&str> =
            self.files.iter().filter_map(|it| files.get(*it)).map(|it| it.path.as_str()).collect();
        let pattern = pattern::common(paths.iter().copied());
        let name = free_name(&self.words(root, paths.first().copied().unwrap_or_default()), names);
        let is_delta = deltas.iter().any(|folder| {
            paths.iter().all(|it| {
                folder.is_empty()
                    || it.strip_prefix(folder.as_str()).is_some_and(|it| it.starts_with('/'))
            })
        });
        if is_delta {
            self.notes.push("a Delta table: its log says which of the files count".to_owned());
        }
        let kinds: HashSet<&str> =
            self.formats.iter().filter_map(|it| it.0.split(' ').next()).collect();
        if 1 < kinds.len() {
            self.notes.push(format!(
                "the same columns in {} formats: perhaps the same rows; keep one of them",
                kinds.len()
            ));
        }
        FoundTable {
            name,
            pattern,
            inside: self.inside,
            formats: self.formats,
            layout: self.layout,
            files: self.files,
            size: self.size,
            rows: self.rows,
            sampled: self.sampled,
            columns: self.columns.iter().map(Guess::of).collect(),
            partitions: self.partitions.iter().map(Guess::of).collect(),
            bad_rows: self.bad_rows,
            notes: self.notes,
        }
    }

    /// What the table may be called: by its files if their name says something, else by its folder.
    fn words(&self, root: &str, first: &str) -> String {
        const EMPTY: [&str; 12] = [
            "part", "data", "file", "output", "export", "dump", "chunk", "batch", "c", "snappy",
            "run", "delta",
        ];
        let is_one = self.files.len() == 1;
        let is_word = |it: &&str| !it.is_empty() && (is_one || 1 < it.len()) && !EMPTY.contains(it);
        let stem = self.pattern.stem.to_ascii_lowercase();
        let words: Vec<&str> =
            stem.split(|it: char| !it.is_ascii_alphabetic()).filter(is_word).collect();
        let file = if is_one && !words.is_empty() {
            let name = first.rsplit('/').next().unwrap_or_default();
            let name = if name.is_empty() { root.rsplit('/').next().unwrap_or(root) } else { name };
            // The name must stay when the next of its kind comes.
            pattern::without_last_number(pattern::stem(name)).to_owned()
        } else {
            words.join("_")
        };
        let folder = || {
            let parts = self.pattern.folder.rsplit('/').filter(|it| !it.contains('*'));
            let whole = root.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            parts
                .chain([pattern::stem(whole)])
                .find(|it| !it.is_empty())
                .unwrap_or("found")
                .to_owned()
        };
        let base = if file.is_empty() { folder() } else { file };
        match &self.inside {
            Some(inside) if self.inside_names() => inside.clone(),
            Some(inside) => format!("{base}_{inside}"),
            None => base,
        }
    }

    /// Whether what is inside has a name of a file, as in an archive.
    fn inside_names(&self) -> bool {
        self.inside.as_ref().is_some_and(|it| it.contains('.') && it.len() < 40 && !self.is_json())
    }

    fn is_json(&self) -> bool {
        self.formats.iter().any(|it| it.0.starts_with("json"))
    }

    fn column_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.columns.iter().map(|it| it.name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

/// The formats whose files may be of one table whatever else they look like.
fn family(format: &TableFormat) -> &'static str {
    match format {
        TableFormat::Json(_) => "json",
        other => other.word(),
    }
}

/// What is said about one table.
const NOTES_MAX: usize = 12;

/// Joins tables of the same columns: of one folder whatever their files are called, and of folders
/// side by side if their files are called alike.
fn join_alike(tables: Vec<Building>) -> (Vec<Building>, Vec<usize>) {
    let mut joined: Vec<Building> = Vec::new();
    let mut places = Vec::with_capacity(tables.len());
    let mut known: HashMap<(String, String), usize> = HashMap::new();
    for table in tables {
        let names = table.column_names();
        let is_telling = 2 <= names.len() && !names.iter().all(|it| it.starts_with("column_"));
        if !is_telling || table.inside.is_some() {
            places.push(joined.len());
            joined.push(table);
            continue;
        }
        let columns = names.join("\u{1}");
        let folder = table.pattern.folder.clone();
        let parent = folder.rsplit_once('/').map_or("", |it| it.0);
        let beside = format!("{parent}/*/{}", table.pattern.stem);
        let keys = [(folder.clone(), columns.clone()), (beside, columns)];
        let keys = if folder.is_empty() { keys.get(..1) } else { keys.get(..) }.unwrap_or_default();
        let place = keys.iter().find_map(|it| known.get(it).copied());
        let place = match place {
            Some(place) => {
                if let Some(before) = joined.get_mut(place) {
                    before.join(table);
                }
                place
            }
            None => {
                joined.push(table);
                joined.len() - 1
            }
        };
        for key in keys {
            known.entry(key.clone()).or_insert(place);
        }
        places.push(place);
    }
    (joined, places)
}
