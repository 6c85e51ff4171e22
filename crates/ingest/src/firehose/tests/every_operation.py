# Every operation of Firehose that is answered, as AWS's own client calls it.
import boto3, datetime
from botocore.config import Config
from botocore.exceptions import ClientError

firehose = boto3.client("firehose", endpoint_url="http://127.0.0.1:7070", region_name="us-east-1",
                        aws_access_key_id="any", aws_secret_access_key="any", config=Config(retries={"max_attempts": 1}))
kinesis = boto3.client("kinesis", endpoint_url="http://127.0.0.1:7070", region_name="us-east-1",
                       aws_access_key_id="any", aws_secret_access_key="any")

def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return error.response["Error"]["Message"]
    raise AssertionError(f"{code} was expected")

assert firehose.list_delivery_streams()["DeliveryStreamNames"] == ["notes", "orders"]
arn = firehose.create_delivery_stream(
    DeliveryStreamName="clicks", DeliveryStreamType="DirectPut",
    DeliveryStreamEncryptionConfigurationInput={"KeyType": "AWS_OWNED_CMK"},
    ExtendedS3DestinationConfiguration={
        "RoleARN": "arn:aws:iam::123456789012:role/firehose", "BucketARN": "arn:aws:s3:::lake",
        "Prefix": "clicks/!{timestamp:yyyy}/", "ErrorOutputPrefix": "errors/", "CompressionFormat": "GZIP",
        "BufferingHints": {"SizeInMBs": 64, "IntervalInSeconds": 60},
        "DataFormatConversionConfiguration": {"Enabled": True, "OutputFormatConfiguration": {"Serializer": {"ParquetSerDe": {}}}},
        "DynamicPartitioningConfiguration": {"Enabled": True, "RetryOptions": {"DurationInSeconds": 300}},
    }, Tags=[{"Key": "team", "Value": "web"}])["DeliveryStreamARN"]
assert arn.endswith(":deliverystream/clicks"), arn
refused("ResourceInUseException", firehose.create_delivery_stream, DeliveryStreamName="clicks",
        ExtendedS3DestinationConfiguration={"RoleARN": "arn:aws:iam::123456789012:role/firehose", "BucketARN": "arn:aws:s3:::lake"})

about = firehose.describe_delivery_stream(DeliveryStreamName="clicks")["DeliveryStreamDescription"]
assert about["DeliveryStreamStatus"] == "ACTIVE" and about["DeliveryStreamType"] == "DirectPut", about
assert isinstance(about["CreateTimestamp"], datetime.datetime)
assert abs((datetime.datetime.now(datetime.timezone.utc) - about["CreateTimestamp"]).total_seconds()) < 60, about
destination = about["Destinations"][0]
extended = destination["ExtendedS3DestinationDescription"]
assert extended["BufferingHints"] == {"SizeInMBs": 64, "IntervalInSeconds": 60}, extended
assert extended["Prefix"] == "clicks/!{timestamp:yyyy}/" and extended["CompressionFormat"] == "GZIP"
assert extended["DynamicPartitioningConfiguration"]["Enabled"] is True
# Records at rest are not encrypted, and the answer says so.
encryption = about["DeliveryStreamEncryptionConfiguration"]
assert encryption["Status"] == "ENABLING_FAILED" and "encrypt the disk" in encryption["FailureDescription"]["Details"], encryption
firehose.stop_delivery_stream_encryption(DeliveryStreamName="clicks")
about = firehose.describe_delivery_stream(DeliveryStreamName="clicks")["DeliveryStreamDescription"]
assert about["DeliveryStreamEncryptionConfiguration"]["Status"] == "DISABLED", about
firehose.start_delivery_stream_encryption(DeliveryStreamName="clicks", DeliveryStreamEncryptionConfigurationInput={
    "KeyType": "CUSTOMER_MANAGED_CMK", "KeyARN": "arn:aws:kms:us-east-1:123456789012:key/k"})

