//! Reads a project and plans it; every fault is found before anything runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use base::{Name, nearest};
use process::{Plan, TableKind};
use rows::keyed::{Keyed, NotAKey};
use spec::{Chart, ChartKind, Faults, Project, Texts, Word};

use crate::projects::Source;
use crate::{inferring, system};

/// A project that can run.
pub(crate) struct Compiled {
    pub(crate) project: Project,
    pub(crate) plan: Plan,
    /// What it was made of.
    pub(crate) source: Source,
}

/// Reads the project in `folder` and checks all of it. Columns that are to be found in files are
/// looked for, and written into the folder.
///
/// With `needs_secrets` off, secrets that are not set are no fault: nothing is delivered.
pub(crate) async fn compile(
    folder: &Path,
    env: Option<&str>,
    needs_secrets: bool,
) -> Result<Compiled, Faults> {
    let (texts, told) = inferring::infer(folder, Texts::read(folder), env).await;
    match compile_texts(folder, texts, env, needs_secrets).await {
        Ok(mut compiled) => {
            compiled.project.warnings.merge(told);
            Ok(compiled)
        }
        Err(mut faults) => {
            faults.merge(told);
            faults.settle();
            Err(faults)
        }
    }
}

/// As [`compile`], with texts that were read before; data files are still those in `folder`.
pub(crate) async fn compile_texts(
    folder: &Path,
    texts: Texts,
    env: Option<&str>,
    needs_secrets: bool,
) -> Result<Compiled, Faults> {
    let source = Source { env: env.map(str::to_owned), files: texts.files().clone() };
    let secret = |name: &str| {
        let set = setting(name);
        if needs_secrets { set } else { set.or_else(|| spec::placeholder(name)) }
    };
    let spec::Sound { project, mut faults } = spec::load_sound_texts(folder, texts, env, &secret);
    check_doors(&project, &mut faults);
    let (mut plan, of_plan) = process::plan_sound(&project, &BTreeMap::new()).await;
    let mut schemas = schemas(&plan);
    check_charts(&project, &schemas, &mut faults);
    check_clustered(&project, &schemas, &mut faults);
    check_described(&project, &schemas, &mut faults);
    check_served(&project, &plan, &schemas, &mut faults);
    schemas.extend(system::schemas());
    check_alerts(&project, &schemas, &mut faults);
    if faults.is_empty() && !of_plan.has_errors() {
        plan.warnings = of_plan;
        return Ok(Compiled { project, plan, source });
    }
    faults.merge(of_plan);
    faults.settle();
    Err(faults)
}

/// Reads a setting from the environment: the only place that does.
#[expect(clippy::disallowed_methods, reason = "secrets come from the environment, read once")]
pub(crate) fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn schemas(plan: &Plan) -> BTreeMap<String, SchemaRef> {
    let mut schemas = BTreeMap::new();
    for flow in &plan.flows {
        for output in flow.outputs() {
            schemas.insert(output.name.to_string(), output.schema);
        }
        for (name, schema) in flow.lookups() {
            schemas.insert(name.to_string(), schema);
        }
    }
    schemas
}

fn check_doors(project: &Project, faults: &mut Faults) {
    for stream in project.streams.values().chain(project.awaited.values()) {
        for used in &stream.from {
            let Some(door) = ingest::door(used.door.as_str()) else {
                let known: Vec<&str> = ingest::DOORS.iter().map(|it| it.name()).collect();
                let help = format!("the doors are {}", known.join(", "));
                faults
                    .push(used.door.fault(format!("there is no door `{}`", used.door), Some(help)));
                continue;
            };
            match used.options.parse::<toml::Table>() {
                Err(more) => faults.merge(more),
                Ok(options) => {
                    check_bucket(project, used, &options, faults);
                    if let Err(fault) = door.check(&options) {
                        let key = fault.key.as_deref().unwrap_or_default();
                        let first = key.split('.').next().unwrap_or_default();
                        let message = format!("door `{}`: {}", used.door, fault.message);
                        faults.push(used.options.fault(first, message, fault.help));
                    }
                }
            }
        }
    }
}

