//! What can be asked: the newest view of each flow, what the program tells about itself, and the
//! files in buckets.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

use datafusion::catalog::{SchemaProvider, TableProvider};
use ingest::{BucketPlace, ColdObjects, OwnPlace};
use process::View;
use query::{Catalog, Snapshot};
use store::crawl::{Elsewhere, Objects, Place};
use tokio::runtime::Handle;

use crate::earlier::Earlier;
use crate::pipeline::Pipeline;
use crate::system;

/// The tables of a running pipeline.
pub(crate) struct Tables {
    pipeline: Arc<Pipeline>,
    /// What asks stores in clouds.
    runtime: Handle,
}

impl Tables {
    pub(crate) fn new(pipeline: Arc<Pipeline>, runtime: Handle) -> Tables {
        Tables { pipeline, runtime }
    }

    /// The buckets, as schemas of SQL.
    fn buckets(&self) -> BTreeMap<String, Arc<dyn SchemaProvider>> {
        let places = self.pipeline.inlet.bucket_places().into_iter();
        let schemas = places.map(|(name, place)| {
            let BucketPlace { own, cold } = place;
            let place = match own {
                OwnPlace::Folder(folder) => Place::of_path(folder),
                OwnPlace::Cloud(store, prefix) => {
                    Place::of_store(store, &prefix, self.runtime.clone())
                }
            };
            let place = match cold {
                Some(cold) => place.with(Arc::new(Cold(cold))),
                None => place,
            };
            let schema: Arc<dyn SchemaProvider> = Arc::new(Objects::new(&name, place));
            (name, schema)
        });
        schemas.collect()
    }
}

/// The objects of a bucket that lie in its cold tier.
struct Cold(ColdObjects);

impl Elsewhere for Cold {
    fn list(&self) -> Vec<(String, u64)> {
        self.0.list()
    }

    fn open(&self, path: &str) -> Option<io::Result<File>> {
        self.0.open(path)
    }
}

impl Catalog for Tables {
    fn snapshot(&self) -> Arc<Snapshot> {
        let running = self.pipeline.now();
        let views = running.views();
        let tables = views.iter().flat_map(|it| providers(it)).collect();
        let system = system::tables_of(&self.pipeline, &running, &views);
        let past = Earlier(Box::new(move |name| running.stored(name).map(Arc::clone)));
        let (past, buckets) = (Some(Arc::new(past) as _), self.buckets());
        Arc::new(Snapshot { tables, system, past, buckets })
    }
}

/// The tables of one view, by name.
pub(crate) fn providers(view: &View) -> BTreeMap<String, Arc<dyn TableProvider>> {
    view.providers().map(|(name, provider)| (name.to_string(), provider)).collect()
}
