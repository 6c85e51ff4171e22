//! What `system.alerts` shows.

use expect_test::expect;

use super::*;
use crate::alert::tests::{alert, batch, declared};

#[test]
fn calm_pending_firing_and_resolved_alerts_have_their_rows() {
    let calm = alert(&declared(&["region"], 0, None));
    let mut pending = alert(&declared(&["region"], 60_000, None));
    pending.observe(&[batch(&[("FR", 0, 1.0)])], 1_000);
    let mut firing = alert(&declared(&["region"], 0, None));
    firing.observe(&[batch(&[("FR", 0, 1.0), ("DE", 0, 2.0)])], 1_000);
    firing.observe(&[batch(&[("FR", 0, 3.0)])], 2_000);
    firing.set_error(Some("the SELECT failed".to_owned()));
    let rows = rows([&calm, &pending, &firing]);
    assert_eq!(rows.schema(), schema());
    expect![[r#"
        {"alert":"sales_spike","key":null,"state":"calm","title":null,"since":null,"last_change":null,"notices":0,"undelivered":0,"row":null,"last_error":null}
        {"alert":"sales_spike","key":"{\"region\":\"FR\"}","state":"pending","title":"Spike in FR: 1","since":"1970-01-01T00:00:01Z","last_change":"1970-01-01T00:00:01Z","notices":0,"undelivered":0,"row":"{\"region\":\"FR\",\"minute\":\"1970-01-01T00:00:00Z\",\"revenue\":1.0}","last_error":null}
        {"alert":"sales_spike","key":"{\"region\":\"FR\"}","state":"firing","title":"Spike in FR: 3","since":"1970-01-01T00:00:01Z","last_change":"1970-01-01T00:00:01Z","notices":1,"undelivered":1,"row":"{\"region\":\"FR\",\"minute\":\"1970-01-01T00:00:00Z\",\"revenue\":3.0}","last_error":"the SELECT failed"}
        {"alert":"sales_spike","key":"{\"region\":\"DE\"}","state":"resolved","title":"Spike in DE: 2","since":"1970-01-01T00:00:01Z","last_change":"1970-01-01T00:00:02Z","notices":2,"undelivered":2,"row":"{\"region\":\"DE\",\"minute\":\"1970-01-01T00:00:00Z\",\"revenue\":2.0}","last_error":"the SELECT failed"}"#]].assert_eq(&rows::json::lines(&rows).join("\n"));
}
