//! Every limit of the program, each with its reason. A queue, batch, retry or name without a line
//! here has no place in the code.

use std::time::Duration;

/// Objects of one bucket: their names are in memory, some hundred bytes each.
pub const BUCKET_OBJECTS_MAX: usize = 1_000_000;

/// Events of a bucket that are told in one append.
pub const BUCKET_EVENTS_CHUNK: usize = 1_000;

/// Requests to the S3 API at a time, downloads included; each holds about 2 MB.
pub const S3_REQUESTS_MAX: usize = 128;

/// What is gathered of an object before it is written, and read of it at a time.
pub const S3_BLOCK_BYTES: usize = 1 << 20;

/// An object that comes in one request, and a part of one, as with AWS.
pub const S3_PUT_BYTES_MAX: u64 = 5 << 30;

/// An object of many parts, as with AWS.
pub const S3_OBJECT_BYTES_MAX: u64 = 5 << 40;

/// A part of an object but the last, as with AWS.
pub const S3_PART_BYTES_MIN: u64 = 5 << 20;

/// Parts of an object, as with AWS.
pub const S3_PARTS_MAX: usize = 10_000;

/// Uploads in parts that are open in one bucket.
pub const S3_UPLOADS_MAX: usize = 1_000;

/// Objects, parts or uploads on one page of a list, and keys in one `DeleteObjects`, as with AWS.
pub const S3_PAGE_MAX: usize = 1_000;

/// A key, as with AWS; and what is between two `/` of it, which is a file's name.
pub const S3_KEY_BYTES_MAX: usize = 1_024;
/// See [`S3_KEY_BYTES_MAX`].
pub const S3_KEY_PART_BYTES_MAX: usize = 255;

/// What a client says of an object, `x-amz-meta-*`, as with AWS.
pub const S3_METADATA_BYTES_MAX: usize = 2 << 10;

/// A list of parts or of keys in a request: ten thousand parts take about 2 MB.
pub const S3_XML_BYTES_MAX: usize = 4 << 20;

/// How long a client may send nothing of an object that it uploads.
pub const S3_STALL_MAX: Duration = Duration::from_secs(60);

/// How long what is left of an upload is kept after its client was last heard of.
pub const S3_LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What an upload leaves free on the disk, or a twentieth of a small one: the journal may be there.
pub const S3_DISK_FREE_BYTES_MIN: u64 = 1 << 30;

/// As long as Kinesis allows for a stream's name.
pub const NAME_BYTES_MAX: usize = 128;

/// One record; Kinesis allows 1 MiB with its key (10 MiB since 2025, which few clients send).
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// A partition key, as in Kinesis.
pub const PARTITION_KEY_BYTES_MAX: usize = 256;

/// Records in one request to any door. Kinesis allows 500; our HTTP door takes whole files.
pub const REQUEST_RECORDS_MAX: usize = 100_000;

/// A request's body as it comes over the wire.
pub const REQUEST_BYTES_MAX: usize = 16 << 20;

/// A request's body after gzip or zstd: four times the body, so that a bomb stays small.
pub const REQUEST_INFLATED_BYTES_MAX: usize = 64 << 20;

/// `PutRecords` of Kinesis: records, and bytes with keys, in one call.
pub const KINESIS_RECORDS_MAX: usize = 500;
/// See [`KINESIS_RECORDS_MAX`]; 5 MiB by their documentation.
pub const KINESIS_BYTES_MAX: usize = 5 << 20;

/// Shards of one stream. Each costs a few hundred bytes of index and a slot in every checkpoint.
pub const SHARDS_MAX: u32 = 1_024;

/// Shards of one stream, those included that were split or merged and still have records: an on-demand
/// stream that doubles and halves all day stays below it.
pub const SHARDS_KEPT_MAX: usize = 4_096;

/// Shards that a stream with `shards = "auto"` begins with and never falls below, as in the on-demand
/// mode of Kinesis.
pub const ON_DEMAND_SHARDS_MIN: u32 = 4;

/// Shards that `shards = "auto"` makes by itself at most: what AWS gives an account at first.
pub const ON_DEMAND_SHARDS_MAX: u32 = 200;

