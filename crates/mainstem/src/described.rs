//! Describes everything there is, for the catalogue.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use show::{Brief, Catalog, Entry, EntryColumn, EntryKind, Facts, Origin, Reader};
use spec::{Project, Spot};

use crate::facts;
use crate::pipeline::Pipeline;
use crate::running::Running;

pub(crate) mod history;
pub(crate) mod tables;

/// Returns everything that a pipeline has, described.
pub(crate) fn of(pipeline: &Pipeline) -> Catalog {
    let running = pipeline.now();
    at(&running, &facts::at(pipeline, &running, &running.views()))
}

/// Writes down what changed in the catalogue since it was written down last; returns it as it is now.
pub(crate) fn note(pipeline: &Pipeline) -> Catalog {
    let catalog = of(pipeline);
    let noted = pipeline.history.lock().note(&catalog, pipeline.clock.now_ms());
    if let Err(error) = noted {
        tracing::warn!(%error, "a change of the catalogue is not written down; it is tried again");
    }
    catalog
}

/// As [`of`], at these facts.
pub(crate) fn at(running: &Running, facts: &Facts) -> Catalog {
    let project = &running.project;
    let schemas = schemas(running);
    let mut entries: Vec<Entry> = streams(running, facts)
        .chain(tables_of(running, facts, &schemas))
        .chain(beside(project))
        .chain(dashboards(project))
        .collect();
    let readers = readers(&entries, project);
    for entry in &mut entries {
        entry.read_by = readers.get(&entry.brief.name).cloned().unwrap_or_default();
        describe_columns(entry, project);
    }
    entries.sort_by(|one, other| one.brief.name.cmp(&other.brief.name));
    Catalog { project: project.name.clone(), entries }
}

/// The columns of everything that can be read, hidden ones included.
fn schemas(running: &Running) -> BTreeMap<String, SchemaRef> {
    let views = running.views();
    let tables = views.iter().flat_map(|it| &it.tables);
    tables.map(|(name, table)| (name.to_string(), SchemaRef::clone(&table.schema))).collect()
}

fn streams<'a>(running: &'a Running, facts: &'a Facts) -> impl Iterator<Item = Entry> + 'a {
    facts.streams.iter().filter_map(move |told| {
        let declared = running.project.streams.get(told.name.as_str())?;
        let stored = running.stored(&told.name).map(|it| (it.facts(), it.folder()));
        let brief = Brief {
            kind: EntryKind::Stream,
            name: told.name.clone(),
            description: declared.description.clone(),
            owner: declared.owner.clone(),
            tags: declared.tags.clone(),
            layer: Some("raw".to_owned()),
            rows: told.stored,
            updated_ms: told.last_arrived_ms,
            ..Brief::default()
        };
        Some(Entry {
            brief,
            declared: place(&declared.spot),
            columns: plain(&told.columns),
            bytes: stored.as_ref().map_or(0, |(it, _)| it.bytes),
            files: stored.as_ref().map_or(0, |(it, _)| it.files),
            location: stored.as_ref().map(|(_, folder)| location(folder)),
            ..Entry::default()
        })
    })
}

fn tables_of<'a>(
    running: &'a Running,
    facts: &'a Facts,
    schemas: &'a BTreeMap<String, SchemaRef>,
) -> impl Iterator<Item = Entry> + 'a {
    facts.tables.iter().map(move |told| {
        let brief = Brief {
            kind: EntryKind::Table,
            name: told.name.clone(),
            description: told.description.clone(),
            layer: told.layer.clone(),
            rows: told.rows,
            updated_ms: told.updated_ms,
            stale_since_ms: told.stale_since_ms,
            ..Brief::default()
        };
        let entry = Entry {
            sql: told.sql.clone(),
            reads: told.reads.clone(),
            columns: plain(&told.columns),
            bytes: told.bytes,
            files: told.files,
            ..Entry::default()
        };
        if let Some(declared) = running.project.lookups.get(told.name.as_str()) {
            let (owner, tags) = (declared.owner.clone(), declared.tags.clone());
            return Entry {
                brief: Brief { kind: EntryKind::Lookup, owner, tags, ..brief },
                declared: place(&declared.spot),
                location: Some(
                    running.project.folder.join(&declared.from.text).display().to_string(),
                ),
                ..entry
            };
        }
        let stored = running.stored(&told.name).map(|it| location(it.folder()));
        let entry = Entry { location: stored, ..entry };
        let Some(declared) = running.project.tables.get(told.name.as_str()) else {
            return Entry { brief, ..entry };
        };
        let from: BTreeMap<String, Vec<query::lineage::Origin>> =
            query::lineage::of(&declared.sql.text, schemas).into_iter().collect();
        let columns = entry.columns.into_iter().map(|it| {
            let origins = from.get(&it.column.name).into_iter().flatten();
            let from = origins
                .map(|(table, column)| Origin { table: table.clone(), column: column.clone() });
            EntryColumn { from: from.collect(), ..it }
        });
        let (owner, tags) = (declared.owner.clone(), declared.tags.clone());
        Entry {
            brief: Brief { owner, tags, ..brief },
            columns: columns.collect(),
            declared: place(&declared.spot),
            partition: declared.partition.as_ref().map(|it| it.word.to_string()),
            ..entry
        }
    })
}

