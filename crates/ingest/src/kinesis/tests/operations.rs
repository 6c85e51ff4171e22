//! Every operation beside those on records, in both encodings.

use super::*;

/// Speaks one of the two encodings; what is said in JSON is said in CBOR as well.
#[derive(Clone, Copy)]
struct Client<'a> {
    fixture: &'a Fixture,
    encoding: Encoding,
}

const STAMPS: &[&str] = &[
    "Timestamp",
    "StreamCreationTimestamp",
    "ConsumerCreationTimestamp",
    "ApproximateArrivalTimestamp",
];

pub(super) fn to_cbor(name: &str, value: &Json) -> Cbor {
    match value {
        Json::Null => Cbor::Null,
        Json::Bool(it) => Cbor::Bool(*it),
        Json::Number(it) if STAMPS.contains(&name) => {
            let ms = (it.as_f64().unwrap() * 1_000.0).round() as u64;
            Cbor::Tag(1, Box::new(Cbor::from(ms)))
        }
        Json::Number(it) => it.as_i64().unwrap().into(),
        Json::String(it) if name == "Data" => Cbor::Bytes(BASE64.decode(it).unwrap()),
        Json::String(it) => it.as_str().into(),
        Json::Array(it) => Cbor::Array(it.iter().map(|it| to_cbor("", it)).collect()),
        Json::Object(it) => {
            Cbor::Map(it.iter().map(|(key, it)| (key.as_str().into(), to_cbor(key, it))).collect())
        }
    }
}

pub(super) fn to_json(name: &str, value: &Cbor) -> Json {
    assert!(
        !STAMPS.contains(&name) || value.is_tag(),
        "{name} is a time, and so has tag 1: {value:?}"
    );
    match value {
        Cbor::Null => Json::Null,
        Cbor::Bool(it) => (*it).into(),
        Cbor::Integer(it) => Json::from(i64::try_from(*it).unwrap()),
        Cbor::Text(it) => it.as_str().into(),
        Cbor::Bytes(it) => BASE64.encode(it).into(),
        Cbor::Tag(1, it) => {
            let ms = i64::try_from(it.as_integer().unwrap()).unwrap();
            Json::from(ms as f64 / 1_000.0)
        }
        Cbor::Array(it) => it.iter().map(|it| to_json("", it)).collect(),
        Cbor::Map(it) => {
            let pairs = it.iter().map(|(key, it)| {
                let key = key.as_text().unwrap();
                (key.to_owned(), to_json(key, it))
            });
            Json::Object(pairs.collect())
        }
        other => panic!("{other:?}"),
    }
}

impl Client<'_> {
    async fn call(self, operation: &str, request: Json) -> (u16, Json) {
        if self.encoding == Encoding::Json {
            return call(self.fixture, operation, request).await;
        }
        let mut body = Vec::new();
        ciborium::into_writer(&to_cbor("", &request), &mut body).unwrap();
        let target = format!("{SERVICE}.{operation}");
        let content_type = Encoding::Cbor.content_type();
        let headers = [("x-amz-target", target.as_str()), ("content-type", content_type)];
        let (status, headers, body) = self.fixture.post("/", &headers, body).await;
        assert_eq!(headers["content-type"], content_type);
        let body = if body.is_empty() {
            Json::Null
        } else {
            to_json("", &ciborium::from_reader(body.as_slice()).unwrap())
        };
        (status.as_u16(), body)
    }

    async fn done(self, operation: &str, request: Json) -> Json {
        let (status, body) = self.call(operation, request).await;
        assert_eq!(status, 200, "{operation}: {body}");
        body
    }

    /// Returns the error's name and message.
    async fn refused(self, operation: &str, request: Json) -> String {
        let (status, body) = self.call(operation, request).await;
        assert_eq!(status, 400, "{operation}: {body}");
        format!("{}: {}", body["__type"].as_str().unwrap(), body["message"].as_str().unwrap())
    }

    async fn put(self, stream: &str, key: &str, text: &str) -> (String, String) {
        let request = json!({ "StreamName": stream, "PartitionKey": key, "Data": data(text) });
        let place = self.done("PutRecord", request).await;
        let text = |name: &str| place[name].as_str().unwrap().to_owned();
        (text("ShardId"), text("SequenceNumber"))
    }

    async fn shards(self, stream: &str, filter: Json) -> Vec<String> {
        let mut request = json!({ "StreamName": stream });
        if !filter.is_null() {
            request["ShardFilter"] = filter;
        }
        let answer = self.done("ListShards", request).await;
        let shards = answer["Shards"].as_array().unwrap().iter();
        shards
            .map(|it| it["ShardId"].as_str().unwrap().replace("shardId-00000000000", ""))
            .collect()
    }

    /// Reads a shard to its end; returns the texts and the last answer.
    async fn read(self, stream: &str, shard: &str, start: Json) -> (Vec<String>, Json) {
        let mut request = start;
        request["StreamName"] = stream.into();
        request["ShardId"] = shard.into();
        let answer = self.done("GetShardIterator", request).await;
        let mut iterator = answer["ShardIterator"].clone();
        let mut texts = Vec::new();
        loop {
            let answer = self.done("GetRecords", json!({ "ShardIterator": iterator })).await;
            let records = answer["Records"].as_array().unwrap();
            let bytes = records.iter().map(|it| BASE64.decode(it["Data"].as_str().unwrap()));
            texts.extend(bytes.map(|it| String::from_utf8(it.unwrap()).unwrap()));
            iterator = answer["NextShardIterator"].clone();
            if records.is_empty() || iterator.is_null() {
                return (texts, answer);
            }
        }
    }
}

