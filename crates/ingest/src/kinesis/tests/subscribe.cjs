// Enhanced fan-out by AWS's own SDK, over HTTP/2 and HTTP/1.1, and by a client that does not read.
// usage: node subscribe.cjs URL SCENARIO, with the SDK in NODE_PATH
"use strict";
const assert = require("node:assert/strict");
const http2 = require("node:http2");
const { setTimeout: pause } = require("node:timers/promises");
const sdk = require("@aws-sdk/client-kinesis");
const { NodeHttpHandler, NodeHttp2Handler } = require("@smithy/node-http-handler");

const [endpoint, scenario, argument] = process.argv.slice(2);
const credentials = { accessKeyId: "any", secretAccessKey: "any" };

const client = (requestHandler) =>
  new sdk.KinesisClient({ endpoint, region: "us-east-1", credentials, requestHandler, maxAttempts: 1 });

const http1 = () => client(new NodeHttpHandler());
const http2Client = () => client(new NodeHttp2Handler());
const plain = http1();

async function consumer(name) {
  const of = await plain.send(new sdk.DescribeStreamSummaryCommand({ StreamName: "fan" }));
  const StreamARN = of.StreamDescriptionSummary.StreamARN;
  const made = await plain.send(new sdk.RegisterStreamConsumerCommand({ StreamARN, ConsumerName: name }));
  return made.Consumer.ConsumerARN;
}

const subscribe = (by, ConsumerARN, StartingPosition) =>
  by.send(new sdk.SubscribeToShardCommand({ ConsumerARN, ShardId: "shardId-000000000000", StartingPosition }));

const text = (record) => Buffer.from(record.Data).toString();

async function put(from, to, filling = "") {
  for (let at = from; at < to; at += 500) {
    const numbers = Array.from({ length: Math.min(500, to - at) }, (_, index) => at + index);
    const Records = numbers.map((it) => ({ Data: Buffer.from(`${it}${filling}`), PartitionKey: "k" }));
    const answer = await plain.send(new sdk.PutRecordsCommand({ StreamName: "fan", Records }));
    assert.equal(answer.FailedRecordCount, 0);
  }
}

/** Reads until so many records came; returns them, and where to go on. */
async function take(subscription, count) {
  const records = [];
  let next;
  for await (const { SubscribeToShardEvent: event } of subscription.EventStream) {
    assert.ok(event, "only events");
    records.push(...event.Records);
    next = event.ContinuationSequenceNumber;
    if (count <= records.length) break;
  }
  assert.equal(records.length, count);
  return { records, next };
}

const SCENARIOS = {
  /** Records come as they are put, in order, and a new subscription goes on after the last. */
  async records() {
    for (const by of [http2Client(), http1()]) {
      const arn = await consumer(`c${Date.now()}`);
      let subscription = await subscribe(by, arn, { Type: "LATEST" });
      const putting = pause(200).then(() => put(0, 3_000));
      const first = await take(subscription, 3_000);
      await putting;
      assert.deepEqual(first.records.map(text), Array.from({ length: 3_000 }, (_, it) => String(it)));
      // The same consumer again at once, while the first is known: not within five seconds.
      await assert.rejects(subscribe(by, arn, { Type: "LATEST" }), (error) => {
        assert.equal(error.name, "ResourceInUseException");
        return true;
      });
      await pause(5_200);
      const SequenceNumber = first.next;
      assert.ok(BigInt(first.records.at(-1).SequenceNumber) <= BigInt(SequenceNumber));
      subscription = await subscribe(by, arn, { Type: "AFTER_SEQUENCE_NUMBER", SequenceNumber });
      const rest = pause(100).then(() => put(3_000, 3_010));
      const second = await take(subscription, 10);
      await rest;
      assert.deepEqual(second.records.map(text), Array.from({ length: 10 }, (_, it) => String(3_000 + it)));
      by.destroy();
    }
  },

  /** A new subscription of the same consumer takes over: the old one ends as if its time were over. */
  async takeover() {
    const arn = await consumer("takeover");
    const old = http2Client();
    const first = await subscribe(old, arn, { Type: "LATEST" });
    let isOver = false;
    const reading = (async () => {
      for await (const _ of first.EventStream);
      isOver = true;
    })();
    await pause(5_200);
    assert.equal(isOver, false);
    const next = http2Client();
    const second = await subscribe(next, arn, { Type: "TRIM_HORIZON" });
    await reading;
    await put(0, 1);
    await take(second, 1);
    old.destroy();
    next.destroy();
  },

  /** After five minutes the stream ends, and a client goes on by the continuation. */
  async end() {
    const arn = await consumer("end");
    const by = http2Client();
    const began = Date.now();
    const subscription = await subscribe(by, arn, { Type: "LATEST" });
    await put(0, 1);
    let next, count = 0;
    for await (const { SubscribeToShardEvent: event } of subscription.EventStream) {
      count += event.Records.length;
      next = event.ContinuationSequenceNumber;
    }
    const took = (Date.now() - began) / 1_000;
    assert.ok(299 <= took && took < 310, `${took} seconds`);
    assert.equal(count, 1);
    const again = await subscribe(by, arn, { Type: "AFTER_SEQUENCE_NUMBER", SequenceNumber: next });
    await put(1, 2);
    assert.deepEqual((await take(again, 1)).records.map(text), ["1"]);
    by.destroy();
  },

  /** Clients that take nothing hold up nobody; `argument` of them, on one connection each. */
  async silent() {
    const arns = [];
    for (let it = 0; it < Number(argument); it++) arns.push(await consumer(`silent${it}`));
    const busy = await consumer("busy");
    const sessions = arns.map((arn) => {
      // A window of 64 KiB that is never given back.
      const session = http2.connect(endpoint);
      session.on("error", () => {});
      const body = JSON.stringify({ ConsumerARN: arn, ShardId: "shardId-000000000000", StartingPosition: { Type: "TRIM_HORIZON" } });
      const stream = session.request({
        ":method": "POST", ":path": "/",
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": "Kinesis_20131202.SubscribeToShard",
        authorization: "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0",
      });
      stream.on("error", () => {});
      stream.end(body);
      stream.pause();
      return { session, stream };
    });
    await Promise.all(sessions.map(({ stream }) => new Promise((done) => stream.once("response", (headers) => {
      assert.equal(headers[":status"], 200);
      done();
    }))));
    const by = http2Client();
    const reading = subscribe(by, busy, { Type: "TRIM_HORIZON" }).then((it) => take(it, 20_000));
    const began = Date.now();
    await put(0, 20_000, "x".repeat(5_000));
    await reading;
    console.log(`100 MB to one reader beside ${arns.length} silent ones in ${(Date.now() - began) / 1_000} s`);
    // One of them begins to read after all, and misses nothing.
    let bytes = 0;
    for (const { stream } of sessions.slice(0, 1)) {
      stream.on("data", (chunk) => { bytes += chunk.length; });
      stream.resume();
      for (let tick = 0; tick < 600 && bytes < 100_000_000; tick++) await pause(100);
      assert.ok(100_000_000 <= bytes, `${bytes} bytes`);
    }
    sessions.forEach(({ session }) => session.destroy());
    by.destroy();
  },
};

const made = plain.send(new sdk.CreateStreamCommand({ StreamName: "fan", ShardCount: 1 }));
made.then(SCENARIOS[scenario]).then(
  () => { console.log("ok"); process.exit(0); },
  (error) => { console.error(error); process.exit(1); },
);
