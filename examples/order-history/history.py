"""Writes orders with the Kinesis API and reads a customer's latest with the DynamoDB API.

    pip install boto3
    python3 history.py [PROGRAM]              # http://127.0.0.1:7070
"""

import datetime
import json
import random
import sys
import time

import boto3
from boto3.dynamodb.conditions import Key

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7070"
SDK = {
    "endpoint_url": PROGRAM,
    "region_name": "us-east-1",
    "aws_access_key_id": "any",
    "aws_secret_access_key": "any",
}


def orders(count):
    """Makes orders of ten customers, a second apart."""
    now = datetime.datetime.now(datetime.timezone.utc)
    for number in range(count):
        quantity, price = random.randint(1, 3), random.choice([10, 7.5, 30])
        ts = now - datetime.timedelta(seconds=count - number)
        yield {
            "order_id": f"o{number}",
            "ts": ts.isoformat(),
            "customer_id": f"c{number % 10}",
            "product_id": random.choice(["p1", "p2", "p3"]),
            "quantity": quantity,
            "unit_price": price,
            "total": quantity * price,
        }


def main():
    kinesis = boto3.client("kinesis", **SDK)
    records = [
        {"Data": json.dumps(order), "PartitionKey": order["customer_id"]} for order in orders(500)
    ]
    answer = kinesis.put_records(StreamName="orders", Records=records)
    print(f"{len(records)} orders written, {answer['FailedRecordCount']} refused")
    time.sleep(1)

    tables = boto3.resource("dynamodb", **SDK)
    history = tables.Table("order_history")
    began = time.perf_counter()
    found = history.query(
        KeyConditionExpression=Key("customer_id").eq("c3"), ScanIndexForward=False, Limit=5
    )
    took = (time.perf_counter() - began) * 1000
    for order in found["Items"]:
        print(order["ts"], order["order_id"], order.get("product"), order["total"])
    print(f"{found['Count']} orders in {took:.1f} ms")
    customer = tables.Table("customers").get_item(Key={"customer_id": "c3"})["Item"]
    print(f"c3: {customer['orders']} orders, {customer['spent']} in all")


main()
