//! Plans the tables of a project one after the other, each on top of those it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use base::{Name, Span};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use spec::{Fault, Faults, Project, SqlText};

use crate::batch::Rules;
use crate::lookup::read::LookupFile;
use crate::plan::checks::{self, CheckPlan};
use crate::plan::flows::{self, Parts};
use crate::plan::select::{self, Class};
use crate::plan::slices::{Link, Slices, Told, Windows};
use crate::plan::{
    Known, LookupPlan, Plan, Source, Sources, StreamPlan, TableKind, TablePlan, seen,
};
use crate::session;
use crate::slot::{Slot, SlotTable};

/// Plans the flows of a project; `given` are rows of lookups, as NDJSON, that take the place of
/// their files.
///
/// # Errors
/// Every fault of the SQL and of the lookups, with its place.
pub async fn plan(project: &Project, given: &BTreeMap<Name, Vec<String>>) -> Result<Plan, Faults> {
    let (plan, faults) = plan_sound(project, given).await;
    if faults.has_errors() { Err(faults) } else { Ok(Plan { warnings: faults, ..plan }) }
}

/// Plans what of a project can be planned, and returns every fault of the rest; for who wants to
/// check what reads those tables too.
pub async fn plan_sound(project: &Project, given: &BTreeMap<Name, Vec<String>>) -> (Plan, Faults) {
    let mut planner = match Planner::new(project) {
        Ok(planner) => planner,
        Err(faults) => return (Plan::default(), faults),
    };
    planner.streams();
    planner.lookups(given);
    for name in from_order(project) {
        planner.table(&name).await;
    }
    planner.check_starts();
    planner.checks().await;
    let Planner { streams, lookups, tables, checks, faults, .. } = planner;
    let flows = flows::group(Parts { streams, lookups, tables, checks });
    (Plan { flows, warnings: Faults::default() }, faults)
}

/// Plans tables one after the other, each on top of those it reads.
struct Planner<'a> {
    project: &'a Project,
    session: SessionContext,
    known: BTreeMap<Name, Known>,
    streams: BTreeMap<Name, StreamPlan>,
    lookups: BTreeMap<Name, Arc<LookupPlan>>,
    tables: Vec<Arc<TablePlan>>,
    checks: Vec<Arc<CheckPlan>>,
    faults: Faults,
}

