"""Records put together by the Kinesis aggregation library for Python."""

import base64
import sys

import boto3
from aws_kinesis_agg.aggregator import RecordAggregator
from aws_kinesis_agg.deaggregator import deaggregate_records

kinesis = boto3.client(
    "kinesis",
    endpoint_url="http://127.0.0.1:7070",
    region_name="us-east-1",
    aws_access_key_id="any",
    aws_secret_access_key="any",
)
stream = sys.argv[1] if len(sys.argv) > 1 else "orders"

aggregator = RecordAggregator()
for n in range(300):
    aggregator.add_user_record(f"k{n % 7}", b'{"id": "o%d", "total": "1.50"}' % n)
key, hash_key, together = aggregator.clear_and_get().get_contents()
damaged = bytearray(together)
damaged[len(damaged) // 2] ^= 1
answer = kinesis.put_records(
    StreamName=stream,
    Records=[
        {"Data": together, "PartitionKey": key, **({"ExplicitHashKey": hash_key} if hash_key else {})},
        {"Data": bytes(damaged), "PartitionKey": "damaged"},
        {"Data": b'{"id": "plain", "total": "2.00"}', "PartitionKey": "plain"},
    ],
)
assert answer["FailedRecordCount"] == 0, answer
assert len(answer["Records"]) == 3, answer
found = []
for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
    iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    found += kinesis.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
assert len(found) == 302, len(found)
by_key = [it["Data"] for it in found if it["PartitionKey"] == "k3"]
assert by_key == [b'{"id": "o%d", "total": "1.50"}' % n for n in range(3, 300, 7)], by_key[:3]

# A stream of the client's own is given back as it was put, and read with the same library.
kinesis.create_stream(StreamName="aggregates", ShardCount=1)
kinesis.put_record(StreamName="aggregates", Data=together, PartitionKey=key)
iterator = kinesis.get_shard_iterator(StreamName="aggregates", ShardId="0", ShardIteratorType="TRIM_HORIZON")
records = kinesis.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
assert [it["Data"] for it in records] == [together]
as_lambda = [
    {"eventVersion": "1.0", "eventID": "x", "kinesis": {
        "kinesisSchemaVersion": "1.0", "partitionKey": it["PartitionKey"], "sequenceNumber": it["SequenceNumber"],
        "data": base64.b64encode(it["Data"]), "approximateArrivalTimestamp": 0}}
    for it in records
]
assert len(deaggregate_records(as_lambda)) == 300
