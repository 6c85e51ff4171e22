//! Tables that are made beside a running flow end up as if they had always been there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Epoch, Name};

use super::case::{Case, send, shards_of};
use super::{World, slow};
use crate::flow::Flow;
use crate::flow::build::{Beside, Build, BuildSetup, Progress};
use crate::memory::MemoryTable;
use crate::plan::{FlowPlan, Plan, TableKind};
use crate::setup::{Grown, Setup};

/// When what happens: before which batch of records.
#[derive(Debug, Clone, Copy)]
struct Course {
    /// The build begins.
    begins: usize,
    /// It follows once more.
    follows: usize,
    /// It takes the place of what ran.
    ends: usize,
    /// Tables that are there from the beginning.
    stay: Stay,
    /// Whether the program is killed after the build counts and before its tables are in place.
    is_killed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stay {
    Nothing,
    RowByRow,
    /// All but the last.
    Lower,
}

struct Project {
    world: World,
    before: FlowPlan,
    after: FlowPlan,
    wanted: BTreeSet<Name>,
}

impl Project {
    fn new(plan: &Plan, shards: u32, stay: Stay) -> Project {
        let world = World::of(plan.clone(), shards, 1);
        let after = plan.flows.first().unwrap().clone();
        let mut before = after.clone();
        let last = after.tables.last().map(|it| it.name().clone());
        before.tables.retain(|it| match stay {
            Stay::Nothing => false,
            Stay::RowByRow => it.kind == TableKind::Append && reads_rows(&after, it.name()),
            Stay::Lower => Some(it.name()) != last.as_ref(),
        });
        let stays: BTreeSet<&Name> = before.tables.iter().map(|it| it.name()).collect();
        let wanted = after.tables.iter().map(|it| it.name());
        let wanted = wanted.filter(|it| !stays.contains(it)).cloned().collect();
        Project { world, before, after, wanted }
    }

    fn setup(&self, plan: &FlowPlan) -> Setup {
        Setup { plan: plan.clone(), ..self.world.setup() }
    }
}

/// Whether nothing below is anything else than rows that are added.
fn reads_rows(plan: &FlowPlan, table: &Name) -> bool {
    let Some(table) = plan.tables.iter().find(|it| it.name() == table) else { return true };
    table.kind == TableKind::Append && table.inputs.iter().all(|it| reads_rows(plan, it))
}

fn folder() -> PathBuf {
    PathBuf::from("/built")
}

/// Tables of a build's own, and the build.
async fn begin(project: &Project, beside: &Beside) -> (Build, BTreeMap<Name, Arc<MemoryTable>>) {
    let mut setup = project.setup(&project.after);
    let mut own = BTreeMap::new();
    for output in project.after.outputs() {
        let of = project.after.tables.iter().find(|it| {
            beside.built.contains(it.name())
                && (*it.name() == output.name || it.dead == output.name)
        });
        if of.is_some() {
            let table = MemoryTable::new(&output.name, output.schema);
            setup.storage.insert(output.name.to_string(), table.storage());
            own.insert(output.name, table);
        }
    }
    setup.folder = folder();
    let grown =
        beside.followed.iter().chain(&beside.told).map(|it| {
            (it.clone(), Arc::clone(&project.world.tables[it.as_str()]) as Arc<dyn Grown>)
        });
    let build = Build::new(BuildSetup {
        setup,
        live: PathBuf::from("/flows"),
        beside: beside.clone(),
        grown: grown.collect(),
        progress: Arc::<Progress>::default(),
    });
    (build.await.unwrap(), own)
}

fn adopt(world: &World, own: &BTreeMap<Name, Arc<MemoryTable>>, epoch: Epoch) {
    for (name, table) in own {
        world.tables[name.as_str()].adopt(table, epoch);
    }
}

/// Returns whether the build heard of windows.
async fn go(case: &Case, plan: &Plan, course: Course) -> Result<bool, String> {
    let told = |error: crate::Error| error.to_string();
    let run = async {
        let mut project = Project::new(plan, shards_of(super::case::STRAIGHT), course.stay);
        let beside = project.after.beside(&project.wanted);
        let mut flow = Flow::open(project.setup(&project.before)).await.map_err(told)?;
        let mut building = None;
        for (at, batch) in case.batches.iter().enumerate() {
            if at == course.begins {
                building = Some(begin(&project, &beside).await);
            }
            if at == course.begins || at == course.follows {
                let (build, _) = building.as_mut().unwrap();
                build.catch_up().await.map_err(told)?;
                build.compute_wholes().await.map_err(told)?;
            }
            if at == course.ends {
                flow.flush().await.map_err(told)?;
                drop(flow);
                let (build, own) = building.take().unwrap();
                let epoch = build.finish().await.map_err(told)?;
                if course.is_killed {
                    project.world.crash();
                    project.world.pass(Duration::from_secs(60));
                }
                adopt(&project.world, &own, epoch);
                let setup = Setup { built: Some(folder()), ..project.setup(&project.after) };
                flow = Flow::open(setup).await.map_err(told)?;
            }
            send(&project.world, batch, &[0], at).await;
            flow.tick_all().await.map_err(told)?;
            if at % 2 == 0 {
                flow.flush().await.map_err(told)?;
            }
        }
        flow.tick_all().await.map_err(told)?;
        case.compare(&flow).await.map_err(|it| format!("as shown: {it}"))?;
        flow.flush().await.map_err(told)?;
        case.compare(&flow).await.map_err(|it| format!("as stored: {it}"))?;
        drop(flow);
        project.world.crash();
        let mut flow = Flow::open(project.setup(&project.after)).await.map_err(told)?;
        flow.tick_all().await.map_err(told)?;
        let compared = case.compare(&flow).await;
        compared.map_err(|it| format!("taken up again: {it}"))?;
        Ok(!beside.told.is_empty())
    };
    run.await.map_err(|it: String| format!("{}, {course:?}: {it}", case.name))
}

/// Some courses of a case; all of them, one for each moment, take their time.
fn courses(case: &Case) -> Vec<Course> {
    let batches = case.batches.len();
    let last = batches.saturating_sub(1);
    let mut courses = Vec::new();
    let stays = [Stay::Nothing, Stay::RowByRow, Stay::Lower];
    for (number, stay) in stays.into_iter().enumerate() {
        let course =
            |begins, follows, ends, is_killed| Course { begins, follows, ends, stay, is_killed };
        match (case.name.len() + number) % stays.len() {
            0 => courses.push(course(batches / 2, (batches / 2 + 1).min(last), last, false)),
            1 => courses.push(course(last, last, last, true)),
            _ => {}
        }
        if slow() {
            let all = (0..=last).flat_map(|begins| (begins..=last).map(move |ends| (begins, ends)));
            courses.extend(all.map(|(begins, ends)| course(begins, begins, ends, ends % 2 == 0)));
        }
    }
    courses
}

#[tokio::test]
async fn every_case_gives_one_answer_with_tables_that_were_made_beside() {
    let (mut faults, mut heard) = (Vec::new(), 0);
    for case in super::cases::cases().iter().filter(|it| !it.depends_on_ticks()) {
        let plan = case.plan().await.unwrap();
        for course in courses(case) {
            match go(case, &plan, course).await {
                Ok(hears) => heard += usize::from(hears),
                Err(fault) => faults.push(fault),
            }
        }
    }
    assert!(faults.is_empty(), "{} fail\n\n{}", faults.len(), faults.join("\n\n"));
    assert_ne!(heard, 0, "no table above windows was built while those stayed");
}
