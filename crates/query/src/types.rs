//! Types that PostgreSQL, and a project's columns, mean otherwise than the engine: `float` has 64
//! bits.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use sqlparser::ast;

/// `float(25)` and more digits are 64 bits wide in PostgreSQL, fewer are 32.
const FLOAT_BITS_SHORT_MAX: u64 = 24;

/// See the module.
#[derive(Debug)]
pub(crate) struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, written: &ast::DataType) -> Result<Option<FieldRef>> {
        let is_long = match written {
            ast::DataType::Float(ast::ExactNumberInfo::None) => true,
            ast::DataType::Float(ast::ExactNumberInfo::Precision(bits)) => {
                FLOAT_BITS_SHORT_MAX < *bits
            }
            _ => false,
        };
        let long = || Arc::new(Field::new("", DataType::Float64, true));
        Ok(is_long.then(long))
    }
}
