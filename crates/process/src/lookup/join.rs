//! A join with a lookup whose rows of each key are found once for a version of the lookup, however
//! often the plan is run, made again or renewed; and by time where rows are valid from and to.
//!
//! It takes the place of a hash join that builds on a lookup. What it gives is the same, row by
//! row and in the same order.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{and, concat_batches, filter, take};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMicrosecondType};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinSide, JoinType, NullEquality, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter, build_join_schema};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions, collect,
};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use crate::lookup::index::{Index, LookupRows, hashes};
use crate::slot::{Slot, SlotExec};

/// Puts a [`LookupJoinExec`] wherever a hash join builds on lookups.
#[derive(Debug)]
pub(crate) struct JoinLookups;

impl PhysicalOptimizerRule for JoinLookups {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|node| {
            Ok(match node.downcast_ref::<HashJoinExec>().filter(|it| builds_on_lookup(it)) {
                Some(join) => {
                    let join = LookupJoinExec::of(join, Arc::clone(&node), Kept::default());
                    Transformed::yes(Arc::new(join))
                }
                None => Transformed::no(node),
            })
        });
        Ok(replaced?.data)
    }

    fn name(&self) -> &'static str {
        "join_lookups"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn builds_on_lookup(join: &HashJoinExec) -> bool {
    let is_plain = |it: &(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)| {
        it.0.data_type(&join.left().schema()).is_ok_and(|it| !it.is_nested())
    };
    let is_of_probe = matches!(
        join.join_type(),
        JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti
    );
    is_of_probe
        && *join.partition_mode() == PartitionMode::CollectLeft
        && join.null_equality() == NullEquality::NullEqualsNothing
        && join.fetch().is_none()
        && join.on().iter().all(is_plain)
        && is_still(join.left())
}

/// Returns whether all rows come from lookups.
fn is_still(plan: &Arc<dyn ExecutionPlan>) -> bool {
    match plan.downcast_ref::<SlotExec>() {
        Some(leaf) => !leaf.slot().is_moving(),
        None => {
            let children = plan.children();
            !children.is_empty() && children.iter().all(|it| is_still(it))
        }
    }
}

/// What the lookups below gave, and of which versions it is. It outlives the plan's renewals.
type Kept = Arc<Mutex<Option<(Vec<Arc<LookupRows>>, Arc<Built>)>>>;

/// The side of the lookups.
#[derive(Debug)]
struct Built {
    rows: RecordBatch,
    /// Which rows may be found; all of them without it.
    wanted: Option<BooleanArray>,
    index: Arc<Index>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct LookupJoinExec {
    /// The hash join that it takes the place of, which is never run.
    template: Arc<dyn ExecutionPlan>,
    side: LookupSide,
    probe: Arc<dyn ExecutionPlan>,
    joiner: Arc<Joiner>,
}

/// Where the rows of the lookups come from.
#[derive(Debug, Clone)]
struct LookupSide {
    plan: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    slots: Vec<Arc<Slot>>,
    kept: Kept,
}

/// Makes rows of two sides.
#[derive(Debug)]
struct Joiner {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<JoinFilter>,
    join_type: JoinType,
    columns: Vec<ColumnIndex>,
    schema: SchemaRef,
}

impl LookupJoinExec {
    fn of(join: &HashJoinExec, template: Arc<dyn ExecutionPlan>, kept: Kept) -> LookupJoinExec {
        let (left, right) = (join.left().schema(), join.right().schema());
        let (_, all) = build_join_schema(&left, &right, join.join_type());
        let columns = match &join.projection {
            None => all,
            Some(shown) => shown.iter().filter_map(|it| all.get(*it).cloned()).collect(),
        };
        let (keys, keys_of_probe) = join.on().iter().cloned().unzip();
        let joiner = Joiner {
            keys: keys_of_probe,
            filter: join.filter().cloned(),
            join_type: *join.join_type(),
            columns,
            schema: template.schema(),
        };
        let mut slots = Vec::new();
        collect_slots(join.left(), &mut slots);
        LookupJoinExec {
            side: LookupSide { plan: Arc::clone(join.left()), keys, slots, kept },
            probe: Arc::clone(join.right()),
            joiner: Arc::new(joiner),
            template,
        }
    }
}

/// A lookup that is read as it is, but for the rows that a filter leaves out.
struct Leaf<'a> {
    slot: &'a SlotExec,
    filter: Option<&'a FilterExec>,
}