/// What has no rows of its own.
fn beside(project: &Project) -> impl Iterator<Item = Entry> + '_ {
    let buckets = project.buckets.values().map(|it| Entry {
        brief: Brief {
            kind: EntryKind::Bucket,
            name: it.name.to_string(),
            description: it.description.clone(),
            owner: it.owner.clone(),
            tags: it.tags.clone(),
            ..Brief::default()
        },
        declared: place(&it.spot),
        ..Entry::default()
    });
    let alerts = project.alerts.values().map(|it| Entry {
        brief: Brief {
            kind: EntryKind::Alert,
            name: it.name.to_string(),
            description: it
                .description
                .clone()
                .or_else(|| it.title.as_ref().map(ToString::to_string)),
            owner: it.owner.clone(),
            tags: it.tags.clone(),
            ..Brief::default()
        },
        declared: place(&it.spot),
        sql: it.sql.text.clone(),
        reads: it.reads.iter().map(ToString::to_string).collect(),
        ..Entry::default()
    });
    buckets.chain(alerts)
}

fn dashboards(project: &Project) -> impl Iterator<Item = Entry> + '_ {
    project.dashboards.values().map(|it| {
        let mut reads: Vec<String> = it.charts.iter().map(|it| it.from.to_string()).collect();
        reads.sort();
        reads.dedup();
        let brief = Brief {
            kind: EntryKind::Dashboard,
            name: it.name.to_string(),
            description: it.description.clone().or_else(|| it.title.clone()),
            owner: it.owner.clone(),
            tags: it.tags.clone(),
            ..Brief::default()
        };
        Entry { brief, declared: place(&it.spot), reads, ..Entry::default() }
    })
}

/// Who reads what; a bucket is read by its stream and its table.
fn readers(entries: &[Entry], project: &Project) -> BTreeMap<String, Vec<Reader>> {
    let mut readers: BTreeMap<String, Vec<Reader>> = BTreeMap::new();
    let mut note = |from: &str, kind: EntryKind, name: &str| {
        let reader = Reader { kind, name: name.to_owned() };
        readers.entry(from.to_owned()).or_default().push(reader);
    };
    for entry in entries {
        entry.reads.iter().for_each(|it| note(it, entry.brief.kind, &entry.brief.name));
    }
    for bucket in project.buckets.values() {
        note(bucket.name.as_str(), EntryKind::Stream, bucket.events.as_str());
        note(bucket.name.as_str(), EntryKind::Table, bucket.objects.as_str());
    }
    for list in readers.values_mut() {
        list.sort();
        list.dedup();
    }
    readers
}

fn plain(columns: &[show::Column]) -> Vec<EntryColumn> {
    let plain = |it: &show::Column| EntryColumn { column: it.clone(), ..EntryColumn::default() };
    columns.iter().map(plain).collect()
}

/// Adds what their author wrote about the columns.
fn describe_columns(entry: &mut Entry, project: &Project) {
    for described in project.descriptions(&entry.brief.name) {
        let is_meant = |it: &&mut EntryColumn| it.column.name == described.column.text;
        if let Some(column) = entry.columns.iter_mut().find(is_meant) {
            column.description = Some(described.description.clone());
        }
    }
}

fn place(spot: &Spot) -> String {
    format!("{}:{}", spot.file.path, spot.line_and_column().0)
}

fn location(folder: &std::path::Path) -> String {
    format!("file://{}", folder.display())
}
