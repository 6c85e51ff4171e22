//! Keeps hidden columns out of `*`: `SELECT *` leaves `_final` out, `SELECT _final` works.
//!
//! A table that has hidden columns is shown without them. Where a SELECT speaks of a hidden
//! column, its tables are replaced by the whole ones (schema [`WHOLE`]), and its `*` by what `*`
//! was. The planner then needs no rule of its own, and all else (joins, USING, `t.*`, views of the
//! columns) is as if the column were not there.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Constraints, Statistics};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr as PlanExpr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use sqlparser::ast::{
    ExceptSelectItem, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query,
    Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, TableAlias,
    TableFactor, Visit, VisitMut, VisitorMut, WildcardAdditionalOptions, visit_expressions,
};

use crate::catalog::Snapshot;
use crate::context::{CATALOG, SCHEMA};

/// The column that tells final windows from open ones.
pub const FINAL: &str = "_final";

/// The column with the time of rows whose SELECT leaves it out.
const TIME: &str = "_time";

const HIDDEN: [&str; 2] = [TIME, FINAL];

/// The schema in which tables show all their columns.
pub(crate) const WHOLE: &str = "_whole";

/// Returns whether the table has a hidden column.
pub(crate) fn has_hidden(schema: &Schema) -> bool {
    hidden(schema).next().is_some()
}

fn hidden(schema: &Schema) -> impl Iterator<Item = &'static str> {
    HIDDEN.into_iter().filter(|it| schema.column_with_name(it).is_some())
}

/// A table without its hidden column.
#[derive(Debug)]
pub(crate) struct Shown {
    whole: Arc<dyn TableProvider>,
    schema: SchemaRef,
    columns: Vec<usize>,
}

impl Shown {
    /// Hides what is hidden; a table without hidden columns is returned as it is.
    pub(crate) fn of(whole: &Arc<dyn TableProvider>) -> Arc<dyn TableProvider> {
        let schema = whole.schema();
        if !has_hidden(&schema) {
            return Arc::clone(whole);
        }
        let shown = schema
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| !HIDDEN.contains(&field.name().as_str()));
        let (columns, fields): (Vec<usize>, Vec<_>) =
            shown.map(|(index, field)| (index, Arc::clone(field))).unzip();
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        Arc::new(Shown { whole: Arc::clone(whole), schema, columns })
    }
}

#[async_trait]
impl TableProvider for Shown {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn constraints(&self) -> Option<&Constraints> {
        None // They count the columns of the whole table.
    }

    fn table_type(&self) -> TableType {
        self.whole.table_type()
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[PlanExpr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns: Vec<usize> = match projection {
            None => self.columns.clone(),
            Some(asked) => asked.iter().filter_map(|it| self.columns.get(*it).copied()).collect(),
        };
        self.whole.scan(session, Some(&columns), filters, limit).await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&PlanExpr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.whole.supports_filters_pushdown(filters)
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = self.whole.statistics()?;
        let of_columns = std::mem::take(&mut statistics.column_statistics);
        statistics.column_statistics =
            self.columns.iter().filter_map(|it| of_columns.get(*it).cloned()).collect();
        Some(statistics)
    }
}

/// Gives the SELECTs that speak of a hidden column the whole tables.
pub(crate) fn reveal(statement: &mut Statement, snapshot: &Snapshot) {
    if speaks_of_hidden(statement) {
        let mut common = Vec::new();
        let _done: ControlFlow<()> = collect_common_names(statement, &mut common);
        let _done: ControlFlow<()> = statement.visit(&mut Reveal { snapshot, common });
    }
}

fn is_hidden_name(ident: &Ident) -> bool {
    HIDDEN.into_iter().any(|hidden| match ident.quote_style {
        None => ident.value.eq_ignore_ascii_case(hidden),
        Some(_) => ident.value == hidden,
    })
}

fn speaks_of_hidden(node: &impl Visit) -> bool {
    visit_expressions(node, |expr| match expr {
        Expr::Identifier(ident) if is_hidden_name(ident) => ControlFlow::Break(()),
        Expr::CompoundIdentifier(parts) if parts.last().is_some_and(is_hidden_name) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

fn collect_common_names(statement: &mut Statement, names: &mut Vec<String>) -> ControlFlow<()> {
    struct Names<'a>(&'a mut Vec<String>);
    impl VisitorMut for Names<'_> {
        type Break = ();

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            let tables = query.with.iter().flat_map(|it| &it.cte_tables);
            self.0.extend(tables.map(|it| normal(&it.alias.name)));
            ControlFlow::Continue(())
        }
    }
    statement.visit(&mut Names(names))
}

/// Returns a name as the planner reads it: small letters unless it is quoted.
pub(crate) fn normal(ident: &Ident) -> String {
    match ident.quote_style {
        None => ident.value.to_lowercase(),
        Some(_) => ident.value.clone(),
    }
}

struct Reveal<'a> {
    snapshot: &'a Snapshot,
    common: Vec<String>,
}

impl VisitorMut for Reveal<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let in_order = query.order_by.as_ref().is_some_and(speaks_of_hidden);
        self.body(&mut query.body, in_order);
        ControlFlow::Continue(())
    }
}

