//! Buckets by the API of S3: the real program, AWS's client, and kills while objects come.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::program::{Program, peers};

const PROJECT: &str = r#"
[bucket.landing]
from   = "landing"
every  = "200 milliseconds"
settle = "200 milliseconds"

[bucket.archive]

[stream.sales]
from = [{ door = "files", bucket = "landing", matching = "in/**/*.csv" }]
columns = { id = "int not null", city = "text" }
"#;

/// All that an app does with a bucket.
const APP: &str = r#"
import boto3, hashlib, io, os, sys, urllib.error, urllib.request
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, folder = sys.argv[1:3]
def client(secret="any", **more):
    return boto3.client("s3", endpoint_url=endpoint, region_name="eu-west-3", aws_access_key_id="any",
                        aws_secret_access_key=secret, config=Config(retries={"max_attempts": 1}, **more))
s3 = client()

def code(call):
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    raise SystemExit("an error was expected")

assert [it["Name"] for it in s3.list_buckets()["Buckets"]] == ["archive", "landing"]
s3.head_bucket(Bucket="landing")
assert code(lambda: s3.create_bucket(Bucket="fresh")) == "MethodNotAllowed"
assert code(lambda: s3.head_bucket(Bucket="none")) == "404"

# A large file goes in parts, and comes back as it was.
large = os.urandom(20 << 20)
path = os.path.join(folder, "large.bin")
open(path, "wb").write(large)
s3.upload_file(path, "landing", "big/large.bin", ExtraArgs={"ContentType": "image/tiff", "Metadata": {"till": "7"}})
head = s3.head_object(Bucket="landing", Key="big/large.bin")
parts = [large[at:at + (8 << 20)] for at in range(0, len(large), 8 << 20)]
etag = hashlib.md5(b"".join(hashlib.md5(it).digest() for it in parts)).hexdigest() + "-3"
assert (head["ContentLength"], head["ContentType"], head["Metadata"]) == (20 << 20, "image/tiff", {"till": "7"}), head
assert head["ETag"] == f'"{etag}"', head
s3.download_file("landing", "big/large.bin", path + ".back")
assert open(path + ".back", "rb").read() == large
got = s3.get_object(Bucket="landing", Key="big/large.bin", Range="bytes=5000000-5000099")
assert got["Body"].read() == large[5000000:5000100] and got["ContentRange"] == "bytes 5000000-5000099/20971520"
s3.copy({"Bucket": "landing", "Key": "big/large.bin"}, "archive", "kept.bin")
assert s3.get_object(Bucket="archive", Key="kept.bin")["Body"].read() == large

# Lists, page by page.
names = sorted([f"many/{n:03}" for n in range(25)] + ["many/deep/er", "many/a b+é&<"])
for name in names:
    s3.put_object(Bucket="landing", Key=name, Body=name.encode())
pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket="landing", Prefix="many/", PaginationConfig={"PageSize": 10}))
assert [len(it["Contents"]) for it in pages] == [10, 10, 7]
assert [it["Key"] for page in pages for it in page["Contents"]] == names
first = pages[0]["Contents"][0]
assert first["ETag"] == '"' + hashlib.md5(first["Key"].encode()).hexdigest() + '"' and first["Size"] == len(first["Key"])
top = s3.list_objects_v2(Bucket="landing", Delimiter="/")
assert [it["Prefix"] for it in top["CommonPrefixes"]] == ["big/", "many/"] and "Contents" not in top
old = s3.get_paginator("list_objects").paginate(Bucket="landing", Prefix="many/", Delimiter="/", PaginationConfig={"PageSize": 7})
assert [it["Key"] for page in old for it in page.get("Contents", [])] == [it for it in names if it != "many/deep/er"]

