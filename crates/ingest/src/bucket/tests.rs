use crate::bucket::listing::Listing;

use super::*;
use crate::bucket::listing::{Object, What};

fn object(key: &str, size: u64, created_ms: u64) -> Object {
    Object { key: key.to_owned(), size, etag: format!("{size}"), created_ms, cold: None }
}

#[test]
fn what_happened_is_what_differs() {
    let before = [object("a", 1, 10), object("b", 1, 10), object("d", 1, 10)];
    let before = before.into_iter().map(|it| (it.key.clone(), it)).collect();
    let objects = vec![object("a", 1, 10), object("b", 2, 30), object("c", 1, 20)];
    let events = Listing { objects }.since(&before, 99);
    let told: Vec<(What, &str)> =
        events.iter().map(|it| (it.event, it.object.key.as_str())).collect();
    assert_eq!(told, [(What::Deleted, "d"), (What::Created, "c"), (What::Changed, "b")]);
    let record = String::from_utf8(events[1].to_json()).unwrap();
    assert_eq!(
        record,
        "{\"event\":\"created\",\"key\":\"c\",\"at\":\"1970-01-01T00:00:00.099Z\",\"size\":1,\
         \"type\":\"application/octet-stream\",\"etag\":\"1\",\"created\":\"1970-01-01T00:00:00.020Z\",\"tier\":\"hot\",\"stored\":1}"
    );
}

#[tokio::test]
async fn a_book_tells_what_was_begun_until_it_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.events");
    let mut book = Book::open(path.clone(), 5).await.unwrap();
    for round in 0..40 {
        let listing = Listing { objects: vec![object("a", round, round), object("b", 1, 1)] };
        let events = listing.since(book.objects(), round);
        assert_ne!(events.len(), 0);
        book.begin(events.clone()).await.unwrap();
        let again = Book::open(path.clone(), 6).await.unwrap();
        let (id, pending) = again.pending().unwrap();
        assert_eq!((id, pending.len()), (5 + round, events.len()), "a crash before it was told");
        book.done().await.unwrap();
        // A restart now and then: the book is written anew when most of it is over.
        book = Book::open(path.clone(), 7).await.unwrap();
        assert!(book.pending().is_none());
        assert_eq!(book.objects().len(), 2);
        assert_eq!(book.objects()["a"].size, round);
        if book.pending().is_none() && round == 39 {
            assert!(std::fs::read_to_string(&path).unwrap().lines().count() < 80);
        }
    }
}

#[test]
fn options_that_cannot_be_used_say_why() {
    let fault = |text: &str| {
        let options: toml::Table = text.parse().unwrap();
        BucketDoor.check(&options).unwrap_err()
    };
    assert_eq!(fault("every = \"1 millisecond\"").key.as_deref(), Some("every"));
    assert_eq!(fault("from = \"\"").key.as_deref(), Some("from"));
    assert_eq!(fault("from = \"ftp://x/y\"").key.as_deref(), Some("from"));
    assert_eq!(fault("from = \"file:///tmp\"").key.as_deref(), Some("from"));
    assert_eq!(fault("store = { aws_region = \"x\" }").key.as_deref(), Some("store.aws_region"));
    let cold = |text: &str| fault(text).key;
    assert_eq!(cold("cold = { after = '1 day', to = '' }").as_deref(), Some("cold.to"));
    assert_eq!(cold("cold = { after = '1 day', to = 'ftp://x/y' }").as_deref(), Some("cold.to"));
    let short = "keep = '1 day'\ncold = { after = '1 day', to = 'c' }";
    assert_eq!(cold(short).as_deref(), Some("cold.after"));
    let class = "cold = { after = '1 day', to = 'c', class = 'X' }";
    assert_eq!(cold(class).as_deref(), Some("cold.class"));
    let inside = "from = 's3://b/p'\ncold = { after = '1 day', to = 's3://b/p/cold' }";
    assert_eq!(cold(inside).as_deref(), Some("cold.to"));
    let cloud = "from = 's3://b/p'\nsnapshots = { every = '1 day' }";
    assert!(fault(cloud).help.unwrap().contains("the store's own versions"));
    let many = fault("snapshots = { every = '1 day', keep = 0 }");
    assert_eq!(many.key.as_deref(), Some("snapshots.keep"));
    assert!(fault("form = \"x\"").help.unwrap().contains("from"));
    let typed = fault("from = 's3://b/p'\nstore = { aws_acess_key_id = 'x' }");
    assert_eq!(typed.key.as_deref(), Some("store.aws_acess_key_id"));
    assert_eq!(typed.help.as_deref(), Some("did you mean `aws_access_key_id`?"));
    let other = fault("from = 'az://c/p'\nstore = { aws_region = 'x' }");
    assert!(other.help.unwrap().contains("azure_storage_account_name"));
    let nobody = fault("from = 'az://c/p'");
    assert!(nobody.help.unwrap().contains("azure_storage_account_name"));
    let key = "store = { azure_storage_account_name = 'a', azure_storage_account_key = 'no key' }";
    assert_eq!(fault(&format!("from = 'az://c/p'\n{key}")).key.as_deref(), Some("from"));
    let fine = "from = \"s3://b/p\"\nstore = { aws_region = \"eu-west-3\", aws_endpoint = \"http://127.0.0.1:1\" }";
    BucketDoor.check(&fine.parse().unwrap()).unwrap();
}

#[test]
fn a_store_in_a_cloud_is_checked_without_its_secrets() {
    for options in [
        "from = 's3://b/p'\nstore = { aws_region = '${REGION}', aws_secret_access_key = '${SECRET}' }",
        "from = 'az://c/p'\nstore = { azure_storage_account_name = '${ACCOUNT}', azure_storage_account_key = '${KEY}' }",
        "from = 'abfss://c@account.dfs.core.windows.net/p'\nstore = { azure_storage_sas_key = '${KEY}' }",
        "from = 'gs://b/p'\nstore = { google_service_account_key = '${KEY}' }",
        "from = 'landing'\ncold = { after = '1 day', to = 'gs://b/p', store = { google_service_account_key = '${KEY}' } }",
    ] {
        let checked = BucketDoor.check(&options.parse().unwrap());
        assert!(checked.is_ok(), "{options}: {checked:?}");
    }
}