/// What is remembered beside a stream in the journal's manifest, which is written anew with each
/// change: the most tags of a stream and twenty consumers take a tenth of it.
pub const STREAM_NOTE_BYTES_MAX: usize = 256 << 10;

/// Streams of one node, those that a client made included.
pub const STREAMS_MAX: usize = 4_096;

/// Appends waiting for the commit thread, in bytes; beyond it producers are told to slow down.
pub const JOURNAL_PENDING_BYTES_MAX: usize = 64 << 20;

/// One group commit: larger ones let early requests wait for late ones.
pub const JOURNAL_COMMIT_BYTES_MAX: usize = 8 << 20;

/// A segment of the journal: preparing one takes a fraction of a second, recycling is per segment.
pub const JOURNAL_SEGMENT_BYTES: u64 = 128 << 20;

/// Committed frames kept in memory, so that a flow that keeps up never reads the disk.
pub const JOURNAL_TAIL_BYTES_MAX: usize = 64 << 20;

/// How long an `Idempotency-Key` is remembered (SEMANTICS: 24 hours).
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// One `Idempotency-Key`; a UUID takes 36.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;

/// `Idempotency-Key`s remembered at a time, about 100 MB at most; beyond it the oldest go early.
pub const IDEMPOTENCY_KEYS_MAX: usize = 1_000_000;

/// Bytes of records in one tick: large enough for full speed, small enough for fresh answers.
pub const TICK_BYTES_MAX: usize = 8 << 20;

/// The longest wait for more records before a tick: a quarter of what an answer may lag behind.
pub const TICK_DELAY_MAX: Duration = Duration::from_millis(5);

/// An epoch becomes durable this often: the work a restart repeats, against the files it makes.
pub const EPOCH_EVERY: Duration = Duration::from_secs(5);

/// An epoch becomes durable when it holds so many bytes of records, however young it is.
pub const EPOCH_BYTES: usize = 128 << 20;

/// The file of a lookup: it is read whole, and stays in memory with where each key stands, once for
/// all tables that join it; twice while a changed file is read.
pub const LOOKUP_BYTES_MAX: u64 = 256 << 20;

/// Hot rows of one flow before ticks wait for the flush under way.
pub const HOT_BYTES_MAX: usize = 512 << 20;

/// Rows of one row group in a Parquet file: the unit that queries skip, and what a writer buffers.
pub const ROW_GROUP_ROWS_MAX: usize = 512 * 1024;

/// Rows of one row group in a file of cold rows: few questions come, so a better compression is
/// worth more than groups that can be skipped.
pub const COLD_ROW_GROUP_ROWS_MAX: usize = 2 * 1024 * 1024;

/// Bytes of files that are made cold at a time, if there are several: compressing strongly takes
/// seconds for some megabytes, and upkeep looks at its budget only in between.
pub const LAKE_COLD_BYTES: u64 = 16 << 20;

/// A file of a table at rest; beyond it the next one is begun. Larger ones make compaction slow,
/// smaller ones make many opens.
pub const LAKE_FILE_BYTES_MAX: u64 = 128 << 20;

/// Versions another program may take from a table's owner in a row before a commit gives up.
pub const LAKE_COMMIT_TRIES_MAX: usize = 16;

/// Files merged in one step of compaction: a step writes one version, and one sync costs as much as
/// reading many small files.
pub const LAKE_COMPACT_FILES_MAX: usize = 4_096;

/// Memory in which rows are ordered where files are merged by columns; beyond it they go to disk.
pub const LAKE_CLUSTER_BYTES_MAX: usize = 64 << 20;

/// Snapshots of one table that are kept: each may keep all of its files a second time.
pub const SNAPSHOTS_MAX: u32 = 100;

/// Versions of a table's log between two checkpoints: opening a table reads at most so many.
pub const LAKE_CHECKPOINT_COMMITS: u64 = 100;

/// Files deleted before a commit that waits is let through.
pub const LAKE_SWEEP_FILES_MAX: usize = 256;

/// Memory of one query; beyond it sorts and joins spill, or the query fails with advice.
pub const QUERY_MEMORY_BYTES_MAX: usize = 2 << 30;