# A copy, and many gone at once.
s3.copy_object(Bucket="archive", Key="one", CopySource={"Bucket": "landing", "Key": "many/a b+é&<"})
assert s3.get_object(Bucket="archive", Key="one")["Body"].read().decode() == "many/a b+é&<"
gone = s3.delete_objects(Bucket="landing", Delete={"Objects": [{"Key": it} for it in names]})
assert len(gone["Deleted"]) == len(names) and "Errors" not in gone, gone
s3.delete_object(Bucket="landing", Key="many/deep/")
s3.delete_object(Bucket="landing", Key="many/")
assert code(lambda: s3.get_object(Bucket="landing", Key="many/000")) == "NoSuchKey"

# Addresses that are signed need no client, and do no more than they say.
v4 = client(signature_version="s3v4")
put = v4.generate_presigned_url("put_object", Params={"Bucket": "landing", "Key": "by/url.txt"}, ExpiresIn=60)
get = v4.generate_presigned_url("get_object", Params={"Bucket": "landing", "Key": "by/url.txt"}, ExpiresIn=60)
assert urllib.request.urlopen(urllib.request.Request(put, data=b"by url", method="PUT")).status == 200
assert urllib.request.urlopen(get).read() == b"by url"
for wrong in [get.replace("url.txt", "other.txt"), get[:-1] + ("0" if get[-1] != "0" else "1")]:
    try:
        urllib.request.urlopen(wrong)
        raise SystemExit("a changed address was taken")
    except urllib.error.HTTPError as error:
        assert error.code == 403, error.code
try:
    copied = urllib.request.Request(put, method="PUT", headers={"x-amz-copy-source": "archive/one"}, data=b"")
    urllib.request.urlopen(copied)
    raise SystemExit("a header that was not signed was taken")
except urllib.error.HTTPError as error:
    assert error.code == 403, error.code

old = client(signature_version="s3")
old = old.generate_presigned_url("get_object", Params={"Bucket": "landing", "Key": "by/url.txt"}, ExpiresIn=60)
try:
    urllib.request.urlopen(old)
    raise SystemExit("a signature of version 2 was taken")
except urllib.error.HTTPError as error:
    assert error.code == 400 and b"s3v4" in error.read(), error.code

# Another secret, another body, other checksums.
assert code(lambda: client("wrong").list_buckets()) == "SignatureDoesNotMatch"
tamper = client()
def change(request, **_):
    request.body = b"tampered"
