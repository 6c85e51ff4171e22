//! Lookups: small tables read whole, from files of the project.

use base::{Name, Span, nearest};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::ctx::{Declared, LoadCtx};
use crate::document::Value;
use crate::said::{Entries, Said, Words, listed};
use crate::source::{Spot, Word};
use crate::stream::{Column, ColumnSpec, read_columns};

/// A small table read whole.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// The file, by its path in the project.
    pub from: Word,
    /// The column that finds a row.
    pub key: Word,
    /// How often the file is looked at for a change.
    pub every: Option<Span>,
    /// The columns with a declared type; the types of the others are found from their values.
    pub columns: Vec<Column>,
    /// What it is, for people.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Free words to find it by.
    pub tags: Vec<String>,
}

/// `[lookup.NAME]`: a small table, read whole from a CSV file of the project.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["from", "key"]))]
pub(crate) struct LookupOptions {
    /// The CSV file, by its path in the project's folder; its first line names the columns.
    from: Option<Said<String>>,
    /// The column that finds a row.
    key: Option<Said<String>>,
    /// How often the file is looked at for a change; at the start only if not said.
    every: Option<Said<Words<Span>>>,
    /// Types of columns, where they should not be found from the values.
    #[serde(default)]
    columns: Entries<Said<Words<ColumnSpec>>>,
    /// What it is, for people.
    description: Option<String>,
    /// Who answers for it.
    owner: Option<String>,
    /// Free words to find it by.
    #[serde(default)]
    tags: Vec<String>,
}

pub(crate) fn read(ctx: &mut LoadCtx<'_>, declared: Declared, value: Value<'_>) -> Option<Lookup> {
    let before = ctx.faults.len();
    let options: LookupOptions = ctx.read(value);
    let is_sound = ctx.faults.len() == before;
    let columns = read_columns(ctx, options.columns);
    let every = ctx.span(options.every, "every");
    let needed = [("from", "products.csv", &options.from), ("key", "product_id", &options.key)];
    for (key, example, said) in needed {
        if said.is_none() && is_sound {
            let help = format!("add `{key} = \"{example}\"`");
            ctx.missing(&declared.spot, format!("`{}` has no `{key}`", declared.name), help);
        }
    }
    let (from, key) = (options.from?, options.key?);
    check_file(ctx, &from, &key, &columns);
    Some(Lookup {
        from: ctx.word(&from),
        key: ctx.word(&key),
        every,
        columns,
        description: options.description,
        owner: options.owner,
        tags: options.tags,
        name: declared.name,
        spot: declared.spot,
    })
}

fn check_file(ctx: &mut LoadCtx<'_>, from: &Said<String>, key: &Said<String>, columns: &[Column]) {
    let path = &from.value;
    let leaves = path.split(['/', '\\']).any(|it| it == "..") || path.starts_with(['/', '\\']);
    let help = "write its path below the project's folder, as in `\"products.csv\"`".to_owned();
    if leaves || path.is_empty() {
        return ctx.fault(&from.range, format!("`{path}` is not in the project"), Some(help));
    }
    if !path.to_ascii_lowercase().ends_with(".csv") {
        let help = "a lookup is read from a CSV file with a first line of names".to_owned();
        return ctx.fault(&from.range, format!("`{path}` is not a CSV file"), Some(help));
    }
    let head = match (ctx.head)(path) {
        Ok(head) => head,
        Err(why) => {
            return ctx.fault(&from.range, format!("`{path}` cannot be read: {why}"), Some(help));
        }
    };
    let Some(header) = header(&head) else {
        let help = "its first line must name the columns: `product_id,name`".to_owned();
        return ctx.fault(&from.range, format!("`{path}` has no first line"), Some(help));
    };
    let spots = columns.iter().map(|it| (it.name.clone(), it.spot.clone()));
    let wanted: Vec<(String, Spot)> =
        [(key.value.clone(), ctx.spot(&key.range))].into_iter().chain(spots).collect();
    for (column, spot) in wanted {
        if !header.contains(&column) {
            let names: Vec<&str> = header.iter().map(String::as_str).collect();
            let help = match nearest(&column, names.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("its first line names {}", listed(&names).replace(" or ", " and ")),
            };
            let message = format!("`{path}` has no column `{column}`");
            ctx.faults.push(spot.fault(message, Some(help)));
        }
    }
}

/// Returns the names in the first line of a CSV file.
fn header(head: &str) -> Option<Vec<String>> {
    let head = head.strip_prefix('\u{feff}').unwrap_or(head);
    let mut names = vec![String::new()];
    let mut is_quoted = false;
    let mut signs = head.chars().peekable();
    while let Some(sign) = signs.next() {
        let name = names.last_mut()?;
        match sign {
            '"' if is_quoted && signs.peek() == Some(&'"') => {
                name.push('"');
                signs.next();
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => names.push(String::new()),
            '\r' | '\n' if !is_quoted => break,
            other => name.push(other),
        }
    }
    let is_empty = names.iter().all(|it| it.trim().is_empty());
    (!is_empty).then(|| names.iter().map(|it| it.trim().to_owned()).collect())
}