impl Leaf<'_> {
    fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Leaf<'_>> {
        if let Some(cooperative) = plan.downcast_ref::<CooperativeExec>() {
            return Leaf::of(cooperative.input());
        }
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            let below = Leaf::of(filter.input()).filter(|it| it.filter.is_none())?;
            return Some(Leaf { filter: Some(filter), ..below });
        }
        Some(Leaf { slot: plan.downcast_ref()?, filter: None })
    }

    /// Returns which places of the slot are shown.
    fn shown(&self) -> Option<&[usize]> {
        self.filter.and_then(|it| it.projection().as_deref())
    }

    /// Returns which column of the lookup is at this place.
    fn column(&self, place: usize) -> Option<usize> {
        match self.shown() {
            None => self.slot.column(place),
            Some(shown) => self.slot.column(*shown.get(place)?),
        }
    }

    /// Returns where a column of the lookup is.
    fn place(&self, column: usize) -> Option<usize> {
        let place = self.slot.place(column)?;
        match self.shown() {
            None => Some(place),
            Some(shown) => shown.iter().position(|it| *it == place),
        }
    }

    /// Returns the rows as they are shown, and which of them the filter leaves, if there is one.
    fn rows(&self, rows: &LookupRows) -> Result<(RecordBatch, Option<BooleanArray>)> {
        let rows = self.slot.project(&rows.rows)?;
        let Some(filter) = self.filter else { return Ok((rows, None)) };
        let wanted = filter.predicate().evaluate(&rows)?.into_array(rows.num_rows())?;
        // What is not known is not wanted.
        let wanted = wanted.as_boolean().iter().map(|it| it == Some(true)).collect();
        let rows = match self.shown() {
            None => rows,
            Some(shown) => rows.project(shown)?,
        };
        Ok((rows, Some(wanted)))
    }
}

fn collect_slots(plan: &Arc<dyn ExecutionPlan>, slots: &mut Vec<Arc<Slot>>) {
    if let Some(leaf) = plan.downcast_ref::<SlotExec>() {
        slots.push(Arc::clone(leaf.slot()));
    }
    plan.children().into_iter().for_each(|it| collect_slots(it, slots));
}

impl LookupSide {
    /// Returns the rows of the lookups as they are now, by key.
    async fn built(&self, task: Arc<TaskContext>) -> Result<Arc<Built>> {
        let versions: Vec<Arc<LookupRows>> =
            self.slots.iter().filter_map(|it| it.lookup()).collect();
        let is_same = |of: &[Arc<LookupRows>]| {
            of.len() == versions.len()
                && of.iter().zip(&versions).all(|(one, other)| Arc::ptr_eq(one, other))
        };
        if let Some((of, built)) = self.kept.lock().as_ref()
            && is_same(of)
        {
            return Ok(Arc::clone(built));
        }
        let built = match self.direct(&versions)? {
            Some(built) => built,
            None => self.collected(task).await?,
        };
        let built = Arc::new(built);
        *self.kept.lock() = Some((versions, Arc::clone(&built)));
        Ok(built)
    }

    /// Takes the index that all tables share, where the side is a lookup as it is.
    fn direct(&self, versions: &[Arc<LookupRows>]) -> Result<Option<Built>> {
        let (Some(leaf), [rows]) = (Leaf::of(&self.plan), versions) else {
            return Ok(None);
        };
        let place = |it: &Arc<dyn PhysicalExpr>| leaf.column(it.downcast_ref::<Column>()?.index());
        let Some(columns) = self.keys.iter().map(place).collect::<Option<Vec<usize>>>() else {
            return Ok(None);
        };
        let index = rows.index(&columns)?;
        let (rows, wanted) = leaf.rows(rows)?;
        Ok(Some(Built { rows, wanted, index }))
    }

    async fn collected(&self, task: Arc<TaskContext>) -> Result<Built> {
        let batches = collect(Arc::clone(&self.plan), task).await?;
        let rows = concat_batches(&self.plan.schema(), &batches)?;
        let keys = self.keys.iter().map(|it| it.evaluate(&rows)?.into_array(rows.num_rows()));
        let index = Index::new(keys.collect::<Result<Vec<_>>>()?, None)?;
        Ok(Built { rows, wanted: None, index: Arc::new(index) })
    }

    /// Returns the columns of the side that say when a row is valid: from, and up to.
    fn validity(&self) -> Option<(usize, usize)> {
        let leaf = Leaf::of(&self.plan)?;
        let validity = leaf.slot.slot().lookup()?.validity?;
        Some((leaf.place(validity.from)?, leaf.place(validity.to)?))
    }
}

impl DisplayAs for LookupJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LookupJoinExec: {}", self.joiner.join_type)
    }
}

