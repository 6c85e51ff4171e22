use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;

use super::JoinOrder;
use crate::context::{self, ContextSettings};

/// A table with few rows that says it has many.
#[derive(Debug)]
struct Told {
    rows: MemTable,
    count: usize,
}

#[async_trait]
impl TableProvider for Told {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.rows.scan(state, projection, filters, limit).await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        let known = Statistics::new_unknown(&self.rows.schema());
        (0 < self.count).then(|| Statistics { num_rows: Precision::Inexact(self.count), ..known })
    }
}

fn table(columns: &[(&str, &[i64])], count: usize) -> Arc<dyn TableProvider> {
    let columns = columns.iter().map(|(name, values)| {
        (*name, Arc::new(Int64Array::from(values.to_vec())) as ArrayRef, true)
    });
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let rows = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    Arc::new(Told { rows, count })
}

/// Lines of orders of customers of countries, as many as said.
fn shop(is_ordered: bool, lines: usize) -> SessionContext {
    let state = context::state(&ContextSettings::default()).unwrap();
    let mut rules = state.optimizers().to_vec();
    if is_ordered {
        let place = rules.iter().position(|it| it.name() == "push_down_filter").unwrap();
        rules.insert(place + 1, Arc::new(JoinOrder));
    }
    let state = SessionStateBuilder::new_from_existing(state).with_optimizer_rules(rules).build();
    let session = SessionContext::new_with_state(state);
    let tables = [
        ("lines", table(&[("of_order", &[1, 1, 2, 3, 9]), ("amount", &[5, 6, 7, 8, 9])], lines)),
        ("orders", table(&[("id", &[1, 2, 3]), ("of_customer", &[10, 10, 20])], 1_500_000)),
        ("customers", table(&[("id", &[10, 20]), ("of_country", &[100, 200])], 150_000)),
        ("countries", table(&[("id", &[100, 200]), ("size", &[1, 2])], 25)),
    ];
    for (name, table) in tables {
        session.register_table(name, table).unwrap();
    }
    session
}

const FROM: &str = "FROM lines l, orders o, customers c, countries n \
    WHERE l.of_order = o.id AND o.of_customer = c.id AND c.of_country = n.id AND n.size = 1";

/// The tables in the order in which the plan reads them.
async fn order(session: &SessionContext, sql: &str) -> Vec<String> {
    let plan = session.sql(sql).await.unwrap().into_optimized_plan().unwrap();
    let text = plan.display_indent().to_string();
    let scans = text.lines().filter_map(|it| it.trim().strip_prefix("TableScan: "));
    scans.map(|it| it.split([' ', ':']).next().unwrap_or_default().to_owned()).collect()
}

async fn answer(session: &SessionContext, sql: &str) -> String {
    let rows = session.sql(sql).await.unwrap().collect().await.unwrap();
    arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string()
}

#[tokio::test]
async fn what_leaves_few_rows_is_joined_first_and_the_answer_stays() {
    let sql = format!("SELECT * {FROM} ORDER BY l.amount");
    let (plain, ordered) = (shop(false, 6_000_000), shop(true, 6_000_000));
    assert_eq!(order(&plain, &sql).await, ["lines", "orders", "customers", "countries"]);
    assert_eq!(order(&ordered, &sql).await, ["countries", "customers", "orders", "lines"]);
    assert_eq!(answer(&ordered, &sql).await, answer(&plain, &sql).await, "columns and rows");
    assert!(answer(&ordered, &sql).await.contains('7'), "the rows of customer 10");
}

#[tokio::test]
async fn conditions_over_several_tables_are_still_asked() {
    let sql = format!(
        "SELECT l.amount, n.size {FROM} AND (l.amount < 6 OR c.id = 20) AND o.id + l.of_order > 1"
    );
    let (plain, ordered) = (shop(false, 6_000_000), shop(true, 6_000_000));
    assert_ne!(order(&ordered, &sql).await, order(&plain, &sql).await);
    let found = answer(&ordered, &sql).await;
    assert_eq!(found, answer(&plain, &sql).await);
    assert!(found.contains("| 5      | 1    |"), "{found}");
}

#[tokio::test]
async fn an_order_stays_if_it_is_good_or_nothing_is_known() {
    let sql = "SELECT l.amount FROM countries n, customers c, orders o, lines l \
        WHERE l.of_order = o.id AND o.of_customer = c.id AND c.of_country = n.id AND n.size = 1";
    let ordered = shop(true, 6_000_000);
    assert_eq!(order(&ordered, sql).await, ["countries", "customers", "orders", "lines"]);
    let sql = format!("SELECT l.amount {FROM}");
    let unknown = shop(true, 0);
    assert_eq!(order(&unknown, &sql).await, ["lines", "orders", "customers", "countries"]);
    let outer = "SELECT l.amount FROM lines l LEFT JOIN orders o ON l.of_order = o.id \
        LEFT JOIN customers c ON o.of_customer = c.id LEFT JOIN countries n ON c.of_country = n.id";
    assert_eq!(order(&ordered, outer).await, ["lines", "orders", "customers", "countries"]);
}

#[tokio::test]
async fn joins_below_a_question_whether_there_are_others_are_ordered_too() {
    let sql = format!(
        "SELECT l.amount {FROM} AND EXISTS (SELECT 1 FROM lines x WHERE x.of_order = l.of_order AND x.amount <> l.amount) ORDER BY 1"
    );
    let (plain, ordered) = (shop(false, 6_000_000), shop(true, 6_000_000));
    let found = order(&ordered, &sql).await;
    assert_eq!(found, ["countries", "customers", "orders", "lines", "lines"]);
    let found = answer(&ordered, &sql).await;
    assert_eq!(found, answer(&plain, &sql).await);
    assert!(found.contains("| 5      |") && !found.contains("| 7 "), "{found}");
}
