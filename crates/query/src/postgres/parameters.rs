//! The parameters of a prepared statement: what the engine expects, and what the client sent.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use bytes::Bytes;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion_postgres::arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use datafusion_postgres::arrow_pg::datatypes::into_pg_type;
use pgwire::api::Type;
use pgwire::api::portal::Portal as Parameters;
use pgwire::api::stmt::StoredStatement;
use pgwire::error::ErrorInfo;
use pgwire::messages::extendedquery::Bind as WireBind;

use super::frame::Bind;
use crate::error::SqlError;
use crate::words;

/// Returns the parameters of a plan in order: what the engine takes, and what is told the client.
pub(super) fn parameters(plan: &LogicalPlan) -> Result<Vec<(Option<DataType>, Type)>, SqlError> {
    let mut types = plan.get_parameter_types().map_err(|error| words::of("", &error))?;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            for count in [&limit.skip, &limit.fetch].into_iter().flatten() {
                count_type(count, &mut types);
            }
        }
        node.apply_expressions(|expression| {
            expression.apply(|it| {
                if let Expr::Cast(cast) = it
                    && let Expr::Placeholder(placeholder) = cast.expr.as_ref()
                {
                    let slot = types.entry(placeholder.id.clone()).or_insert(None);
                    slot.get_or_insert_with(|| cast.field.data_type().clone());
                } else if let Expr::Placeholder(placeholder) = it {
                    types.entry(placeholder.id.clone()).or_insert(None);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    walked.map_err(|error| words::of("", &error))?;
    let number = |id: &str| id.trim_start_matches('$').parse::<usize>().unwrap_or(0);
    let count = types.keys().map(|id| number(id)).max().unwrap_or(0);
    if PARAMETERS_MAX < count {
        return Err(SqlError::invalid(
            "54023",
            format!("`${count}` is beyond the {PARAMETERS_MAX} parameters a statement may have"),
        ));
    }
    let mut ordered = vec![(None, Type::TEXT); count];
    for (id, kind) in types {
        let Some(slot) = number(&id).checked_sub(1).and_then(|it| ordered.get_mut(it)) else {
            return Err(SqlError::invalid("42P02", format!("parameter `{id}` has no number"))
                .with_help("write $1, $2 and so on"));
        };
        if let Some(kind) = kind {
            let told = into_pg_type(&kind).unwrap_or(Type::TEXT);
            *slot = (Some(kind), told);
        }
    }
    Ok(ordered)
}

/// A parameter that counts rows is a whole number.
fn count_type(count: &Expr, types: &mut HashMap<String, Option<DataType>>) {
    if let Expr::Placeholder(placeholder) = count {
        let slot = types.entry(placeholder.id.clone()).or_insert(None);
        slot.get_or_insert(DataType::Int64);
    }
}

/// As many as the wire can count.
const PARAMETERS_MAX: usize = 65_535;

/// Puts the client's values into a plan.
pub(super) fn with_values(
    plan: LogicalPlan,
    sql: &str,
    types: &[Option<Type>],
    bind: &Bind,
    expected: &[(Option<DataType>, Type)],
) -> Result<LogicalPlan, SqlError> {
    let stored = StoredStatement::new(String::new(), (), types.to_vec());
    let values: Vec<Option<Bytes>> = bind.values.clone();
    let wire = WireBind::new(None, None, bind.formats.clone(), values, Vec::new());
    let wrong = |error: pgwire::error::PgWireError| {
        let info = ErrorInfo::from(error);
        SqlError::invalid("22P02", format!("a parameter cannot be read: {}", info.message))
    };
    let sent = Parameters::try_new(&wire, Arc::new(stored)).map_err(wrong)?;
    let kinds: Vec<Option<&DataType>> = expected.iter().map(|it| it.0.as_ref()).collect();
    let told: Vec<Option<&Type>> = expected.iter().map(|it| Some(&it.1)).collect();
    let values = deserialize_parameters_with_server_types(&sent, &kinds, &told).map_err(wrong)?;
    plan.replace_params_with_values(&values).map_err(|error| words::of(sql, &error))
}