/// Faults a door that names a bucket which is not there.
fn check_bucket(
    project: &Project,
    used: &spec::DoorUse,
    options: &toml::Table,
    faults: &mut Faults,
) {
    let Some(name) = options.get("bucket").and_then(toml::Value::as_str) else { return };
    if project.buckets.contains_key(name) {
        return;
    }
    let known = project.buckets.keys().map(Name::as_str);
    let help = match nearest(name, known) {
        Some(right) => format!("did you mean `{right}`?"),
        None => format!("declare it: `[bucket.{name}]` with `from = \"FOLDER\"`"),
    };
    faults.push(used.options.fault("bucket", format!("there is no bucket `{name}`"), Some(help)));
}

fn check_charts(project: &Project, schemas: &BTreeMap<String, SchemaRef>, faults: &mut Faults) {
    for chart in project.dashboards.values().flat_map(|it| &it.charts) {
        let Some(schema) = schemas.get(chart.from.as_str()) else { continue };
        for word in chart.x.iter().chain(&chart.y).chain(&chart.by) {
            check_column(word, chart, schema, faults);
        }
        let is_number = |word: &Word| {
            let field = schema.field_with_name(word.as_str());
            field.is_ok_and(|it| it.data_type().is_numeric())
        };
        for word in &chart.y {
            let is_column = schema.field_with_name(word.as_str()).is_ok();
            if chart.kind != ChartKind::Table && is_column && !is_number(word) {
                let message = format!("`{word}` is no number, so it cannot be drawn");
                faults.push(word.fault(message, Some("`y` takes columns of numbers".to_owned())));
            }
        }
        check_last(chart, schema, faults);
        check_fill(chart, schema, faults);
    }
}

fn check_fill(chart: &Chart, schema: &SchemaRef, faults: &mut Faults) {
    let (Some((_, spot)), Some(x)) = (&chart.fill, &chart.x) else { return };
    let is_time = |it: &DataType| matches!(it, DataType::Timestamp(..));
    if schema.field_with_name(x.as_str()).is_ok_and(|it| !is_time(it.data_type())) {
        let message = format!("`fill` needs times along `x`, and `{x}` holds none");
        let help = "leave `fill` out, or let `x` be the start of a window".to_owned();
        faults.push(spot.fault(message, Some(help)));
    }
}

fn check_last(chart: &Chart, schema: &SchemaRef, faults: &mut Faults) {
    let has_time =
        schema.fields().iter().any(|it| matches!(it.data_type(), DataType::Timestamp(..)));
    if chart.last.is_some() && !has_time {
        let message = format!("`last` needs a time, and `{}` has no timestamp column", chart.from);
        faults.push(chart.from.fault(message, Some("leave `last` out".to_owned())));
    }
}

fn check_column(word: &Word, chart: &Chart, schema: &SchemaRef, faults: &mut Faults) {
    if schema.field_with_name(word.as_str()).is_ok() {
        return;
    }
    let names: Vec<&str> = schema.fields().iter().map(|it| it.name().as_str()).collect();
    let message = format!("`{}` has no column `{word}`", chart.from);
    let help = columns_help(word, &names);
    faults.push(word.fault(message, Some(help)));
}

/// An alert's SQL must plan, and its `key` and title must name columns of it.
fn check_alerts(project: &Project, schemas: &BTreeMap<String, SchemaRef>, faults: &mut Faults) {
    let is_known = |alert: &&spec::Alert| {
        let mut reads = alert.reads.iter().map(Name::as_str);
        let is_own = |it: &str| it.starts_with(system::PREFIX);
        let mut beside = alert.reads_beside.iter();
        reads.all(|it| schemas.contains_key(it))
            && beside.all(|it| is_own(it) || schemas.contains_key(it))
    };
    // Of an alert on a table with a fault of its own, nothing can be said yet.
    for alert in project.alerts.values().filter(is_known) {
        match query::check::select(&alert.sql, schemas) {
            Err(more) => more.into_iter().for_each(|it| faults.push(it)),
            Ok(schema) => {
                let names: Vec<&str> =
                    schema.fields().iter().map(|it| it.name().as_str()).collect();
                let words = alert.key.iter().chain(&alert.title_columns);
                for word in words.filter(|it| !names.contains(&it.as_str())) {
                    let message = format!("the SELECT has no column `{word}`");
                    faults.push(word.fault(message, Some(columns_help(word, &names))));
                }
            }
        }
    }
}

