use std::path::Path;

use base::ShardId;
use bytes::Bytes;
use proptest::prelude::*;

use super::{SealedFile, SealedWriter, decode_block, decode_index};
use crate::format::{FrameKind, HEADER_BYTES, Header};
use crate::record::{Frame, Records};
use crate::settings::StreamId;
use crate::simulate::SimulatedDisk;

const PATH: &str = "/sealed";
/// Of each shard: enough for two blocks.
const RECORDS: u64 = 5_000;

fn frame(base: u64, arrived_ms: u64, byte: u8) -> Frame {
    let mut records = Records::new();
    records.push("key", &[byte; 100]).unwrap();
    records.push("", &[byte; 30]).unwrap();
    let body = records.into_bodies().remove(0);
    let end = HEADER_BYTES + body.payload_length as usize;
    let payload = Bytes::from(body.buffer).slice(HEADER_BYTES..end);
    Frame { base, count: 2, arrived_ms, payload }
}

fn write(disk: &SimulatedDisk) -> SealedFile {
    let path = Path::new(PATH);
    let mut out = SealedWriter::create(disk, path, StreamId(1), 5).unwrap();
    for shard in [0, 2] {
        for index in 0..RECORDS / 2 {
            out.add(ShardId(shard), &frame(10 + index * 2, index / 10, index as u8)).unwrap();
        }
    }
    out.finish().unwrap();
    SealedFile::open(disk, path, StreamId(1), 5).unwrap()
}

#[test]
fn sealed_records_come_back_compressed() {
    let disk = SimulatedDisk::new(1);
    let file = write(&disk);
    assert!(file.bytes < 2 * RECORDS * 65 / 4, "{} bytes", file.bytes);
    assert_eq!(file.ranges(), [(ShardId(0), 10, 10 + RECORDS), (ShardId(2), 10, 10 + RECORDS)]);
    assert_eq!(file.arrived_last_ms(), RECORDS / 20 - 1);
    assert!(file.blocks_of(ShardId(1)).is_empty());
    let blocks = file.blocks_of(ShardId(2));
    assert!(1 < blocks.len());
    let mut next = 10;
    for block in blocks {
        for found in file.read(block).unwrap() {
            assert_eq!(found.base, next);
            next = found.end();
        }
    }
    assert_eq!(next, 10 + RECORDS);
}

#[test]
fn a_flipped_bit_is_damage_and_never_a_panic() {
    let disk = SimulatedDisk::new(1);
    let file = write(&disk);
    for at in (0..file.bytes).step_by(1_499) {
        disk.flip(Path::new(PATH), at, 3);
        if let Ok(opened) = SealedFile::open(&disk, Path::new(PATH), StreamId(1), 5) {
            let blocks = [opened.blocks_of(ShardId(0)), opened.blocks_of(ShardId(2))].concat();
            let is_seen = blocks.iter().any(|it| opened.read(it).is_err());
            // Padding carries nothing.
            let is_padding = disk.contents(Path::new(PATH)).unwrap()[at as usize] == 1 << 3;
            assert!(is_seen || is_padding, "byte {at}");
        }
        disk.flip(Path::new(PATH), at, 3);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_no_panic(
        body in prop::collection::vec(any::<u8>(), 0..300),
        codec in 0_u8..3,
        count: u32,
        length: u64,
        base: u64,
    ) {
        let header =
            Header { codec, count, base, commit: length, ..Header::of(FrameKind::Block) };
        decode_block(&header, body.clone());
        decode_index(&body, &header, length);
        let header = Header { count: (body.len() / 44) as u32, commit: length % 4_000, ..header };
        decode_index(&body, &header, length);
        decode_block(&header, body);
    }

    #[test]
    fn any_file_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let disk = SimulatedDisk::new(1);
        disk.set_contents(Path::new(PATH), &bytes);
        prop_assert!(SealedFile::open(&disk, Path::new(PATH), StreamId(1), 5).is_err());
    }
}
