# Signs odd requests as AWS's own client does; prints one a line, for the verifier to check.
import base64, datetime, json, random
import botocore.auth, botocore.awsrequest, botocore.credentials, botocore.compat

NOW = datetime.datetime(2026, 1, 5, 8, 0, 0, tzinfo=datetime.timezone.utc)
for name in ("get_current_datetime",):
    for module in (botocore.auth,):
        if hasattr(module, name):
            setattr(module, name, lambda remove_tzinfo=True: NOW.replace(tzinfo=None) if remove_tzinfo else NOW)

credentials = botocore.credentials.Credentials("producer", "a secret of more than sixteen")
random.seed(7)
paths = ["/", "/a", "/a/", "//a//b/", "/a/./b/../c", "/..", "/a%20b", "/%E2%82%AC/x", "/~u/-_.", "/a+b", "/a=b&c;d", "/%2F", "/v1/streams/x%3Ay/records"]
queries = ["", "a=1", "b=2&a=1", "a=2&a=1&a=10", "a=&b", "x=%E2%82%AC", "q=a%20b", "q=a%2Bb", "A=1&a=2&a=0", "k=v%3D1&k2=~", "name=%2A%28%29%27%21"]
headers = [
    {},
    {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Kinesis_20131202.PutRecords"},
    {"My-Header": "  a   b\tc  ", "X-Amz-Meta": "\"a   b\""},
    {"Content-Type": "text/plain; charset=utf-8", "X-Amz-Security-Token": "to/ken+="},
    {"X-Amz-Empty": ""},
]
bodies = [b"", b"{}", "grüße \u2603".encode(), bytes(range(256)), b"x" * 100_000]
made = []
for index in range(400):
    query = random.choice(queries)
    url = "http://localhost:7070" + random.choice(paths) + ("?" + query if query else "")
    body = random.choice(bodies)
    request = botocore.awsrequest.AWSRequest(random.choice(["POST", "GET", "PUT"]), url, dict(random.choice(headers)), body)
    service, region = random.choice([("kinesis", "us-east-1"), ("firehose", "eu-central-1"), ("sns", "local")])
    if index % 4 == 0:
        request.data = b""
        auth = botocore.auth.SigV4QueryAuth(credentials, service, region, expires=60)
    else:
        auth = botocore.auth.SigV4Auth(credentials, service, region)
    auth.add_auth(request)
    sent = request.prepare()
    text = lambda it: it.decode("utf-8") if isinstance(it, bytes) else it
    fields = [[text(name), text(value)] for name, value in sent.headers.items()]
    if not any(name.lower() == "host" for name, _ in fields):
        fields.append(["Host", "localhost:7070"])
    body = sent.body or b""
    print(json.dumps({"method": sent.method, "url": sent.url.removeprefix("http://localhost:7070"), "service": service,
                      "headers": fields, "body": base64.b64encode(body if isinstance(body, bytes) else body.encode()).decode()}))