firehose.update_destination(DeliveryStreamName="clicks", CurrentDeliveryStreamVersionId=about["VersionId"],
                            DestinationId=destination["DestinationId"],
                            ExtendedS3DestinationUpdate={"BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 300}})
changed = firehose.describe_delivery_stream(DeliveryStreamName="clicks")["DeliveryStreamDescription"]
assert changed["VersionId"] == str(int(about["VersionId"]) + 1)
assert changed["Destinations"][0]["ExtendedS3DestinationDescription"]["BufferingHints"]["IntervalInSeconds"] == 300
assert changed["Destinations"][0]["ExtendedS3DestinationDescription"]["BucketARN"] == "arn:aws:s3:::lake"
refused("ConcurrentModificationException", firehose.update_destination, DeliveryStreamName="clicks",
        CurrentDeliveryStreamVersionId="1", DestinationId=destination["DestinationId"], ExtendedS3DestinationUpdate={})

firehose.tag_delivery_stream(DeliveryStreamName="clicks", Tags=[{"Key": "cost", "Value": "42"}])
tags = firehose.list_tags_for_delivery_stream(DeliveryStreamName="clicks")
assert tags["Tags"] == [{"Key": "cost", "Value": "42"}, {"Key": "team", "Value": "web"}] and not tags["HasMoreTags"], tags
page = firehose.list_tags_for_delivery_stream(DeliveryStreamName="clicks", Limit=1)
assert page["HasMoreTags"] and len(page["Tags"]) == 1, page
firehose.untag_delivery_stream(DeliveryStreamName="clicks", TagKeys=["team"])
assert len(firehose.list_tags_for_delivery_stream(DeliveryStreamName="clicks")["Tags"]) == 1

placed = firehose.put_record(DeliveryStreamName="clicks", Record={"Data": b"\x00one\n"})
assert placed["RecordId"] and placed["Encrypted"] is False
batch = firehose.put_record_batch(DeliveryStreamName="clicks", Records=[{"Data": b"two"}, {"Data": b"x" * 1_024_001}, {"Data": b""}])
assert batch["FailedPutCount"] == 1, batch
assert batch["RequestResponses"][1]["ErrorCode"] == "InvalidArgumentException", batch
assert batch["RequestResponses"][0]["RecordId"] > placed["RecordId"]

# A delivery stream is a stream: Kinesis reads the same records, as they were sent.
shard = kinesis.list_shards(StreamName="clicks")["Shards"][0]["ShardId"]
iterator = kinesis.get_shard_iterator(StreamName="clicks", ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
assert [it["Data"] for it in kinesis.get_records(ShardIterator=iterator)["Records"]] == [b"\x00one\n", b"two", b""]

source = "arn:aws:kinesis:us-east-1:000000000000:stream/orders"
firehose.create_delivery_stream(
    DeliveryStreamName="from-orders", DeliveryStreamType="KinesisStreamAsSource",
    KinesisStreamSourceConfiguration={"KinesisStreamARN": source, "RoleARN": "arn:aws:iam::123456789012:role/firehose"},
    ExtendedS3DestinationConfiguration={"RoleARN": "arn:aws:iam::123456789012:role/firehose", "BucketARN": "arn:aws:s3:::lake"})
about = firehose.describe_delivery_stream(DeliveryStreamName="from-orders")["DeliveryStreamDescription"]
assert about["Source"]["KinesisStreamSourceDescription"]["KinesisStreamARN"] == source, about
refused("InvalidArgumentException", firehose.put_record, DeliveryStreamName="from-orders", Record={"Data": b"x"})

names = firehose.list_delivery_streams(Limit=2)
assert names["DeliveryStreamNames"] == ["clicks", "from-orders"] and names["HasMoreDeliveryStreams"], names
rest = firehose.list_delivery_streams(ExclusiveStartDeliveryStreamName="from-orders")
assert rest["DeliveryStreamNames"] == ["notes", "orders"] and not rest["HasMoreDeliveryStreams"], rest
assert firehose.list_delivery_streams(DeliveryStreamType="KinesisStreamAsSource")["DeliveryStreamNames"] == ["from-orders"]
firehose.delete_delivery_stream(DeliveryStreamName="clicks")
refused("ResourceNotFoundException", firehose.describe_delivery_stream, DeliveryStreamName="clicks")
refused("ResourceNotFoundException", firehose.put_record, DeliveryStreamName="clicks", Record={"Data": b"x"})
