//! From SQL text to a plan that only reads.

use base::Kind;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SQLOptions;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use sqlparser::ast::{ShowStatementFilter, ShowStatementFilterPosition, Statement as Sql};

use crate::catalog::Snapshot;
use crate::dialect::Ours;
use crate::error::SqlError;
use crate::hidden;
use crate::words;

/// How deep expressions may be nested.
pub(crate) const DEPTH_MAX: usize = 50;

/// Reads all statements of a text.
pub(crate) fn parse(sql: &str) -> Result<Vec<Statement>, SqlError> {
    let statements = DFParserBuilder::new(sql)
        .with_dialect(&Ours::of(sql))
        .with_recursion_limit(DEPTH_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements());
    Ok(statements.map_err(|error| words::of(sql, &error))?.into())
}

/// Reads a text that must be one statement.
pub(crate) fn parse_one(sql: &str) -> Result<Statement, SqlError> {
    let mut statements = parse(sql)?;
    match (statements.pop(), statements.len()) {
        (Some(statement), 0) => Ok(statement),
        (None, _) => Err(SqlError::invalid("42601", "there is no SQL in this text")),
        (Some(_), before) => Err(SqlError::invalid(
            "42601",
            format!("this is {} statements; ask one at a time", before + 1),
        )),
    }
}

/// Refuses what would change something, or reach a file.
pub(crate) fn refuse_changes(statement: &Statement) -> Result<(), SqlError> {
    let what = match statement {
        Statement::Statement(sql) => match sql.as_ref() {
            Sql::Query(_)
            | Sql::Explain { .. }
            | Sql::ExplainTable { .. }
            | Sql::ShowTables { .. }
            | Sql::ShowColumns { .. }
            | Sql::ShowFunctions { .. }
            | Sql::ShowVariable { .. }
            | Sql::ShowDatabases { .. }
            | Sql::ShowSchemas { .. } => return Ok(()),
            other => first_words(&other.to_string()),
        },
        Statement::Explain(explain) => return refuse_changes(&explain.statement),
        Statement::CreateExternalTable(_) => "CREATE EXTERNAL TABLE".to_owned(),
        Statement::CopyTo(_) => "COPY".to_owned(),
        Statement::Reset(_) => "RESET".to_owned(),
    };
    Err(read_only(&what))
}

/// The answer to everything that would change something.
pub(crate) fn read_only(what: &str) -> SqlError {
    let help = match what {
        "COPY" | "CREATE TABLE" | "DROP TABLE" => {
            "clients of PostgreSQL, such as psql, may: `COPY` into buckets, `CREATE TABLE … AS`"
        }
        _ => {
            "tables are declared by the project's files, and rows come in through streams; ask \
             with SELECT"
        }
    };
    SqlError::invalid("25006", format!("`{what}` is refused: SQL only reads here")).with_help(help)
}

fn first_words(statement: &str) -> String {
    let is_word = |it: &&str| it.chars().all(|it| it.is_ascii_uppercase() || it == '_');
    let words: Vec<&str> = statement.split_whitespace().take(2).take_while(is_word).collect();
    if words.is_empty() { "this statement".to_owned() } else { words.join(" ") }
}

/// Plans a statement and verifies that it only reads.
pub(crate) async fn plan(
    state: &SessionState,
    statement: Statement,
) -> Result<LogicalPlan, DataFusionError> {
    let plan = state.statement_to_plan(statement).await?;
    let only_read =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_read.verify_plan(&plan)?;
    Ok(plan)
}

/// What `SHOW TABLES` lists: what people mean by tables, not what clients ask the catalog about.
const TABLES: &str = "SELECT table_catalog, table_schema, table_name, table_type \
                      FROM information_schema.tables \
                      WHERE table_schema NOT IN ('pg_catalog', 'information_schema')";

/// Writes `SHOW TABLES` as a SELECT.
pub(crate) fn expand(statement: &mut Statement) -> Result<(), SqlError> {
    let Statement::Statement(sql) = statement else { return Ok(()) };
    let Sql::ShowTables { show_options, .. } = sql.as_ref() else { return Ok(()) };
    let mut text = TABLES.to_owned();
    let quoted = |it: &str| it.replace('\'', "\'\'");
    if let Some(schema) = show_options.show_in.as_ref().and_then(|it| it.parent_name.as_ref()) {
        let schema = schema.to_string().replace('"', "");
        text += &format!(" AND table_schema = '{}'", quoted(&schema));
    }
    let filter = match &show_options.filter_position {
        Some(ShowStatementFilterPosition::Infix(it) | ShowStatementFilterPosition::Suffix(it)) => {
            Some(it)
        }
        None => None,
    };
    match filter {
        None => {}
        Some(ShowStatementFilter::Like(it) | ShowStatementFilter::NoKeyword(it)) => {
            text += &format!(" AND table_name LIKE '{}'", quoted(it));
        }
        Some(ShowStatementFilter::ILike(it)) => {
            text += &format!(" AND table_name ILIKE '{}'", quoted(it));
        }
        Some(ShowStatementFilter::Where(condition)) => text += &format!(" AND ({condition})"),
    }
    text += " ORDER BY table_schema, table_name";
    *statement = parse_one(&text)?;
    Ok(())
}

/// Gives the SELECTs that speak of a hidden column the whole tables.
pub(crate) fn reveal(statement: &mut Statement, snapshot: &Snapshot) {
    match statement {
        Statement::Statement(sql) => hidden::reveal(sql, snapshot),
        Statement::Explain(explain) => reveal(&mut explain.statement, snapshot),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => {}
    }
}

impl SqlError {
    /// The asker should change the question.
    pub(crate) fn invalid(sqlstate: &'static str, message: impl Into<String>) -> SqlError {
        let message = message.into();
        SqlError { kind: Kind::Invalid, sqlstate, message, range: None, help: None }
    }

    pub(crate) fn with_kind(mut self, kind: Kind) -> SqlError {
        self.kind = kind;
        self
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> SqlError {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn at(mut self, range: std::ops::Range<usize>) -> SqlError {
        self.range = Some(range);
        self
    }
}
