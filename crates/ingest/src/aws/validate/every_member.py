"""Walks AWS's own models of the operations that are served: every required member left out, every
text too long, too short and off its pattern, every number beyond its range, every word that is none
of those allowed. Each must be refused as AWS refuses it.

usage: python every_member.py URL
"""

import base64
import json
import re
import sys
import urllib.error
import urllib.request

import botocore.session

PROGRAM = sys.argv[1]
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/orders"
NUMBER = "49590338271490256608559692538361571095921575989136588898"

#: Requests that are right but for what is changed in them.
RIGHT = {
    "kinesis": {
        "StreamName": "orders", "ResourceARN": STREAM, "ShardId": "shardId-000000000000",
        "ShardToSplit": "shardId-000000000000", "ShardToMerge": "shardId-000000000000",
        "AdjacentShardToMerge": "shardId-000000000001", "ConsumerName": "c", "TagKeys": ["a"],
        "Tags": {"a": "b"}, "NewStartingHashKey": "5", "Data": b"x", "PartitionKey": "k",
        "Records": [{"Data": b"x", "PartitionKey": "k"}], "RetentionPeriodHours": 25,
        "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING", "ShardIterator": "x",
        "ShardIteratorType": "LATEST", "ShardLevelMetrics": ["ALL"], "EncryptionType": "KMS",
        "KeyId": "k", "Policy": "{}", "ConsumerARN": STREAM + "/consumer/c:1",
        "StartingPosition": {"Type": "LATEST"}, "StreamModeDetails": {"StreamMode": "PROVISIONED"},
        "WarmThroughputMiBps": 1, "ShardCount": 1,
    },
    "firehose": {
        "DeliveryStreamName": "orders", "Record": {"Data": b"x"}, "Records": [{"Data": b"x"}],
        "Tags": [{"Key": "a", "Value": "b"}], "TagKeys": ["a"],
        "CurrentDeliveryStreamVersionId": "1", "DestinationId": "destinationId-000000000001",
    },
    "dynamodb": {
        "TableName": "orders", "Key": {"id": {"S": "1"}}, "Item": {"id": {"S": "1"}},
        "RequestItems": {"orders": {"Keys": [{"id": {"S": "1"}}]}},
        "TransactItems": [{"Get": {"TableName": "orders", "Key": {"id": {"S": "1"}}}}],
        "KeyConditionExpression": "id = :a", "ExpressionAttributeValues": {":a": {"S": "1"}},
    },
}
BATCH_WRITE = {"orders": [{"PutRequest": {"Item": {"id": {"S": "1"}}}}]}

#: What is not looked at, or answered otherwise, and why.
ELSEWISE = {
    ("kinesis", "ShardIterator"),           # AWS answers "Invalid ShardIterator." to any text
    ("kinesis", "NextToken"),               # as above
    ("kinesis", "Policy"),                  # the answer says what a policy must be
    ("kinesis", "MaxRecordSizeInKiB"),      # 1,024 KiB is what there is
    ("kinesis", "RecordDistributionStrategy"),  # not known here
    ("dynamodb", "ResourceArn"),            # AWS answers "Invalid TableArn"
    ("dynamodb", "IndexName"),              # there are no indexes: ResourceNotFoundException
    ("dynamodb", "ConditionalOperator"),    # refused in words of its own, as all old settings
    ("dynamodb", "AttributesToGet"),        # as above, where an expression is given too
}
#: The busiest requests are not read a second time for what is not used.
BUSY = {("kinesis", "PutRecord", "StreamId"), ("kinesis", "PutRecords", "StreamId")}

FORM = re.compile(
    r"^(\d+) validation errors? detected: Value (null|'.*?') at '([^']+)' failed to satisfy constraint: "
    r"Member must (not be null|have length (less|greater) than or equal to \d+"
    r"|have value (less|greater) than or equal to -?\d+|satisfy regular expression pattern: .+"
    r"|satisfy enum value set: \[.+\])(; |$)", re.DOTALL)


