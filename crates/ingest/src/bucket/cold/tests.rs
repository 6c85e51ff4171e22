//! Objects on their way to the cold tier, with a crash at every step.

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tempfile::TempDir;

use super::*;

struct World {
    folder: TempDir,
}

/// Text that shrinks.
fn text() -> String {
    (0..5_000).map(|it| format!("{it};Lyon;{}\n", it % 7)).collect()
}

/// Bytes that do not.
fn noise() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..50_000).map(|_| random.u8(..)).collect()
}

fn options(to: &str) -> ColdOptions {
    ColdOptions {
        after: Span::from_millis(1),
        to: to.to_owned(),
        store: BTreeMap::new(),
        class: None,
    }
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("landing/a")).unwrap();
        World { folder }
    }

    fn folders(&self) -> Folders {
        let at = |name: &str| self.folder.path().join(name);
        Folders { project: at(""), own: at("own"), books: at("books") }
    }

    fn place(&self) -> Place {
        Place::Folder(self.folder.path().join("landing"))
    }

    fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join("landing").join(key), bytes).unwrap();
    }

    fn cold(&self) -> Cold {
        let none = BTreeMap::new();
        Cold::open("landing", Some(options("cold")), &none, &self.folders()).unwrap().unwrap()
    }

    /// The files of the cold tier, below its folder.
    fn files(&self) -> Vec<String> {
        let (mut files, mut folders) = (Vec::new(), vec![self.folder.path().join("cold")]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path.file_name().unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }
}

async fn list(cold: &Cold, place: &Place) -> (Vec<Object>, Vec<Object>) {
    let mut listing = place.list(u64::MAX, Span::from_millis(0)).await.unwrap();
    let left = cold.merge(&mut listing, place).unwrap();
    (listing.objects, left)
}

fn contents(cold: &Cold, place: &Place, key: &str) -> Vec<u8> {
    if let Some(found) = cold.find(key) {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut cold.read(&found).unwrap(), &mut bytes).unwrap();
        return bytes;
    }
    let Place::Folder(folder) = place else { panic!("`{key}` is not cold") };
    fs::read(folder.join(key)).unwrap()
}

