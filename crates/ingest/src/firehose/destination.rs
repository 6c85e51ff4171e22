//! The destination of a delivery stream: the lake, in the words of `ExtendedS3Destination`.

use serde_json::{Map, Value, json};

use crate::aws::fault::Fault;
use crate::aws::validate::Constraints;

/// What a request calls destinations; those without a description are not served.
const KINDS: &[(&str, bool)] = &[
    ("ExtendedS3Destination", true),
    ("S3Destination", true),
    ("RedshiftDestination", false),
    ("ElasticsearchDestination", false),
    ("AmazonopensearchserviceDestination", false),
    ("AmazonOpenSearchServerlessDestination", false),
    ("SplunkDestination", false),
    ("HttpEndpointDestination", false),
    ("SnowflakeDestination", false),
    ("IcebergDestination", false),
];

/// The one destination there is.
pub(super) const ID: &str = "destinationId-000000000001";

/// Returns the settings that a request gives by `…Configuration` or `…Update`.
pub(super) fn given(
    request: &Map<String, Value>,
    ending: &str,
) -> Result<Option<Map<String, Value>>, Fault> {
    let mut found = None;
    for (kind, is_served) in KINDS {
        let member = format!("{kind}{ending}");
        let Some(settings) = request.get(&member) else { continue };
        if !is_served {
            return Err(Fault::invalid_argument(format!(
                "{member} is not served: records are stored in the table of the stream, as Parquet \
                 in a Delta table; use ExtendedS3Destination{ending}"
            )));
        }
        let Value::Object(settings) = settings else {
            return Err(Fault::serialization(format!("{member} must be an object")));
        };
        if found.replace(settings.clone()).is_some() {
            let message = "Exactly one destination configuration is supported for a Firehose";
            return Err(Fault::invalid_argument(message));
        }
    }
    Ok(found)
}

/// Checks what has limits in Firehose.
pub(super) fn check(settings: &Map<String, Value>, member: &str) -> Result<(), Fault> {
    let mut constraints = Constraints::default();
    let hint = |name: &str| {
        settings.get("BufferingHints").and_then(|it| it.get(name)).and_then(Value::as_i64)
    };
    if let Some(size) = hint("SizeInMBs") {
        let member = format!("{member}.bufferingHints.sizeInMBs");
        constraints.range(size, member, 1..=128);
    }
    if let Some(interval) = hint("IntervalInSeconds") {
        let member = format!("{member}.bufferingHints.intervalInSeconds");
        constraints.range(interval, member, 0..=900);
    }
    if let Some(format) = settings.get("CompressionFormat").and_then(Value::as_str) {
        let formats = ["UNCOMPRESSED", "GZIP", "ZIP", "Snappy", "HADOOP_SNAPPY"];
        constraints.one_of(format, format!("{member}.compressionFormat"), &formats);
    }
    constraints.check()
}

/// Fills in what Firehose describes though nobody said it.
pub(super) fn with_defaults(mut settings: Map<String, Value>) -> Map<String, Value> {
    let defaults = [
        ("BucketARN", json!("arn:aws:s3:::mainstem")),
        ("RoleARN", json!("arn:aws:iam::000000000000:role/mainstem")),
        ("BufferingHints", json!({"SizeInMBs": 5, "IntervalInSeconds": 300})),
        ("CompressionFormat", json!("UNCOMPRESSED")),
        ("EncryptionConfiguration", json!({"NoEncryptionConfig": "NoEncryption"})),
        ("S3BackupMode", json!("Disabled")),
    ];
    for (name, value) in defaults {
        settings.entry(name).or_insert(value);
    }
    settings
}

/// Lays an update over what is there: objects setting by setting, all else as a whole.
pub(super) fn update(settings: &mut Map<String, Value>, update: Map<String, Value>) {
    for (name, value) in update {
        match (settings.get_mut(&name), value) {
            (Some(Value::Object(before)), Value::Object(more)) => before.extend(more),
            (Some(before), value) => *before = value,
            (None, value) => drop(settings.insert(name, value)),
        }
    }
}

/// What of the settings is followed, and by which setting of the project.
pub(super) fn notes(settings: &Map<String, Value>) -> Vec<String> {
    let mut notes = vec![
        "records are rows of the stream's table, stored as Parquet in a Delta table; the bucket \
         and the prefix are kept, and not written to"
            .to_owned(),
    ];
    if let Some(hints) = settings.get("BufferingHints") {
        let seconds = hints.get("IntervalInSeconds").and_then(Value::as_i64).unwrap_or(300);
        notes.push(format!(
            "rows are visible at once; the interval of {seconds} seconds is `flush` of [project]"
        ));
    }
    let is_enabled = |name: &str| {
        settings.get(name).is_some_and(|it| it.get("Enabled") == Some(&Value::Bool(true)))
    };
    if is_enabled("DataFormatConversionConfiguration") {
        notes.push("rows are always converted: by the columns of [stream.NAME]".to_owned());
    }
    if is_enabled("DynamicPartitioningConfiguration") {
        notes.push("files are laid out by `partition` of a table that reads the stream".to_owned());
    }
    if is_enabled("ProcessingConfiguration") {
        notes.push("records are not processed on their way in; write a table in SQL".to_owned());
    }
    notes
}