/// Runs a scenario in each encoding, on a journal of its own.
async fn in_both(scenario: impl AsyncFn(Client<'_>)) {
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let fixture = Fixture::new();
        Box::pin(scenario(Client { fixture: &fixture, encoding })).await;
    }
}

fn horizon() -> Json {
    json!({ "ShardIteratorType": "TRIM_HORIZON" })
}

const HALF: &str = "170141183460469231731687303715884105728";

#[tokio::test]
async fn a_shard_is_split_and_its_children_go_on() {
    in_both(async |client| {
        client.done("CreateStream", json!({ "StreamName": "s", "ShardCount": 1 })).await;
        let (parent, before) = client.put("s", "k", "one").await;
        let split = json!({ "StreamName": "s", "ShardToSplit": parent, "NewStartingHashKey": HALF });
        client.fixture.clock.advance(Duration::from_secs(10));
        client.done("SplitShard", split.clone()).await;
        let (child, after) = client.put("s", "k", "two").await;
        assert_ne!(parent, child);
        assert!(before < after && before.len() == 56 && after.len() == 56);

        let listed = client.done("ListShards", json!({ "StreamName": "s" })).await;
        let shards = listed["Shards"].as_array().unwrap();
        assert_eq!(shards.len(), 3);
        let range = &shards[0]["SequenceNumberRange"];
        let ending = range["EndingSequenceNumber"].as_str().unwrap();
        assert!(before.as_str() < ending && ending < after.as_str());
        for (shard, (start, end)) in shards[1..].iter().zip([
            ("0", "170141183460469231731687303715884105727"),
            (HALF, "340282366920938463463374607431768211455"),
        ]) {
            assert_eq!(shard["ParentShardId"], parent);
            assert_eq!(shard["AdjacentParentShardId"], Json::Null);
            assert_eq!(shard["HashKeyRange"], json!({ "StartingHashKey": start, "EndingHashKey": end }));
            assert!(shard["SequenceNumberRange"].get("EndingSequenceNumber").is_none());
            let starting = shard["SequenceNumberRange"]["StartingSequenceNumber"].as_str().unwrap();
            assert!(ending < starting && starting < after.as_str());
        }
        // The end of the parent names the children and gives nothing to go on with.
        let (texts, last) = client.read("s", &parent, horizon()).await;
        assert_eq!(texts, ["one"]);
        assert_eq!(last.get("NextShardIterator"), None);
        assert_eq!(last["MillisBehindLatest"], 0);
        let children = last["ChildShards"].as_array().unwrap();
        assert_eq!(children.len(), 2);
        assert_eq!(children[0]["ParentShards"], json!([parent]));
        assert_eq!(children[0]["HashKeyRange"]["StartingHashKey"], "0");
        // Its ending number is one of its own, at its end.
        let at = json!({ "ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": ending });
        let (texts, last) = client.read("s", &parent, at).await;
        assert!(texts.is_empty() && last["ChildShards"].is_array());
        let (texts, last) = client.read("s", &child, horizon()).await;
        assert_eq!(texts, ["two"]);
        assert!(last["NextShardIterator"].is_string() && last.get("ChildShards").is_none());

        let refused = client.refused("SplitShard", split).await;
        assert_eq!(refused, "InvalidArgumentException: Shard shardId-000000000000 in stream s under account 000000000000 has already been merged or split, and thus is not eligible for merging or splitting.");
        let request = json!({ "StreamName": "s", "ShardToSplit": "shardId-000000000001", "NewStartingHashKey": "1" });
        let refused = client.refused("SplitShard", request).await;
        assert_eq!(refused, "InvalidArgumentException: NewStartingHashKey 1 used in SplitShard() on shard shardId-000000000001 in stream s under account 000000000000 is not both greater than one plus the shard's StartingHashKey 0 and less than the shard's EndingHashKey 170141183460469231731687303715884105727.");
        let request = json!({ "StreamName": "s", "ShardToSplit": "shardId-000000000009", "NewStartingHashKey": "5" });
        let refused = client.refused("SplitShard", request).await;
        assert_eq!(refused, "ResourceNotFoundException: Could not find shard shardId-000000000009 in stream s under account 000000000000.");
    })
    .await;
}