/// Does the steps of a move up to one, as `take` does, and stops there as a crash would.
fn crash_after(step: usize, cold: &Cold, place: &Place, object: &Object) {
    let Place::Folder(folder) = place else { panic!("a folder") };
    let tag = cold.tag_of(object);
    let spots = [false, true].map(|is_packed| Spot {
        root: "cold".to_owned(),
        name: name_of(&object.key, &tag, is_packed),
        tag: tag.clone(),
    });
    let shelf = cold.shelf("cold").unwrap();
    let unfinished = shelf.unfinished(&tag, &cold.scratch);
    fs::create_dir_all(unfinished.parent().unwrap()).unwrap();
    let mut from = File::open(folder.join(&object.key)).unwrap();
    let mut packed = None;
    let [bare, compressed] = spots.clone();
    for done in 0..step {
        match done {
            0 => cold.begin(&spots).unwrap(),
            1 => fs::write(&unfinished, b"half of it").unwrap(),
            2 => packed = Some(pack(&mut from, &unfinished, &GO_ON).unwrap()),
            3 => {
                let name = if packed.unwrap().is_packed { &compressed.name } else { &bare.name };
                shelf.put(&unfinished, name).unwrap();
            }
            4 => {
                let packed = packed.unwrap();
                let spot = if packed.is_packed { &compressed } else { &bare };
                cold.record(ColdObject::of(object, None, spot.clone(), packed)).unwrap();
            }
            _ => assert!(place.exchange(object, &cold.runtime, || Ok(())).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_of_a_move_loses_and_doubles_nothing() {
    for step in 0..=6 {
        let world = World::new();
        world.put("a/text.csv", text());
        world.put("noise.bin", noise());
        let place = world.place();
        let before = list(&world.cold(), &place).await.0;
        let work = move || {
            let (cold, place) = (world.cold(), world.place());
            for object in &before {
                crash_after(step, &cold, &place, object);
            }
            (world, before)
        };
        let (world, before) = tokio::task::spawn_blocking(work).await.unwrap();
        // The book's last line may be torn as well.
        let book = world.folder.path().join("books/landing.cold");
        let mut torn = fs::read(&book).unwrap();
        torn.extend_from_slice(b"{\"moved\":{\"obj");
        fs::write(&book, torn).unwrap();
        let (cold, place) = (world.cold(), world.place());
        let (objects, left) = list(&cold, &place).await;
        assert_eq!(objects.len(), 2, "step {step}");
        assert!(objects.iter().zip(&before).all(|(one, other)| one.is_version_of(other)));
        assert_eq!(left.len(), if step == 5 { 2 } else { 0 }, "step {step}");
        let work = move || {
            assert_eq!(contents(&cold, &place, "a/text.csv"), text().into_bytes(), "step {step}");
            assert_eq!(contents(&cold, &place, "noise.bin"), noise(), "step {step}");
            // A restart goes on where it was.
            assert!(move_all(&cold, &place, &before, &GO_ON));
            assert!(!cold.is_untidy() || move_all(&cold, &place, &[], &GO_ON));
            assert_eq!(contents(&cold, &place, "a/text.csv"), text().into_bytes(), "step {step}");
            assert_eq!(contents(&cold, &place, "noise.bin"), noise(), "step {step}");
            assert_eq!(fs::read(world.folder.path().join("landing/noise.bin")).ok(), None);
            let files = world.files();
            assert_eq!(files.len(), 2, "step {step}: {files:?}");
            assert!(files[0].starts_with("noise.bin.") && !files[0].ends_with(".zst"), "{files:?}");
            assert!(files[1].starts_with("text.csv.") && files[1].ends_with(".zst"), "{files:?}");
            let tier = cold.find("a/text.csv").unwrap().object.cold.unwrap();
            assert!(tier < text().len() as u64 / 4, "{tier} bytes");
            (world, cold, place)
        };
        let (_world, cold, place) = tokio::task::spawn_blocking(work).await.unwrap();
        let (objects, left) = list(&cold, &place).await;
        assert_eq!((objects.len(), left.len()), (2, 0));
        assert!(objects.iter().all(|it| it.cold.is_some()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_takes_the_place_of_a_cold_one() {
    let world = World::new();
    world.put("x.csv", text());
    let (cold, place) = (world.cold(), world.place());
    let (objects, _) = list(&cold, &place).await;
    let (world, cold, place) = tokio::task::spawn_blocking(move || {
        // What was written to since the listing is not what was listed.
        let path = world.folder.path().join("landing/x.csv");
        fs::write(&path, "another, of another size").unwrap();
        assert!(move_all(&cold, &place, &objects, &GO_ON));
        assert!(cold.find("x.csv").is_none() && path.try_exists().unwrap());
        (world, cold, place)
    })
    .await
    .unwrap();
    let (objects, _) = list(&cold, &place).await;
    let (world, cold, place) = tokio::task::spawn_blocking(move || {
        assert!(move_all(&cold, &place, &objects, &GO_ON));
        assert_eq!(contents(&cold, &place, "x.csv"), b"another, of another size");
        world.put("x.csv", "new");
        (world, cold, place)
    })
    .await
    .unwrap();
    let (objects, left) = list(&cold, &place).await;
    assert_eq!((objects.len(), objects[0].size, objects[0].cold, left.len()), (1, 3, None, 0));
    // What is over is removed, by the next start if not by this one.
    drop(cold);
    let cold = world.cold();
    assert!(cold.find("x.csv").is_none());
    tokio::task::spawn_blocking(move || {
        assert!(cold.is_untidy());
        assert!(move_all(&cold, &place, &[], &GO_ON));
        assert_eq!(world.files(), Vec::<String>::new());
        assert!(!world.cold().is_untidy());
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_a_cloud_move_to_another_prefix() {
    let world = World::new();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let fetched = world.folder.path().join("own/.fetched");
    let prefix = object_store::path::Path::from("landing");
    let place = Place::Cloud {
        store: Arc::clone(&store),
        prefix: prefix.clone(),
        fetched,
        asked: Mutex::default(),
    };
    store.put(&prefix.clone().join("x.csv"), text().into()).await.unwrap();
    let none = BTreeMap::new();
    let to = options("memory");
    let cold = Cold::open("landing", Some(to), &none, &world.folders()).unwrap().unwrap();
    let shelf = Shelf::Cloud {
        store: Arc::clone(&store),
        prefix: object_store::path::Path::from("cold"),
        class: Some("STANDARD_IA".to_owned()),
        runtime: Handle::current(),
    };
    cold.shelves.lock().insert("memory".to_owned(), Arc::new(shelf));
    let (objects, _) = list(&cold, &place).await;
    let (cold, place) = tokio::task::spawn_blocking(move || {
        assert!(move_all(&cold, &place, &objects, &GO_ON));
        assert_eq!(contents(&cold, &place, "x.csv"), text().into_bytes());
        assert!(move_all(&cold, &place, &[], &GO_ON));
        (cold, place)
    })
    .await
    .unwrap();
    let (objects, left) = list(&cold, &place).await;
    assert_eq!((objects.len(), left.len()), (1, 0));
    let found: Vec<_> = futures::TryStreamExt::try_collect(store.list(None)).await.unwrap();
    let found: Vec<String> =
        found.iter().map(|it: &object_store::ObjectMeta| it.location.to_string()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("cold/x.csv.") && found[0].ends_with(".zst"), "{found:?}");
    let scratch = fs::read_dir(world.folder.path().join("own/.fetched")).unwrap().count();
    assert_eq!(scratch, 0, "nothing is left of what was fetched");
}

#[tokio::test]
async fn names_below_a_folder_are_told_once() {
    let world = World::new();
    let cold = world.cold();
    for key in ["a", "a/b", "a/b/c", "a/b/d", "a.b", "b/c"] {
        let object =
            Object { key: key.into(), size: 1, etag: key.into(), created_ms: 1, cold: None };
        let tag = cold.tag_of(&object);
        let spot = Spot { root: "cold".into(), name: name_of(key, &tag, false), tag };
        let packed = Packed { is_packed: false, is_text: true, read: 1, stored: 1 };
        cold.record(ColdObject::of(&object, None, spot, packed)).unwrap();
    }
    assert_eq!(cold.names_in(""), ["a", "a.b", "a/", "b/"]);
    assert_eq!(cold.names_in("a/"), ["a/b", "a/b/"]);
    assert_eq!(cold.names_in("a/b/"), ["a/b/c", "a/b/d"]);
    assert_eq!(cold.names_in("c/"), Vec::<String>::new());
    let long = "x".repeat(250);
    assert_eq!(name_of(&format!("f/{long}"), "0123456789ab", true), "f/object.0123456789ab.zst");
}
