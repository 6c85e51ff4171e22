"""What is answered of the DynamoDB API, by a real SDK: its client, its resource, its conditions."""

from decimal import Decimal

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ClientError

options = dict(
    endpoint_url="http://127.0.0.1:7070",
    region_name="us-east-1",
    aws_access_key_id="any",
    aws_secret_access_key="any",
    config=Config(retries={"max_attempts": 0}),
)
client = boto3.client("dynamodb", **options)
resource = boto3.resource("dynamodb", **options)


def refused(code, call, **request):
    try:
        call(**request)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        assert error.response["ResponseMetadata"]["RequestId"], error.response
        return error.response["Error"]["Message"]
    raise AssertionError(f"{code} was expected")


# Tables
assert client.list_tables()["TableNames"] == ["customers", "orders", "readings"]
pages = client.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 1})
assert [page["TableNames"] for page in pages] == [["customers"], ["orders"], ["readings"]]
assert [table.name for table in resource.tables.all()] == ["customers", "orders", "readings"]
client.get_waiter("table_exists").wait(TableName="orders")
orders, customers = resource.Table("orders"), resource.Table("customers")
assert orders.table_status == "ACTIVE" and orders.item_count == 4
assert orders.key_schema[1] == {"AttributeName": "at", "KeyType": "RANGE"}
assert orders.creation_date_time.year == 2026, orders.creation_date_time
assert client.describe_time_to_live(TableName="orders")["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED"
assert client.list_tags_of_resource(ResourceArn=orders.table_arn)["Tags"] == []
assert client.describe_limits()["TableMaxReadCapacityUnits"] == 40_000
assert client.describe_endpoints()["Endpoints"][0]["Address"] in options["endpoint_url"]

# One item
item = orders.get_item(Key={"customer": "ada", "at": "2026-01-05T08:01:00Z"}, ConsistentRead=True)["Item"]
assert item["amount"] == Decimal("20.5") and item["paid"] is True
assert item["parts"] == [{"sku": "p1", "n": Decimal(2)}, {"sku": "p2", "n": None}], item
assert "Item" not in customers.get_item(Key={"id": "nobody"})
found = customers.get_item(
    Key={"id": "ada"},
    ProjectionExpression="#n",
    ExpressionAttributeNames={"#n": "name"},
    ReturnConsumedCapacity="TOTAL",
)
assert found["Item"] == {"name": "Ada L"}
assert found["ConsumedCapacity"] == {"TableName": "customers", "CapacityUnits": 0.5}, found
message = refused("ValidationException", orders.get_item, Key={"customer": "ada"})
assert message == "The provided key element does not match the schema"
refused("ResourceNotFoundException", client.get_item, TableName="nothing", Key={"id": {"S": "a"}})
try:
    client.describe_table(TableName="nothing")
except client.exceptions.ResourceNotFoundException as error:
    assert "Table: nothing not found" in str(error)
else:
    raise AssertionError("there is no such table")

# Several items
found = resource.batch_get_item(
    RequestItems={
        "orders": {
            "Keys": [{"customer": "ada", "at": f"2026-01-05T08:0{minute}:00Z"} for minute in (1, 2, 7)],
            "ProjectionExpression": "amount",
        },
        "customers": {"Keys": [{"id": "ada"}]},
    }
)
assert [it["amount"] for it in found["Responses"]["orders"]] == [Decimal("20.5"), 7]
assert found["Responses"]["customers"] == [{"id": "ada", "name": "Ada L"}]
assert found["UnprocessedKeys"] == {}

# Queries
def totals(**request):
    return [it["amount"] for it in orders.query(**request)["Items"]]


ada = Key("customer").eq("ada")
assert totals(KeyConditionExpression=ada) == [Decimal("20.5"), 7, 100]
assert totals(KeyConditionExpression=ada, ScanIndexForward=False, Limit=1) == [100]
assert totals(KeyConditionExpression=ada & Key("at").gt("2026-01-05T08:01:00Z")) == [7, 100]
assert totals(KeyConditionExpression=ada & Key("at").between("2026-01-05T08:01:00Z", "2026-01-05T08:02:00Z")) == [Decimal("20.5"), 7]
assert totals(KeyConditionExpression=ada & Key("at").begins_with("2026-01-05T08:03")) == [100]
for condition, expected in [
    (Attr("amount").gt(10) & Attr("paid").eq(True), 2),
    (Attr("amount").is_in([7, 100]) | Attr("amount").lt(1), 2),
    (~Attr("amount").between(7, 50), 1),
    (Attr("parts[0].sku").eq("p1") & Attr("parts").size().eq(2), 3),
    (Attr("nothing").exists(), 0),
    (Attr("nothing").not_exists() & Attr("amount").attribute_type("N"), 3),
    (Attr("parts[1].sku").begins_with("p") & Attr("parts[1].sku").contains("2"), 3),
    (Attr("amount").ne(7), 2),
]:
    answer = orders.query(KeyConditionExpression=ada, FilterExpression=condition)
    assert (answer["Count"], answer["ScannedCount"]) == (expected, 3), (condition.get_expression(), answer)
deep = Attr("amount").gt(0)
for number in range(80):
    deep = deep & Attr("amount").ne(number + 1_000)
assert orders.query(KeyConditionExpression=ada, FilterExpression=deep)["Count"] == 3
assert orders.query(KeyConditionExpression=ada, Select="COUNT")["Count"] == 3

pages = client.get_paginator("query").paginate(
    TableName="orders",
    KeyConditionExpression="customer = :c",
    ExpressionAttributeValues={":c": {"S": "ada"}},
    ProjectionExpression="parts[1].sku",
    PaginationConfig={"PageSize": 1},
)
pages = [page["Items"] for page in pages]
assert pages == [[{"parts": {"L": [{"M": {"sku": {"S": "p2"}}}]}}]] * 3, pages

readings = resource.Table("readings")
marks = readings.query(KeyConditionExpression=Key("sensor").eq(7) & Key("mark").begins_with(b"\x00"))["Items"]
assert [it["mark"].value for it in marks] == [b"\x00\x01", b"\x00\xff"], marks

message = refused("ValidationException", orders.query, KeyConditionExpression=Key("amount").eq(1))
assert message == "Query condition missed key schema element: customer", message
message = refused("ValidationException", orders.scan)
assert "SQL" in message, message

# Puts
assert orders.put_item(
    Item={
        "customer": "eve",
        "at": "2026-01-05T09:00:00Z",
        "amount": Decimal("9.99"),
        "photo": b"\x00\xff",
        "tags": {"a"},
    }
)["ResponseMetadata"]["HTTPStatusCode"] == 200
with orders.batch_writer() as batch:
    for minute in (1, 2):
        batch.put_item(Item={"customer": "eve", "at": f"2026-01-05T09:0{minute}:00Z", "amount": minute - 1})
message = refused(
    "ValidationException",
    orders.put_item,
    Item={"customer": "eve", "at": "x"},
    ConditionExpression=Attr("customer").not_exists(),
)
assert message.startswith("ConditionExpression is not supported"), message
refused("AccessDeniedException", customers.put_item, Item={"id": "eve"})
refused("ValidationException", orders.delete_item, Key={"customer": "ada", "at": "x"})
refused(
    "ValidationException",
    orders.update_item,
    Key={"customer": "ada", "at": "x"},
    UpdateExpression="SET amount = :t",
    ExpressionAttributeValues={":t": 1},
)