/// What all queries together may spill to disk: a forgotten join must not fill it.
pub const QUERY_SPILL_BYTES_MAX: u64 = 50_000_000_000;

/// Statements that run at a time; more wait, within their own time.
pub const QUERIES_MAX: usize = 64;

/// How long one statement may run: longer ones are reports, and reports are tables.
pub const QUERY_DURATION_MAX: Duration = Duration::from_secs(600);

/// Rows that `POST /v1/sql` answers as JSON or CSV unless the request asks for more.
pub const ANSWER_ROWS_DEFAULT: usize = 10_000;

/// Open sessions, or rows kept, of one table: they are held in memory.
pub const GROUPS_MAX: usize = 10_000_000;

/// State of one flow's tables in memory, with their rows that change: half of what a small machine
/// has; beyond it groups go to disk, which costs time.
pub const STATE_BYTES_MAX: usize = 1_000_000_000;

/// State of one flow's tables on disk: a key that never repeats must not fill it.
pub const STATE_DISK_BYTES_MAX: u64 = 100_000_000_000;

/// Rows that `POST /v1/sql` answers as JSON at most: one answer is one text in the browser.
pub const ANSWER_ROWS_MAX: usize = 100_000;

/// The body of `POST /v1/sql`: a long statement, no data.
pub const SQL_BYTES_MAX: usize = 1 << 20;

/// Live pages (server-sent events) at a time.
pub const LIVE_PAGES_MAX: usize = 256;

/// How often live pages are told news; faster is not seen, slower does not feel live.
pub const LIVE_EVERY: Duration = Duration::from_secs(1);

/// One chart's query; a slower one would leave the page without news for too long.
pub const CHART_ANSWER_MAX: Duration = Duration::from_secs(10);

/// Rows a chart draws: a day of minutes for a dozen series, drawn without a pause.
pub const CHART_ROWS_MAX: usize = 20_000;

/// Seconds of rate that the console remembers of each stream.
pub const RATE_HISTORY_MAX: usize = 180;

/// Dead letters listed on one page.
pub const DEAD_LISTED_MAX: usize = 200;

/// Connections that speak PostgreSQL at a time.
pub const POSTGRES_CONNECTIONS_MAX: usize = 256;

/// One message of a PostgreSQL client that has logged in: statements and parameters are small.
pub const POSTGRES_MESSAGE_BYTES_MAX: usize = 4 << 20;

/// One message of a PostgreSQL client that has not logged in yet.
pub const POSTGRES_LOGIN_BYTES_MAX: usize = 10_000;

/// How long a PostgreSQL client may take to log in.
pub const POSTGRES_LOGIN_MAX: Duration = Duration::from_secs(20);

/// How long a connection may be silent; dead ones would use up the connections.
pub const POSTGRES_IDLE_MAX: Duration = Duration::from_secs(8 * 60 * 60);

/// Prepared statements and cursors of one PostgreSQL connection, each.
pub const POSTGRES_STATEMENTS_MAX: usize = 1_024;

/// Notices waiting to be delivered to one `notify` target.
pub const NOTICES_MAX: usize = 10_000;

/// Lists and objects in each other in a value of type `json`: as deep as its later readers follow.
pub const JSON_DEPTH_MAX: usize = 128;

/// Bodies of requests in memory at a time, inflated ones included; beyond it a request is told to
/// come again. Four of the largest, or thousands of usual ones.
pub const REQUESTS_BYTES_MAX: usize = 256 << 20;

/// From the first byte of a request's body to its last; a client that is slower than 16 MiB in this
/// time holds memory that others need.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);

/// What producers that are told to slow down are asked to wait.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// `GetRecords` of Kinesis: records in one answer.
pub const KINESIS_READ_RECORDS_MAX: usize = 10_000;
/// `GetRecords` of Kinesis: bytes of records in one answer, 10 MiB by their documentation.
pub const KINESIS_READ_BYTES_MAX: usize = 10 << 20;
/// How long a shard iterator of Kinesis can be used.
pub const KINESIS_ITERATOR_KEPT: Duration = Duration::from_secs(5 * 60);

