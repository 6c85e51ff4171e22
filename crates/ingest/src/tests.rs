//! What every door must keep to, and what tests of several files share.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};

use base::time::ManualClock;
use base::{Clock, Name};
use expect_test::{Expect, expect};
use journal::{Disk, DiskFile, Journal, RealDisk, Settings, StreamSettings};
use parking_lot::{Condvar, Mutex};
use tokio::process::Command;
use tower::ServiceExt as _;

use crate::{DOORS, Inlet, Intake, Rate, door};

/// An inlet to a journal in a temporary folder, with the streams `orders` (4 shards, all doors, key
/// `customer`), `notes` (1 shard, all doors) and `closed` (no door).
pub(crate) struct Fixture {
    pub(crate) inlet: Inlet,
    pub(crate) router: Router,
    pub(crate) gate: Gate,
    pub(crate) clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

/// The Python that `cargo xtask peers` makes, if it has boto3; says so if not.
pub(crate) async fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/bin/python");
    let check = Command::new(&python).args(["-c", "import boto3"]).output().await;
    if check.is_ok_and(|it| it.status.success()) {
        return Some(python);
    }
    eprintln!("SKIPPED: target/peers has no boto3 (cargo xtask peers)");
    None
}

/// 2026-01-05 08:00:00 UTC.
pub(crate) const NOW_MS: u64 = 1_767_600_000_000;

/// An answer: status, headers, body.
pub(crate) type Answer = (StatusCode, HeaderMap, Vec<u8>);

impl Fixture {
    /// With a clock that stands at [`NOW_MS`] until it is moved.
    pub(crate) fn new() -> Fixture {
        let clock = ManualClock::at(NOW_MS);
        let now: Arc<dyn Clock> = Arc::new(Arc::clone(&clock));
        Fixture::at(tempfile::tempdir().unwrap(), now, clock)
    }

    /// With the wall clock.
    pub(crate) fn on(clock: Arc<dyn Clock>) -> Fixture {
        Fixture::at(tempfile::tempdir().unwrap(), clock, ManualClock::at(NOW_MS))
    }

    fn at(folder: tempfile::TempDir, now: Arc<dyn Clock>, clock: Arc<ManualClock>) -> Fixture {
        let gate = Gate::default();
        let disk = Arc::new(GatedDisk { disk: RealDisk::new(), gate: gate.clone() });
        let inlet = open(folder.path(), now, disk);
        Fixture { router: crate::router(inlet.clone()), inlet, gate, clock, folder }
    }

    /// Closes the journal and opens it again.
    pub(crate) fn restart(self) -> Fixture {
        self.inlet.journal().close();
        drop(self.router);
        let now = Arc::clone(self.inlet.clock());
        drop(self.inlet);
        Fixture::at(self.folder, now, self.clock)
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(&self.router, request.body(body.into()).unwrap()).await
    }

    /// Runs a script against the router, served in the place of `http://127.0.0.1:7070`.
    pub(crate) async fn run(&self, python: &Path, script: &str) {
        let script = script.replace("http://127.0.0.1:7070", &self.serve().await);
        let ran = Command::new(python).arg("-c").arg(script).output().await.unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{}\n{said}", String::from_utf8_lossy(&ran.stdout));
    }

    /// Serves the router on a free port; returns its address.
    pub(crate) async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.router.clone();
        drop(base::task::spawn("test server", async move {
            axum::serve(listener, router).await.unwrap();
        }));
        format!("http://{address}")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(&self.router, Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Returns all records of a stream with their keys, by shard, as text.
    pub(crate) fn records(&self, stream: &str) -> Vec<Vec<(String, String)>> {
        let journal = self.inlet.journal();
        let info = journal.stream_info(journal.stream(stream).unwrap()).unwrap();
        let mut found = Vec::new();
        for shard in &info.shards {
            let mut next = shard.first;
            let mut records = Vec::new();
            while next < shard.next {
                let frames = journal.read(info.id, shard.id, next, 1 << 20).unwrap();
                for record in &frames {
                    let bytes = String::from_utf8_lossy(record.bytes).into_owned();
                    records.push((record.key.to_owned(), bytes));
                }
                next = frames.end();
            }
            found.push(records);
        }
        found
    }

    /// Returns how many records a stream has.
    pub(crate) fn count(&self, stream: &str) -> usize {
        self.records(stream).iter().map(Vec::len).sum()
    }

    /// Returns how many requests were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.inlet.counts().iter().map(|it| it.refused).sum()
    }
}

