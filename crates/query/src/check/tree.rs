//! The expressions of a statement, numbered, so that one can be found and replaced.

use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    Expr, Ident, ObjectName, Query, Select, SelectItem, SetExpr, Spanned, Statement, TableFactor,
    Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut, visit_expressions,
};
use sqlparser::tokenizer::Span;

use crate::hidden;
use crate::position;

/// One expression: its place, and the expression it stands in.
pub(super) struct Node {
    pub(super) parent: Option<usize>,
    pub(super) range: Option<Range<usize>>,
    /// The operator of a comparison or a calculation.
    pub(super) operator: Option<String>,
    /// Whether nothing else can stand in its place: the text of an interval.
    pub(super) is_fixed: bool,
}

/// Returns all expressions, outer ones before those inside them.
pub(super) fn nodes(sql: &str, statement: &Statement) -> Vec<Node> {
    struct Nodes<'a> {
        sql: &'a str,
        nodes: Vec<Node>,
        around: Vec<(usize, bool)>,
    }
    impl Visitor for Nodes<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let range = position::range_of(self.sql, expr.span());
            let (parent, is_fixed) = match self.around.last() {
                Some((parent, is_fixed)) => (Some(*parent), *is_fixed),
                None => (None, false),
            };
            let operator = match expr {
                Expr::BinaryOp { op, .. } => Some(op.to_string()),
                _ => None,
            };
            self.around.push((self.nodes.len(), matches!(expr, Expr::Interval(_))));
            self.nodes.push(Node { parent, range, operator, is_fixed });
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
            self.around.pop();
            ControlFlow::Continue(())
        }
    }
    let mut visitor = Nodes { sql, nodes: Vec::new(), around: Vec::new() };
    let _done: ControlFlow<()> = Visit::visit(statement, &mut visitor);
    visitor.nodes
}

/// Returns the smallest expression around a place; of an error about an operator, the one that it
/// joins.
pub(super) fn smallest_around(
    nodes: &[Node],
    place: &Range<usize>,
    operator: Option<&str>,
) -> Option<usize> {
    let around = |node: &Node| match &node.range {
        Some(range) if range.start <= place.start && place.end <= range.end => {
            let is_other = operator.is_some() && node.operator.as_deref() != operator;
            Some((is_other, range.end - range.start))
        }
        _ => None,
    };
    let sizes = nodes.iter().enumerate().filter_map(|(index, it)| Some((around(it)?, index)));
    sizes.min().map(|(_, index)| index)
}

/// Returns the expression that joins `index` and another by the operator; without one, `index`.
pub(super) fn joined(nodes: &[Node], index: usize, operator: Option<&str>) -> usize {
    let mut around = Some(index);
    while let Some(node) = around.and_then(|it| nodes.get(it)) {
        if operator.is_some() && node.operator.as_deref() == operator {
            break;
        }
        around = node.parent;
    }
    around.unwrap_or(index)
}

/// Replaces an expression by null; a column of a result keeps a name.
pub(super) fn replace_by_null(statement: &mut Statement, index: usize) {
    struct Replace {
        left: Option<usize>,
    }
    impl Replace {
        fn name(item: &mut SelectItem, number: usize) {
            if let SelectItem::UnnamedExpr(expr) = item {
                let name = match &*expr {
                    Expr::Identifier(name) => name.clone(),
                    Expr::CompoundIdentifier(parts) => match parts.last() {
                        Some(name) => name.clone(),
                        None => Ident::new(format!("__fault_{number}")),
                    },
                    _ => Ident::new(format!("__fault_{number}")),
                };
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: name };
            }
        }
    }
    impl VisitorMut for Replace {
        type Break = ();

        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            let items = select.projection.iter_mut().enumerate();
            items.for_each(|(number, item)| Replace::name(item, number));
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            match self.left {
                Some(0) => {
                    let span = expr.span();
                    *expr = Expr::Value(ValueWithSpan { value: Value::Null, span });
                    self.left = None;
                }
                Some(left) => self.left = Some(left - 1),
                None => {}
            }
            ControlFlow::Continue(())
        }
    }
    let _done: ControlFlow<()> = statement.visit(&mut Replace { left: Some(index) });
}

/// Returns the tables a statement reads: the parts of their names, and where they stand.
pub(super) fn tables(statement: &Statement) -> Vec<(Vec<String>, Span)> {
    struct Tables {
        tables: Vec<(Vec<String>, Span)>,
        common: Vec<String>,
    }
    impl Visitor for Tables {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            let tables = query.with.iter().flat_map(|it| &it.cte_tables);
            self.common.extend(tables.map(|it| hidden::normal(&it.alias.name)));
            ControlFlow::Continue(())
        }

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name: ObjectName(parts), args: None, .. } = factor {
                let names = parts.iter().filter_map(|it| it.as_ident().map(hidden::normal));
                let span = Span::union_iter(parts.iter().map(Spanned::span));
                self.tables.push((names.collect(), span));
            }
            ControlFlow::Continue(())
        }
    }
    let mut visitor = Tables { tables: Vec::new(), common: Vec::new() };
    let _done: ControlFlow<()> = Visit::visit(statement, &mut visitor);
    let Tables { mut tables, common } = visitor;
    tables.retain(|(name, _)| !matches!(name.as_slice(), [it] if common.contains(it)));
    tables
}

/// Returns where an expression asks another table, if it does.
pub(super) fn first_subquery(sql: &str, expr: &Expr) -> Option<Range<usize>> {
    let found = visit_expressions(expr, |it| match it {
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
            ControlFlow::Break(position::range_of(sql, it.span()).unwrap_or(0..sql.len()))
        }
        _ => ControlFlow::Continue(()),
    });
    found.break_value()
}

/// Makes `SELECT expression AS it FROM table`.
pub(super) fn select_of(expr: Expr, table: &str) -> Statement {
    let frame = format!("SELECT NULL AS it FROM \"{}\"", table.replace('"', "\"\""));
    let dialect = sqlparser::dialect::PostgreSqlDialect {};
    let mut statements = sqlparser::parser::Parser::parse_sql(&dialect, &frame)
        .expect("a SELECT of null from a quoted name is SQL");
    let mut statement = statements.pop().expect("the text is one statement");
    if let Statement::Query(query) = &mut statement
        && let SetExpr::Select(select) = query.body.as_mut()
    {
        select.projection = vec![SelectItem::ExprWithAlias { expr, alias: Ident::new("it") }];
    }
    statement
}