/// Digits of a number in DynamoDB.
pub const DYNAMODB_DIGITS_MAX: usize = 38;
/// Lists and maps in each other in one attribute of DynamoDB.
pub const DYNAMODB_DEPTH_MAX: usize = 32;
/// An item of DynamoDB, its names included.
pub const DYNAMODB_ITEM_BYTES_MAX: usize = 400 << 10;
/// The key of an item of DynamoDB.
pub const DYNAMODB_KEY_BYTES_MAX: usize = 2_048;
/// The sort attribute of an item of DynamoDB.
pub const DYNAMODB_SORT_BYTES_MAX: usize = 1_024;
/// The name of a table in a request, which may be an ARN.
pub const DYNAMODB_ARN_CHARS_MAX: usize = 1_024;
/// A request of DynamoDB that puts no more than one item; with base64 and values to compare with.
pub const DYNAMODB_REQUEST_BYTES_MAX: usize = 4 << 20;
/// One expression of DynamoDB.
pub const DYNAMODB_EXPRESSION_BYTES_MAX: usize = 4 << 10;
/// Operators and functions of one expression of DynamoDB, and how deep they stand in each other:
/// reading and dropping one of this depth fits the stack of a thread.
pub const DYNAMODB_OPERATORS_MAX: usize = 300;
/// Operands of `IN` in an expression of DynamoDB.
pub const DYNAMODB_OPERANDS_MAX: usize = 100;
/// `BatchGetItem` of DynamoDB: keys, and bytes of the items answered.
pub const DYNAMODB_KEYS_MAX: usize = 100;
/// See [`DYNAMODB_KEYS_MAX`].
pub const DYNAMODB_BATCH_BYTES_MAX: usize = 16 << 20;
/// `BatchWriteItem` of DynamoDB: items.
pub const DYNAMODB_WRITES_MAX: usize = 25;
/// `Query` of DynamoDB: bytes of the items read for one page.
pub const DYNAMODB_PAGE_BYTES_MAX: usize = 1 << 20;
/// `ListTables` of DynamoDB: names in one answer.
pub const DYNAMODB_TABLES_LISTED_MAX: u32 = 100;
/// Tags of one stream or consumer, as with Kinesis.
pub const KINESIS_TAGS_MAX: usize = 50;
/// Registered consumers of one stream, as with Kinesis.
pub const KINESIS_CONSUMERS_MAX: usize = 20;
/// A resource policy, as with Kinesis.
pub const KINESIS_POLICY_BYTES_MAX: usize = 20 << 10;
/// How long a subscription to a shard lasts, as with Kinesis; consumers begin the next one then.
pub const KINESIS_SUBSCRIPTION_KEPT: Duration = Duration::from_secs(5 * 60);
/// Records of one event of a subscription: what it holds in memory while its client is slow.
pub const KINESIS_EVENT_BYTES_MAX: usize = 1 << 20;
/// Subscriptions at a time, each with an event in memory: half a gigabyte if all clients are slow.
pub const KINESIS_SUBSCRIPTIONS_MAX: usize = 512;

/// Records a second that the door `generate` makes: more than one core can use.
pub const GENERATE_RATE_MAX: f64 = 1_000_000.0;

/// Fields of a made-up record.
pub const GENERATE_FIELDS_MAX: usize = 256;

/// Processes that the door `host` reports, by CPU and by memory each.
pub const HOST_PROCESSES_MAX: usize = 100;

/// A file of a project: a thousand times what a person writes; larger ones are data put there by
/// mistake.
pub const PROJECT_FILE_BYTES_MAX: u64 = 1 << 20;

/// Files of a project, and folders below it looked into.
pub const PROJECT_FILES_MAX: usize = 10_000;

/// Folders in folders of a project; ends a loop of links.
pub const PROJECT_FOLDER_DEPTH_MAX: usize = 16;

/// Parts of a TOML key; the language needs five.
pub const TOML_DEPTH_MAX: usize = 16;

/// Faults shown for one section; each costs another reading of it.
pub const SECTION_FAULTS_MAX: usize = 100;

/// Words and signs of one SELECT. A chain of operators is a tree as deep as it is long, and
/// dropping one of this depth still fits the stack of a thread.
pub const SQL_TOKENS_MAX: usize = 10_000;

/// The first line of a lookup's file, with the names of its columns.
pub const LOOKUP_HEADER_BYTES_MAX: usize = 64 << 10;

