//! Records to measure decoding with: orders of 140 bytes, a share of them bad.

use base::{ByteSize, Name, Place, SequenceNumber, ShardId, Span};
use spec::{Column, ColumnType, Format, Spot, Stream};

use crate::decode::{Decoded, Decoder};

/// A stream and records for it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What is declared.
    pub stream: Stream,
    /// The records.
    pub records: Vec<Vec<u8>>,
}

/// Makes `count` orders as JSON of which `bad_per_thousand` in a thousand do not decode.
///
/// The same arguments give the same records.
pub fn orders(count: usize, bad_per_thousand: usize) -> Sample {
    let columns = [
        ("order_id", ColumnType::Text),
        ("ts", ColumnType::Timestamp),
        ("customer_id", ColumnType::Text),
        ("product_id", ColumnType::Text),
        ("region", ColumnType::Text),
        ("quantity", ColumnType::Int),
        ("unit_price", ColumnType::Float),
    ];
    let regions = ["north", "south", "east", "west"];
    let record = |number: usize| {
        let bad = 1_000 * (number % 1_000) < 1_000 * bad_per_thousand;
        let quantity = if bad { "\"many\"".to_owned() } else { (number % 9 + 1).to_string() };
        let (minute, second) = (number / 60 % 60, number % 60);
        let region = regions.get(number % regions.len()).copied().unwrap_or_default();
        format!(
            "{{\"order_id\":\"o-{number:08}\",\"ts\":\"2026-01-05T10:{minute:02}:{second:02}.250Z\",\
             \"customer_id\":\"c-{:05}\",\"product_id\":\"p-{:03}\",\"region\":\"{region}\",\
             \"quantity\":{quantity},\"unit_price\":{}.5}}",
            number % 20_000,
            number % 300,
            number % 90,
        )
        .into_bytes()
    };
    let columns: Vec<_> = columns.iter().map(|(name, kind)| column(name, *kind, false)).collect();
    Sample { stream: stream(Format::Json, columns), records: (0..count).map(record).collect() }
}

/// Decodes all records as one batch.
pub fn decode(decoder: &mut Decoder, records: &[Vec<u8>]) -> Decoded {
    for (number, record) in (0..).zip(records) {
        let place = Place { shard: ShardId(0), sequence: SequenceNumber(number) };
        decoder.push(record, place, 1_767_607_200_000);
    }
    decoder.finish()
}

/// Makes a stream with these columns and the defaults of everything else.
pub(crate) fn stream(format: Format, columns: Vec<Column>) -> Stream {
    Stream {
        name: Name::new("orders").expect("a name"),
        spot: Spot::outside("bench", ""),
        time: None,
        key: None,
        from: Vec::new(),
        format,
        shards: spec::Shards::Fixed(1),
        replay: Span::default(),
        replay_size: ByteSize::default(),
        keep: None,
        rest: spec::Rest::default(),
        idle: Span::default(),
        limit: spec::Rate::default(),
        columns,
        infers: false,
        descriptions: Vec::new(),
        checks: Vec::new(),
        description: None,
        owner: None,
        tags: Vec::new(),
    }
}

/// Makes a column.
pub(crate) fn column(name: &str, kind: ColumnType, not_null: bool) -> Column {
    Column { name: name.to_owned(), kind, not_null, spot: Spot::outside("bench", "") }
}
