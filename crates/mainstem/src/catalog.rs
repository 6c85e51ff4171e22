//! What can be asked: the newest view of each flow, and what the program tells about itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use process::View;
use query::{Catalog, Snapshot};

use crate::pipeline::Pipeline;
use crate::system;

/// The tables of a running pipeline.
pub(crate) struct Tables(pub(crate) Arc<Pipeline>);

impl Catalog for Tables {
    fn snapshot(&self) -> Arc<Snapshot> {
        let running = self.0.now();
        let views = running.views();
        let tables = views.iter().flat_map(|it| providers(it)).collect();
        Arc::new(Snapshot { tables, system: system::tables_of(&self.0, &running, &views) })
    }
}

/// The tables of one view, by name.
pub(crate) fn providers(view: &View) -> BTreeMap<String, Arc<dyn TableProvider>> {
    view.providers().map(|(name, provider)| (name.to_string(), provider)).collect()
}
