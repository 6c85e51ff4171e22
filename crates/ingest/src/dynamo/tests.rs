//! The DynamoDB API over the router, with items in memory and a real journal.

use std::sync::Arc;
use std::time::Duration;

use base::time::SystemClock;
use base::{Kind, Name};
use ciborium::value::Value as Cbor;
use expect_test::{Expect, expect};
use journal::StreamSettings;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use self::memory::{Memory, item, number, table, text};
use super::*;
use crate::items::{AttributeKind, Value};
use crate::keys::{Act, Key};
use crate::tests::{Fixture, NOW_MS, PENDING_BYTES_MAX, python};
use crate::{Intake, Rate};

pub(crate) mod memory;

/// Orders by customer and time, customers without a sort attribute, readings by number and bytes.
fn shop() -> Memory {
    let mut orders = table("orders", "customer", Some(("at", AttributeKind::Text)));
    orders.puts = Some(Name::new("notes").unwrap());
    for (customer, minute, amount) in
        [("ada", 1, "20.50"), ("ada", 2, "7"), ("ada", 3, "100"), ("bob", 2, "1")]
    {
        orders.rows.push(item([
            ("customer", text(customer)),
            ("at", text(&format!("2026-01-05T08:0{minute}:00Z"))),
            ("amount", number(amount)),
            (
                "parts",
                Value::List(vec![
                    Value::Map(item([("sku", text("p1")), ("n", number(2))])),
                    Value::Map(item([("sku", text("p2")), ("n", Value::Null)])),
                ]),
            ),
            ("paid", Value::Bool(amount != "7")),
        ]));
    }
    let mut customers = table("customers", "id", None);
    customers.puts = Some(Name::new("closed").unwrap());
    customers.rows.push(item([("id", text("ada")), ("name", text("Ada L"))]));
    let mut readings = table("readings", "sensor", Some(("mark", AttributeKind::Bytes)));
    readings.about.key.kind = AttributeKind::Number;
    for mark in [&[0, 1][..], &[0, 255], &[1, 0], &[255, 255]] {
        let mark = Value::Bytes(mark.to_vec());
        readings.rows.push(item([("sensor", number("7.0")), ("mark", mark)]));
    }
    Memory { tables: vec![customers, orders, readings], ..Memory::default() }
}

struct Shop {
    fixture: Fixture,
    items: Arc<Memory>,
}

impl Shop {
    fn new() -> Shop {
        Shop::of(Fixture::new())
    }

    fn of(mut fixture: Fixture) -> Shop {
        let items = Arc::new(shop());
        let served = Arc::clone(&items) as Arc<dyn crate::Items>;
        fixture.router = crate::router::routes(fixture.inlet.clone(), Some(served), None);
        Shop { fixture, items }
    }

    async fn call(&self, operation: &str, request: Json) -> (u16, Json) {
        let target = format!("{SERVICE}.{operation}");
        let headers = [
            ("x-amz-target", target.as_str()),
            ("content-type", "application/x-amz-json-1.0"),
            ("host", "127.0.0.1:7070"),
        ];
        let (status, headers, body) = self.fixture.post("/", &headers, request.to_string()).await;
        assert!(headers.contains_key("x-amzn-requestid"));
        assert_eq!(headers["content-type"], "application/x-amz-json-1.0");
        let mut sum = flate2::Crc::new();
        sum.update(&body);
        assert_eq!(headers["x-amz-crc32"], sum.sum().to_string());
        (status.as_u16(), serde_json::from_slice(&body).unwrap())
    }

    async fn done(&self, operation: &str, request: Json) -> Json {
        let (status, body) = self.call(operation, request).await;
        assert_eq!(status, 200, "{operation}: {body}");
        body
    }

    async fn refused(&self, operation: &str, request: Json, expected: Expect) {
        let (status, body) = self.call(operation, request).await;
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        expected.assert_eq(&format!("{status} {}: {}", text("__type"), text("message")));
    }

    /// The totals of the orders that a query answers.
    async fn totals(&self, request: Json) -> Vec<String> {
        let answer = self.done("Query", request).await;
        let items = answer["Items"].as_array().unwrap();
        items.iter().map(|it| it["amount"]["N"].as_str().unwrap().to_owned()).collect()
    }
}

fn key(customer: &str, minute: u32) -> Json {
    json!({ "customer": { "S": customer }, "at": { "S": format!("2026-01-05T08:0{minute}:00Z") } })
}

/// A query of ada's orders, with what `more` adds.
fn query(more: Json) -> Json {
    let mut request = json!({
        "TableName": "orders",
        "KeyConditionExpression": "customer = :c",
        "ExpressionAttributeValues": { ":c": { "S": "ada" } },
    });
    merge(&mut request, more);
    request
}