/// Keys of one alert that stand at a time; beyond it an alert tells nothing but that it is too wide.
pub const ALERT_KEYS_MAX: usize = 10_000;

/// Resolved keys of one alert that are still shown.
pub const ALERT_RESOLVED_MAX: usize = 100;

/// The title of a notice: what a telephone shows of it, with room.
pub const TITLE_CHARS_MAX: usize = 500;

/// How long a webhook may take to answer.
pub const NOTICE_TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses between attempts to deliver a notice grow from the first of these to the second.
pub const NOTICE_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// How long a notice is tried: after a day nobody acts on it any more.
pub const NOTICE_TRIED: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a mail server may take for one mail: some greet late on purpose.
pub const MAIL_TIMEOUT: Duration = Duration::from_secs(60);

/// Addresses of one `notify`: each is a mail of its own.
pub const NOTIFY_EMAILS_MAX: usize = 50;

/// How much of a webhook's refusal is read and shown.
pub const NOTICE_ANSWER_BYTES_MAX: usize = 1 << 10;

/// Brackets in brackets of one SELECT; the parser follows each with several calls of its own.
pub const SQL_DEPTH_MAX: usize = 100;

/// Rows of one table that a trace follows; more are no longer about one record.
pub const TRACE_ROWS_MAX: usize = 100;

/// Rows of one table that a backtest reads: years of minutes of a few keys, a day of many.
pub const BACKTEST_ROWS_MAX: usize = 10_000_000;

/// Rows of one key in an answer that says no number: a page of an app.
pub const KEY_ROWS_DEFAULT: usize = 100;

/// Rows of one key in an answer at most: more are a question for SQL.
pub const KEY_ROWS_MAX: usize = 1_000;

/// Connections of HTTP clients at a time; each costs about 20 kB. More wait to be accepted.
pub const CONNECTIONS_MAX: usize = 16_000;

/// The head of a request: address and headers. Signed requests take about 2 kB.
pub const REQUEST_HEAD_BYTES_MAX: usize = 64 << 10;

/// How long the head of a request may take to come, and how long a connection may be silent between
/// two requests.
pub const REQUEST_HEAD_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a client may take nothing of its answer.
pub const ANSWER_STALL_MAX: Duration = Duration::from_secs(30);

/// Requests under way on one connection of HTTP/2; as many as Kinesis' own clients use.
pub const HTTP2_STREAMS_MAX: u32 = 256;

/// What a client of HTTP/2 may send ahead of being read: a whole `PutRecords`.
pub const HTTP2_WINDOW_BYTES: u32 = 8 << 20;

/// Readers that follow a stream live at a time; each has a task and a queue.
pub const FOLLOWERS_MAX: usize = 1_000;

/// Events waiting for one reader that follows a stream: beyond it the reader is waited for.
pub const FOLLOW_EVENTS_MAX: usize = 256;

/// Bytes of records read at a time for one that follows a stream.
pub const FOLLOW_BYTES_MAX: usize = 64 << 10;

/// How long a reader that follows a stream may take nothing: then it is cut off.
pub const FOLLOW_STALL_MAX: Duration = Duration::from_secs(30);

/// How often a reader that follows a silent stream is told that the connection stands.
pub const FOLLOW_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// Origins that one `http` door names: a team's sites, not a list of customers.
pub const ORIGINS_MAX: usize = 100;

/// Clients, by address, whose rates are counted apart; about 2 MB. More share one rate.
pub const CLIENTS_MAX: usize = 10_000;

/// How far the moment a request was signed at may be from ours, as with AWS.
pub const SIGNATURE_SKEW_MAX: Duration = Duration::from_secs(15 * 60);

/// How long a signed address may be valid, as with AWS.
pub const SIGNATURE_KEPT_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Headers that one signature may cover; SDKs sign fewer than ten.
pub const SIGNED_HEADERS_MAX: usize = 100;

/// A key's secret: shorter ones can be guessed.
pub const SECRET_CHARS_MIN: usize = 16;

/// A key's secret as a request may show it: longer ones are not even hashed.
pub const SECRET_BYTES_MAX: usize = 1 << 10;

