use std::path::Path;
use std::sync::Arc;

use journal::Disk;
use journal::simulate::SimulatedDisk;

use super::{Projects, Source};

fn source(text: &str) -> Source {
    Source { env: None, files: [("mainstem.toml".to_owned(), text.to_owned())].into() }
}

fn open(disk: &SimulatedDisk) -> anyhow::Result<Projects> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Projects::open(disk, Path::new("/data/projects"))
}

/// Runs projects one after the other: each is the current one when its turn is over.
fn run(projects: &Projects, texts: &[&str]) -> anyhow::Result<()> {
    for text in texts {
        projects.commit(projects.prepare(&source(text), None)?)?;
        projects.sweep();
    }
    Ok(())
}

const TEXTS: [&str; 4] = ["one", "two", "three", "four"];

#[test]
fn one_project_is_the_current_one_and_one_ran_before() {
    let disk = SimulatedDisk::new(1);
    let projects = open(&disk).unwrap();
    assert_eq!((projects.current(), projects.running().unwrap()), (None, None));
    run(&projects, &TEXTS).unwrap();
    let again = open(&disk).unwrap();
    assert_eq!(again.current(), projects.current());
    assert_eq!(again.running().unwrap(), Some(source("four")));
    let before = again.current().unwrap().before.unwrap();
    assert_eq!(again.source(before).unwrap(), source("three"));
    let names = disk.list(Path::new("/data/projects")).unwrap();
    assert_eq!(names, ["3.json", "4.json", "current.json"], "older ones are gone");
}

#[test]
fn a_crash_at_any_step_leaves_one_project_whole_and_the_one_before() {
    for seed in 0..8 {
        for stop in 1.. {
            let disk = SimulatedDisk::new(seed);
            disk.stop_at(stop);
            let ended = open(&disk).and_then(|it| run(&it, &TEXTS));
            let disk = disk.crash();
            let projects = open(&disk).unwrap();
            let running = projects.running().unwrap();
            let number = TEXTS.iter().position(|it| running == Some(source(it)));
            assert_eq!(number.is_none(), running.is_none(), "seed {seed}, stop {stop}: half");
            let current = projects.current();
            if let Some(before) = current.and_then(|it| it.before) {
                let expected = source(TEXTS[number.unwrap() - 1]);
                assert_eq!(projects.source(before).unwrap(), expected, "seed {seed}, stop {stop}");
            }
            // What a crash left over is in nobody's way.
            run(&projects, &["five"]).unwrap();
            assert_eq!(open(&disk).unwrap().running().unwrap(), Some(source("five")));
            if ended.is_ok() {
                assert_eq!(running, Some(source("four")));
                break;
            }
        }
    }
}
