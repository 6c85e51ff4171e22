"""Who may do what by the DynamoDB API, once the project has keys."""

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def client(key, secret=None):
    return boto3.client(
        "dynamodb",
        endpoint_url="http://127.0.0.1:7070",
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret or f"the secret of the {key}",
        config=Config(retries={"max_attempts": 0}),
    )


def refused(code, call, **request):
    try:
        call(**request)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        return
    raise AssertionError(f"{code} was expected")


item = dict(TableName="customers", Key={"id": {"S": "ada"}})
put = dict(TableName="orders", Item={"customer": {"S": "ada"}, "at": {"S": "x"}})

assert client("reader").get_item(**item)["Item"]["name"] == {"S": "Ada L"}
assert client("reader").list_tables()["TableNames"] == ["customers", "orders", "readings"]
refused("AccessDeniedException", client("reader").put_item, **put)
refused("AccessDeniedException", client("narrow").get_item, **item)
refused("AccessDeniedException", client("narrow").list_tables)
refused("AccessDeniedException", client("writer").get_item, **item)
assert client("writer").put_item(**put)["ResponseMetadata"]["HTTPStatusCode"] == 200
refused("InvalidSignatureException", client("writer", "another secret of the writer").put_item, **put)
refused("UnrecognizedClientException", client("nobody").put_item, **put)
