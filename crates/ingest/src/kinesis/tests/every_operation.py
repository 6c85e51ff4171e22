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

# Shards are split and merged while the stream is written.
HALF = 2**127
kinesis.split_shard(StreamName="taps", ShardToSplit="shardId-000000000001", NewStartingHashKey=str(HALF + HALF // 2))
moved = kinesis.put_record(StreamName="taps", Data=b"moved", PartitionKey="k", ExplicitHashKey=str(2**128 - 1))
assert moved["ShardId"] == "shardId-000000000003", moved
assert int(second["SequenceNumber"]) < int(moved["SequenceNumber"])
kinesis.merge_shards(StreamName="taps", ShardToMerge="shardId-000000000002", AdjacentShardToMerge="shardId-000000000003")
shards = {it["ShardId"][-1]: it for it in kinesis.list_shards(StreamName="taps")["Shards"]}
assert sorted(shards) == ["0", "1", "2", "3", "4"], shards
assert shards["2"]["ParentShardId"] == "shardId-000000000001"
assert shards["4"]["AdjacentParentShardId"] == "shardId-000000000003"
assert "EndingSequenceNumber" in shards["3"]["SequenceNumberRange"]
assert "EndingSequenceNumber" not in shards["4"]["SequenceNumberRange"]
assert len(kinesis.list_shards(StreamName="taps", ShardFilter={"Type": "AT_LATEST"})["Shards"]) == 2
count = kinesis.update_shard_count(StreamName="taps", TargetShardCount=4, ScalingType="UNIFORM_SCALING")
assert (count["CurrentShardCount"], count["TargetShardCount"]) == (2, 4), count
assert kinesis.describe_stream_summary(StreamName="taps")["StreamDescriptionSummary"]["OpenShardCount"] == 4


def read_family(stream):
    """Reads all shards, parents before their children, as a consumer library does."""
    waiting = [it["ShardId"] for it in kinesis.list_shards(StreamName=stream, ShardFilter={"Type": "AT_TRIM_HORIZON"})["Shards"]]
    found, seen = [], set()
    while waiting:
        shard = waiting.pop(0)
        if shard in seen:
            continue
        seen.add(shard)
        iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        while iterator:
            answer = kinesis.get_records(ShardIterator=iterator)
            found += answer["Records"]
            iterator = answer.get("NextShardIterator")
            if iterator is None:
                waiting += [it["ShardId"] for it in answer["ChildShards"] if set(it["ParentShards"]) <= seen]
            elif not answer["Records"]:
                break
    return found


family = read_family("taps")
assert len(family) == 503, len(family)
assert len({it["SequenceNumber"] for it in family}) == 503
refused("InvalidArgumentException", kinesis.split_shard, StreamName="taps", ShardToSplit="shardId-000000000001", NewStartingHashKey=str(HALF + 5))
refused("InvalidArgumentException", kinesis.merge_shards, StreamName="taps", ShardToMerge="shardId-000000000000", AdjacentShardToMerge="shardId-000000000001")

# Settings and what is noted beside a stream.
kinesis.increase_stream_retention_period(StreamName="taps", RetentionPeriodHours=72)
assert kinesis.describe_stream(StreamName="taps")["StreamDescription"]["RetentionPeriodHours"] == 72
kinesis.decrease_stream_retention_period(StreamName="taps", RetentionPeriodHours=24)
kinesis.add_tags_to_stream(StreamName="taps", Tags={"team": "web", "stage": "test"})
kinesis.remove_tags_from_stream(StreamName="taps", TagKeys=["stage"])
assert kinesis.list_tags_for_stream(StreamName="taps")["Tags"] == [{"Key": "team", "Value": "web"}]
kinesis.tag_resource(ResourceARN=arn, Tags={"cost": "7"})
kinesis.untag_resource(ResourceARN=arn, TagKeys=["team"])
assert kinesis.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "cost", "Value": "7"}]
metrics = kinesis.enable_enhanced_monitoring(StreamName="taps", ShardLevelMetrics=["ALL"])
assert len(metrics["DesiredShardLevelMetrics"]) == 7, metrics
assert kinesis.disable_enhanced_monitoring(StreamName="taps", ShardLevelMetrics=["ALL"])["DesiredShardLevelMetrics"] == []
kinesis.start_stream_encryption(StreamName="taps", EncryptionType="KMS", KeyId="alias/aws/kinesis")
assert kinesis.describe_stream(StreamName="taps")["StreamDescription"]["KeyId"] == "alias/aws/kinesis"
kinesis.stop_stream_encryption(StreamName="taps", EncryptionType="KMS", KeyId="alias/aws/kinesis")
policy = '{"Version": "2012-10-17", "Statement": []}'
kinesis.put_resource_policy(ResourceARN=arn, Policy=policy)
assert kinesis.get_resource_policy(ResourceARN=arn)["Policy"] == policy
kinesis.delete_resource_policy(ResourceARN=arn)
refused("ResourceNotFoundException", kinesis.get_resource_policy, ResourceARN=arn)
limits = kinesis.describe_limits()
assert limits["OpenShardCount"] >= 4 and limits["ShardLimit"] >= limits["OpenShardCount"], limits
assert kinesis.describe_account_settings()["MinimumThroughputBillingCommitment"]["Status"] == "DISABLED"
kinesis.update_account_settings(MinimumThroughputBillingCommitment={"Status": "DISABLED"})
kinesis.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=1024)
kinesis.update_stream_mode(StreamARN=arn, StreamModeDetails={"StreamMode": "ON_DEMAND"})
refused("ValidationException", kinesis.update_shard_count, StreamName="taps", TargetShardCount=2, ScalingType="UNIFORM_SCALING")
warm = kinesis.update_stream_warm_throughput(StreamARN=arn, WarmThroughputMiBps=5)["WarmThroughput"]
assert (warm["TargetMiBps"], warm["CurrentMiBps"]) == (5, 5), warm
kinesis.update_stream_mode(StreamARN=arn, StreamModeDetails={"StreamMode": "PROVISIONED"})

# Enhanced fan-out.
consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="app")["Consumer"]
assert kinesis.describe_stream_consumer(StreamARN=arn, ConsumerName="app")["ConsumerDescription"]["ConsumerARN"] == consumer["ConsumerARN"]
assert [it["ConsumerName"] for it in kinesis.list_stream_consumers(StreamARN=arn)["Consumers"]] == ["app"]
family = []
shards = [it["ShardId"] for it in kinesis.list_shards(StreamName="taps")["Shards"]]
for shard in shards:
    stream = kinesis.subscribe_to_shard(
        ConsumerARN=consumer["ConsumerARN"], ShardId=shard, StartingPosition={"Type": "TRIM_HORIZON"}
    )["EventStream"]
    for event in stream:
        event = event["SubscribeToShardEvent"]
        family += event["Records"]
        if "ContinuationSequenceNumber" not in event:
            assert event["ChildShards"], event
        elif event["MillisBehindLatest"] == 0:
            break
    stream.close()
assert len(family) == 503, len(family)
assert all(it["ApproximateArrivalTimestamp"] > before - datetime.timedelta(seconds=1) for it in family)
refused("ResourceInUseException", kinesis.delete_stream, StreamName="taps")
kinesis.deregister_stream_consumer(ConsumerARN=consumer["ConsumerARN"])
kinesis.delete_stream(StreamName="taps")
kinesis.get_waiter("stream_not_exists").wait(StreamName="taps", WaiterConfig={"Delay": 1, "MaxAttempts": 5})
refused("ResourceNotFoundException", kinesis.list_shards, StreamName="taps")
