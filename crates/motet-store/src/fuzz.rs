//! One fuzz target for what lies behind the checksums of a segment.

use crate::batch;
use crate::disk::{Disk, DiskFile};
use crate::locator::{GRANULE, Locator};
use crate::record::{self, Header, Kind};
use crate::segment;
use crate::sim_disk::SimDisk;
use std::path::Path;
use std::sync::Arc;

const KINDS: [Kind; 7] = [Kind::Entry, Kind::Body, Kind::Settle, Kind::Mark, Kind::Put, Kind::Delete, Kind::Drop];
const SEED: u64 = 7;
const SEGMENT: u64 = 1;
/// Where the first record lies: behind a page that means nothing and the header of the first batch.
const FIRST: u64 = segment::DATA + batch::HEADER as u64;

/// Writes a journal of one segment into `folder` whose batches hold what `data` says, with sound checksums over all of
/// it: what a start makes of records that only a fault of ours, or another version, can have written.
///
/// A record is five bytes (kind, object, word, length of the head, of the body), then head and body. An odd kind keeps
/// the batch open; words of settlements and the like are addresses in steps of 16 from the first record on.
#[doc(hidden)]
pub fn fuzz_segment(data: &[u8], disk: &Arc<SimDisk>, folder: &Path) {
    let mut file = segment::header(segment::MAGIC, SEGMENT, SEED);
    let (mut batch, mut number, mut rest) = (vec![0; batch::HEADER], 1, data);
    let mut address = segment::DATA;
    while let [what, object, word, head, body, behind @ ..] = rest {
        let (head, behind) = behind.split_at(usize::from(*head).min(behind.len()));
        let (body, behind) = behind.split_at(usize::from(*body).min(behind.len()));
        rest = behind;
        let kind = KINDS[usize::from(what >> 1) % KINDS.len()];
        let word = match kind {
            Kind::Entry | Kind::Body => u64::from(*word),
            _ => Locator::new(FIRST + GRANULE * u64::from(*word), 64, false).to_bits(),
        };
        let header = Header { kind, flags: what >> 7, object: u64::from(*object), word };
        record::write(&mut batch, &header, head, &[body]);
        if what & 1 == 0 || rest.is_empty() {
            batch::seal(&mut batch, number, address, SEED);
            (number, address) = (number + 1, address + batch.len() as u64);
            file.append(&mut batch);
            batch.resize(batch::HEADER, 0);
        }
    }
    let path = folder.join(segment::name(SEGMENT));
    let _ = disk.create_dir(folder);
    if let Ok(written) = disk.create(&path) {
        let _ = written.write_at(&file, 0);
    }
}
