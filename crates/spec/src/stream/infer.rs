//! Streams whose columns are found in their files: `schema = "infer"`, and `schemas/NAME.toml`.

use base::Name;
use schemars::JsonSchema;
use toml::de::DeValue;

use crate::ctx::{Declared, LoadCtx};
use crate::document::{self, Value};
use crate::door::DoorUse;
use crate::said::{FromWords, Said, Words, choose};

/// The door that reads files.
const FILES: &str = "files";

/// How the columns are known, if they are not declared.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
pub(crate) enum SchemaWord {
    /// They are found in the files.
    Infer,
}

impl FromWords for SchemaWord {
    const WHAT: &'static str = "`\"infer\"`";

    fn from_words(text: &str) -> Result<SchemaWord, String> {
        choose(text, &[("infer", SchemaWord::Infer)])
    }
}

/// Returns the path of the project file with the columns that were found for a stream.
pub fn schema_path(name: &Name) -> String {
    format!("schemas/{name}.toml")
}

/// Faults a stream that has no files in which columns could be found.
pub(crate) fn check(ctx: &mut LoadCtx<'_>, said: &Said<Words<SchemaWord>>, from: &[DoorUse]) {
    if from.iter().any(|it| it.door.as_str() == FILES) {
        return;
    }
    let help = "add `from = [{ door = \"files\", bucket = \"NAME\", matching = \"PATTERN\" }]`, or \
                declare the columns";
    let message = "columns are found in files, and the stream has no door `files`";
    ctx.fault(&said.range, message, Some(help.to_owned()));
}

/// A section with a name, not yet read.
type Found<'i> = (String, Declared, Value<'i>);

/// Makes each `schemas/NAME.toml` a part of the stream that says `schema = "infer"`.
pub(crate) fn join<'i>(ctx: &mut LoadCtx<'_>, found: Vec<Found<'i>>) -> Vec<Found<'i>> {
    let is_schema =
        |it: &Found<'i>| it.0 == "stream" && it.1.spot.file.path == schema_path(&it.1.name);
    let (schemas, mut others): (Vec<_>, Vec<_>) = found.into_iter().partition(is_schema);
    for (section, declared, value) in schemas {
        let is_stream =
            |it: &&mut Found<'i>| it.0 == "stream" && it.1.name == declared.name && infers(&it.2);
        match others.iter_mut().find(is_stream) {
            Some((_, _, stream)) => lay_over(ctx, &declared, stream, value),
            None => others.push((section, declared, value)),
        }
    }
    others
}

fn infers(stream: &Value<'_>) -> bool {
    matches!(stream.get_ref(), DeValue::Table(settings) if settings.contains_key("schema"))
}

fn lay_over<'i>(
    ctx: &mut LoadCtx<'_>,
    declared: &Declared,
    stream: &mut Value<'i>,
    schema: Value<'i>,
) {
    let (DeValue::Table(stream), DeValue::Table(schema)) = (stream.get_mut(), schema.into_inner())
    else {
        return;
    };
    if let Some(columns) = stream.get("columns") {
        let path = &declared.spot.file.path;
        let message = format!("`{}` has columns here and in `{path}`", declared.name);
        let help = format!("keep one: leave `schema` out and remove `{path}`, or move them there");
        ctx.fault(&columns.span(), message, Some(help));
    }
    document::overlay(stream, schema);
}

#[cfg(test)]
mod tests;