/// Topics that clients of SNS made, and subscriptions of all topics.
pub const TOPICS_MAX: usize = 1_000;
/// See [`TOPICS_MAX`].
pub const SUBSCRIPTIONS_MAX: usize = 1_000;

/// One message of SNS, as it has it.
pub const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// Messages that wait to be brought, all together: they are held in memory.
pub const MESSAGES_BYTES_MAX: usize = 64 << 20;
/// Messages that wait, once for each who is to be told: about 30 MB.
pub const LETTERS_MAX: usize = 100_000;

/// Messages of SNS under way at a time, one for each who is told.
pub const LETTERS_AT_A_TIME_MAX: usize = 64;

/// `PublishBatch` of SNS: messages in one call.
pub const SNS_BATCH_MAX: usize = 10;

/// `PutRecordBatch` of Firehose: records, and bytes, in one call; 4 MiB by their documentation.
pub const FIREHOSE_RECORDS_MAX: usize = 500;
/// See [`FIREHOSE_RECORDS_MAX`].
pub const FIREHOSE_BYTES_MAX: usize = 4 << 20;
/// One record of Firehose, 1,000 KiB by their documentation.
pub const FIREHOSE_RECORD_BYTES_MAX: usize = 1_000 << 10;

/// Tables with a schedule that are recomputed at the same time, if the project says nothing: one for
/// each core of a small machine, beside the flows.
pub const RUNS_MAX: u32 = 2;

/// Runs of one table that are remembered: they are part of each checkpoint.
pub const RUNS_KEPT_MAX: usize = 100;

/// The same of a table that runs as often as what it reads changes: its last runs say all.
pub const RUNS_KEPT_UNPACED_MAX: usize = 10;

/// Moments of a schedule that are made up for after the program stood still; older ones are forgotten.
pub const RUNS_MISSED_MAX: usize = 100;

/// How often a run is tried again, if the table says nothing.
pub const RUN_RETRIES: u32 = 3;

/// How long after a failure, at first.
pub const RUN_RETRY_AFTER: Duration = Duration::from_secs(10);

/// And at most, however often it failed.
pub const RUN_RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// A run that begins so much later than it should is not late yet: a restart takes less.
pub const RUN_GRACE: Duration = Duration::from_secs(60);

/// Different values of a column that the crawler tells apart: enough to find a key.
pub const INFER_DISTINCT_MAX: usize = 10_000;

/// Values of each kind that a guess about a column quotes.
pub const INFER_EXAMPLES_MAX: usize = 3;

/// Characters of a value that a guess quotes.
pub const INFER_QUOTED_CHARS: usize = 60;

/// What the crawler reads of the text of one file: some thousand rows, in a few milliseconds.
pub const CRAWL_HEAD_BYTES: usize = 512 << 10;

/// Rows of one file that the crawler looks at.
pub const CRAWL_ROWS: u64 = 10_000;

/// What the crawler reads of a file's end, to see whether it is whole.
pub const CRAWL_TAIL_BYTES: usize = 4 << 10;

/// What one compressed file may become in memory where only the whole can be looked at.
pub const CRAWL_INFLATED_BYTES_MAX: usize = 64 << 20;

/// Columns of a table that the crawler finds; objects with more different keys are no rows.
pub const CRAWL_COLUMNS_MAX: usize = 2_000;

/// Sheets of a workbook and files of an archive that the crawler looks at.
pub const CRAWL_MEMBERS_MAX: usize = 64;

/// Files that one crawl looks at.
pub const CRAWL_FILES_MAX: usize = 1_000_000;

/// Files that one question reads: each is looked at when it is planned.
pub const QUERY_FILES_MAX: usize = 100_000;

/// Rows that are looked at to tell what is in a table's columns.
pub const CATALOG_ROWS_MAX: u64 = 100_000;

/// Columns of a table that are looked at: each is some questions.
pub const CATALOG_COLUMNS_MAX: usize = 200;

/// Entries of the catalogue that one search lists; more are not read by anybody.
pub const CATALOG_FOUND_MAX: usize = 1_000;

/// Changes of the catalogue that are remembered: years of a busy project.
pub const CATALOG_CHANGES_MAX: usize = 10_000;
