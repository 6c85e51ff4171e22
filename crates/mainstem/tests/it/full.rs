//! Fills the disk under the real program, and asks it to stop while others hold on to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::Program;

const PROJECT: &str = r#"
[project]
name  = "full"
flush = "200 ms"

[stream.events]
key = "id"

[stream.events.columns]
id  = "text not null"
pad = "text"

[table.lengths]
publish = "1 second"
sql = "SELECT length(pad) AS length, count(*) AS events FROM events GROUP BY length"
"#;

/// Two segments of the journal, which is what a start prepares, and some room for tables.
const DISK: &str = "size=400m";

/// A batch of a million bytes: appends that need the next segment of the journal come soon.
const PADS: usize = 4;
const PAD_BYTES: usize = 250_000;

/// The time a stop may take at most, on a loaded machine, before orchestrators kill.
const STOP_SECONDS_MAX: u64 = 15;

/// A small disk of its own; it is given back when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<SmallDisk> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", DISK, "tmpfs"])
            .arg(at)
            .output()
            .is_ok_and(|it| it.status.success());
        if !mounted {
            eprintln!("SKIPPED: only root can mount a small disk");
        }
        mounted.then(|| SmallDisk(at.to_owned()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes all the room there is.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.filler()).unwrap();
        let zeros = vec![0; 64 << 10];
        while file.write_all(&zeros).is_ok() {}
        while file.write_all(b"0").is_ok() {}
    }

    fn empty(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        if !unmounted.is_ok_and(|it| it.success()) {
            eprintln!("{} is still mounted", self.0.display());
        }
    }
}

fn project(folder: &Path) -> PathBuf {
    let project = folder.join("project");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(project.join("mainstem.toml"), PROJECT).unwrap();
    project
}

fn batch(number: usize, pad_bytes: usize) -> String {
    let pad = "x".repeat(pad_bytes);
    let line = |it| format!("{}\n", json!({"id": format!("{number}-{it}"), "pad": pad}));
    (0..PADS).map(line).collect()
}

/// Sends a batch until it is taken; returns how often the program had no room for it.
async fn insist(program: &Program, number: usize, pad_bytes: usize, tries: usize) -> Option<usize> {
    let key = format!("batch-{number}");
    for refused in 0..tries {
        match program.send("events", batch(number, pad_bytes), Some(&key)).await {
            Ok((200, _)) => return Some(refused),
            Ok((429 | 503, _)) => tokio::time::sleep(Duration::from_millis(100)).await,
            Ok((status, body)) => panic!("{status}: {body}"),
            Err(error) => panic!("the program went away: {error}"),
        }
    }
    None
}

async fn expect_all(program: &Program, batches: usize) {
    let wanted = (batches * PADS) as u64;
    assert_eq!(program.settle("events").await.stored, wanted);
    assert_eq!(program.count("SELECT count(*) FROM events").await, wanted);
    assert_eq!(program.count("SELECT count(DISTINCT id) FROM events").await, wanted);
    let sum = "SELECT CAST(sum(events) AS BIGINT) FROM lengths";
    assert_eq!(program.count(sum).await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk")) else { return };
    let (project, data) = (project(folder.path()), disk.0.join("data"));
    let program = Program::start(&project, &data);
    let mut batches = 0;
    while batches < 5 {
        insist(&program, batches, 10, 100).await.expect("there is room");
        batches += 1;
    }
    program.settle("events").await;
    // The journal goes on in the room it has, tables cannot be written.
    disk.fill();
    for _ in 0..20 {
        insist(&program, batches, 10, 100).await.expect("the journal has room of its own");
        batches += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    expect_all(&program, batches).await;
    // It does not keep the program from ending, and nothing is lost.
    let began = Instant::now();
    program.stop();
    assert!(began.elapsed().as_secs() < STOP_SECONDS_MAX, "{:?}", began.elapsed());
    disk.empty();
    let program = Program::start(&project, &data);
    expect_all(&program, batches).await;
    // Now the journal, too, comes to its end.
    disk.fill();
    let mut is_refused = false;
    for _ in 0..400 {
        if insist(&program, batches, PAD_BYTES, 3).await.is_none() {
            is_refused = true;
            break;
        }
        batches += 1;
    }
    assert!(is_refused, "{batches} batches went into a full disk");
    disk.empty();
    // The batch that was refused, with its key.
    insist(&program, batches, PAD_BYTES, 300).await.expect("there is room again");
    batches += 1;
    expect_all(&program, batches).await;
    program.stop();
    let program = Program::start(&project, &data);
    expect_all(&program, batches).await;
    program.kill();
    let program = Program::start(&project, &data);
    expect_all(&program, batches).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_no_page_and_no_session() {
    let folder = tempfile::tempdir().unwrap();
    let (project, data) = (project(folder.path()), folder.path().join("data"));
    let program = Program::start(&project, &data);
    for number in 0..5 {
        insist(&program, number, 10, 100).await.expect("there is room");
    }
    let page = reqwest::get(program.url("/v1/live")).await.unwrap();
    assert!(page.status().is_success());
    let password = std::fs::read_to_string(data.join("postgres.password")).unwrap();
    let address = format!("postgres://mainstem:{}@{}/mainstem", password.trim(), program.postgres);
    let (session, connection) =
        tokio_postgres::connect(&address, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    session.simple_query("SELECT count(*) FROM events").await.unwrap();
    let began = Instant::now();
    tokio::task::spawn_blocking(move || program.stop()).await.unwrap();
    assert!(began.elapsed().as_secs() < STOP_SECONDS_MAX, "{:?}", began.elapsed());
    drop((page, session));
    drop(connection.await);
    let program = Program::start(&project, &data);
    expect_all(&program, 5).await;
}
