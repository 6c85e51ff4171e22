//! This machine's measurements.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::*;

#[test]
fn every_kind_is_measured_in_one_shape() {
    let mut meter = Meter::new();
    drop(meter.measure(1_767_600_000_000, Duration::from_secs(1), 3));
    let records = meter.measure(1_767_600_001_000, Duration::from_secs(1), 3);
    let mut kinds = BTreeSet::new();
    let mut processes = 0;
    for record in &records {
        let measurement: Json = serde_json::from_slice(record).unwrap();
        assert_eq!(measurement["ts"], "2026-01-05T08:00:01.000Z");
        let known = [
            "ts",
            "host",
            "kind",
            "name",
            "pid",
            "percent",
            "used",
            "total",
            "bytes_in",
            "bytes_out",
        ];
        let fields = measurement.as_object().unwrap();
        assert!(fields.keys().all(|it| known.contains(&it.as_str())), "{measurement}");
        let kind = measurement["kind"].as_str().unwrap().to_owned();
        if kind == "process" {
            processes += 1;
            assert!(measurement["pid"].is_u64(), "{measurement}");
        }
        if kind == "memory" && measurement["name"] == "ram" {
            assert!(measurement["used"].as_u64() <= measurement["total"].as_u64());
            assert!(0 < measurement["total"].as_u64().unwrap());
        }
        kinds.insert(kind);
    }
    assert!((1..=6).contains(&processes), "{processes}");
    for kind in ["cpu", "memory", "process"] {
        assert!(kinds.contains(kind), "{kinds:?}");
    }
}

#[test]
fn rates_are_per_second() {
    assert_eq!(per_second(500, Duration::from_millis(500)), 1_000);
    assert_eq!(per_second(500, Duration::ZERO), 500_000);
    assert_eq!(part(1, 3).to_bits(), 33.33_f64.to_bits());
    assert_eq!(part(1, 0).to_bits(), 0.0_f64.to_bits());
}
