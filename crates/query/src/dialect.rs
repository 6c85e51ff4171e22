//! The dialect of questions: PostgreSQL's, and `AS OF` behind a table.

use std::any::TypeId;

use sqlparser::ast::Expr;
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

/// Reads SQL as PostgreSQL does, and earlier versions of tables as SQL:2011 and Delta write them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ours {
    /// Whether `AS OF` stands in the text. Without it `AT`, `BEFORE` and `CHANGES` behind a table are
    /// names for it, as in PostgreSQL.
    has_as_of: bool,
}

impl Ours {
    /// Returns the dialect to read this text with.
    pub(crate) fn of(sql: &str) -> Ours {
        let mut words = sql.split_whitespace();
        let mut before = words.next().unwrap_or_default();
        let mut has_as_of = false;
        for word in words {
            has_as_of |= before.eq_ignore_ascii_case("as") && word.eq_ignore_ascii_case("of");
            before = word;
        }
        Ours { has_as_of }
    }
}

macro_rules! as_postgres {
    ($($name:ident),* $(,)?) => {
        $(fn $name(&self) -> bool { POSTGRES.$name() })*
    };
}

impl Dialect for Ours {
    fn dialect(&self) -> TypeId {
        POSTGRES.dialect()
    }

    fn supports_table_versioning(&self) -> bool {
        self.has_as_of
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, letter: char) -> bool {
        POSTGRES.is_delimited_identifier_start(letter)
    }

    fn is_identifier_start(&self, letter: char) -> bool {
        POSTGRES.is_identifier_start(letter)
    }

    fn is_identifier_part(&self, letter: char) -> bool {
        POSTGRES.is_identifier_part(letter)
    }

    fn is_reserved_for_identifier(&self, word: Keyword) -> bool {
        POSTGRES.is_reserved_for_identifier(word)
    }

    fn is_custom_operator_part(&self, letter: char) -> bool {
        POSTGRES.is_custom_operator_part(letter)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        POSTGRES.get_next_precedence(parser)
    }

    /// The operand of `IS DISTINCT FROM` ends before `AND`, `OR` and comparisons, as in PostgreSQL;
    /// the parser alone would take all that follows.
    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        left: &Expr,
        _precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        const IS: Keyword = Keyword::IS;
        let is_not = [IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM];
        let is_same = if parser.parse_keywords(&[IS, Keyword::DISTINCT, Keyword::FROM]) {
            false
        } else if parser.parse_keywords(&is_not) {
            true
        } else {
            return None;
        };
        let left = Box::new(left.clone());
        let right = parser.parse_subexpr(self.prec_value(Precedence::Is)).map(Box::new);
        Some(right.map(|right| match is_same {
            true => Expr::IsNotDistinctFrom(left, right),
            false => Expr::IsDistinctFrom(left, right),
        }))
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRES.prec_value(precedence)
    }

    as_postgres! {
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_alter_column_type_using,
        supports_array_typedef_with_brackets,
        supports_bitwise_shift_operators,
        supports_comma_separated_trim,
        supports_comment_on,
        supports_comment_optimizer_hint,
        supports_create_index_with_clause,
        supports_create_table_like_parenthesized,
        supports_empty_projections,
        supports_explain_with_utility_options,
        supports_factorial_operator,
        supports_filter_during_aggregation,
        supports_geometric_types,
        supports_group_by_expr,
        supports_insert_table_alias,
        supports_interval_options,
        supports_listen_notify,
        supports_load_extension,
        supports_named_fn_args_with_colon_operator,
        supports_named_fn_args_with_expr_name,
        supports_nested_comments,
        supports_notnull_operator,
        supports_numeric_literal_underscores,
        supports_select_wildcard_with_alias,
        supports_set_names,
        supports_string_escape_constant,
        supports_unicode_string_literal,
        supports_xml_expressions,
    }
}
