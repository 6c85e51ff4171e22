"""Every operation of the Kinesis API that is answered, by a real SDK."""

import datetime
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

kinesis = boto3.client(
    "kinesis",
    endpoint_url="http://127.0.0.1:7070",
    region_name="us-east-1",
    aws_access_key_id="any",
    aws_secret_access_key="any",
    config=Config(retries={"max_attempts": 0}),
)


def refused(code, call, **request):
    try:
        call(**request)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        assert error.response["ResponseMetadata"]["RequestId"], error.response
        return error.response["Error"]["Message"]
    raise AssertionError(f"{code} was expected")


before = datetime.datetime.now(datetime.timezone.utc)
assert kinesis.create_stream(StreamName="taps", ShardCount=2)["ResponseMetadata"]["HTTPStatusCode"] == 200
kinesis.get_waiter("stream_exists").wait(StreamName="taps")
refused("ResourceInUseException", kinesis.create_stream, StreamName="taps", ShardCount=2)

description = kinesis.describe_stream(StreamName="taps")["StreamDescription"]
assert description["StreamStatus"] == "ACTIVE"
assert description["StreamName"] == "taps"
assert description["RetentionPeriodHours"] == 24
assert abs(description["StreamCreationTimestamp"] - before) < datetime.timedelta(minutes=1), description
assert [it["ShardId"] for it in description["Shards"]] == ["shardId-000000000000", "shardId-000000000001"]
assert description["Shards"][0]["HashKeyRange"]["StartingHashKey"] == "0"
assert description["Shards"][1]["HashKeyRange"]["EndingHashKey"] == str(2**128 - 1)
arn = description["StreamARN"]

summary = kinesis.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"]
assert summary["OpenShardCount"] == 2, summary
assert "taps" in kinesis.list_streams()["StreamNames"]
assert len(kinesis.list_shards(StreamName="taps")["Shards"]) == 2
assert len(list(kinesis.get_paginator("list_shards").paginate(StreamName="taps", PaginationConfig={"PageSize": 1}))) == 2

put = kinesis.put_record(StreamName="taps", Data=b"\x00first\xff", PartitionKey="ada")
assert len(put["SequenceNumber"]) == 56
shard = put["ShardId"]
time.sleep(0.02)
between = datetime.datetime.now(datetime.timezone.utc)
time.sleep(0.02)
second = kinesis.put_record(StreamARN=arn, Data=b"second", PartitionKey="ada", SequenceNumberForOrdering=put["SequenceNumber"])
assert int(put["SequenceNumber"]) < int(second["SequenceNumber"])

many = kinesis.put_records(
    StreamName="taps",
    Records=[{"Data": f"r{n}".encode(), "PartitionKey": f"k{n}"} for n in range(500)],
)
assert many["FailedRecordCount"] == 0
assert len(many["Records"]) == 500
assert {it["ShardId"] for it in many["Records"]} == {"shardId-000000000000", "shardId-000000000001"}


def read(shard, **start):
    iterator = kinesis.get_shard_iterator(StreamName="taps", ShardId=shard, **start)["ShardIterator"]
    found = []
    while True:
        answer = kinesis.get_records(ShardIterator=iterator, Limit=100)
        if not answer["Records"]:
            assert answer["MillisBehindLatest"] == 0
            return found
        found += answer["Records"]
        iterator = answer["NextShardIterator"]


everything = [it for shard_id in ("shardId-000000000000", "shardId-000000000001") for it in read(shard_id, ShardIteratorType="TRIM_HORIZON")]
assert len(everything) == 502
places = {it["SequenceNumber"]: it["Data"] for it in everything}
for n, place in enumerate(many["Records"]):
    assert places[place["SequenceNumber"]] == f"r{n}".encode()

first = read(shard, ShardIteratorType="TRIM_HORIZON")[0]
assert first["Data"] == b"\x00first\xff" and first["PartitionKey"] == "ada", first
assert before - datetime.timedelta(seconds=1) < first["ApproximateArrivalTimestamp"] < between
at = read(shard, ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber=second["SequenceNumber"])
assert at[0]["Data"] == b"second"
after = read(shard, ShardIteratorType="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=put["SequenceNumber"])
assert after[0]["Data"] == b"second"
since = read(shard, ShardIteratorType="AT_TIMESTAMP", Timestamp=between)
assert since[0]["Data"] == b"second", since[0]
assert read(shard, ShardIteratorType="LATEST") == []

message = refused("ResourceNotFoundException", kinesis.put_record, StreamName="nothing", Data=b"", PartitionKey="k")
assert message == "Stream nothing under account 000000000000 not found.", message
refused("InvalidArgumentException", kinesis.get_records, ShardIterator="AAAA")
refused("ValidationException", kinesis.put_records, StreamName="taps", Records=[{"Data": b"", "PartitionKey": "k"}] * 501)
refused("UnknownOperationException", kinesis.merge_shards, StreamName="taps", ShardToMerge="shardId-000000000000", AdjacentShardToMerge="shardId-000000000001")