impl<'a> Planner<'a> {
    fn new(project: &'a Project) -> Result<Planner<'a>, Faults> {
        let session = session::for_ticks().map_err(|error| {
            let spot = spec::Spot::outside("mainstem.toml", "");
            Faults::from_iter([spot.fault(format!("no SQL session: {error}"), None)])
        })?;
        Ok(Planner {
            project,
            session,
            known: BTreeMap::new(),
            streams: BTreeMap::new(),
            lookups: BTreeMap::new(),
            tables: Vec::new(),
            checks: Vec::new(),
            faults: Faults::default(),
        })
    }

    fn know(&mut self, name: &Name, known: Known) {
        self.known.insert(name.clone(), known);
    }

    fn streams(&mut self) {
        for (name, declared) in &self.project.streams {
            let schema = rows::schema::of_stream(declared);
            let dead = dead_name(name);
            let source =
                |it: &Arc<Field>| vec![Source { stream: name.clone(), column: it.name().clone() }];
            let sources = schema.fields().iter().map(source).collect();
            let (kind, keep) = (TableKind::Raw, declared.keep);
            let schema_known = Arc::clone(&schema);
            let is_bounded = keep.is_some();
            let raw = Known {
                kind,
                schema: schema_known,
                sources,
                is_bounded,
                keep,
                told: None,
                fingerprint: String::new(),
            };
            self.know(name, raw);
            self.know(&dead, known_dead());
            let times = Vec::new();
            self.check_checks(declared, &schema);
            let stream = StreamPlan { declared: declared.clone(), dead, schema, times };
            self.streams.insert(name.clone(), stream);
        }
    }

    fn check_checks(&mut self, declared: &spec::Stream, schema: &SchemaRef) {
        for check in &declared.checks {
            let Err(error) = crate::check::Check::new(&self.session, check, schema) else {
                continue;
            };
            match query::check::condition(&check.sql, declared.name.as_str(), schema) {
                Err(faults) => faults.into_iter().for_each(|it| self.faults.push(it)),
                Ok(()) => self.faults.push(select::fault_of(&check.sql, &error)),
            }
        }
    }

    fn lookups(&mut self, given: &BTreeMap<Name, Vec<String>>) {
        for (name, declared) in &self.project.lookups {
            let file = match given.get(name) {
                Some(lines) => LookupFile::given(declared, lines),
                None => LookupFile::of(declared, &self.project.folder),
            };
            match file.read(None) {
                Ok(first) => {
                    let known = Known {
                        kind: TableKind::Lookup,
                        schema: first.schema(),
                        sources: vec![Sources::new(); first.schema().fields().len()],
                        is_bounded: true,
                        keep: None,
                        fingerprint: String::new(),
                        told: None,
                    };
                    self.know(name, known);
                    let every = declared.every;
                    let lookup = LookupPlan { name: name.clone(), file, every, first };
                    self.lookups.insert(name.clone(), Arc::new(lookup));
                }
                Err(reason) => self.faults.push(declared.from.fault(reason, None)),
            }
        }
    }

    async fn table(&mut self, name: &Name) {
        let Some(declared) = self.project.tables.get(name) else { return };
        let missing = declared.reads.iter().any(|it| !self.known.contains_key(it));
        if missing && self.faults.has_errors() {
            return; // What it reads has a fault of its own; that one is told.
        }
        match self.plan_table(declared).await {
            Ok(table) => {
                let known = Known {
                    kind: table.kind,
                    schema: Arc::clone(&table.schema),
                    sources: table.sources.clone(),
                    is_bounded: declared.keep.is_some() || !table.kind.is_append(),
                    keep: declared.keep,
                    fingerprint: table.fingerprint.clone(),
                    told: table.window.as_ref().map(|it| {
                        let (slide_us, size_us) = (it.slide_us, it.size_us);
                        let own = if it.is_session {
                            Told::Stretches { span_us: 1 }
                        } else {
                            Told::Windows(Windows { slide_us, size_us })
                        };
                        (it.column, table.slices.as_ref().map_or(own, Slices::told))
                    }),
                };
                self.know(name, known);
                self.know(&table.dead, known_dead());
                self.tables.push(table);
            }
            Err(faults) => self.faults.merge(faults),
        }
    }

    async fn plan_table(&mut self, declared: &spec::Table) -> Result<Arc<TablePlan>, Faults> {
        let one = |fault: Fault| Faults::from_iter([fault]);
        if let Some(other) =
            declared.reads_beside.iter().find(|it| !self.known.contains_key(it.as_str()))
        {
            let help = "ask it in a query, an alert or a dashboard".to_owned();
            let range = select::find(&declared.sql.text, other);
            let message = format!("a table cannot read `{other}`");
            return Err(one(declared.sql.fault(range, message, Some(help))));
        }
        let beside = declared.reads_beside.iter().filter_map(|it| Name::new(it).ok());
        let reads: Vec<Name> = declared.reads.iter().cloned().chain(beside).collect();
        let text = declared.sql.text.to_ascii_lowercase();
        let sees_final = rows::schema::HIDDEN.iter().any(|it| text.contains(it));
        self.register(&reads, sees_final)
            .map_err(|error| one(select::fault_of(&declared.sql, &error)))?;
        let plan = self.session.state().create_logical_plan(&declared.sql.text).await;
        let plan =
            plan.map_err(|error| self.sql_faults(&declared.sql, &reads, sees_final, &error))?;
        let plan = query::functions::window::with_ends(select::without_order(plan))
            .map_err(|error| one(select::fault_of(&declared.sql, &error)))?;
        self.warn_timeless(declared, &plan);
        let (class, plan) = if declared.batch.is_started() {
            self.check_new(declared, &reads).map_err(one)?;
            (Class::Started, plan)
        } else {
            select::classify(plan, &self.known)
        };
        if let Class::Whole { reason } = &class {
            self.warn_whole(declared, &reads, reason);
        }
        let made = self.make_table(declared, reads, plan, class);
        let table = made.map_err(one)?;
        let table = Arc::new(TablePlan { sees_final, ..table });
        // The physical plan shows what the logical one hides: sorts, functions that cannot.
        crate::table::dry_run(&self.session, &table)
            .await
            .map_err(|error| one(select::fault_of(&declared.sql, &error)))?;
        Ok(table)
    }

    /// Returns every fault of a SELECT that does not plan, `error` being the first of them.
    fn sql_faults(
        &self,
        sql: &SqlText,
        reads: &[Name],
        sees_final: bool,
        error: &datafusion::error::DataFusionError,
    ) -> Faults {
        let tables = reads
            .iter()
            .filter_map(|it| Some((it.to_string(), seen(&self.known.get(it)?.schema, sees_final))))
            .collect();
        match query::check::select(sql, &tables) {
            Err(faults) => Faults::from_iter(faults),
            Ok(_) => Faults::from_iter([select::fault_of(sql, error)]),
        }
    }

    /// Gives the session the tables that may be read, each as an empty slot.
    fn register(&self, reads: &[Name], sees_final: bool) -> datafusion::error::Result<()> {
        for name in reads {
            let Some(known) = self.known.get(name) else { continue };
            let schema = seen(&known.schema, sees_final);
            let slot = if known.kind == TableKind::Lookup {
                Slot::still(schema)
            } else {
                Slot::moving(schema)
            };
            let reference = datafusion::common::TableReference::bare(name.as_str());
            self.session.deregister_table(reference.clone())?;
            self.session.register_table(reference, Arc::new(SlotTable(slot)))?;
        }
        Ok(())
    }

    fn make_table(
        &mut self,
        declared: &spec::Table,
        reads: Vec<Name>,
        select: LogicalPlan,
        class: Class,
    ) -> Result<TablePlan, Fault> {
        let sql = &declared.sql;
        let asks_time = session::asks_time(&select);
        let mut fields = made_fields(sql, &select, &class)?;
        let fields_read = fields.len();
        let mut slices = None;
        let other = || vec![Sources::new(); fields_read];
        let (kind, inputs, window, sources) = match class {
            Class::Rows { inputs, sources } => (TableKind::Append, inputs, None, sources),
            Class::Windowed { inputs, window } => {
                select::refuse_time(sql, asks_time)?;
                fields.push(Field::new(rows::schema::FINAL, DataType::Boolean, true));
                window.sources.iter().for_each(|it| self.watch_time(it));
                (TableKind::Windowed, inputs, Some(window), other())
            }
            Class::WindowHidden { name } => return Err(select::window_hidden(sql, &name)),
            Class::WindowsSeveral => return Err(select::windows_several(sql)),
            Class::Running { inputs } => {
                select::refuse_time(sql, asks_time)?;
                self.warn_hoards(declared, &select, &reads);
                (TableKind::Running, inputs, None, other())
            }
            Class::Sliced { slices: found, window, .. } => {
                select::refuse_time(sql, asks_time)?;
                if declared.late == spec::Late::Dead {
                    return Err(select::late_of_slices(sql, &found));
                }
                fields.push(Field::new(rows::schema::FINAL, DataType::Boolean, true));
                found.links.iter().for_each(|it| self.watch_link(it));
                slices = Some(found);
                (TableKind::Windowed, Vec::new(), Some(window), other())
            }
            Class::Whole { .. } | Class::Started => {
                (TableKind::Recomputed, Vec::new(), None, other())
            }
        };
        let lookups: Vec<Name> =
            reads.iter().filter(|it| self.lookups.contains_key(*it)).cloned().collect();
        let input_keep = inputs.iter().filter_map(|it| self.known.get(it)?.keep).min();
        self.check_backfill(declared, &lookups, input_keep)?;
        let backfills = self.backfills(declared, kind, &reads, &lookups);
        let fingerprint = self.fingerprint(declared, &select, kind, &reads)?;
        let grouped = match &window {
            Some(window) if slices.is_none() => {
                select::by_panes(&select, window).map_err(|error| select::fault_of(sql, &error))?
            }
            _ => None,
        };
        Ok(TablePlan {
            declared: declared.clone(),
            dead: dead_name(&declared.name),
            kind,
            select,
            grouped,
            schema: Arc::new(Schema::new(fields)),
            input_keep,
            inputs,
            reads,
            lookups,
            backfills,
            window,
            slices,
            sources,
            sees_final: false,
            asks_time,
            batch: Rules::of(&declared.batch, self.project.time_zone.as_ref())?,
            fingerprint,
        })
    }

    /// Returns the lookups whose change makes the table's rows of before anew.
    fn backfills(
        &self,
        declared: &spec::Table,
        kind: TableKind,
        reads: &[Name],
        lookups: &[Name],
    ) -> Vec<Name> {
        let mut found = BTreeSet::new();
        if declared.lookup_backfill.is_some() {
            found.extend(lookups.iter().cloned());
        }
        let below = self.tables.iter().filter(|it| reads.contains(it.name()));
        found.extend(below.flat_map(|it| it.backfills.iter().cloned()));
        // A table that is recomputed as a whole follows by itself.
        if kind == TableKind::Recomputed { Vec::new() } else { found.into_iter().collect() }
    }

    fn check_backfill(
        &mut self,
        declared: &spec::Table,
        lookups: &[Name],
        input_keep: Option<Span>,
    ) -> Result<(), Fault> {
        let Some(spot) = &declared.lookup_backfill else { return Ok(()) };
        if lookups.is_empty() {
            let message = format!("`lookup_backfill`, but `{}` reads no lookup", declared.name);
            let help = "remove it, or set it for the table that joins the lookup".to_owned();
            return Err(spot.fault(message, Some(help)));
        }
        if let Some(keep) = input_keep.filter(|it| declared.keep.is_none_or(|own| *it < own)) {
            let message = format!(
                "`lookup_backfill` makes `{}` of the stored rows of what it reads, and those are \
                 kept for {keep} only: older rows of it go when the lookup changes",
                declared.name
            );
            let help = format!("set `keep = \"{keep}\"` here too, or a longer one there");
            self.faults.push(spot.warning(message, Some(help)));
        }
        Ok(())
    }

    /// Tells the rows of this table from others; those of the tables below count in.
    fn fingerprint(
        &self,
        declared: &spec::Table,
        select: &LogicalPlan,
        kind: TableKind,
        reads: &[Name],
    ) -> Result<String, Fault> {
        let sql = &declared.sql;
        let below = reads.iter().filter_map(|it| Some(self.known.get(it)?.fingerprint.as_str()));
        let below = below.collect::<Vec<&str>>().concat();
        let pruned = self.session.state().optimize(select);
        let pruned = pruned.map_err(|error| select::fault_of(sql, &error))?;
        let adds = if declared.batch.reads_new.is_some() { "+new" } else { "" };
        Ok(select::fingerprint(select, &pruned, kind, &format!("{below}{adds}")))
    }

    /// Notes that windows wait for this column of a stream.
    fn watch_time(&mut self, source: &Source) {
        if let Some(stream) = self.streams.get_mut(&source.stream)
            && !stream.times.contains(&source.column)
        {
            stream.times.push(source.column.clone());
        }
    }

    /// Notes that slices wait for what is followed row by row.
    fn watch_link(&mut self, link: &Link) {
        if let Told::Rows(sources) = &link.told {
            sources.iter().for_each(|it| self.watch_time(it));
        }
    }

    fn warn_whole(&mut self, declared: &spec::Table, reads: &[Name], reason: &str) {
        let unbounded = |it: &&Name| {
            self.known.get(*it).is_some_and(|it| it.kind.is_append() && !it.is_bounded)
        };
        if let Some(read) = reads.iter().find(unbounded) {
            let range = select::find(&declared.sql.text, read);
            let message = format!(
                "table `{}` is recomputed as a whole ({reason}) and reads `{read}`, which only grows",
                declared.name
            );
            let help = "read a windowed table instead, set `keep` on what it reads, or `every` to run it seldom";
            self.faults.push(declared.sql.warning(range, message, Some(help.to_owned())));
        }
    }

    /// Warns of what remembers every value that ever came.
    fn warn_hoards(&mut self, declared: &spec::Table, select: &LogicalPlan, reads: &[Name]) {
        let is_bounded = |it: &Name| self.known.get(it).is_some_and(|it| it.is_bounded);
        if reads.iter().filter(|it| !self.lookups.contains_key(*it)).all(is_bounded) {
            return;
        }
        for (function, expression) in select::hoards(select) {
            let range = select::find(&declared.sql.text, &function);
            let message = format!(
                "`{expression}` keeps every value it has seen, so table `{}` needs more memory \
                 the longer it runs",
                declared.name
            );
            let help = "use `approx_distinct` or `approx_percentile_cont`, group by a window too, \
                        or set `keep` on the stream";
            self.faults.push(declared.sql.warning(range, message, Some(help.to_owned())));
        }
    }

    /// Warns where a lookup has a row for each time, and the SELECT does not say which.
    fn warn_timeless(&mut self, declared: &spec::Table, plan: &LogicalPlan) {
        for lookup in declared.reads.iter().filter_map(|it| self.project.lookups.get(it)) {
            let Some(from) = &lookup.valid_from else { continue };
            if select::looks_at(plan, &from.text) {
                continue;
            }
            let (name, from) = (&lookup.name, &from.text);
            let to = lookup.valid_to.as_ref().map_or("valid_to", |it| it.text.as_str());
            let range = select::find(&declared.sql.text, name);
            let message = format!(
                "`{name}` has a row for each time from which a key's values count, and this reads \
                 them all"
            );
            let help = format!("join with `AND TIME >= {name}.{from} AND TIME < {name}.{to}`");
            self.faults.push(declared.sql.warning(range, message, Some(help)));
        }
    }

    /// Only what streams got can be told from what they had.
    fn check_new(&self, declared: &spec::Table, reads: &[Name]) -> Result<(), Fault> {
        let Some(spot) = &declared.batch.reads_new else { return Ok(()) };
        if reads.iter().any(|it| self.streams.contains_key(it)) {
            return Ok(());
        }
        let message = format!("`reads = \"new\"`, but `{}` reads no stream", declared.name);
        let help = "read the stream itself, or leave `reads` out".to_owned();
        Err(spot.fault(message, Some(help)))
    }

    /// Tables after whose runs others run must have runs.
    fn check_starts(&mut self) {
        for table in self.project.tables.values() {
            for word in table.batch.waits_for() {
                let known = self.known.get(word.as_str());
                if known.is_none_or(|it| it.kind == TableKind::Recomputed) {
                    continue;
                }
                let message = format!("`{word}` has no runs: it follows what it reads by itself");
                let help = format!(
                    "read `{word}` and leave `after` out, or give `{word}` a `cron` of its own"
                );
                self.faults.push(word.fault(message, Some(help)));
            }
        }
    }

    /// Plans the checks of all tables; those of a table with a fault of its own wait.
    async fn checks(&mut self) {
        let tables = self.tables.clone();
        for table in &tables {
            for check in &table.declared.checks {
                let reads = check.reads().iter().filter_map(|it| Name::new(&it.text).ok());
                let reads: Vec<Name> = [table.name().clone()].into_iter().chain(reads).collect();
                if reads.iter().any(|it| !self.known.contains_key(it)) {
                    continue; // What it reads has a fault of its own; that one is told.
                }
                if let Err(error) = self.register(&reads, checks::sees_hidden(check)) {
                    self.faults.push(check.spot.fault(error.strip_backtrace(), None));
                    continue;
                }
                let of = checks::Of { session: &self.session, known: &self.known, table };
                let planned = match of.refuse_circle(check, &reads, &tables) {
                    Ok(()) => of.plan(check, reads).await,
                    Err(faults) => Err(faults),
                };
                match planned {
                    Ok(check) => self.checks.push(Arc::new(check)),
                    Err(faults) => self.faults.merge(faults),
                }
            }
        }
    }
}

/// Returns the columns that a SELECT makes.
fn made_fields(sql: &SqlText, select: &LogicalPlan, class: &Class) -> Result<Vec<Field>, Fault> {
    let schema = rows::schema::normalize(select.schema().as_arrow());
    let schema = schema.map_err(|error| sql.fault(0..sql.text.len(), error.to_string(), None))?;
    let fields: Vec<Field> =
        schema.fields().iter().map(|it| it.as_ref().clone().with_nullable(true)).collect();
    let hides_time = matches!(class, Class::Sliced { hides_time: true, .. });
    let shown = fields.len() - usize::from(hides_time);
    select::refuse_names(sql, fields.get(..shown).unwrap_or_default())?;
    Ok(fields)
}

fn known_dead() -> Known {
    let schema = rows::schema::of_dead();
    Known {
        kind: TableKind::Dead,
        sources: vec![Sources::new(); schema.fields().len()],
        schema,
        is_bounded: false,
        keep: None,
        told: None,
        fingerprint: String::new(),
    }
}

fn dead_name(name: &Name) -> Name {
    // A name so long that `__dead` does not fit is refused by `spec`; its own name is no worse.
    Name::new(&name.dead()).unwrap_or_else(|_too_long| name.clone())
}

/// Returns the names of the tables so that each comes after those it reads.
fn from_order(project: &Project) -> Vec<Name> {
    let mut order: Vec<Name> = Vec::new();
    let mut left: Vec<&spec::Table> = project.tables.values().collect();
    let is_ready = |table: &spec::Table, order: &Vec<Name>| {
        let beside = table.reads_beside.iter().map(String::as_str);
        let mut reads = table.reads.iter().map(Name::as_str).chain(beside);
        reads.all(|read| {
            let other = read.strip_suffix("__dead").unwrap_or(read);
            !project.tables.contains_key(other) || order.iter().any(|it| it == other)
        })
    };
    loop {
        let (ready, waiting): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|it| is_ready(it, &order));
        if ready.is_empty() {
            return order; // Those that wait read each other, which `spec` refuses.
        }
        order.extend(ready.into_iter().map(|it| it.name.clone()));
        left = waiting;
    }
}