async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    (parts.status, parts.headers, body.to_vec())
}

fn open(folder: &Path, clock: Arc<dyn Clock>, disk: Arc<dyn Disk>) -> Inlet {
    let settings = Settings {
        segment_bytes: 80 << 20,
        pending_bytes_max: PENDING_BYTES_MAX,
        ..Settings::new(folder)
    };
    let journal = Journal::open(settings, disk, Arc::clone(&clock)).unwrap();
    let all: Vec<String> = DOORS.iter().map(|it| it.name().to_owned()).collect();
    let customer = |bytes: &[u8]| {
        let order: serde_json::Value = serde_json::from_slice(bytes).ok()?;
        Some(order.get("customer")?.as_str()?.to_owned())
    };
    let intake = |name: &str, shards: u32, doors: &[String]| Intake {
        name: Name::new(name).unwrap(),
        settings: StreamSettings { shards, ..StreamSettings::default() },
        doors: doors.to_vec(),
        key: None,
        files: None,
        limit: Rate::default(),
    };
    let orders = Intake { key: Some(Arc::new(customer)), ..intake("orders", 4, &all) };
    let streams = vec![orders, intake("notes", 1, &all), intake("closed", 1, &[])];
    Inlet::new(journal, clock, streams).unwrap()
}

/// What a [`Fixture`]'s journal lets wait for the disk: two records of this size are too many.
pub(crate) const PENDING_BYTES_MAX: usize = 100_000;

/// Holds syncs back, as a slow disk does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// No sync ends until the gate is opened.
    pub(crate) fn shut(&self) {
        *self.0.0.lock() = true;
    }

    pub(crate) fn open(&self) {
        *self.0.0.lock() = false;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        self.0.1.wait_while(&mut self.0.0.lock(), |is_shut| *is_shut);
    }
}

#[derive(Debug)]
struct GatedDisk {
    disk: Arc<dyn Disk>,
    gate: Gate,
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn DiskFile>,
    gate: Gate,
}

impl GatedDisk {
    fn gated(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(GatedFile { file, gate: self.gate.clone() })
    }
}

impl Disk for GatedDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.create_folder(path)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.gated(self.disk.create(path)?))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.gated(self.disk.open(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }
    fn random(&self) -> u64 {
        self.disk.random()
    }
}

impl DiskFile for GatedFile {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.file.write_at(offset, parts)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }
    fn sync(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync()
    }
    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.file.preallocate(bytes)
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

#[test]
fn doors_describe_themselves() {
    let mut names = BTreeSet::new();
    for it in DOORS {
        assert!(names.insert(it.name()), "two doors are called `{}`", it.name());
        assert!(it.summary().ends_with('.'), "`{}` has no summary", it.name());
        assert_eq!(door(it.name()).unwrap().name(), it.name());
        documented(it.name(), it.options().as_value());
    }
    assert!(door("doorbell").is_none());
}

/// Each option says what it is for, at every depth.
fn documented(path: &str, schema: &serde_json::Value) {
    let Some(map) = schema.as_object() else { return };
    for (name, inner) in map {
        if name == "properties" {
            for (option, schema) in inner.as_object().unwrap() {
                let described = schema.get("description").is_some() || schema.get("$ref").is_some();
                assert!(described, "the option {path}.{option} has no documentation");
            }
        }
        documented(&format!("{path}.{name}"), inner);
    }
}

