//! The JSON Schema of the project files, from the types that read them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use crate::alert::{AlertOptions, NotifyOptions};
use crate::bucket::BucketOptions;
use crate::dashboard::DashboardOptions;
use crate::lookup::LookupOptions;
use crate::project::ProjectOptions;
use crate::stream::StreamOptions;
use crate::table::TableOptions;
use crate::test::TestOptions;

/// A project file of Mainstem. A project is a folder of such files and of `NAME.sql`, one table
/// each.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes for the schema what is read section by section")]
struct ProjectFile {
    /// What the project is called.
    project: Option<ProjectOptions>,
    /// What comes in.
    #[serde(default)]
    stream: BTreeMap<String, StreamOptions>,
    /// Places with objects.
    #[serde(default)]
    bucket: BTreeMap<String, BucketOptions>,
    /// Small tables read whole.
    #[serde(default)]
    lookup: BTreeMap<String, LookupOptions>,
    /// What is made of it.
    #[serde(default)]
    table: BTreeMap<String, TableOptions>,
    /// What is alarming.
    #[serde(default)]
    alert: BTreeMap<String, AlertOptions>,
    /// Who is told.
    #[serde(default)]
    notify: BTreeMap<String, NotifyOptions>,
    /// What is shown.
    #[serde(default)]
    dashboard: BTreeMap<String, DashboardOptions>,
    /// What must come out.
    #[serde(default)]
    test: BTreeMap<String, TestOptions>,
}

/// Returns the JSON Schema of a project file, for editors and for the reference.
pub fn json_schema() -> serde_json::Value {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<ProjectFile>().to_value()
}

#[cfg(test)]
mod tests;
