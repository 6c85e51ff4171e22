//! `ListTables`, `DescribeTable` and what else a client asks of tables rather than of items.

use base::limits;
use serde::{Deserialize, Serialize};

use super::key;
use super::request::{check_table_name, invalid, name_of, read, table_named};
use super::value::type_of;
use crate::aws::Call;
use crate::aws::fault::{ACCOUNT, Fault};
use crate::aws::validate::Constraints;
use crate::aws::wire::Moment;
use crate::items::ItemTable;

/// The region of every resource; SDKs want one in an ARN.
const REGION: &str = "us-east-1";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListTables {
    exclusive_start_table_name: Option<String>,
    limit: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListTablesAnswer {
    table_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_table_name: Option<String>,
}

pub(crate) fn list(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: ListTables = read(call, limits::DYNAMODB_REQUEST_BYTES_MAX)?;
    let most = i64::from(limits::DYNAMODB_TABLES_LISTED_MAX);
    let limit = request.limit.unwrap_or(most);
    let mut constraints = Constraints::default();
    constraints.range(limit, "limit", 1..=most);
    constraints.check()?;
    let after = request.exclusive_start_table_name.unwrap_or_default();
    let tables = call.items.map(|it| it.tables()).unwrap_or_default();
    let names = tables.iter().map(|it| it.name.as_str()).filter(|it| after.as_str() < *it);
    let mut table_names: Vec<String> = names.map(str::to_owned).collect();
    table_names.sort_unstable();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = limit < table_names.len();
    table_names.truncate(limit);
    let last_evaluated_table_name = if has_more { table_names.last().cloned() } else { None };
    call.write(&ListTablesAnswer { table_names, last_evaluated_table_name })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfTable {
    table_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeTableAnswer<'a> {
    table: TableDescription<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TableDescription<'a> {
    attribute_definitions: Vec<AttributeDefinition<'a>>,
    table_name: &'a str,
    key_schema: Vec<KeySchemaElement<'a>>,
    table_status: &'static str,
    creation_date_time: Moment,
    provisioned_throughput: ProvisionedThroughput,
    table_size_bytes: u64,
    item_count: u64,
    table_arn: String,
    billing_mode_summary: BillingModeSummary,
    deletion_protection_enabled: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttributeDefinition<'a> {
    attribute_name: &'a str,
    attribute_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeySchemaElement<'a> {
    attribute_name: &'a str,
    key_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProvisionedThroughput {
    number_of_decreases_today: u64,
    read_capacity_units: u64,
    write_capacity_units: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BillingModeSummary {
    billing_mode: &'static str,
}

pub(crate) fn describe(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let table = named(call)?;
    call.write(&DescribeTableAnswer { table: TableDescription::of(&table) })
}

/// Returns the table that a request is about.
fn named(call: Call<'_>) -> Result<ItemTable, Fault> {
    let request: OfTable = read(call, limits::DYNAMODB_REQUEST_BYTES_MAX)?;
    let mut constraints = Constraints::default();
    check_table_name(request.table_name.as_ref(), &mut constraints);
    constraints.check()?;
    let given = request.table_name.unwrap_or_default();
    let found = table_named(call, &given).map(|(table, _)| table);
    found.map_err(|fault| {
        let message = format!("{}: Table: {} not found", fault.message, name_of(&given));
        Fault { message, ..fault }
    })
}

impl TableDescription<'_> {
    fn of(table: &ItemTable) -> TableDescription<'_> {
        let key_schema = [(Some(&table.key), "HASH"), (table.sort.as_ref(), "RANGE")];
        let key_schema = key_schema.into_iter().filter_map(|(attribute, key_type)| {
            Some(KeySchemaElement { attribute_name: &attribute?.name, key_type })
        });
        let definitions = key::attributes(table).map(|it| AttributeDefinition {
            attribute_name: &it.name,
            attribute_type: type_of(it.kind).unwrap_or("S"),
        });
        TableDescription {
            attribute_definitions: definitions.collect(),
            table_name: table.name.as_str(),
            key_schema: key_schema.collect(),
            table_status: "ACTIVE",
            creation_date_time: Moment(table.created_ms),
            provisioned_throughput: ProvisionedThroughput {
                number_of_decreases_today: 0,
                read_capacity_units: 0,
                write_capacity_units: 0,
            },
            table_size_bytes: table.bytes,
            item_count: table.items,
            table_arn: arn_of(&table.name),
            billing_mode_summary: BillingModeSummary { billing_mode: "PAY_PER_REQUEST" },
            deletion_protection_enabled: false,
        }
    }
}

fn arn_of(table: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}")
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TimeToLiveAnswer {
    time_to_live_description: TimeToLive,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TimeToLive {
    time_to_live_status: &'static str,
}

/// Rows are kept as the project says (`keep`), not by an attribute of each.
pub(crate) fn describe_time_to_live(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    named(call)?;
    let time_to_live_description = TimeToLive { time_to_live_status: "DISABLED" };
    call.write(&TimeToLiveAnswer { time_to_live_description })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeLimitsAnswer {
    account_max_read_capacity_units: u64,
    account_max_write_capacity_units: u64,
    table_max_read_capacity_units: u64,
    table_max_write_capacity_units: u64,
}

/// What a new account has at AWS; nothing is held back by it here.
const CAPACITY_OF_ACCOUNT: u64 = 80_000;
const CAPACITY_OF_TABLE: u64 = 40_000;

pub(crate) fn limits(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    call.write(&DescribeLimitsAnswer {
        account_max_read_capacity_units: CAPACITY_OF_ACCOUNT,
        account_max_write_capacity_units: CAPACITY_OF_ACCOUNT,
        table_max_read_capacity_units: CAPACITY_OF_TABLE,
        table_max_write_capacity_units: CAPACITY_OF_TABLE,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeEndpointsAnswer<'a> {
    endpoints: [Endpoint<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint<'a> {
    address: &'a str,
    cache_period_in_minutes: u64,
}

/// The address is the one that the client came by.
pub(crate) fn endpoints(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    const DAY: u64 = 24 * 60;
    let endpoint = Endpoint { address: call.host, cache_period_in_minutes: DAY };
    call.write(&DescribeEndpointsAnswer { endpoints: [endpoint] })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListTagsOfResource {
    resource_arn: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListTagsOfResourceAnswer {
    tags: [(); 0],
}

pub(crate) fn tags(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: ListTagsOfResource = read(call, limits::DYNAMODB_REQUEST_BYTES_MAX)?;
    let mut constraints = Constraints::default();
    constraints.required(request.resource_arn.as_ref(), "resourceArn");
    constraints.check()?;
    let arn = request.resource_arn.unwrap_or_default();
    let is_table = arn.starts_with("arn:aws:dynamodb:") && arn.contains(":table/");
    if !is_table {
        return Err(invalid(format!(
            "Invalid TableArn: Invalid ResourceArn provided as input {arn:.300}"
        )));
    }
    table_named(call, &arn).map_err(|fault| {
        let message = format!("{}: ResourceArn: {arn:.300} not found", fault.message);
        Fault { message, ..fault }
    })?;
    call.write(&ListTagsOfResourceAnswer { tags: [] })
}