#[test]
fn examples_of_doors_have_no_fault() {
    for it in DOORS {
        let example: toml::Table = toml::from_str(it.example()).unwrap();
        let from = match example.get("from") {
            Some(from) => from.clone(),
            None => example["stream"]["orders"]["from"].clone(),
        };
        let from = from.as_array().unwrap()[0].clone();
        let options = from.as_table().cloned().unwrap_or_default();
        it.check(&options).unwrap_or_else(|fault| panic!("`{}`: {fault:?}", it.name()));
    }
}

fn fault(name: &str, options: &str, found: &Expect) {
    let options: toml::Table = toml::from_str(options).unwrap();
    found.assert_debug_eq(&door(name).unwrap().check(&options).unwrap_err());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn faults_in_options_name_the_option() {
    fault(
        "http",
        "port = 80",
        &expect![[r#"
            OptionFault {
                key: Some(
                    "port",
                ),
                message: "unknown option `port`, expected `origins`",
                help: None,
            }
        "#]],
    );
    fault(
        "generate",
        "rate = 'fast'\nfields = {}",
        &expect![[r#"
        OptionFault {
            key: Some(
                "rate",
            ),
            message: "invalid type: string \"fast\", expected a number",
            help: None,
        }
    "#]],
    );
    fault(
        "generate",
        "rate = 5",
        &expect![[r#"
        OptionFault {
            key: None,
            message: "missing option `fields`",
            help: None,
        }
    "#]],
    );
    fault(
        "generate",
        "rate = 5\nfields = { a = { intger = [1, 2] } }",
        &expect![[r#"
        OptionFault {
            key: Some(
                "fields.a.intger",
            ),
            message: "unknown option `intger`, expected one of `counter`, `uuid`, `time`, `late_by`, `late_share`, `one_of`, `weights`, `among`, `prefix`, `skew`, `integer`, `decimal`, `places`, `per`, `chance`, `product`, `constant`, `null`",
            help: Some(
                "did you mean `integer`?",
            ),
        }
    "#]],
    );
    fault(
        "generate",
        "rate = 5\nbad = '3'\nfields = { a = { integer = [1, 2] } }",
        &expect![[r#"
        OptionFault {
            key: Some(
                "bad",
            ),
            message: "`3` is not a share; write a number between 0 and 100 and `%`, for example `\"3 %\"`",
            help: None,
        }
    "#]],
    );
    fault(
        "generate",
        "rate = 0\nfields = { a = { integer = [1, 2] } }",
        &expect![[r#"
        OptionFault {
            key: Some(
                "rate",
            ),
            message: "a number above 0 and up to 1000000",
            help: None,
        }
    "#]],
    );
    fault(
        "generate",
        "rate = 5\nfields = { a = { integer = [1, 2] } }\nburst = { every = '1 s', lasts = '1 s', factor = 2 }",
        &expect![[r#"
            OptionFault {
                key: Some(
                    "burst.lasts",
                ),
                message: "a surge lasts a while, but not as long as from one to the next",
                help: None,
            }
        "#]],
    );
    fault(
        "generate",
        "rate = 5\nfields = { region = { one_of = ['a'] } }\nburst = { every = '9 s', lasts = '1 s', factor = 2, on = { regio = 'a' } }",
        &expect![[r#"
            OptionFault {
                key: Some(
                    "burst.on.regio",
                ),
                message: "there is no field `regio`",
                help: Some(
                    "did you mean `region`?",
                ),
            }
        "#]],
    );
    fault(
        "host",
        "every = '1 ms'",
        &expect![[r#"
        OptionFault {
            key: Some(
                "every",
            ),
            message: "at least \"200 ms\"",
            help: None,
        }
    "#]],
    );
    fault(
        "host",
        "evry = '1 s'",
        &expect![[r#"
        OptionFault {
            key: Some(
                "evry",
            ),
            message: "unknown option `evry`, expected `every` or `processes`",
            help: Some(
                "did you mean `every`?",
            ),
        }
    "#]],
    );
}
