//! Tests of `change`: which files a replacement touches, and what a checkpoint may hold.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use proptest::prelude::*;

use super::*;

fn file(min: i64, max: i64, nulls: u64, rows: u64) -> LakeFile {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = Arc::new(Schema::new(vec![Field::new("minute", utc, true)]));
    let text = |us: i64| format!("1970-01-01T00:00:00.{us:06}Z");
    let stats = serde_json::json!({
        "numRecords": rows,
        "minValues": {"minute": text(min)},
        "maxValues": {"minute": text(max)},
        "nullCount": {"minute": nulls},
    });
    let add = Add {
        path: "x.parquet".to_owned(),
        partition_values: std::collections::BTreeMap::new(),
        size: 1,
        modification_time: 0,
        data_change: true,
        stats: Some(stats.to_string()),
    };
    LakeFile::new(Path::new("/lake/t"), add, &columns, 1).unwrap()
}

fn at(starts: &[i64]) -> Stretches {
    Stretches { starts: starts.to_vec(), span_us: 1 }
}

#[test]
fn only_files_that_may_hold_the_windows_are_touched() {
    assert_eq!(touch(&file(10, 20, 0, 5), 0, &at(&[5, 9, 21])), Touch::Not);
    assert_eq!(touch(&file(10, 20, 0, 5), 0, &at(&[5, 15])), Touch::Part);
    assert_eq!(touch(&file(10, 20, 0, 5), 0, &at(&[20])), Touch::Part);
    assert_eq!(touch(&file(10, 10, 0, 5), 0, &at(&[10])), Touch::Whole);
    assert_eq!(touch(&file(10, 10, 1, 5), 0, &at(&[10])), Touch::Part);
    assert_eq!(touch(&file(10, 10, 5, 5), 0, &at(&[10])), Touch::Not);
    assert_eq!(touch(&file(10, 20, 0, 5), 0, &at(&[])), Touch::Not);
    let unknown = LakeFile { facts: None, ..file(10, 20, 0, 5) };
    assert_eq!(touch(&unknown, 0, &at(&[1])), Touch::Part);
    let long = |starts: &[i64]| Stretches { starts: starts.to_vec(), span_us: 10 };
    assert_eq!(touch(&file(10, 20, 0, 5), 0, &long(&[-1, 21])), Touch::Not);
    assert_eq!(touch(&file(10, 20, 0, 5), 0, &long(&[1])), Touch::Part);
    assert_eq!(touch(&file(10, 20, 0, 5), 0, &long(&[11])), Touch::Part);
    assert_eq!(touch(&file(10, 19, 0, 5), 0, &long(&[0, 10])), Touch::Whole);
}

proptest! {
    #[test]
    fn a_change_survives_the_checkpoint(mut starts in prop::collection::vec(any::<i64>(), 0..9)) {
        let replace = Replace::Windows { column: "m".to_owned(), starts: starts.clone(), span_us: 1 };
        let prepared =
            Prepared { shape: "x".to_owned(), add: Vec::new(), replace: Replaced::from(replace) };
        let text = serde_json::to_string(&prepared.to_actions().unwrap()).unwrap();
        let read = Prepared::from_actions(serde_json::from_str(&text).unwrap()).unwrap();
        prop_assert_eq!(&read, &prepared);
        starts.sort_unstable();
        starts.dedup();
        let is_empty = starts.is_empty();
        prop_assert_eq!(read.is_empty(), is_empty);
        let replaced = Replaced::Windows { column: "m".to_owned(), starts, span_us: 1 };
        prop_assert_eq!(&read.replace, &replaced);
    }

    #[test]
    fn any_json_is_read_or_refused(text in ".*") {
        if let Ok(value) = serde_json::from_str(&text) {
            drop(Prepared::from_actions(Actions(value)));
        }
    }
}

#[test]
fn a_path_that_leaves_the_folder_is_refused() {
    let columns = Arc::new(Schema::empty());
    for path in ["../x.parquet", "/etc/x.parquet", "a/../../x", "s3://b/x"] {
        let add = Add {
            path: path.to_owned(),
            partition_values: std::collections::BTreeMap::new(),
            size: 1,
            modification_time: 0,
            data_change: true,
            stats: None,
        };
        LakeFile::new(Path::new("/lake/t"), add, &columns, 0).unwrap_err();
    }
}