tamper.meta.events.register("before-send.s3.PutObject", change)
told = code(lambda: tamper.put_object(Bucket="landing", Key="t", Body=b"original"))
assert told in ("BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"), told
assert code(lambda: s3.put_object(Bucket="landing", Key="t", Body=b"x", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")) == "BadDigest"
for algorithm in ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"]:
    try:
        s3.put_object(Bucket="archive", Key="sum", Body=b"x" * 100_000, ChecksumAlgorithm=algorithm)
    except Exception as error:
        if "CRT" not in str(error) and "crt" not in str(error):
            raise
        continue
    assert s3.get_object(Bucket="archive", Key="sum", ChecksumMode="ENABLED")[f"Checksum{algorithm}"]
assert code(lambda: s3.put_object(Bucket="landing", Key="../x", Body=b"x")) in ("InvalidArgument", "SignatureDoesNotMatch")
assert code(lambda: s3.put_object(Bucket="landing", Key="t", Body=b"x", ServerSideEncryption="AES256")) == "NotImplemented"

# An upload that is given up leaves nothing.
upload = s3.create_multipart_upload(Bucket="landing", Key="given/up")["UploadId"]
s3.upload_part(Bucket="landing", Key="given/up", UploadId=upload, PartNumber=1, Body=b"x" * 1000)
assert [it["UploadId"] for it in s3.list_multipart_uploads(Bucket="landing")["Uploads"]] == [upload]
assert s3.list_parts(Bucket="landing", Key="given/up", UploadId=upload)["Parts"][0]["Size"] == 1000
s3.abort_multipart_upload(Bucket="landing", Key="given/up", UploadId=upload)
assert "Uploads" not in s3.list_multipart_uploads(Bucket="landing")

# What lands becomes rows.
s3.put_object(Bucket="landing", Key="in/monday.csv", Body=b"id,city\n1,Lyon\n2,Lille\n",
              ContentType="text/csv; header=present", Metadata={"till": "7", "shift": "early"})
left = [it["Key"] for it in s3.list_objects_v2(Bucket="landing")["Contents"]]
assert left == ["big/large.bin", "by/url.txt", "in/monday.csv"], left
"#;

fn run(python: &Path, script: &str, arguments: &[&str]) {
    let output = Command::new(python)
        .args(["-c", script])
        .args(arguments)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
}

/// The visible files below a folder, by their paths there.
fn files(root: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_hidden = path.file_name().unwrap().to_str().unwrap().starts_with('.');
            if path.is_dir() && !is_hidden {
                folders.push(path);
            } else if !is_hidden {
                found.insert(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_uses_buckets_by_boto3_and_what_lands_becomes_rows() {
    let Some(python) = peers("boto3") else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mainstem.toml"), PROJECT).unwrap();
    let program = Program::start(folder.path(), &folder.path().join(".mainstem"));
    let scratch = tempfile::tempdir().unwrap();
    run(&python, APP, &[&program.url(""), scratch.path().to_str().unwrap()]);
    program.until("SELECT count(*) FROM sales WHERE city IS NOT NULL", 2).await;
    program.until("SELECT count(*) FROM landing_objects", 3).await;
    let monday = "FROM landing_objects WHERE key = 'in/monday.csv'";
    assert_eq!(program.value(&format!("SELECT type {monday}")).await, "text/csv; header=present");
    let etag = program.value(&format!("SELECT etag {monday}")).await;
    assert_eq!(etag.as_str().unwrap().len(), 32, "{etag}");
    let metadata = program.value(&format!("SELECT CAST(metadata AS TEXT) {monday}")).await;
    let metadata: serde_json::Value = serde_json::from_str(metadata.as_str().unwrap()).unwrap();
    assert_eq!(metadata, serde_json::json!({"till": "7", "shift": "early"}));
    let large = "SELECT etag FROM landing_objects WHERE key = 'big/large.bin'";
    assert!(program.value(large).await.as_str().unwrap().ends_with("-3"));
    let said = program.stop_and_read();
    assert!(!said.contains("ERROR"), "a client's mistakes are not ours:\n{said}");
}

/// Uploads objects whose names tell what must be in them, and says which were taken.
const UPLOADER: &str = r#"
import boto3, hashlib, io, random, sys
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="any",
                  aws_secret_access_key="any", config=Config(retries={"max_attempts": 0}))
parts = TransferConfig(multipart_threshold=1 << 20, multipart_chunksize=5 << 20, max_concurrency=4)
dice = random.Random(sys.argv[2])
try:
    while True:
        body = dice.randbytes(dice.choice([10, 100_000, 3_000_000, 12_000_000]))
        key = f"{dice.randrange(4)}/{hashlib.md5(body).hexdigest()}.bin"
        s3.upload_fileobj(io.BytesIO(body), "landing", key, Config=parts, ExtraArgs={"Metadata": {"size": str(len(body))}})
        print(key, flush=True)
except Exception as error:
    print("ended", type(error).__name__, flush=True)
"#;

const WHOLE: &str = r#"
import hashlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
for path in root.rglob("*.bin"):
    assert path.name == hashlib.md5(path.read_bytes()).hexdigest() + ".bin", path
"#;

const CHECKER: &str = r#"
import boto3, hashlib, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any")
seen = set()
for page in s3.get_paginator("list_objects_v2").paginate(Bucket="landing"):
    for it in page.get("Contents", []):
        if it["Key"].endswith("/"):
            continue
        got = s3.get_object(Bucket="landing", Key=it["Key"])
        body = got["Body"].read()
        assert it["Key"].endswith(hashlib.md5(body).hexdigest() + ".bin"), it["Key"]
        assert got["Metadata"] == {"size": str(len(body))}, (it["Key"], got["Metadata"])
        seen.add(it["Key"])
taken = set(sys.argv[2].split())
assert taken <= seen, taken - seen
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_during_uploads_leaves_what_was_taken_and_nothing_in_part() {
    let Some(python) = peers("boto3") else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mainstem.toml"), PROJECT).unwrap();
    let (data, landing) = (folder.path().join(".mainstem"), folder.path().join("landing"));
    let mut taken = Vec::new();
    for round in 0..4_u64 {
        let program = Program::start(folder.path(), &data);
        let uploaders: Vec<_> = (0..2)
            .map(|number| {
                Command::new(&python)
                    .args(["-c", UPLOADER, &program.url(""), &format!("{round}-{number}")])
                    .env("AWS_EC2_METADATA_DISABLED", "true")
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(3_000 + 370 * round)).await;
        program.kill();
        for mut uploader in uploaders {
            let said = BufReader::new(uploader.stdout.take().unwrap());
            taken.extend(said.lines().map_while(Result::ok).filter(|it| it.ends_with(".bin")));
            uploader.wait().unwrap();
        }
        // What is seen in the folder is whole, before the program looks at it again.
        run(&python, WHOLE, &[landing.to_str().unwrap()]);
    }
    assert!(8 < taken.len(), "only {} objects were taken", taken.len());
    let program = Program::start(folder.path(), &data);
    run(&python, CHECKER, &[&program.url(""), &taken.join(" ")]);
    let seen = files(&landing).len() as u64;
    program.until("SELECT count(*) FROM landing_objects", seen).await;
    let told = "SELECT count(*) FROM landing_objects WHERE metadata IS NULL";
    assert_eq!(program.count(told).await, 0, "what was said of them is told of them");
    program.stop();
}

const LOCKED: &str = r#"
[project.keys.till]
secret  = "${TILL}"
streams = ["landing_events"]
may     = ["write"]

[project.keys.office]
id     = "OFFICE"
secret = "${OFFICE}"
may    = ["read", "write"]

[bucket.landing]
[bucket.archive]
"#;

const KEYS: &str = r#"
import boto3, sys
from botocore.config import Config
from botocore.exceptions import ClientError
endpoint, till, office = sys.argv[1:4]
def client(id, secret):
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=id,
                        aws_secret_access_key=secret, config=Config(retries={"max_attempts": 1}))
def code(call):
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    raise SystemExit("an error was expected")
writer, reader = client("till", till), client("OFFICE", office)
writer.put_object(Bucket="landing", Key="a", Body=b"hello")
assert reader.get_object(Bucket="landing", Key="a")["Body"].read() == b"hello"
told = code(lambda: writer.get_object(Bucket="landing", Key="a"))
assert told[0] == "AccessDenied" and "[project.keys.till]" in told[1], told
assert code(lambda: writer.put_object(Bucket="archive", Key="a", Body=b"x"))[0] == "NoSuchBucket"
assert code(lambda: client("till", office).put_object(Bucket="landing", Key="a", Body=b"x"))[0] == "SignatureDoesNotMatch"
assert code(lambda: client("any", "any").list_buckets())[0] == "InvalidAccessKeyId"
assert [it["Name"] for it in reader.list_buckets()["Buckets"]] == ["archive", "landing"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_signs_for_what_it_may() {
    let Some(python) = peers("boto3") else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mainstem.toml"), LOCKED).unwrap();
    let (till, office) = ("till-9f27c1d45b6e8a03", "office-51c0be77a2d94f36");
    let variables = [("TILL", till), ("OFFICE", office)].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let data = folder.path().join(".mainstem");
    let program = Program::start_in(folder.path(), &data, &[], &variables);
    run(&python, KEYS, &[&program.url(""), till, office]);
    // A bucket without `from` lies in the data folder.
    assert_eq!(files(&data.join("buckets/landing")).len(), 1);
}