def member_of(name):
    """The name of a member as AWS writes it in its errors."""
    return name[:1].lower() + name[1:]


def wrong_values(shape):
    """Values that the shape does not allow, each with what AWS says of it."""
    limits = shape.metadata
    if shape.type_name == "string":
        if shape.enum:
            yield "NO_SUCH_WORD", "satisfy enum value set"
            return
        if "max" in limits:
            yield "a" * (limits["max"] + 1), f"have length less than or equal to {limits['max']}"
        if limits.get("min"):
            yield "", f"have length greater than or equal to {limits['min']}"
        pattern = limits.get("pattern")
        # A pattern of Java's that Python does not know allows nearly everything.
        if pattern and "\\p{" not in pattern and not re.fullmatch(pattern, "no! such\n?"):
            yield "no! such\n?", "satisfy regular expression pattern"
    elif shape.type_name in ("integer", "long"):
        if "max" in limits:
            yield limits["max"] + 1, f"have value less than or equal to {limits['max']}"
        if "min" in limits:
            yield limits["min"] - 1, f"have value greater than or equal to {limits['min']}"
    elif shape.type_name == "list":
        if limits.get("min"):
            yield [], f"have length greater than or equal to {limits['min']}"


#: What is said of operations that are known and not served.
NOT_SERVED = re.compile("is not supported|cannot be (changed|deleted) by this API")


def in_base64(value):
    return base64.b64encode(value).decode()


def main():
    problems, checked = [], 0
    for service, right in RIGHT.items():
        model = botocore.session.Session().get_service_model(service)

        def ask(operation, parameters):
            # Without an SDK, which would check the request before it is sent.
            request = urllib.request.Request(PROGRAM, json.dumps(parameters, default=in_base64).encode(), {
                "Content-Type": f"application/x-amz-json-{model.metadata['jsonVersion']}",
                "X-Amz-Target": f"{model.metadata['targetPrefix']}.{operation}",
            })
            try:
                urllib.request.urlopen(request, timeout=10).read(1)
                return "", ""
            except urllib.error.HTTPError as refused:
                error = json.load(refused)
                return error["__type"].split("#")[-1], error.get("message", error.get("Message", ""))

        for operation in model.operation_names:
            shape = model.operation_model(operation).input_shape
            code, message = ("", "") if shape is None else ask(operation, {})
            if shape is None or code == "UnknownOperationException" or NOT_SERVED.search(message):
                continue
            known = {name: right[name] for name in shape.members if name in right}
            if operation == "PutItem":
                del known["ExpressionAttributeValues"]
            if operation == "BatchWriteItem":
                known["RequestItems"] = BATCH_WRITE
            if "StreamName" in known and "StreamARN" not in shape.required_members:
                known.pop("StreamARN", None)
            cases = [(name, None, "not be null") for name in shape.required_members]
            for name, of in shape.members.items():
                cases += [(name, value, said) for value, said in wrong_values(of)]
            for name, value, said in cases:
                if (service, name) in ELSEWISE or (service, operation, name) in BUSY:
                    continue
                parameters = {key: it for key, it in known.items() if key != name}
                if value is not None:
                    parameters[name] = value
                code, message = ask(operation, parameters)
                checked += 1
                shown = repr(value)[:30]
                place = f"{service} {operation} {name}={shown}"
                if code != "ValidationException":
                    problems.append(f"{place}: wanted '{said}', got {code}: {message[:200]}")
                    continue
                match = FORM.match(message)
                if not match:
                    problems.append(f"{place}: not AWS's form: {message[:200]}")
                elif f"at '{member_of(name)}'" not in message or f"Member must {said}" not in message:
                    problems.append(f"{place}: wanted '{said}', got: {message[:200]}")
    print(f"{checked} requests, {len(problems)} answered otherwise")
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main())