/// A relation of a FROM: how it is called there, and what it would hide if it had not been replaced
/// by the whole table.
struct Relation {
    name: Option<Ident>,
    hides: Vec<&'static str>,
}

impl Reveal<'_> {
    fn body(&self, body: &mut SetExpr, in_order: bool) {
        match body {
            SetExpr::Select(select) if in_order || speaks_of_hidden(select.as_ref()) => {
                self.select(select);
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, in_order);
                self.body(right, in_order);
            }
            _ => {}
        }
    }

    fn select(&self, select: &mut Select) {
        let mut relations = Vec::new();
        let mut has_using = false;
        for from in &mut select.from {
            relations.push(self.relation(&mut from.relation));
            for join in &mut from.joins {
                relations.push(self.relation(&mut join.relation));
                has_using |= merges_columns(&join.join_operator);
            }
        }
        let items = std::mem::take(&mut select.projection);
        for item in items {
            expand(item, &relations, has_using, &mut select.projection);
        }
    }

    fn relation(&self, factor: &mut TableFactor) -> Relation {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let own_name = name.0.last().and_then(ObjectNamePart::as_ident).cloned();
                let hides = self.hides(name);
                if !hides.is_empty()
                    && let Some(own_name) = &own_name
                {
                    if alias.is_none() {
                        *alias = Some(called(own_name.clone()));
                    }
                    *name = ObjectName::from(vec![Ident::new(WHOLE), own_name.clone()]);
                }
                let name = alias.as_ref().map(|it| it.name.clone()).or(own_name);
                Relation { name, hides }
            }
            TableFactor::Derived { alias, .. } => {
                Relation { name: alias.as_ref().map(|it| it.name.clone()), hides: Vec::new() }
            }
            _ => Relation { name: None, hides: Vec::new() },
        }
    }

    fn hides(&self, name: &ObjectName) -> Vec<&'static str> {
        let parts: Option<Vec<String>> =
            name.0.iter().map(|it| it.as_ident().map(normal)).collect();
        let table = match parts.as_deref() {
            Some([table]) if !self.common.contains(table) => table,
            Some([schema, table]) if schema == SCHEMA => table,
            Some([catalog, schema, table]) if catalog == CATALOG && schema == SCHEMA => table,
            _ => return Vec::new(),
        };
        let table = self.snapshot.tables.get(table);
        table.map(|it| hidden(&it.schema()).collect()).unwrap_or_default()
    }
}

fn called(name: Ident) -> TableAlias {
    TableAlias { explicit: true, name, columns: Vec::new(), at: None }
}

fn merges_columns(operator: &JoinOperator) -> bool {
    match operator {
        JoinOperator::Join(it)
        | JoinOperator::Inner(it)
        | JoinOperator::Left(it)
        | JoinOperator::LeftOuter(it)
        | JoinOperator::Right(it)
        | JoinOperator::RightOuter(it)
        | JoinOperator::FullOuter(it) => {
            matches!(it, JoinConstraint::Using(_) | JoinConstraint::Natural)
        }
        _ => false,
    }
}

/// Writes `*` and `t.*` so that they do not show the hidden column.
fn expand(item: SelectItem, relations: &[Relation], has_using: bool, items: &mut Vec<SelectItem>) {
    let whole = relations.iter().filter(|it| !it.hides.is_empty()).count();
    match item {
        SelectItem::Wildcard(options) if whole == 1 => {
            let hides: Vec<_> = relations.iter().flat_map(|it| it.hides.clone()).collect();
            items.push(SelectItem::Wildcard(without_hidden(options, &hides)));
        }
        SelectItem::Wildcard(options)
            if 1 < whole && !has_using && relations.iter().all(|it| it.name.is_some()) =>
        {
            for relation in relations {
                let Some(name) = &relation.name else { continue };
                let name = ObjectName::from(vec![name.clone()]);
                let kind = SelectItemQualifiedWildcardKind::ObjectName(name);
                let options = without_hidden(options.clone(), &relation.hides);
                items.push(SelectItem::QualifiedWildcard(kind, options));
            }
        }
        SelectItem::QualifiedWildcard(
            SelectItemQualifiedWildcardKind::ObjectName(name),
            options,
        ) => {
            let last = name.0.last().and_then(ObjectNamePart::as_ident).map(normal);
            let relation = relations.iter().find(|it| it.name.as_ref().map(normal) == last);
            let options = match relation {
                Some(relation) => without_hidden(options, &relation.hides),
                None => options,
            };
            let kind = SelectItemQualifiedWildcardKind::ObjectName(name);
            items.push(SelectItem::QualifiedWildcard(kind, options));
        }
        other => items.push(other),
    }
}

fn without_hidden(
    mut options: WildcardAdditionalOptions,
    hides: &[&str],
) -> WildcardAdditionalOptions {
    for hidden in hides.iter().map(|it| Ident::new(*it)) {
        match &mut options.opt_except {
            Some(except) => except.additional_elements.push(hidden),
            None => {
                let additional_elements = Vec::new();
                options.opt_except =
                    Some(ExceptSelectItem { first_element: hidden, additional_elements });
            }
        }
    }
    options
}
