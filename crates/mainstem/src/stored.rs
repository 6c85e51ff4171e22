//! The stored tables of a project that does not run, for questions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use base::time::SystemClock;
use datafusion::catalog::TableProvider;
use journal::RealDisk;
use query::{Catalog, ContextSettings, Engine, Snapshot};
use spec::Texts;
use store::Lake;

use crate::at_rest;
use crate::compile::{compile, compile_texts};
use crate::earlier::Earlier;
use crate::home::Home;
use crate::projects::Projects;
use crate::running::layout;

/// Tables as they were stored last. Holds the folder's lock, so that nothing moves meanwhile.
pub(crate) struct Stored {
    engine: Engine,
    _home: Home,
}

struct Fixed(Arc<Snapshot>);

impl Catalog for Fixed {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0)
    }
}

impl Stored {
    /// Opens the tables of the project in `dir` whose data is in `data`.
    pub(crate) async fn open(dir: &Path, data: &Path) -> anyhow::Result<Stored> {
        if !data.try_exists()? {
            bail!(
                "there is no data in {}; start the project with `mainstem run {}`, or name a running one with --http",
                data.display(),
                dir.display()
            );
        }
        let home = Home::open(data)?;
        // The tables are those of the project that ran last, whatever stands in the folder.
        let projects = Projects::open(RealDisk::new(), &data.join("projects"))?;
        let compiled = match projects.running()? {
            None => compile(dir, None, false).await,
            Some(source) => {
                let (texts, env) = (Texts::from(source.files), source.env);
                compile_texts(dir, texts, env.as_deref(), false).await
            }
        };
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(faults) => bail!("the project cannot be read:\n{}", faults.render(false)),
        };
        let clock = SystemClock::start();
        let lake = Lake::open(&data.join("lake"), store::Settings::default(), Arc::clone(&clock))?;
        let mut tables: BTreeMap<String, Arc<dyn TableProvider>> = BTreeMap::new();
        let mut stored = BTreeMap::new();
        for flow in &compiled.plan.flows {
            for output in flow.outputs() {
                let table = lake.table(layout(flow, &output)).await?;
                tables.insert(output.name.to_string(), table.provider());
                stored.insert(output.name.to_string(), table);
            }
        }
        let stored = Arc::new(stored);
        let system = at_rest::tables_of(&stored, None);
        let past = Earlier(Box::new(move |name| stored.get(name).map(Arc::clone)));
        let snapshot = Arc::new(Snapshot {
            tables,
            system,
            past: Some(Arc::new(past)),
            ..Snapshot::default()
        });
        let engine = Engine::new(&ContextSettings::default(), Arc::new(Fixed(snapshot)), clock)?;
        Ok(Stored { engine, _home: home })
    }

    /// Returns what answers questions.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}