#[tokio::test]
async fn neighbours_are_merged_and_others_are_not() {
    in_both(async |client| {
        client.done("CreateStream", json!({ "StreamName": "s", "ShardCount": 3 })).await;
        let merge = |one: u32, other: u32| {
            json!({ "StreamName": "s", "ShardToMerge": format!("shardId-{one:012}"), "AdjacentShardToMerge": format!("shardId-{other:012}") })
        };
        let refused = client.refused("MergeShards", merge(0, 2)).await;
        assert_eq!(refused, "InvalidArgumentException: Shards shardId-000000000000 and shardId-000000000002 in stream s under account 000000000000 are not an adjacent pair of shards eligible for merging");
        client.done("MergeShards", merge(1, 0)).await;
        let description = client.done("DescribeStream", json!({ "StreamName": "s" })).await;
        let shards = &description["StreamDescription"]["Shards"];
        assert_eq!(shards.as_array().unwrap().len(), 4);
        assert_eq!(shards[3]["ParentShardId"], "shardId-000000000001");
        assert_eq!(shards[3]["AdjacentParentShardId"], "shardId-000000000000");
        assert_eq!(shards[3]["HashKeyRange"]["StartingHashKey"], "0");
        let summary = client.done("DescribeStreamSummary", json!({ "StreamName": "s" })).await;
        assert_eq!(summary["StreamDescriptionSummary"]["OpenShardCount"], 2);
        let (_, last) = client.read("s", "shardId-000000000000", horizon()).await;
        assert_eq!(last["ChildShards"][0]["ParentShards"], json!(["shardId-000000000001", "shardId-000000000000"]));
    })
    .await;
}