impl ExecutionPlan for LookupJoinExec {
    fn name(&self) -> &'static str {
        "LookupJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.template.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.template.maintains_input_order()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.template.children()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let template = Arc::clone(&self.template).replace_children(children, options)?;
        let Some(join) = template.downcast_ref::<HashJoinExec>() else {
            return internal_err!("a hash join with other inputs is none");
        };
        let kept = Arc::clone(&self.side.kept);
        Ok(Arc::new(LookupJoinExec::of(join, Arc::clone(&template), kept)))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.template.apply_expressions(visit)
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let probe = self.probe.execute(partition, Arc::clone(&task))?;
        let (side, joiner) = (self.side.clone(), Arc::clone(&self.joiner));
        let schema = self.schema();
        let joined = stream::once(async move {
            let built = side.built(task).await?;
            let moment = joiner.moment(&side, &built);
            let batches = probe.map(move |batch| {
                let batches = joiner.join(&built, &batch?, moment.as_ref())?;
                Ok::<_, DataFusionError>(stream::iter(batches.into_iter().map(Ok)))
            });
            Ok::<_, DataFusionError>(batches.try_flatten())
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, joined.try_flatten())))
    }
}

/// Pairs of rows that are joined at once: more would take memory for nothing.
const PAIRS_MAX: usize = 65_536;

/// Rows that may belong together: those of the lookup, and of what is joined with it.
#[derive(Default)]
struct Pairs {
    built: Vec<u32>,
    probe: Vec<u32>,
}

impl Joiner {
    /// Returns the moment at which the filter asks rows of the lookup to be valid, if it does.
    fn moment(&self, side: &LookupSide, built: &Built) -> Option<Arc<dyn PhysicalExpr>> {
        if !built.index.has_times() {
            return None;
        }
        moment_asked(self.filter.as_ref()?, side.validity()?)
    }

    /// Joins a batch.
    fn join(
        &self,
        built: &Built,
        probe: &RecordBatch,
        moment: Option<&Arc<dyn PhysicalExpr>>,
    ) -> Result<Vec<RecordBatch>> {
        let rows = probe.num_rows();
        let keys = self.keys.iter().map(|it| it.evaluate(probe)?.into_array(rows));
        let keys = keys.collect::<Result<Vec<ArrayRef>>>()?;
        let (hashes, valid) = hashes(&keys)?;
        let moments = moment.map(|it| it.evaluate(probe)?.into_array(rows)).transpose()?;
        let moments = moments.as_ref().map(AsArray::as_primitive::<TimestampMicrosecondType>);
        let (mut batches, mut pairs, mut from) = (Vec::new(), Pairs::default(), 0);
        for (row, hash) in hashes.iter().enumerate() {
            let has_key = valid.as_ref().is_none_or(|it| it.value(row));
            // Who has no time finds what the filter then refuses.
            let at = moments.filter(|it| it.is_valid(row)).map(|it| it.value(row));
            let found = if has_key { built.index.candidates(*hash, at) } else { &[] };
            let is_wanted =
                |it: &&u32| built.wanted.as_ref().is_none_or(|all| all.value(**it as usize));
            pairs.built.extend(found.iter().filter(is_wanted));
            pairs.probe.resize(pairs.built.len(), index(row));
            if PAIRS_MAX <= pairs.built.len() {
                let pairs = std::mem::take(&mut pairs);
                batches.push(self.emit(built, probe, &keys, from..row + 1, pairs)?);
                from = row + 1;
            }
        }
        if from < rows {
            batches.push(self.emit(built, probe, &keys, from..rows, pairs)?);
        }
        batches.retain(|it| 0 < it.num_rows());
        Ok(batches)
    }

