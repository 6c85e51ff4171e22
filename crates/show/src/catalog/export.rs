//! The catalogue in the words of other programs: OpenLineage events, and a listing as Glue gives.

use serde_json::{Map, Value, json};

use super::{Catalog, Entry, EntryColumn, EntryKind};

const PRODUCER: &str = "https://mainstem.invalid/catalog";
/// Glue takes no longer comment.
const COMMENT_BYTES_MAX: usize = 255;
const SPECIFICATION: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json";

fn facet(schema: &str, mut facet: Value) -> Value {
    if let Value::Object(members) = &mut facet {
        members.insert("_producer".to_owned(), json!(PRODUCER));
        let schema = format!("https://openlineage.io/spec/facets/{schema}");
        members.insert("_schemaURL".to_owned(), json!(schema));
    }
    facet
}

/// Returns an event for each table, lookup and stream (a dataset), and for each table the job that
/// makes it, with its lineage down to columns.
pub(crate) fn open_lineage(catalog: &Catalog, now_ms: u64) -> Vec<Value> {
    let micros = i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
    let time = rows::json::timestamp_text(micros);
    let mut events = Vec::new();
    for entry in catalog.entries.iter().filter(|it| has_rows(it)) {
        events.push(json!({
            "eventTime": time,
            "producer": PRODUCER,
            "schemaURL": format!("{SPECIFICATION}#/$defs/DatasetEvent"),
            "dataset": dataset(catalog, entry),
        }));
        if entry.brief.kind != EntryKind::Table {
            continue;
        }
        let inputs = entry.reads.iter().map(|it| json!({"namespace": catalog.project, "name": it}));
        let mut facets = Map::new();
        facets
            .insert("sql".to_owned(), facet("1-0-1/SQLJobFacet.json", json!({"query": entry.sql})));
        if let Some(text) = &entry.brief.description {
            let told = json!({"description": text});
            facets.insert(
                "documentation".to_owned(),
                facet("1-0-1/DocumentationJobFacet.json", told),
            );
        }
        events.push(json!({
            "eventTime": time,
            "producer": PRODUCER,
            "schemaURL": format!("{SPECIFICATION}#/$defs/JobEvent"),
            "job": {"namespace": catalog.project, "name": entry.brief.name, "facets": facets},
            "inputs": inputs.collect::<Vec<_>>(),
            "outputs": [dataset(catalog, entry)],
        }));
    }
    events
}

fn dataset(catalog: &Catalog, entry: &Entry) -> Value {
    let fields = entry.columns.iter().map(|it| {
        let mut field = json!({"name": it.column.name, "type": it.column.kind});
        if let (Some(text), Value::Object(members)) = (&it.description, &mut field) {
            members.insert("description".to_owned(), json!(text));
        }
        field
    });
    let fields: Vec<Value> = fields.collect();
    let mut facets = Map::new();
    facets.insert(
        "schema".to_owned(),
        facet("1-1-1/SchemaDatasetFacet.json", json!({"fields": fields})),
    );
    if let Some(text) = &entry.brief.description {
        let told = json!({"description": text});
        facets.insert(
            "documentation".to_owned(),
            facet("1-0-1/DocumentationDatasetFacet.json", told),
        );
    }
    if let Some(owner) = &entry.brief.owner {
        let told = json!({"owners": [{"name": owner}]});
        facets.insert("ownership".to_owned(), facet("1-0-1/OwnershipDatasetFacet.json", told));
    }
    let columns: Map<String, Value> = entry
        .columns
        .iter()
        .filter(|it| !it.from.is_empty())
        .map(|it| {
            let from = it.from.iter().map(|origin| {
                json!({"namespace": catalog.project, "name": origin.table, "field": origin.column})
            });
            (it.column.name.clone(), json!({"inputFields": from.collect::<Vec<_>>()}))
        })
        .collect();
    if !columns.is_empty() {
        let told = json!({"fields": columns});
        facets.insert(
            "columnLineage".to_owned(),
            facet("1-2-0/ColumnLineageDatasetFacet.json", told),
        );
    }
    json!({"namespace": catalog.project, "name": entry.brief.name, "facets": facets})
}

fn has_rows(entry: &Entry) -> bool {
    matches!(entry.brief.kind, EntryKind::Stream | EntryKind::Table | EntryKind::Lookup)
}

/// Returns the tables as Glue's `GetTables` lists them.
pub(crate) fn glue(catalog: &Catalog) -> Value {
    let tables = catalog.entries.iter().filter(|it| has_rows(it) && it.location.is_some());
    let table = |entry: &Entry| {
        let mut parameters = Map::new();
        for (name, value) in [
            ("classification", "delta".to_owned()),
            ("table_type", "delta".to_owned()),
            ("recordCount", entry.brief.rows.to_string()),
            ("sizeKey", entry.bytes.to_string()),
            ("mainstem.kind", entry.brief.kind.word().to_owned()),
            ("mainstem.layer", entry.brief.layer.clone().unwrap_or_default()),
            ("mainstem.tags", entry.brief.tags.join(",")),
        ] {
            parameters.insert(name.to_owned(), json!(value));
        }
        json!({
            "Name": entry.brief.name,
            "DatabaseName": catalog.project,
            "Description": entry.brief.description.clone().unwrap_or_default(),
            "Owner": entry.brief.owner.clone().unwrap_or_default(),
            "UpdateTime": entry.brief.updated_ms.map(|it| it as f64 / 1_000.0),
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": [],
            "Parameters": parameters,
            "StorageDescriptor": {
                "Columns": entry.columns.iter().map(glue_column).collect::<Vec<_>>(),
                "Location": entry.location,
                "InputFormat": "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat",
                "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                "SerdeInfo": {
                    "SerializationLibrary":
                        "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
                },
            },
        })
    };
    json!({"TableList": tables.map(table).collect::<Vec<_>>()})
}

fn glue_column(it: &EntryColumn) -> Value {
    let mut column =
        json!({"Name": it.column.name.to_lowercase(), "Type": hive_type(&it.column.kind)});
    if let (Some(text), Value::Object(members)) = (&it.description, &mut column) {
        let (comment, _) = text.split_at(text.floor_char_boundary(COMMENT_BYTES_MAX));
        members.insert("Comment".to_owned(), json!(comment));
    }
    column
}

fn hive_type(kind: &str) -> String {
    match kind {
        "text" | "json" => "string".to_owned(),
        "int" => "bigint".to_owned(),
        "float" => "double".to_owned(),
        "bool" => "boolean".to_owned(),
        "bytes" => "binary".to_owned(),
        decimal if decimal.starts_with("decimal") => decimal.to_owned(),
        list if list.starts_with("list") => "array<string>".to_owned(),
        other => other.to_owned(),
    }
}
