//! A restart reads what is open, however much there was before.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::{ExecutionPlan, collect};
use journal::{Disk, DiskFile};

use super::{World, assert_conserved};
use crate::flow::Flow;
use crate::setup::Storage;

const PROJECT: &str = "[stream.clicks]\ntime = \"ts\"\nkey = \"page\"\n[stream.clicks.columns]\n\
    id = \"int not null\"\nts = \"timestamp not null\"\npage = \"text\"\n\
    [stream.views]\ntime = \"ts\"\n[stream.views.columns]\n\
    id = \"int not null\"\nts = \"timestamp not null\"\npage = \"text\"\n";

/// One table of each kind that goes on after a restart.
const TABLES: &[(&str, &str)] = &[
    ("copied.sql", "SELECT id, ts, upper(page) AS page FROM clicks"),
    ("totals.sql", "SELECT page, count(*) AS n, max(id) AS last FROM clicks GROUP BY page"),
    (
        "by_minute.sql",
        "SELECT tumble(ts, '1 minute') AS minute, page, count(*) AS n FROM clicks \
         GROUP BY minute, page",
    ),
    (
        "by_hop.sql",
        "SELECT hop(ts, '1 minute', '3 minutes') AS start, count(*) AS n FROM clicks GROUP BY start",
    ),
    (
        "visits.sql",
        "SELECT session(ts, '30 seconds') AS start, page, count(*) AS n FROM clicks \
         GROUP BY start, page",
    ),
    ("minutes.sql", "SELECT minute, sum(n) AS n FROM by_minute GROUP BY minute"),
    (
        "newest.sql",
        "SELECT page, id FROM (SELECT page, id, row_number() OVER (PARTITION BY page ORDER BY id \
         DESC) AS place FROM clicks) x WHERE place = 1",
    ),
    (
        "pairs.sql",
        "SELECT c.id, c.ts, v.id AS view FROM clicks c JOIN views v ON c.page = v.page AND \
         v.ts BETWEEN c.ts - INTERVAL '10 seconds' AND c.ts",
    ),
    (
        "steps.sql",
        "SELECT id, ts, lag(id) OVER (PARTITION BY page ORDER BY ts, id) AS before FROM clicks",
    ),
];

/// What was read.
#[derive(Debug, Default)]
struct Read {
    bytes: AtomicU64,
    rows: AtomicU64,
}

#[derive(Debug)]
struct CountedDisk(Arc<dyn Disk>, Arc<Read>);

#[derive(Debug)]
struct CountedFile(Arc<dyn DiskFile>, Arc<Read>);

impl CountedDisk {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(CountedFile(file, Arc::clone(&self.1)))
    }
}

impl Disk for CountedDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.0.create_folder(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.0.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.0.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.0.list(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.0.sync_folder(folder)
    }

    fn random(&self) -> u64 {
        self.0.random()
    }
}

impl DiskFile for CountedFile {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.0.write_at(offset, parts)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(offset, buffer)?;
        self.1.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.0.preallocate(bytes)
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
}

/// Counts the stored rows that a scan asks for: those that its filters let through.
#[derive(Debug)]
struct CountedTable(Arc<dyn TableProvider>, Arc<Read>);

#[async_trait]
impl TableProvider for CountedTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = self.0.scan(state, None, &[], limit).await?;
        let mut rows = collect(all, state.task_ctx()).await?;
        if let Some(filter) = conjunction(filters.to_vec()) {
            let schema = DFSchema::try_from(self.schema().as_ref().clone())?;
            let filter = state.create_physical_expr(filter, &schema)?;
            for batch in &mut rows {
                let is_asked = filter.evaluate(batch)?.into_array(batch.num_rows())?;
                *batch = filter_record_batch(batch, arrow::array::AsArray::as_boolean(&is_asked))?;
            }
        }
        let count: usize = rows.iter().map(arrow::array::RecordBatch::num_rows).sum();
        self.1.rows.fetch_add(count as u64, Ordering::Relaxed);
        Ok(MemorySourceConfig::try_new_exec(&[rows], self.schema(), projection.cloned())?)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

/// Runs so many epochs, ends, and opens the flow again; returns the bytes and rows read then, and
/// the rows that lie stored.
async fn reopened(epochs: u32) -> (u64, u64, usize) {
    let mut files = vec![("mainstem.toml", PROJECT)];
    files.extend(TABLES);
    let mut world = World::new(&files).await;
    let mut flow = world.open().await;
    for epoch in 0..epochs {
        let line = |it: u32| {
            let second = epoch * 20 + it;
            let time = format!(
                "2026-01-05T{:02}:{:02}:{:02}Z",
                10 + second / 3600,
                second / 60 % 60,
                second % 60
            );
            format!(r#"{{"id":{second},"ts":"{time}","page":"/{}"}}"#, second % 7)
        };
        let lines: Vec<String> = (0..20).map(line).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        world.send("clicks", &lines).await;
        world.send("views", &lines).await;
        flow.tick_all().await.unwrap();
        world.pass(Duration::from_secs(70));
        flow.flush().await.unwrap();
    }
    drop(flow);
    world.crash();
    let read = Arc::new(Read::default());
    for storage in world.storage.values_mut() {
        let (cold, read) = (Arc::clone(&storage.cold), Arc::clone(&read));
        let cold =
            move || Arc::new(CountedTable(cold(), Arc::clone(&read))) as Arc<dyn TableProvider>;
        *storage = Storage { cold: Arc::new(cold), ..storage.clone() };
    }
    let mut setup = world.setup();
    setup.disk = Arc::new(CountedDisk(setup.disk, Arc::clone(&read)));
    let mut flow = Flow::open(setup).await.unwrap();
    assert_eq!(flow.tick_all().await.unwrap(), 0, "all of it was durable");
    assert_conserved(&flow);
    let stored = world.tables.values().flat_map(|it| it.rows());
    let stored = stored.map(|it| it.num_rows()).sum();
    (read.bytes.load(Ordering::Relaxed), read.rows.load(Ordering::Relaxed), stored)
}

#[tokio::test]
async fn a_restart_reads_what_is_open_however_much_there_was_before() {
    let (bytes, rows, stored) = reopened(15).await;
    let (bytes_more, rows_more, stored_more) = reopened(150).await;
    println!(
        "{bytes} bytes and {rows} of {stored} rows; {bytes_more} and {rows_more} of {stored_more}"
    );
    assert!(8 * stored < stored_more, "{stored} and {stored_more} rows are stored");
    assert!(bytes_more <= bytes + bytes / 4, "{bytes} bytes, then {bytes_more}");
    assert!(rows_more <= rows + rows / 4, "{rows} rows, then {rows_more}");
    assert!(rows < 600, "{rows} rows of {stored}");
}