/// What a table is served by must be columns that rows can be found by.
fn check_served(
    project: &Project,
    plan: &Plan,
    schemas: &BTreeMap<String, SchemaRef>,
    faults: &mut Faults,
) {
    for table in project.tables.values() {
        let Some(serve) = &table.serve else { continue };
        if let Some(puts) = &serve.puts
            && !project.streams.contains_key(puts.as_str())
            && !project.awaited.contains_key(puts.as_str())
        {
            let near = nearest(puts.as_str(), project.streams.keys().map(Name::as_str));
            let help = near.map(|it| format!("did you mean `{it}`?"));
            faults.push(puts.fault(format!("there is no stream `{puts}`"), help));
        }
        let Some(schema) = schemas.get(table.name.as_str()) else { continue };
        for word in serve.sort.iter().chain([&serve.key]) {
            let Err(error) = Keyed::new(Arc::clone(schema), word.as_str(), None) else { continue };
            let names = schema.fields().iter().map(|it| it.name().as_str());
            let names: Vec<&str> = names.filter(|it| !rows::schema::is_hidden(it)).collect();
            let help = matches!(error, NotAKey::NoColumn(_)).then(|| columns_help(word, &names));
            faults.push(word.fault(error.to_string(), help));
        }
        let mut kinds = plan.flows.iter().flat_map(process::FlowPlan::tables);
        let kind = kinds.find(|(name, _)| **name == table.name).map(|(_, kind)| kind);
        let is_key = schema.field_with_name(serve.key.as_str()).is_ok();
        if is_key && serve.sort.is_none() && kind == Some(TableKind::Append) {
            let message = format!("the rows of one `{}` have no order", serve.key);
            let help = format!(
                "`{}` has a row for each row it reads; write `serve = {{ key = \"{}\", sort = \"COLUMN\" }}` with the column that tells which come first, such as a time",
                table.name, serve.key
            );
            faults.push(serve.key.fault(message, Some(help)));
        }
    }
}

/// Rows are ordered by columns that they have.
fn check_clustered(project: &Project, schemas: &BTreeMap<String, SchemaRef>, faults: &mut Faults) {
    let streams = project.streams.values().map(|it| (&it.name, &it.rest));
    let tables = project.tables.values().map(|it| (&it.name, &it.rest));
    for (name, rest) in streams.chain(tables) {
        let Some(schema) = schemas.get(name.as_str()) else { continue };
        for word in &rest.cluster {
            check_has(name, schema, word, faults);
        }
    }
}

/// Only columns that are there can be described; those of a stream are, by its declaration.
fn check_described(project: &Project, schemas: &BTreeMap<String, SchemaRef>, faults: &mut Faults) {
    let names = project.lookups.keys().chain(project.tables.keys());
    for (name, schema) in names.filter_map(|it| Some((it, schemas.get(it.as_str())?))) {
        for described in project.descriptions(name.as_str()) {
            check_has(name, schema, &described.column, faults);
        }
    }
}

/// Faults a word that is no column of a table.
fn check_has(name: &Name, schema: &SchemaRef, word: &Word, faults: &mut Faults) {
    if schema.field_with_name(word.as_str()).is_err() {
        let names = schema.fields().iter().map(|it| it.name().as_str());
        let names: Vec<&str> = names.filter(|it| !rows::schema::is_hidden(it)).collect();
        let message = format!("`{name}` has no column `{word}`");
        faults.push(word.fault(message, Some(columns_help(word, &names))));
    }
}

fn columns_help(word: &Word, names: &[&str]) -> String {
    let all = format!("its columns are {}", names.join(", "));
    match nearest(word.as_str(), names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {all}"),
        None => all,
    }
}