#[tokio::test]
async fn shards_are_listed_as_they_were_at_a_time() {
    in_both(async |client| {
        client.done("CreateStream", json!({ "StreamName": "s", "ShardCount": 2 })).await;
        let now = || client.fixture.inlet.clock().now_ms() as f64 / 1_000.0;
        client.fixture.clock.advance(Duration::from_secs(60));
        let before = now();
        client.fixture.clock.advance(Duration::from_secs(60));
        let request = json!({ "StreamName": "s", "TargetShardCount": 4, "ScalingType": "UNIFORM_SCALING" });
        let answer = client.done("UpdateShardCount", request).await;
        assert_eq!((&answer["CurrentShardCount"], &answer["TargetShardCount"]), (&json!(2), &json!(4)));
        client.fixture.clock.advance(Duration::from_secs(60));
        let filter = |kind: &str| json!({ "Type": kind });
        let at = |kind: &str, at: f64| json!({ "Type": kind, "Timestamp": at });
        assert_eq!(client.shards("s", Json::Null).await, ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(client.shards("s", filter("AT_LATEST")).await, ["2", "3", "4", "5"]);
        assert_eq!(client.shards("s", filter("AT_TRIM_HORIZON")).await, ["0", "1"]);
        assert_eq!(client.shards("s", filter("FROM_TRIM_HORIZON")).await.len(), 6);
        assert_eq!(client.shards("s", at("AT_TIMESTAMP", before)).await, ["0", "1"]);
        assert_eq!(client.shards("s", at("AT_TIMESTAMP", now())).await, ["2", "3", "4", "5"]);
        assert_eq!(client.shards("s", at("FROM_TIMESTAMP", before)).await.len(), 6);
        assert_eq!(client.shards("s", at("FROM_TIMESTAMP", now())).await, ["2", "3", "4", "5"]);
        let after = json!({ "Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000003" });
        assert_eq!(client.shards("s", after).await, ["4", "5"]);
        let request = json!({ "StreamName": "s", "ShardFilter": filter("AT_TIMESTAMP") });
        let refused = client.refused("ListShards", request).await;
        assert!(refused.starts_with("InvalidArgumentException: Timestamp must"), "{refused}");
        // A day later the first shards can be asked for no more.
        client.fixture.clock.advance(Duration::from_secs(25 * 3_600));
        assert_eq!(client.shards("s", filter("FROM_TRIM_HORIZON")).await, ["2", "3", "4", "5"]);
        client.fixture.inlet.journal().maintain().unwrap();
        assert_eq!(client.shards("s", Json::Null).await, ["2", "3", "4", "5"]);
        let request = |count: u32| json!({ "StreamName": "s", "TargetShardCount": count, "ScalingType": "UNIFORM_SCALING" });
        let refused = client.refused("UpdateShardCount", request(9)).await;
        assert_eq!(refused, "InvalidArgumentException: UpdateShardCount cannot scale up over double your current open shard count. Current open shard count: 4 Target shard count: 9");
        let refused = client.refused("UpdateShardCount", request(1)).await;
        assert_eq!(refused, "InvalidArgumentException: UpdateShardCount cannot scale down below half your current open shard count. Current open shard count: 4 Target shard count: 1");
        client.done("UpdateShardCount", request(3)).await;
        assert_eq!(client.shards("s", filter("AT_LATEST")).await.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn retention_is_longer_or_shorter_as_asked() {
    in_both(async |client| {
        client.done("CreateStream", json!({ "StreamName": "s", "ShardCount": 1 })).await;
        let request = |hours: u64| json!({ "StreamName": "s", "RetentionPeriodHours": hours });
        client.done("IncreaseStreamRetentionPeriod", request(48)).await;
        let refused = client.refused("IncreaseStreamRetentionPeriod", request(30)).await;
        assert_eq!(refused, "InvalidArgumentException: Requested retention period (30 hours) for stream s can not be shorter than existing retention period (48 hours). Use DecreaseRetentionPeriod API.");
        let refused = client.refused("IncreaseStreamRetentionPeriod", request(8_761)).await;
        assert_eq!(refused, "InvalidArgumentException: Maximum allowed retention period is 8760 hours. Requested retention period (8761 hours) is too long.");
        let summary = client.done("DescribeStreamSummary", json!({ "StreamName": "s" })).await;
        assert_eq!(summary["StreamDescriptionSummary"]["RetentionPeriodHours"], 48);
        client.done("DecreaseStreamRetentionPeriod", request(24)).await;
        let refused = client.refused("DecreaseStreamRetentionPeriod", request(23)).await;
        assert_eq!(refused, "InvalidArgumentException: Minimum allowed retention period is 24 hours. Requested retention period (23 hours) is too short.");
        let refused = client.refused("DecreaseStreamRetentionPeriod", request(25)).await;
        assert_eq!(refused, "InvalidArgumentException: Requested retention period (25 hours) for stream s can not be longer than existing retention period (24 hours). Use IncreaseRetentionPeriod API.");
    })
    .await;
}

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/s";

#[tokio::test]
async fn tags_are_added_listed_and_removed() {
    in_both(async |client| {
        let tags = json!({ "team": "web", "stage": "test" });
        client.done("CreateStream", json!({ "StreamName": "s", "ShardCount": 1, "Tags": tags })).await;
        client.done("AddTagsToStream", json!({ "StreamName": "s", "Tags": { "cost": "7", "team": "ops" } })).await;
        let listed = client.done("ListTagsForStream", json!({ "StreamName": "s", "Limit": 2 })).await;
        let expected = json!({ "HasMoreTags": true, "Tags": [{ "Key": "cost", "Value": "7" }, { "Key": "stage", "Value": "test" }] });
        assert_eq!(listed, expected);
        let rest = json!({ "StreamName": "s", "ExclusiveStartTagKey": "stage" });
        let listed = client.done("ListTagsForStream", rest).await;
        assert_eq!(listed, json!({ "HasMoreTags": false, "Tags": [{ "Key": "team", "Value": "ops" }] }));
        client.done("RemoveTagsFromStream", json!({ "StreamName": "s", "TagKeys": ["cost", "none"] })).await;
        client.done("TagResource", json!({ "ResourceARN": ARN, "Tags": { "a b": "" } })).await;
        client.done("UntagResource", json!({ "ResourceARN": ARN, "TagKeys": ["team"] })).await;
        let listed = client.done("ListTagsForResource", json!({ "ResourceARN": ARN })).await;
        assert_eq!(listed, json!({ "Tags": [{ "Key": "a b", "Value": "" }, { "Key": "stage", "Value": "test" }] }));
        let refused = client.refused("AddTagsToStream", json!({ "StreamName": "s", "Tags": { "a*": "" } })).await;
        assert!(refused.starts_with("InvalidArgumentException: Some tags contain invalid characters."), "{refused}");
        let many: serde_json::Map<String, Json> = (0..49).map(|it| (format!("t{it}"), "".into())).collect();
        let refused = client.refused("TagResource", json!({ "ResourceARN": ARN, "Tags": many })).await;
        assert!(refused.contains("cannot have more than 50 tags"), "{refused}");
        let listed = client.done("ListTagsForResource", json!({ "ResourceARN": ARN })).await;
        assert_eq!(listed["Tags"].as_array().unwrap().len(), 2, "a refused call changes nothing");
        let refused = client.refused("TagResource", json!({ "ResourceARN": "x", "Tags": {} })).await;
        assert!(refused.starts_with("ValidationException: 2 validation errors"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn consumers_are_registered_described_and_let_go() {
    in_both(async |client| {
        client.done("CreateStream", json!({ "StreamName": "s", "ShardCount": 1 })).await;
        let named = |name: &str| json!({ "StreamARN": ARN, "ConsumerName": name });
        let made = client.done("RegisterStreamConsumer", named("app")).await;
        let arn = made["Consumer"]["ConsumerARN"].as_str().unwrap().to_owned();
        assert_eq!(arn, format!("{ARN}/consumer/app:1767600000"));
        assert_eq!(made["Consumer"]["ConsumerCreationTimestamp"], 1_767_600_000.0);
        let refused = client.refused("RegisterStreamConsumer", named("app")).await;
        assert_eq!(refused, "ResourceInUseException: Consumer app under stream s under account 000000000000 already exists.");
        for name in ["b", "c"] {
            client.done("RegisterStreamConsumer", named(name)).await;
        }
        let by_arn = client.done("DescribeStreamConsumer", json!({ "ConsumerARN": arn })).await;
        let by_name = client.done("DescribeStreamConsumer", named("app")).await;
        assert_eq!(by_arn, by_name);
        let described = &by_arn["ConsumerDescription"];
        assert_eq!((&described["ConsumerStatus"], &described["StreamARN"]), (&json!("ACTIVE"), &json!(ARN)));
        let page = client.done("ListStreamConsumers", json!({ "StreamARN": ARN, "MaxResults": 2 })).await;
        assert_eq!(page["Consumers"].as_array().unwrap().len(), 2);
        let request = json!({ "StreamARN": ARN, "NextToken": page["NextToken"] });
        let rest = client.done("ListStreamConsumers", request).await;
        assert_eq!(rest["Consumers"][0]["ConsumerName"], "c");
        assert_eq!(rest.get("NextToken"), None);
        client.done("TagResource", json!({ "ResourceARN": arn, "Tags": { "a": "b" } })).await;
        let tags = client.done("ListTagsForResource", json!({ "ResourceARN": arn })).await;
        assert_eq!(tags["Tags"][0]["Key"], "a");
        let summary = client.done("DescribeStreamSummary", json!({ "StreamName": "s" })).await;
        assert_eq!(summary["StreamDescriptionSummary"]["ConsumerCount"], 3);
        let refused = client.refused("DeleteStream", json!({ "StreamName": "s" })).await;
        assert!(refused.starts_with("ResourceInUseException"), "{refused}");
        client.done("DeregisterStreamConsumer", json!({ "ConsumerARN": arn })).await;
        let refused = client.refused("DescribeStreamConsumer", named("app")).await;
        assert_eq!(refused, "ResourceNotFoundException: Consumer app, account 000000000000 not found.");
        for index in 0..18 {
            client.done("RegisterStreamConsumer", named(&format!("n{index}"))).await;
        }
        let refused = client.refused("RegisterStreamConsumer", named("one-more")).await;
        assert!(refused.starts_with("LimitExceededException"), "{refused}");
        let request = json!({ "StreamName": "s", "EnforceConsumerDeletion": true });
        client.done("DeleteStream", request).await;
        let refused = client.refused("DescribeStreamConsumer", named("b")).await;
        assert!(refused.starts_with("ResourceNotFoundException: Stream s"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn settings_are_told_back() {
    in_both(async |client| {
        client.done("CreateStream", json!({ "StreamName": "s", "ShardCount": 2 })).await;
        let metrics =
            json!({ "StreamName": "s", "ShardLevelMetrics": ["IncomingBytes", "OutgoingBytes"] });
        let answer = client.done("EnableEnhancedMonitoring", metrics).await;
        assert_eq!(answer["CurrentShardLevelMetrics"], json!([]));
        assert_eq!(answer["DesiredShardLevelMetrics"], json!(["IncomingBytes", "OutgoingBytes"]));
        let metrics = json!({ "StreamARN": ARN, "ShardLevelMetrics": ["OutgoingBytes"] });
        let answer = client.done("DisableEnhancedMonitoring", metrics).await;
        assert_eq!(answer["DesiredShardLevelMetrics"], json!(["IncomingBytes"]));
        let key =
            json!({ "StreamName": "s", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis" });
        client.done("StartStreamEncryption", key.clone()).await;
        let description = client.done("DescribeStream", json!({ "StreamName": "s" })).await;
        let description = &description["StreamDescription"];
        assert_eq!(description["EncryptionType"], "KMS");
        assert_eq!(description["KeyId"], "alias/aws/kinesis");
        assert_eq!(
            description["EnhancedMonitoring"][0]["ShardLevelMetrics"],
            json!(["IncomingBytes"])
        );
        client.done("StopStreamEncryption", key).await;
        let description = client.done("DescribeStream", json!({ "StreamName": "s" })).await;
        assert_eq!(description["StreamDescription"]["EncryptionType"], "NONE");

        let policy = r#"{"Version":"2012-10-17","Statement":[]}"#;
        let refused = client.refused("GetResourcePolicy", json!({ "ResourceARN": ARN })).await;
        assert!(refused.starts_with("ResourceNotFoundException"), "{refused}");
        client.done("PutResourcePolicy", json!({ "ResourceARN": ARN, "Policy": policy })).await;
        let answer = client.done("GetResourcePolicy", json!({ "ResourceARN": ARN })).await;
        assert_eq!(answer["Policy"], policy);
        let refused = client
            .refused("PutResourcePolicy", json!({ "ResourceARN": ARN, "Policy": "{}" }))
            .await;
        assert!(refused.starts_with("InvalidArgumentException"), "{refused}");
        client.done("DeleteResourcePolicy", json!({ "ResourceARN": ARN })).await;
        client.refused("GetResourcePolicy", json!({ "ResourceARN": ARN })).await;

        let limits = client.done("DescribeLimits", json!({})).await;
        // Those of the fixture and these two.
        assert_eq!(
            (&limits["OpenShardCount"], &limits["OnDemandStreamCount"]),
            (&json!(8), &json!(0))
        );
        assert_eq!(limits["ShardLimit"], 1_000_000);
        let account = client.done("DescribeAccountSettings", json!({})).await;
        assert_eq!(account["MinimumThroughputBillingCommitment"]["Status"], "DISABLED");
        let commit =
            |status: &str| json!({ "MinimumThroughputBillingCommitment": { "Status": status } });
        client.done("UpdateAccountSettings", commit("DISABLED")).await;
        client.refused("UpdateAccountSettings", commit("ENABLED")).await;
        client
            .done("UpdateMaxRecordSize", json!({ "StreamARN": ARN, "MaxRecordSizeInKiB": 1_024 }))
            .await;
        let refused = client
            .refused(
                "UpdateMaxRecordSize",
                json!({ "StreamARN": ARN, "MaxRecordSizeInKiB": 10_240 }),
            )
            .await;
        assert!(refused.starts_with("ValidationException"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn the_mode_changes_and_an_on_demand_stream_is_left_to_its_load() {
    in_both(async |client| {
        client.done("CreateStream", json!({ "StreamName": "s", "ShardCount": 2 })).await;
        let mode = |mode: &str| json!({ "StreamARN": ARN, "StreamModeDetails": { "StreamMode": mode } });
        client.done("UpdateStreamMode", mode("ON_DEMAND")).await;
        let summary = client.done("DescribeStreamSummary", json!({ "StreamName": "s" })).await;
        let summary = &summary["StreamDescriptionSummary"];
        assert_eq!(summary["StreamModeDetails"]["StreamMode"], "ON_DEMAND");
        assert_eq!((&summary["OpenShardCount"], &summary["MaxRecordSizeInKiB"]), (&json!(2), &json!(1_024)));
        let split = json!({ "StreamName": "s", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "5" });
        let scale = json!({ "StreamName": "s", "TargetShardCount": 4, "ScalingType": "UNIFORM_SCALING" });
        for (operation, request) in [("SplitShard", split), ("UpdateShardCount", scale)] {
            let refused = client.refused(operation, request).await;
            assert_eq!(refused, "ValidationException: Request is invalid. Stream s under account 000000000000 is in On-Demand mode.");
        }
        let warm = json!({ "StreamName": "s", "WarmThroughputMiBps": 6 });
        let answer = client.done("UpdateStreamWarmThroughput", warm.clone()).await;
        assert_eq!(answer["WarmThroughput"], json!({ "CurrentMiBps": 6, "TargetMiBps": 6 }));
        client.done("UpdateStreamMode", mode("PROVISIONED")).await;
        assert_eq!(client.shards("s", json!({ "Type": "AT_LATEST" })).await.len(), 6);
        let refused = client.refused("UpdateStreamWarmThroughput", warm).await;
        assert!(refused.ends_with("is not in On-Demand mode."), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn what_the_project_declares_only_the_project_changes() {
    in_both(async |client| {
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/notes";
        let refused = client.refused("DeleteStream", json!({ "StreamName": "notes" })).await;
        assert_eq!(refused, "ResourceInUseException: Stream notes under account 000000000000 is declared by the project: take its section out of the project and apply the change.");
        let request = json!({ "StreamARN": arn, "StreamModeDetails": { "StreamMode": "ON_DEMAND" } });
        let refused = client.refused("UpdateStreamMode", request).await;
        assert!(refused.contains("change `shards`"), "{refused}");
        let request = json!({ "StreamName": "notes", "RetentionPeriodHours": 48 });
        let refused = client.refused("IncreaseStreamRetentionPeriod", request).await;
        assert!(refused.contains("change `replay`"), "{refused}");
        // `shards` is what it begins with.
        let request = json!({ "StreamName": "notes", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING" });
        client.done("UpdateShardCount", request).await;
        client.done("AddTagsToStream", json!({ "StreamName": "notes", "Tags": { "a": "b" } })).await;
    })
    .await;
}

#[tokio::test]
async fn all_of_it_survives_a_restart() {
    let fixture = Fixture::new();
    let client = Client { fixture: &fixture, encoding: Encoding::Json };
    let mode = json!({ "StreamMode": "ON_DEMAND" });
    let request = json!({ "StreamName": "s", "StreamModeDetails": mode, "Tags": { "a": "b" } });
    client.done("CreateStream", request).await;
    client.done("CreateStream", json!({ "StreamName": "gone", "ShardCount": 1 })).await;
    client.done("RegisterStreamConsumer", json!({ "StreamARN": ARN, "ConsumerName": "app" })).await;
    client
        .done(
            "IncreaseStreamRetentionPeriod",
            json!({ "StreamName": "s", "RetentionPeriodHours": 72 }),
        )
        .await;
    let key = json!({ "StreamName": "s", "EncryptionType": "KMS", "KeyId": "key" });
    client.done("StartStreamEncryption", key).await;
    let (shard, number) = client.put("notes", "k", "one").await;
    let split = json!({ "StreamName": "notes", "ShardToSplit": shard, "NewStartingHashKey": HALF });
    client.done("SplitShard", split).await;
    client.put("notes", "k", "two").await;
    client.done("DeleteStream", json!({ "StreamName": "gone" })).await;
    let told = async |client: Client<'_>| {
        let mut told = vec![client.done("ListStreams", json!({})).await];
        for stream in ["s", "notes"] {
            told.push(client.done("DescribeStream", json!({ "StreamName": stream })).await);
        }
        told.push(client.done("ListTagsForStream", json!({ "StreamName": "s" })).await);
        told.push(client.done("ListStreamConsumers", json!({ "StreamARN": ARN })).await);
        told
    };
    let before = told(client).await;
    let fixture = fixture.restart();
    let client = Client { fixture: &fixture, encoding: Encoding::Json };
    assert_eq!(told(client).await, before);
    let after =
        json!({ "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": number });
    let (texts, last) = client.read("notes", &shard, after).await;
    assert!(texts.is_empty() && last["ChildShards"].is_array());
    // The name is free, and what is made under it is another stream.
    client.done("CreateStream", json!({ "StreamName": "gone", "ShardCount": 1 })).await;
}

/// What a producer library sends, for a table and for consumers of the API.
#[tokio::test]
async fn aggregated_records_are_taken_apart_for_tables_only() {
    use crate::kinesis::aggregate::tests::put_together;
    in_both(async |client| {
        let last = u128::MAX;
        let together = put_together(&[
            ("ada", None, b"{\"customer\":\"x\"}".as_slice()),
            ("bob", Some(last), b"two"),
            ("ada", None, b"three"),
        ]);
        let mut damaged = together.clone();
        damaged[20] ^= 1;
        let entry = |bytes: &[u8]| json!({ "Data": BASE64.encode(bytes), "PartitionKey": "a" });
        let request = |stream: &str| {
            json!({ "StreamName": stream, "Records": [entry(b"plain"), entry(&together), entry(&damaged), entry(b"end")] })
        };
        let answer = client.done("PutRecords", request("orders")).await;
        assert_eq!(answer["FailedRecordCount"], 0);
        let places = answer["Records"].as_array().unwrap();
        assert_eq!(places.len(), 4);
        let records = client.fixture.records("orders");
        let all: Vec<_> = records.iter().flatten().map(|(key, text)| (key.as_str(), text.as_str())).collect();
        assert_eq!(all.len(), 6);
        let of_ada: Vec<_> = all.iter().filter(|it| it.0 == "ada").map(|it| it.1).collect();
        assert_eq!(of_ada, ["{\"customer\":\"x\"}", "three"]);
        assert!(records[3].contains(&("bob".to_owned(), "two".to_owned())), "its hash key is kept");
        // The place of the aggregate is that of its first record; those after it have their own.
        let shard = places[3]["ShardId"].as_str().unwrap().to_owned();
        let at = json!({ "ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": places[3]["SequenceNumber"] });
        assert_eq!(client.read("orders", &shard, at).await.0, ["end"]);

        client.done("CreateStream", json!({ "StreamName": "s", "ShardCount": 1 })).await;
        client.done("PutRecords", request("s")).await;
        let iterator = client.done("GetShardIterator", json!({ "StreamName": "s", "ShardId": "0", "ShardIteratorType": "TRIM_HORIZON" })).await;
        let read = client.done("GetRecords", json!({ "ShardIterator": iterator["ShardIterator"] })).await;
        assert_eq!(read["Records"].as_array().unwrap().len(), 4);
        assert_eq!(read["Records"][1]["Data"], BASE64.encode(&together), "as it was put");
    })
    .await;
}