    /// Makes the rows that come of these rows of the batch.
    fn emit(
        &self,
        built: &Built,
        probe: &RecordBatch,
        keys: &[ArrayRef],
        rows: Range<usize>,
        pairs: Pairs,
    ) -> Result<RecordBatch> {
        let (of_built, of_probe) = self.matching(built, probe, keys, pairs)?;
        let (of_built, of_probe) = match self.join_type {
            JoinType::Right => with_unmatched(&of_built, &of_probe, rows),
            JoinType::RightSemi | JoinType::RightAnti => {
                let is_wanted = self.join_type == JoinType::RightSemi;
                (UInt32Array::from(Vec::<u32>::new()), matched(&of_probe, rows, is_wanted))
            }
            _ => (of_built, of_probe),
        };
        let column = |it: &ColumnIndex| match it.side {
            JoinSide::Left => take(built.rows.column(it.index), &of_built, None),
            JoinSide::Right | JoinSide::None => take(probe.column(it.index), &of_probe, None),
        };
        let columns = self.columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(of_probe.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Returns the pairs that have the same key and pass the filter.
    fn matching(
        &self,
        built: &Built,
        probe: &RecordBatch,
        keys: &[ArrayRef],
        pairs: Pairs,
    ) -> Result<(UInt32Array, UInt32Array)> {
        let (mut of_built, mut of_probe) =
            (UInt32Array::from(pairs.built), UInt32Array::from(pairs.probe));
        let mut is_same: Option<BooleanArray> = None;
        for (of_lookup, of_row) in built.index.keys.iter().zip(keys) {
            let own = eq(&take(of_lookup, &of_built, None)?, &take(of_row, &of_probe, None)?)?;
            is_same = Some(match is_same {
                None => own,
                Some(before) => and(&before, &own)?,
            });
        }
        if let Some(is_same) = is_same.filter(|it| it.true_count() < it.len()) {
            (of_built, of_probe) = kept(&is_same, &of_built, &of_probe)?;
        }
        let Some(filter) = &self.filter else { return Ok((of_built, of_probe)) };
        let column = |it: &ColumnIndex| match it.side {
            JoinSide::Left => take(built.rows.column(it.index), &of_built, None),
            JoinSide::Right | JoinSide::None => take(probe.column(it.index), &of_probe, None),
        };
        let columns = filter.column_indices().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(of_probe.len()));
        let schema = Arc::clone(filter.schema());
        let both = RecordBatch::try_new_with_options(schema, columns, &options)?;
        let passes = filter.expression().evaluate(&both)?.into_array(of_probe.len())?;
        kept(passes.as_boolean(), &of_built, &of_probe)
    }
}

fn index(row: usize) -> u32 {
    u32::try_from(row).expect("a batch has fewer than 4 billion rows")
}

fn kept(
    which: &BooleanArray,
    of_built: &UInt32Array,
    of_probe: &UInt32Array,
) -> Result<(UInt32Array, UInt32Array)> {
    let part = |it: &UInt32Array| filter(it, which).map(|it| it.as_primitive().clone());
    Ok((part(of_built)?, part(of_probe)?))
}

/// Adds the rows that have no partner, each in its place.
fn with_unmatched(
    of_built: &UInt32Array,
    of_probe: &UInt32Array,
    rows: Range<usize>,
) -> (UInt32Array, UInt32Array) {
    let mut pairs = of_built.values().iter().zip(of_probe.values()).peekable();
    let (mut built, mut probe) = (Vec::new(), Vec::new());
    for row in rows.map(index) {
        let before = probe.len();
        while let Some((of_built, _)) = pairs.next_if(|(_, it)| **it == row) {
            built.push(Some(*of_built));
            probe.push(row);
        }
        if before == probe.len() {
            built.push(None);
            probe.push(row);
        }
    }
    (UInt32Array::from(built), UInt32Array::from(probe))
}

/// Returns the rows that have a partner, or those that have none.
fn matched(of_probe: &UInt32Array, rows: Range<usize>, is_wanted: bool) -> UInt32Array {
    let mut pairs = of_probe.values().iter().peekable();
    let mut has_partner = |row: u32| {
        let mut found = false;
        while pairs.next_if(|it| **it == row).is_some() {
            found = true;
        }
        found
    };
    UInt32Array::from_iter_values(rows.map(index).filter(|it| has_partner(*it) == is_wanted))
}

/// Returns the moment `m` of a filter that says `from <= m AND m < to`, over the other side.
fn moment_asked(filter: &JoinFilter, validity: (usize, usize)) -> Option<Arc<dyn PhysicalExpr>> {
    let is_of_lookup = |expr: &Arc<dyn PhysicalExpr>, place: usize| {
        let column = expr.downcast_ref::<Column>();
        column
            .and_then(|it| filter.column_indices().get(it.index()))
            .is_some_and(|it| it.side == JoinSide::Left && it.index == place)
    };
    let (mut begun, mut not_over) = (Vec::new(), Vec::new());
    for condition in split_conjunction(filter.expression()) {
        let Some(binary) = condition.downcast_ref::<BinaryExpr>() else { continue };
        let (one, other) = (binary.left(), binary.right());
        match binary.op() {
            Operator::GtEq if is_of_lookup(other, validity.0) => begun.push(one),
            Operator::LtEq if is_of_lookup(one, validity.0) => begun.push(other),
            Operator::Lt if is_of_lookup(other, validity.1) => not_over.push(one),
            Operator::Gt if is_of_lookup(one, validity.1) => not_over.push(other),
            _ => {}
        }
    }
    let moment = begun.into_iter().find(|it| not_over.contains(it))?;
    let is_micros = |it: DataType| matches!(it, DataType::Timestamp(TimeUnit::Microsecond, _));
    if !moment.data_type(filter.schema()).is_ok_and(is_micros) {
        return None;
    }
    let mut is_of_other_side = true;
    let moment = Arc::clone(moment).transform(|node| {
        let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
        match filter.column_indices().get(column.index()) {
            Some(place) if place.side == JoinSide::Right => {
                Ok(Transformed::yes(Arc::new(Column::new(column.name(), place.index)) as _))
            }
            _ => {
                is_of_other_side = false;
                Ok(Transformed::no(node))
            }
        }
    });
    moment.ok().map(|it| it.data).filter(|_| is_of_other_side)
}

#[cfg(test)]
mod tests;
