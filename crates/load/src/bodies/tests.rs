use serde_json::Value;

use super::*;

/// The body of a request, read.
fn body(request: &Request) -> Value {
    let start = memmem::find(&request.bytes, b"\r\n\r\n").unwrap() + 4;
    serde_json::from_slice(&request.bytes[start..]).unwrap()
}

#[test]
fn a_request_holds_what_was_asked_for() {
    let requests = Puts { record_bytes: 100, ..Puts::default() }.requests();
    assert!(16 <= requests.len());
    let found = body(requests.first().unwrap());
    let rows = found.pointer("/Records").and_then(Value::as_array).unwrap();
    assert_eq!(rows.len(), 500);
    for row in rows {
        let data = STANDARD.decode(row.pointer("/Data").and_then(Value::as_str).unwrap()).unwrap();
        assert_eq!(data.len(), 100);
        serde_json::from_slice::<Value>(&data).unwrap();
    }
    assert_ne!(found, body(requests.get(1).unwrap()));
}

#[test]
fn a_single_record_stands_beside_the_name_of_its_stream() {
    let requests = Puts { shape: Shape::One, streams: 3, ..Puts::default() }.requests();
    assert_eq!(requests.len() % 3, 0);
    let found = body(requests.get(2).unwrap());
    assert_eq!(found.pointer("/StreamName"), Some(&Value::from("bench-0002")));
    assert!(found.pointer("/Data").is_some() && found.pointer("/PartitionKey").is_some());
}

#[test]
fn a_mark_stands_in_the_first_key() {
    let requests = Puts { is_marked: true, ..Puts::default() }.requests();
    let request = requests.first().unwrap();
    let place = request.mark.unwrap();
    assert_eq!(&request.bytes[place - MARK.len()..place + 10], b"marked-0000000000");
}
