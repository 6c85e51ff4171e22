//! Reads by key over plain HTTP: `GET /v1/tables/NAME/KEY`.

use std::fmt::Write as _;
use std::ops::Bound;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base::{Kind, limits};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Ask, AttributeKind, Item, ItemFault, Value};
use crate::router::Served;

/// What can be said in the URL.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Rows at most.
    limit: Option<usize>,
    /// `desc`, the last rows first, or `asc`.
    order: Option<Order>,
    /// The least sort value.
    from: Option<String>,
    /// The sort value before which rows end.
    to: Option<String>,
    /// What the sort value begins with, if it is text.
    begins_with: Option<String>,
    /// Where the page before ended.
    after: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Asc,
    Desc,
}

#[derive(Serialize)]
struct TablesAnswer {
    tables: Vec<TableAnswer>,
}

#[derive(Serialize)]
struct TableAnswer {
    name: String,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort: Option<String>,
    rows: u64,
}

/// `GET /v1/tables`
pub(crate) async fn list(State(served): State<Served>) -> Response {
    let tables = served.items.as_ref().map(|it| it.tables()).unwrap_or_default();
    let tables = tables.into_iter().map(|it| TableAnswer {
        name: it.name.to_string(),
        key: it.key.name,
        sort: it.sort.map(|it| it.name),
        rows: it.items,
    });
    Json(TablesAnswer { tables: tables.collect() }).into_response()
}

/// `GET /v1/tables/{name}/{key}`
pub(crate) async fn find(
    State(served): State<Served>,
    Path((name, key)): Path<(String, String)>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ItemRefusal> {
    let invalid = |message: String, help: &str| {
        ItemRefusal(ItemFault { kind: Kind::Invalid, message, help: Some(help.to_owned()) })
    };
    let Query(wanted) = wanted.map_err(|error| {
        let help = "known are limit, order (asc, desc), from, to, begins_with and after";
        invalid(error.body_text(), help)
    })?;
    let limit = wanted.limit.unwrap_or(limits::KEY_ROWS_DEFAULT);
    if !(1..=limits::KEY_ROWS_MAX).contains(&limit) {
        let message = format!("`limit` is 1 to {}", limits::KEY_ROWS_MAX);
        return Err(invalid(message, "ask for the rest with `after`"));
    }
    let missing = || ItemFault {
        kind: Kind::Missing,
        message: "no table is served by key".to_owned(),
        help: Some("add `serve = \"COLUMN\"` to a table".to_owned()),
    };
    let items = served.items.as_ref().ok_or_else(|| ItemRefusal(missing()))?;
    let is_bytes = items.table(&name).is_some_and(|it| it.key.kind == AttributeKind::Bytes);
    let ask = Ask {
        key: if is_bytes {
            of_base64(&key).map_err(ItemRefusal)?
        } else {
            Value::Text(key.clone())
        },
        from: wanted.from.map_or(Bound::Unbounded, |it| Bound::Included(Value::Text(it))),
        to: wanted.to.map_or(Bound::Unbounded, |it| Bound::Excluded(Value::Text(it))),
        begins_with: wanted.begins_with,
        descending: wanted.order != Some(Order::Asc),
        limit,
        after: wanted.after,
        table: name.clone(),
    };
    let found = items.find(ask).await.map_err(ItemRefusal)?;
    let mut body = String::from("{\"table\":");
    write_text(&name, &mut body);
    body.push_str(",\"key\":");
    write_text(&key, &mut body);
    body.push_str(",\"rows\":[");
    for (place, item) in found.items.iter().enumerate() {
        body.push_str(if place == 0 { "" } else { ",\n" });
        write_item(item, &mut body);
    }
    body.push(']');
    if let Some(next) = &found.next {
        body.push_str(",\"next\":");
        write_text(next, &mut body);
    }
    body.push('}');
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

fn of_base64(key: &str) -> Result<Value, ItemFault> {
    STANDARD.decode(key).map(Value::Bytes).map_err(|error| ItemFault {
        kind: Kind::Invalid,
        message: format!("the key is not base64: {error}"),
        help: Some("keys of bytes are written in base64".to_owned()),
    })
}

fn write_item(item: &Item, out: &mut String) {
    out.push('{');
    for (place, (name, value)) in item.iter().enumerate() {
        out.push_str(if place == 0 { "" } else { "," });
        write_text(name, out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(it) => {
            // A string takes all that is written into it.
            let _written = write!(out, "{it}");
        }
        Value::Number(it) => out.push_str(it),
        Value::Text(it) => write_text(it, out),
        Value::Bytes(it) => write_text(&STANDARD.encode(it), out),
        Value::List(items) => {
            out.push('[');
            for (place, it) in items.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                write_value(it, out);
            }
            out.push(']');
        }
        Value::Map(fields) => write_item(fields, out),
    }
}

fn write_text(text: &str, out: &mut String) {
    // Text can always be written.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// A read that was not answered, as HTTP says it.
#[derive(Debug)]
pub(crate) struct ItemRefusal(ItemFault);

impl IntoResponse for ItemRefusal {
    fn into_response(self) -> Response {
        crate::http::error_answer(self.0.kind, self.0.message, self.0.help)
    }
}