fn merge(into: &mut Json, more: Json) {
    match (into, more) {
        (Json::Object(into), Json::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name).or_insert(Json::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

#[tokio::test]
async fn one_item_is_found_by_its_key() {
    let shop = Shop::new();
    let request = json!({ "TableName": "orders", "Key": key("ada", 1), "ConsistentRead": true,
        "ReturnConsumedCapacity": "INDEXES" });
    let answer = shop.done("GetItem", request).await;
    assert_eq!(
        answer,
        json!({
            "Item": {
                "customer": { "S": "ada" },
                "at": { "S": "2026-01-05T08:01:00Z" },
                "amount": { "N": "20.5" },
                "parts": { "L": [
                    { "M": { "n": { "N": "2" }, "sku": { "S": "p1" } } },
                    { "M": { "n": { "NULL": true }, "sku": { "S": "p2" } } },
                ] },
                "paid": { "BOOL": true },
            },
            "ConsumedCapacity": {
                "TableName": "orders", "CapacityUnits": 1.0, "Table": { "CapacityUnits": 1.0 }
            },
        })
    );
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/customers";
    let request = json!({ "TableName": arn, "Key": { "id": { "S": "ada" } },
        "ProjectionExpression": "#n", "ExpressionAttributeNames": { "#n": "name" } });
    assert_eq!(
        shop.done("GetItem", request).await,
        json!({ "Item": { "name": { "S": "Ada L" } } })
    );
    let request = json!({ "TableName": "customers", "Key": { "id": { "S": "eve" } } });
    assert_eq!(shop.done("GetItem", request).await, json!({}));
    let request = json!({ "TableName": "readings", "AttributesToGet": ["sensor"],
        "Key": { "sensor": { "N": "7.00" }, "mark": { "B": "AP8=" } } });
    assert_eq!(shop.done("GetItem", request).await, json!({ "Item": { "sensor": { "N": "7" } } }));
}

#[tokio::test]
async fn of_items_with_one_key_the_newest_is_meant() {
    let mut memory = shop();
    for note in ["first", "second"] {
        let row = item([("id", text("bob")), ("note", text(note))]);
        memory.tables[0].rows.push(row);
    }
    let mut shop = Shop::new();
    shop.items = Arc::new(memory);
    let served = Arc::clone(&shop.items) as Arc<dyn crate::Items>;
    shop.fixture.router = crate::router::routes(shop.fixture.inlet.clone(), Some(served), None);
    let request = json!({ "TableName": "customers", "Key": { "id": { "S": "bob" } } });
    let answer = shop.done("GetItem", request).await;
    assert_eq!(answer["Item"]["note"]["S"], "second");
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let shop = Shop::new();
    let get = |table: &str, key: Json| json!({ "TableName": table, "Key": key });
    let mismatch = || {
        expect![
            "400 com.amazon.coral.validate#ValidationException: The provided key element does not match the schema"
        ]
    };
    for wrong in [
        json!({}),
        json!({ "customer": { "S": "ada" } }),
        json!({ "customer": { "S": "ada" }, "at": { "N": "1" } }),
        json!({ "customer": { "S": "ada" }, "at": { "S": "1" }, "x": { "S": "1" } }),
        json!({ "costumer": { "S": "ada" }, "at": { "S": "1" } }),
    ] {
        shop.refused("GetItem", get("orders", wrong), mismatch()).await;
    }
    shop.refused("GetItem", get("customers", json!({ "id": { "S": "" } })), expect!["400 com.amazon.coral.validate#ValidationException: One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: id"]).await;
    shop.refused("GetItem", get("customers", json!({ "id": { "S": "x".repeat(2049) } })), expect!["400 com.amazon.coral.validate#ValidationException: One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes"]).await;
    shop.refused("GetItem", get("customers", json!({ "id": {} })), expect!["400 com.amazon.coral.validate#ValidationException: Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"]).await;
    shop.refused("GetItem", get("customers", json!({ "id": { "N": 5 } })), expect!["400 com.amazon.coral.service#SerializationException: invalid type: integer `5`, expected a string at line 1 column 19"]).await;
    shop.refused("GetItem", get("nothing", json!({ "id": { "S": "a" } })), expect!["400 com.amazonaws.dynamodb.v20120810#ResourceNotFoundException: Requested resource not found"]).await;
    shop.refused("GetItem", json!({ "ReturnConsumedCapacity": "ALL" }), expect![[r#"400 com.amazon.coral.validate#ValidationException: 3 validation errors detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null; Value null at 'key' failed to satisfy constraint: Member must not be null; Value 'ALL' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]"#]]).await;
    let request = json!({ "TableName": "orders", "Key": key("ada", 1), "ProjectionExpression": "customer.x" });
    shop.refused("GetItem", request, expect!["400 com.amazon.coral.validate#ValidationException: Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: customer"]).await;
    let request = json!({ "TableName": "orders", "Key": key("ada", 1), "ProjectionExpression": "amount", "AttributesToGet": ["amount"] });
    shop.refused("GetItem", request, expect!["400 com.amazon.coral.validate#ValidationException: Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {AttributesToGet} Expression parameters: {ProjectionExpression}"]).await;
}

#[tokio::test]
async fn faults_of_items_are_told_as_dynamodb_would() {
    let shop = Shop::new();
    let get = || json!({ "TableName": "customers", "Key": { "id": { "S": "ada" } } });
    for (kind, told) in [
        (
            Kind::Throttled,
            expect![
                "400 com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException: The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API."
            ],
        ),
        (Kind::Unavailable, expect!["503 ServiceUnavailable: the items are away; ask again"]),
        (
            Kind::Invalid,
            expect![
                "400 com.amazon.coral.validate#ValidationException: the items are away; ask again"
            ],
        ),
        (
            Kind::Bug,
            expect![
                "500 com.amazonaws.dynamodb.v20120810#InternalServerError: Internal server error"
            ],
        ),
    ] {
        shop.items.fail(0, kind);
        shop.refused("GetItem", get(), told).await;
    }
}

#[tokio::test]
async fn many_items_are_found_in_one_call() {
    let shop = Shop::new();
    let request = json!({
        "ReturnConsumedCapacity": "TOTAL",
        "RequestItems": {
            "orders": {
                "Keys": [key("ada", 3), key("eve", 1), key("bob", 2)],
                "ProjectionExpression": "amount",
            },
            "customers": { "Keys": [{ "id": { "S": "ada" } }], "ConsistentRead": true },
        },
    });
    let answer = shop.done("BatchGetItem", request).await;
    assert_eq!(
        answer,
        json!({
            "Responses": {
                "orders": [{ "amount": { "N": "100" } }, { "amount": { "N": "1" } }],
                "customers": [{ "id": { "S": "ada" }, "name": { "S": "Ada L" } }],
            },
            "UnprocessedKeys": {},
            "ConsumedCapacity": [
                { "TableName": "customers", "CapacityUnits": 1.0 },
                { "TableName": "orders", "CapacityUnits": 1.5 },
            ],
        })
    );
}

#[tokio::test]
async fn what_finds_no_room_in_an_answer_is_left() {
    let mut memory = shop();
    memory.tables[0].rows.clear();
    for index in 0..50 {
        let name = Value::Text("x".repeat(400_000));
        memory.tables[0].rows.push(item([("id", text(&format!("c{index}"))), ("name", name)]));
    }
    let mut shop = Shop::new();
    let served = Arc::new(memory) as Arc<dyn crate::Items>;
    shop.fixture.router = crate::router::routes(shop.fixture.inlet.clone(), Some(served), None);
    let mut keys: Vec<Json> =
        (0..50).map(|it| json!({ "id": { "S": format!("c{it}") } })).collect();
    let mut found = 0;
    for round in 0.. {
        let request = json!({ "RequestItems": { "customers": { "Keys": keys, "ProjectionExpression": "id" } } });
        let answer = shop.done("BatchGetItem", request).await;
        found += answer["Responses"]["customers"].as_array().unwrap().len();
        let left = &answer["UnprocessedKeys"]["customers"];
        if left.is_null() {
            assert_eq!(round, 1);
            break;
        }
        assert_eq!(left["ProjectionExpression"], "id");
        keys = left["Keys"].as_array().unwrap().clone();
    }
    assert_eq!(found, 50);
}

#[tokio::test]
async fn a_batch_that_is_throttled_is_partly_done() {
    let shop = Shop::new();
    let keys: Vec<Json> = (0..40).map(|it| json!({ "id": { "S": format!("c{it}") } })).collect();
    let request = || json!({ "RequestItems": { "customers": { "Keys": keys } } });
    shop.items.fail(20, Kind::Throttled);
    let answer = shop.done("BatchGetItem", request()).await;
    assert_eq!(answer["UnprocessedKeys"]["customers"]["Keys"].as_array().unwrap().len(), 20);
    shop.items.fail(0, Kind::Throttled);
    let (status, answer) = shop.call("BatchGetItem", request()).await;
    assert_eq!(status, 400);
    let name = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
    assert_eq!(answer["__type"], name);
}

#[tokio::test]
async fn batches_have_limits() {
    let shop = Shop::new();
    let request = |count: usize| {
        let keys: Vec<Json> =
            (0..count).map(|it| json!({ "id": { "S": format!("c{it}") } })).collect();
        json!({ "RequestItems": { "customers": { "Keys": keys } } })
    };
    shop.done("BatchGetItem", request(100)).await;
    shop.refused("BatchGetItem", request(101), expect!["400 com.amazon.coral.validate#ValidationException: Too many items requested for the BatchGetItem call"]).await;
    shop.refused("BatchGetItem", request(0), expect!["400 com.amazon.coral.validate#ValidationException: 1 validation error detected: Value '[]' at 'requestItems.customers.member.keys' failed to satisfy constraint: Member must have length greater than or equal to 1"]).await;
    let keys = json!([{ "sensor": { "N": "1.0" }, "mark": { "B": "AA==" } }, { "sensor": { "N": "1" }, "mark": { "B": "AA==" } }]);
    let request = json!({ "RequestItems": { "readings": { "Keys": keys } } });
    shop.refused("BatchGetItem", request, expect!["400 com.amazon.coral.validate#ValidationException: Provided list of item keys contains duplicates"]).await;
    let request = json!({ "RequestItems": { "nothing": { "Keys": [{ "id": { "S": "a" } }] } } });
    shop.refused("BatchGetItem", request, expect!["400 com.amazonaws.dynamodb.v20120810#ResourceNotFoundException: Requested resource not found"]).await;
}

#[tokio::test]
async fn items_of_a_key_are_found_in_order() {
    let shop = Shop::new();
    assert_eq!(shop.totals(query(json!({}))).await, ["20.5", "7", "100"]);
    assert_eq!(
        shop.totals(query(json!({ "ScanIndexForward": false }))).await,
        ["100", "7", "20.5"]
    );
    let within = |condition: &str| {
        query(json!({
            "KeyConditionExpression": format!("customer = :c AND {condition}"),
            "ExpressionAttributeNames": { "#at": "at" },
            "ExpressionAttributeValues": { ":t": { "S": "2026-01-05T08:02:00Z" } },
        }))
    };
    for (condition, found) in [
        ("#at = :t", &["7"][..]),
        ("#at < :t", &["20.5"]),
        ("#at <= :t", &["20.5", "7"]),
        ("#at > :t", &["100"]),
        (":t <= #at", &["7", "100"]),
        ("(begins_with(#at, :t))", &["7"]),
        ("(#at BETWEEN :t AND :t)", &["7"]),
    ] {
        assert_eq!(shop.totals(within(condition)).await, found, "{condition}");
    }
    let request = json!({
        "TableName": "orders",
        "KeyConditions": {
            "customer": { "ComparisonOperator": "EQ", "AttributeValueList": [{ "S": "ada" }] },
            "at": { "ComparisonOperator": "GE", "AttributeValueList": [{ "S": "2026-01-05T08:02" }] },
        },
        "QueryFilter": { "paid": { "ComparisonOperator": "EQ", "AttributeValueList": [{ "BOOL": true }] } },
        "AttributesToGet": ["amount"],
    });
    let answer = shop.done("Query", request).await;
    let expected =
        json!({ "Items": [{ "amount": { "N": "100" } }], "Count": 1, "ScannedCount": 2 });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn bytes_that_begin_so_are_a_range() {
    let shop = Shop::new();
    for (start, found) in [("AA==", 2), ("AQ==", 1), ("/w==", 1), ("//8=", 1), ("AP8=", 1)] {
        let request = json!({
            "TableName": "readings",
            "KeyConditionExpression": "sensor = :s AND begins_with(mark, :m)",
            "ExpressionAttributeValues": { ":s": { "N": "7" }, ":m": { "B": start } },
        });
        assert_eq!(shop.done("Query", request).await["Count"], found, "{start}");
    }
}

#[tokio::test]
async fn queries_filter_count_and_page() {
    let shop = Shop::new();
    let request = query(json!({
        "FilterExpression": "paid = :p AND attribute_exists(#l[0].sku)",
        "ProjectionExpression": "#l[0].sku, amount",
        "ExpressionAttributeNames": { "#l": "parts" },
        "ExpressionAttributeValues": { ":p": { "BOOL": true } },
        "ReturnConsumedCapacity": "TOTAL",
    }));
    let parts = json!({ "L": [{ "M": { "sku": { "S": "p1" } } }] });
    assert_eq!(
        shop.done("Query", request).await,
        json!({
            "Items": [
                { "parts": parts, "amount": { "N": "20.5" } },
                { "parts": parts, "amount": { "N": "100" } },
            ],
            "Count": 2,
            "ScannedCount": 3,
            "ConsumedCapacity": { "TableName": "orders", "CapacityUnits": 0.5 },
        })
    );
    let answer = shop.done("Query", query(json!({ "Select": "COUNT" }))).await;
    assert_eq!(answer, json!({ "Count": 3, "ScannedCount": 3 }));

    let page = query(json!({ "Limit": 2, "FilterExpression": "amount > :n",
        "ExpressionAttributeValues": { ":n": { "N": "50" } } }));
    let answer = shop.done("Query", page.clone()).await;
    let last =
        json!({ "Items": [], "Count": 0, "ScannedCount": 2, "LastEvaluatedKey": key("ada", 2) });
    assert_eq!(answer, last);
    let mut next = page;
    merge(&mut next, json!({ "ExclusiveStartKey": answer["LastEvaluatedKey"] }));
    let answer = shop.done("Query", next).await;
    assert_eq!((&answer["Count"], &answer["LastEvaluatedKey"]), (&json!(1), &Json::Null));

    let back = |minute| {
        query(
            json!({ "ScanIndexForward": false, "Limit": 1, "ExclusiveStartKey": key("ada", minute) }),
        )
    };
    assert_eq!(shop.totals(back(3)).await, ["7"]);
    assert_eq!(shop.totals(back(1)).await, Vec::<String>::new());
}

#[tokio::test]
async fn starting_keys_are_held_against_the_query() {
    let shop = Shop::new();
    let from = |key: Json| query(json!({ "ExclusiveStartKey": key }));
    shop.refused("Query", from(json!({ "customer": { "S": "ada" } })), expect!["400 com.amazon.coral.validate#ValidationException: The provided starting key is invalid"]).await;
    shop.refused("Query", from(key("bob", 1)), expect!["400 com.amazon.coral.validate#ValidationException: The provided starting key is outside query boundaries based on provided conditions"]).await;
    shop.refused("Query", from(json!({ "customer": { "S": "ada" }, "at": { "N": "1" } })), expect!["400 com.amazon.coral.validate#ValidationException: The provided starting key is invalid: The provided key element does not match the schema"]).await;
    let outside = query(json!({
        "KeyConditionExpression": "customer = :c AND #at > :t",
        "ExpressionAttributeNames": { "#at": "at" },
        "ExpressionAttributeValues": { ":t": { "S": "2026-01-05T08:02:00Z" } },
        "ExclusiveStartKey": key("ada", 1),
    }));
    shop.refused("Query", outside, expect!["400 com.amazon.coral.validate#ValidationException: The provided starting key does not match the range key predicate"]).await;
    // The same moment, written otherwise, is within the range.
    let within = query(json!({
        "KeyConditionExpression": "customer = :c AND #at > :t",
        "ExpressionAttributeNames": { "#at": "at" },
        "ExpressionAttributeValues": { ":t": { "S": "2026-01-05T09:00:30+01:00" } },
        "ExclusiveStartKey": key("ada", 1),
    }));
    assert_eq!(shop.done("Query", within).await["Count"], 2);
    let whole = json!({
        "TableName": "customers",
        "KeyConditionExpression": "id = :c",
        "ExpressionAttributeValues": { ":c": { "S": "ada" } },
        "ExclusiveStartKey": { "id": { "S": "ada" } },
    });
    shop.refused("Query", whole, expect!["400 com.amazon.coral.validate#ValidationException: The query can return at most one row and cannot be restarted"]).await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
async fn queries_that_dynamodb_refuses_are_refused_in_its_words() {
    let shop = Shop::new();
    let on = |condition: &str| query(json!({ "KeyConditionExpression": condition }));
    let invalid = "400 com.amazon.coral.validate#ValidationException: ";
    let cases = [
        (
            query(json!({ "KeyConditionExpression": null, "ExpressionAttributeValues": null })),
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
        ),
        (
            on("customer = :c AND"),
            "Invalid KeyConditionExpression: Syntax error; token: \"<EOF>\", near: \"AND\"",
        ),
        (
            on("name = :c"),
            "Invalid KeyConditionExpression: Attribute name is a reserved keyword; reserved keyword: name",
        ),
        (on("amount = :c"), "Query condition missed key schema element: customer"),
        (on("customer = :c AND amount = :c"), "Query condition missed key schema element: at"),
        (on("customer > :c"), "Query key condition not supported"),
        (on("customer = :c OR amount = :c"), "Invalid operator used in KeyConditionExpression: OR"),
        (on("NOT customer = :c"), "Invalid operator used in KeyConditionExpression: NOT"),
        (on("customer <> :c"), "Invalid operator used in KeyConditionExpression: <>"),
        (on("customer IN (:c)"), "Invalid operator used in KeyConditionExpression: IN"),
        (on("contains(customer, :c)"), "Invalid operator used in KeyConditionExpression: contains"),
        (on("size(customer) = :c"), "KeyConditionExpressions cannot contain nested operations"),
        (
            on("customer.x = :c"),
            "KeyConditionExpressions cannot have conditions on nested attributes",
        ),
        (
            on("customer = :c AND customer = :c"),
            "KeyConditionExpressions must only contain one condition per key",
        ),
        (
            on("customer = amount AND begins_with(customer, :c)"),
            "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition",
        ),
        (on(":c = :c"), "Invalid condition in KeyConditionExpression: No key attribute specified"),
        (
            on("customer = :x"),
            "Invalid KeyConditionExpression: An expression attribute value used in expression is not defined; attribute value: :x",
        ),
        (
            query(json!({ "ExpressionAttributeValues": { ":c": null } , "x": 1 })),
            "ExpressionAttributeValues must not be empty",
        ),
        (
            query(
                json!({ "ExpressionAttributeValues": { ":c": { "N": "1" }, ":c": { "N": "1" } } }),
            ),
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
        ),
        (
            query(json!({ "ExpressionAttributeValues": { ":y": { "S": "y" } } })),
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:y}",
        ),
        (
            query(json!({ "ExpressionAttributeNames": { "#n": "name" } })),
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#n}",
        ),
        (
            query(json!({ "FilterExpression": "customer = :c" })),
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: customer",
        ),
        (
            query(json!({ "FilterExpression": "" })),
            "Invalid FilterExpression: The expression can not be empty;",
        ),
        (
            query(json!({ "AttributesToGet": ["amount"] })),
            "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {AttributesToGet} Expression parameters: {KeyConditionExpression}",
        ),
        (
            query(json!({ "Select": "COUNT", "ProjectionExpression": "amount" })),
            "Cannot specify the ProjectionExpression when choosing to get only the Count",
        ),
        (
            query(json!({ "Select": "SPECIFIC_ATTRIBUTES" })),
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        ),
        (
            query(json!({ "Select": "ALL_PROJECTED_ATTRIBUTES" })),
            "One or more parameter values were invalid: ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
        ),
        (
            query(json!({ "IndexName": "by_total" })),
            "The table does not have the specified index: by_total",
        ),
        (
            query(json!({ "Limit": 0 })),
            "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        (
            query(json!({ "Select": "SOME" })),
            "1 validation error detected: Value 'SOME' at 'select' failed to satisfy constraint: Member must satisfy enum value set: [SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]",
        ),
    ];
    for (mut request, why) in cases {
        if request["x"] == 1 {
            request["ExpressionAttributeValues"] = json!({});
        }
        let (status, body) = shop.call("Query", request.clone()).await;
        let told = format!(
            "{status} {}: {}",
            body["__type"].as_str().unwrap(),
            body["message"].as_str().unwrap()
        );
        assert_eq!(told, format!("{invalid}{why}"), "{request}");
    }
    let old = |conditions: Json| json!({ "TableName": "orders", "KeyConditions": conditions });
    let one = |operator: &str, values: Json| json!({ "ComparisonOperator": operator, "AttributeValueList": values });
    let ada = || one("EQ", json!([{ "S": "ada" }]));
    for (conditions, why) in [
        (json!({}), "Conditions can be of length 1 or 2 only"),
        (
            json!({ "customer": ada(), "at": one("NE", json!([{ "S": "x" }])) }),
            "Attempted conditional constraint is not an indexable operation",
        ),
        (
            json!({ "customer": ada(), "at": one("CONTAINS", json!([{ "S": "x" }])) }),
            "Attempted conditional constraint is not an indexable operation",
        ),
        (
            json!({ "customer": ada(), "at": one("EQ", json!([{ "N": "1" }])) }),
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
        (
            json!({ "customer": one("EQ", json!([])) }),
            "One or more parameter values were invalid: Invalid number of argument(s) for the EQ ComparisonOperator",
        ),
        (
            json!({ "customer": ada(), "at": one("BETWEEN", json!([{ "S": "b" }, { "S": "a" }])) }),
            "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound",
        ),
        (
            json!({ "customer": ada(), "at": one("LT", json!([{ "BOOL": true }])) }),
            "One or more parameter values were invalid: ComparisonOperator LT is not valid for BOOL AttributeValue type",
        ),
    ] {
        let (_, body) = shop.call("Query", old(conditions)).await;
        assert_eq!(body["message"], why);
    }
}

#[tokio::test]
async fn tables_are_listed_and_described() {
    let shop = Shop::new();
    let answer = shop.done("ListTables", json!({ "Limit": 2 })).await;
    assert_eq!(
        answer,
        json!({ "TableNames": ["customers", "orders"], "LastEvaluatedTableName": "orders" })
    );
    let answer = shop.done("ListTables", json!({ "ExclusiveStartTableName": "orders" })).await;
    assert_eq!(answer, json!({ "TableNames": ["readings"] }));
    let answer = shop.done("DescribeTable", json!({ "TableName": "orders" })).await;
    assert_eq!(
        answer,
        json!({ "Table": {
            "TableName": "orders",
            "TableStatus": "ACTIVE",
            "TableArn": "arn:aws:dynamodb:us-east-1:000000000000:table/orders",
            "AttributeDefinitions": [
                { "AttributeName": "customer", "AttributeType": "S" },
                { "AttributeName": "at", "AttributeType": "S" },
            ],
            "KeySchema": [
                { "AttributeName": "customer", "KeyType": "HASH" },
                { "AttributeName": "at", "KeyType": "RANGE" },
            ],
            "BillingModeSummary": { "BillingMode": "PAY_PER_REQUEST" },
            "ProvisionedThroughput": {
                "NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0
            },
            "CreationDateTime": 1_767_600_000.5,
            "ItemCount": 4,
            "TableSizeBytes": 0,
            "DeletionProtectionEnabled": false,
        } })
    );
    shop.refused("DescribeTable", json!({ "TableName": "oders" }), expect!["400 com.amazonaws.dynamodb.v20120810#ResourceNotFoundException: Requested resource not found: Table: oders not found"]).await;
    shop.refused("ListTables", json!({ "Limit": 101 }), expect!["400 com.amazon.coral.validate#ValidationException: 1 validation error detected: Value '101' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 100"]).await;
    let answer = shop.done("DescribeEndpoints", json!({})).await;
    assert_eq!(answer["Endpoints"][0]["Address"], "127.0.0.1:7070");
    let answer = shop.done("DescribeLimits", json!({})).await;
    assert_eq!(answer["TableMaxReadCapacityUnits"], 40_000);
    let answer = shop.done("DescribeTimeToLive", json!({ "TableName": "orders" })).await;
    assert_eq!(answer, json!({ "TimeToLiveDescription": { "TimeToLiveStatus": "DISABLED" } }));
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/orders";
    let answer = shop.done("ListTagsOfResource", json!({ "ResourceArn": arn })).await;
    assert_eq!(answer, json!({ "Tags": [] }));
    shop.refused("ListTagsOfResource", json!({ "ResourceArn": format!("{arn}x") }), expect!["400 com.amazonaws.dynamodb.v20120810#ResourceNotFoundException: Requested resource not found: ResourceArn: arn:aws:dynamodb:us-east-1:000000000000:table/ordersx not found"]).await;
}

#[tokio::test]
async fn a_program_that_serves_no_table_says_so() {
    let mut shop = Shop::new();
    shop.fixture.router = crate::router(shop.fixture.inlet.clone());
    assert_eq!(shop.done("ListTables", json!({})).await, json!({ "TableNames": [] }));
    shop.refused("DescribeTable", json!({ "TableName": "orders" }), expect!["400 com.amazonaws.dynamodb.v20120810#ResourceNotFoundException: Requested resource not found: Table: orders not found"]).await;
}

#[tokio::test]
async fn an_item_that_is_put_is_a_record() {
    let shop = Shop::new();
    let item = json!({
        "customer": { "S": "ada" }, "at": { "S": "2026-01-05T08:09:00Z" },
        "amount": { "N": "12345678901234567890.5000" }, "tiny": { "N": "1E-7" },
        "quote\"": { "S": "a\u{1}\"\\é" }, "paid": { "BOOL": false }, "gone": { "NULL": true },
        "photo": { "B": "AAE=" }, "tags": { "SS": ["a", "b"] }, "marks": { "NS": ["1.0", "2"] },
        "blobs": { "BS": ["AA=="] },
        "parts": { "L": [{ "M": { "n": { "N": "2" } } }, { "L": [] }] },
    });
    let request = json!({ "TableName": "orders", "Item": item, "ReturnConsumedCapacity": "TOTAL" });
    let answer = shop.done("PutItem", request).await;
    assert_eq!(
        answer,
        json!({ "ConsumedCapacity": { "TableName": "orders", "CapacityUnits": 1.0 } })
    );
    let records = shop.fixture.records("notes");
    let [(key, record)] = records[0].as_slice() else { panic!("{records:?}") };
    assert_eq!(key, "ada");
    expect![[r#"{"amount":12345678901234567890.5,"at":"2026-01-05T08:09:00Z","blobs":["AA=="],"customer":"ada","gone":null,"marks":[1,2],"paid":false,"parts":[{"n":2},[]],"photo":"AAE=","quote\"":"a\u0001\"\\é","tags":["a","b"],"tiny":0.0000001}"#]].assert_eq(record);
    let counts = shop.fixture.inlet.counts();
    let of_door = counts.iter().find(|it| it.door == NAME && it.stream == *"notes").unwrap();
    assert_eq!((of_door.records, of_door.refused), (1, 0));
}

#[tokio::test]
async fn puts_of_one_key_keep_their_order() {
    // A stream with a key of its own, and one without.
    for stream in ["orders", "keyless"] {
        let mut memory = shop();
        memory.tables[1].puts = Some(Name::new(stream).unwrap());
        let mut shop = Shop::new();
        let intake = Intake {
            name: Name::new("keyless").unwrap(),
            settings: StreamSettings { shards: 4, ..StreamSettings::default() },
            doors: vec![NAME.to_owned()],
            limit: Rate::default(),
            key: None,
            files: None,
        };
        shop.fixture.inlet.declare(intake).unwrap();
        let served = Arc::new(memory) as Arc<dyn crate::Items>;
        shop.fixture.router = crate::router::routes(shop.fixture.inlet.clone(), Some(served), None);
        for n in 0..20 {
            let mut item = key(["ada", "bob", "eve"][n % 3], 1);
            merge(&mut item, json!({ "n": { "N": n.to_string() } }));
            shop.done("PutItem", json!({ "TableName": "orders", "Item": item })).await;
        }
        let shards = shop.fixture.records(stream);
        assert!(1 < shards.iter().filter(|it| !it.is_empty()).count());
        for customer in ["ada", "bob", "eve"] {
            let number_of =
                |record: &str| serde_json::from_str::<Json>(record).unwrap()["n"].as_u64().unwrap();
            let of = |shard: &[(String, String)]| -> Vec<u64> {
                let of = shard.iter().filter(|(key, _)| key == customer);
                of.map(|(_, record)| number_of(record)).collect()
            };
            let found: Vec<Vec<u64>> =
                shards.iter().map(|it| of(it)).filter(|it| !it.is_empty()).collect();
            assert!(matches!(found.as_slice(), [one] if one.is_sorted()), "{customer}: {found:?}");
        }
    }
}

#[tokio::test]
async fn puts_that_cannot_be_kept_are_refused() {
    let shop = Shop::new();
    let put = |more: Json| {
        let mut request = json!({ "TableName": "orders", "Item": key("ada", 1) });
        merge(&mut request, more);
        request
    };
    shop.refused("PutItem", put(json!({ "Item": { "at": { "N": "1" } } })), expect!["400 com.amazon.coral.validate#ValidationException: Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"]).await;
    let item = |item: Json| json!({ "TableName": "orders", "Item": item });
    shop.refused("PutItem", item(json!({ "customer": { "S": "ada" } })), expect!["400 com.amazon.coral.validate#ValidationException: One or more parameter values were invalid: Missing the key at in the item"]).await;
    shop.refused("PutItem", item(json!({ "customer": { "N": "1" }, "at": { "S": "x" } })), expect!["400 com.amazon.coral.validate#ValidationException: One or more parameter values were invalid: Type mismatch for key customer expected: S actual: N"]).await;
    shop.refused("PutItem", item(json!({ "customer": { "S": "" }, "at": { "S": "x" } })), expect!["400 com.amazon.coral.validate#ValidationException: One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: customer"]).await;
    shop.refused("PutItem", put(json!({ "Item": { "x": { "S": "x".repeat(410_000) } } })), expect!["400 com.amazon.coral.validate#ValidationException: Item size has exceeded the maximum allowed size"]).await;
    shop.refused("PutItem", put(json!({ "ConditionExpression": "attribute_not_exists(customer)" })), expect!["400 com.amazon.coral.validate#ValidationException: ConditionExpression is not supported: an item that is put becomes a record of a stream, and the item that is there is not read"]).await;
    shop.refused("PutItem", put(json!({ "ReturnValues": "ALL_OLD" })), expect!["400 com.amazon.coral.validate#ValidationException: ReturnValues ALL_OLD is not supported: an item that is put becomes a record of a stream, and the item that is there is not read"]).await;
    shop.refused("PutItem", put(json!({ "ReturnValues": "ALL_NEW" })), expect!["400 com.amazon.coral.validate#ValidationException: ReturnValues can only be ALL_OLD or NONE"]).await;
    shop.refused("PutItem", json!({ "TableName": "readings", "Item": { "sensor": { "N": "1" } } }), expect![[r#"400 com.amazon.coral.validate#ValidationException: the table readings takes no puts: name a stream for them in its `serve`, `puts = "STREAM"`"#]]).await;
    shop.refused("PutItem", json!({ "TableName": "customers", "Item": { "id": { "S": "1" } } }), expect![[r#"400 com.amazon.coral.service#AccessDeniedException: stream `closed` does not take records by the door `dynamodb`; add "dynamodb" to `from` of [stream.closed]; open are: "#]]).await;
    assert_eq!(shop.fixture.count("notes"), 0);
}

#[tokio::test]
async fn batches_of_puts_are_records() {
    let shop = Shop::new();
    let put = |minute| json!({ "PutRequest": { "Item": key("ada", minute) } });
    let request = |puts: Vec<Json>| json!({ "RequestItems": { "orders": puts }, "ReturnConsumedCapacity": "TOTAL" });
    let answer = shop.done("BatchWriteItem", request(vec![put(1), put(2)])).await;
    let consumed = json!([{ "TableName": "orders", "CapacityUnits": 2.0 }]);
    assert_eq!(answer, json!({ "UnprocessedItems": {}, "ConsumedCapacity": consumed }));
    assert_eq!(shop.fixture.count("notes"), 2);
    shop.refused("BatchWriteItem", request(vec![put(1), put(1)]), expect!["400 com.amazon.coral.validate#ValidationException: Provided list of item keys contains duplicates"]).await;
    shop.refused("BatchWriteItem", request(vec![json!({ "DeleteRequest": { "Key": key("ada", 1) } })]), expect!["400 com.amazon.coral.validate#ValidationException: items cannot be deleted by this API: a table is what its SELECT makes of its streams; only puts are taken, as records of the stream that the table names for them"]).await;
    let many = (0..26).map(|it| json!({ "PutRequest": { "Item": { "customer": { "S": "a" }, "at": { "S": it.to_string() } } } })).collect();
    shop.refused("BatchWriteItem", request(many), expect!["400 com.amazon.coral.validate#ValidationException: Too many items requested for the BatchWriteItem call"]).await;
    shop.refused("BatchWriteItem", request(Vec::new()), expect!["400 com.amazon.coral.validate#ValidationException: 1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1"]).await;
    assert_eq!(shop.fixture.count("notes"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_are_told_to_slow_down_while_the_disk_cannot_keep_up() {
    let shop = Arc::new(Shop::new());
    shop.fixture.gate.shut();
    let mut item = key("ada", 1);
    merge(&mut item, json!({ "x": { "S": "x".repeat(PENDING_BYTES_MAX * 2 / 3) } }));
    let request = json!({ "TableName": "orders", "Item": item });
    let waiting: Vec<_> = (0..4).map(|n| {
        let (shop, request) = (Arc::clone(&shop), request.clone());
        base::task::spawn("a put", async move {
            if n % 2 == 0 {
                return shop.call("PutItem", request).await;
            }
            let batch = json!({ "RequestItems": { "orders": [{ "PutRequest": { "Item": request["Item"] } }] } });
            shop.call("BatchWriteItem", batch).await
        })
    }).collect();
    // The refused ones are told at once; the gate opens for the others.
    let deadline = Duration::from_secs(60);
    let refused = async {
        while shop.fixture.refused() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(deadline, refused).await.unwrap();
    shop.fixture.gate.open();
    let mut throttled = 0;
    for put in waiting {
        let (status, answer) = put.await.unwrap();
        if status != 200 {
            let name = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
            assert_eq!(answer["__type"], name);
            throttled += 1;
        }
    }
    assert!((2..4).contains(&throttled), "{throttled}");
    assert_eq!(shop.fixture.count("notes"), 4 - throttled);
}

#[tokio::test]
async fn operations_that_are_not_answered_say_why() {
    let shop = Shop::new();
    shop.refused("Scan", json!({ "TableName": "orders" }), expect!["400 com.amazon.coral.validate#ValidationException: Scan is not supported: a whole table is asked for by SQL, POST /v1/sql with SELECT"]).await;
    shop.refused("DeleteTable", json!({ "TableName": "orders" }), expect!["400 com.amazon.coral.validate#ValidationException: tables cannot be changed by this API: they are declared in the project's files"]).await;
    shop.refused("Nothing", json!({}), expect!["400 com.amazon.coral.service#UnknownOperationException: the operation Nothing is not supported"]).await;
    for operation in
        ["UpdateItem", "DeleteItem", "TransactWriteItems", "TransactGetItems", "ExecuteStatement"]
    {
        let (status, body) = shop.call(operation, json!({})).await;
        assert_eq!(
            (status, &body["__type"]),
            (400, &json!("com.amazon.coral.validate#ValidationException"))
        );
    }
}

fn map(pairs: Vec<(&str, Cbor)>) -> Cbor {
    Cbor::Map(pairs.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn member<'a>(value: &'a Cbor, name: &str) -> &'a Cbor {
    let pairs = value.as_map().unwrap();
    let found = pairs.iter().find(|(key, _)| key.as_text() == Some(name));
    &found.unwrap_or_else(|| panic!("no {name} in {value:?}")).1
}

async fn call_cbor(shop: &Shop, operation: &str, request: Cbor) -> (u16, Cbor) {
    let target = format!("{SERVICE}.{operation}");
    let headers =
        [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-cbor-1.1")];
    let mut body = Vec::new();
    ciborium::into_writer(&request, &mut body).unwrap();
    let (status, headers, body) = shop.fixture.post("/", &headers, body).await;
    assert_eq!(headers["content-type"], "application/x-amz-cbor-1.1");
    (status.as_u16(), ciborium::from_reader(body.as_slice()).unwrap())
}

#[tokio::test]
async fn cbor_is_understood_and_answered() {
    let shop = Shop::new();
    let bytes = |bytes: &[u8]| map(vec![("B", Cbor::Bytes(bytes.to_vec()))]);
    let of = |kind: &'static str, text: &str| map(vec![(kind, text.into())]);
    let request = map(vec![
        ("TableName", "readings".into()),
        ("KeyConditionExpression", "sensor = :s AND mark >= :m".into()),
        ("ExpressionAttributeValues", map(vec![(":s", of("N", "7")), (":m", bytes(&[0, 255]))])),
        ("Limit", 2.into()),
    ]);
    let (status, answer) = call_cbor(&shop, "Query", request).await;
    assert_eq!(status, 200, "{answer:?}");
    assert_eq!(member(&answer, "Count"), &Cbor::from(2));
    assert_eq!(member(member(&answer, "LastEvaluatedKey"), "mark"), &bytes(&[1, 0]));
    let items = member(&answer, "Items").as_array().unwrap();
    assert_eq!(member(&items[0], "mark"), &bytes(&[0, 255]));
    assert_eq!(member(&items[0], "sensor"), &of("N", "7"));

    let request = map(vec![("TableName", "orders".into())]);
    let (_, answer) = call_cbor(&shop, "DescribeTable", request).await;
    let created = member(member(&answer, "Table"), "CreationDateTime");
    assert_eq!(created, &Cbor::Tag(1, Box::new(Cbor::from(NOW_MS + 500))));

    let item = vec![("customer", of("S", "ada")), ("at", of("S", "x")), ("photo", bytes(b"a\xff"))];
    let request = map(vec![("TableName", "orders".into()), ("Item", map(item))]);
    let (status, answer) = call_cbor(&shop, "PutItem", request).await;
    assert_eq!((status, answer), (200, map(Vec::new())));
    assert_eq!(
        shop.fixture.records("notes")[0][0].1,
        r#"{"at":"x","customer":"ada","photo":"Yf8="}"#
    );

    let request = map(vec![
        ("TableName", "orders".into()),
        ("Key", map(vec![("customer", map(Vec::new()))])),
    ]);
    let (status, answer) = call_cbor(&shop, "GetItem", request).await;
    assert_eq!(status, 400);
    assert_eq!(member(&answer, "message"), &Cbor::from(value::NO_TYPE));
}

#[test]
fn any_bytes_are_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let shop = Shop::new();
    let operations = [
        "GetItem",
        "BatchGetItem",
        "Query",
        "PutItem",
        "BatchWriteItem",
        "ListTables",
        "DescribeTable",
        "DescribeTimeToLive",
        "DescribeLimits",
        "DescribeEndpoints",
        "ListTagsOfResource",
        "Scan",
    ];
    let shapes = [
        b"".as_slice(),
        b"{\"TableName\":\"orders\",\"Key\":{\"customer\":{\"S\":\"",
        b"{\"TableName\":\"orders\",\"ExpressionAttributeValues\":{\":c\":{\"S\":\"ada\"}},\"KeyConditionExpression\":\"customer = :c AND ",
        b"\xbf\x69TableName\x66orders\x63Key\xbf\x68customer\xbf\x61S",
    ];
    proptest!(ProptestConfig::with_cases(400), |(
        operation in prop::sample::select(operations.to_vec()),
        is_cbor in any::<bool>(),
        shape in prop::sample::select(shapes.to_vec()),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    )| {
        let target = format!("{SERVICE}.{operation}");
        let kind = if is_cbor { "cbor-1.1" } else { "json-1.0" };
        let kind = format!("application/x-amz-{kind}");
        let headers = [("x-amz-target", target.as_str()), ("content-type", kind.as_str())];
        let answer = shop.fixture.post("/", &headers, [shape, &bytes].concat());
        let (status, _, _) = runtime.block_on(answer);
        prop_assert!(!status.is_server_error(), "{operation}: {status}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_reads_tables_if_it_may_read_everything() {
    let Some(python) = python().await else { return };
    let shop = Shop::of(Fixture::on(SystemClock::start()));
    let key = |name: &str, may: Act, streams: Option<&str>| Key {
        name: Name::new(name).unwrap(),
        id: name.to_owned(),
        secret: format!("the secret of the {name}"),
        may: vec![may],
        streams: streams.map(|it| [Name::new(it).unwrap()].into()),
        limit: Rate::default(),
    };
    let keys = vec![
        key("reader", Act::Read, None),
        key("narrow", Act::Read, Some("notes")),
        key("writer", Act::Write, Some("notes")),
    ];
    shop.fixture.inlet.keys().replace(keys, Duration::ZERO);
    shop.fixture.run(&python, include_str!("tests/keys.py")).await;
    assert_eq!(shop.fixture.count("notes"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_works_unchanged() {
    let Some(python) = python().await else { return };
    let shop = Shop::of(Fixture::on(SystemClock::start()));
    shop.fixture.run(&python, include_str!("tests/every_operation.py")).await;
    let records: Vec<String> =
        shop.fixture.records("notes").concat().into_iter().map(|(_, record)| record).collect();
    expect![[r#"
        [
            "{\"amount\":9.99,\"at\":\"2026-01-05T09:00:00Z\",\"customer\":\"eve\",\"photo\":\"AP8=\",\"tags\":[\"a\"]}",
            "{\"amount\":0,\"at\":\"2026-01-05T09:01:00Z\",\"customer\":\"eve\"}",
            "{\"amount\":1,\"at\":\"2026-01-05T09:02:00Z\",\"customer\":\"eve\"}",
        ]
    "#]]
    .assert_debug_eq(&records);
}
