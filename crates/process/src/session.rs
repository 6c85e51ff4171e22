//! The sessions that plans are made on.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::SessionContext;
use query::ContextSettings;

use crate::lookup::join::JoinLookups;

/// Rules that would take the aggregate apart or change what its groups are: a plan that is run
/// batch by batch keeps its one aggregate as written.
const RULES_OFF: &[&str] = &[
    "single_distinct_aggregation_to_group_by",
    "eliminate_group_by_constant",
    "eliminate_filter",
    "propagate_empty_relation",
];

/// A physical rule that answers `count(*)` from what is known of the stored files: then there would
/// be no aggregate to keep.
const PHYSICAL_RULE_OFF: &str = "aggregate_statistics";

/// Rows of one batch inside a plan; larger ones than for queries, since a tick is one batch.
const BATCH_ROWS: usize = 32_768;

/// Returns the session for plans that run tick by tick: one partition, one aggregate.
pub(crate) fn for_ticks() -> Result<SessionContext> {
    let settings = ContextSettings { partitions: 1, ..ContextSettings::default() };
    let state = query::context(&settings)?.state();
    let rules = state
        .optimizer()
        .rules
        .iter()
        .filter(|it| !RULES_OFF.contains(&it.name()))
        .map(Arc::clone)
        .collect();
    let mut physical = state.physical_optimizers().to_vec();
    physical.retain(|it| it.name() != PHYSICAL_RULE_OFF);
    physical.push(Arc::new(JoinLookups));
    let mut state = SessionStateBuilder::new_from_existing(state)
        .with_optimizer_rules(rules)
        .with_physical_optimizer_rules(physical)
        .build();
    *state.config_mut() = state.config().clone().with_batch_size(BATCH_ROWS);
    let options = state.config_mut().options_mut();

    // A filter that one run of a join puts into a scan must not reach the next run.
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    Ok(SessionContext::new_with_state(state))
}

/// Returns the session for plans that compute a whole table.
pub(crate) fn for_wholes(memory_bytes: usize) -> Result<SessionContext> {
    query::context(&ContextSettings { memory_bytes, ..ContextSettings::default() })
}

/// Returns the state for one run: `now()` is the given moment.
pub(crate) fn at(session: &SessionContext, now_ms: u64) -> SessionState {
    let mut state = session.state();
    let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let now = arrow::temporal_conversions::timestamp_ms_to_datetime(now);
    state.execution_props_mut().query_execution_start_time = now.map(|it| it.and_utc());
    state
}

/// Returns whether the plan asks what time it is.
pub(crate) fn asks_time(plan: &LogicalPlan) -> bool {
    let mut asks = false;
    let visited = plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            asks |= expression_asks_time(&expression);
        }
        Ok(if asks { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    visited.is_err() || asks
}

/// Returns whether the expression asks what time it is.
pub(crate) fn expression_asks_time(expression: &Expr) -> bool {
    expression
        .exists(|it| {
            Ok(match it {
                Expr::ScalarFunction(call) => {
                    matches!(call.func.name(), "now" | "current_date" | "current_time" | "today")
                }
                _ => false,
            })
        })
        .unwrap_or(true)
}
