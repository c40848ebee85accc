//! Which files count, and what they say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::BatchHeader;
use crate::checkpoint::{self, Checkpoint};
use crate::class::{Class, ClassFile};
use crate::disk::{Disk, DiskFile, read_all};
use crate::error::{Damage, OpenError, disk as disk_error};
use crate::footer;
use crate::locator::Locator;
use crate::segment::{self, DATA, HeaderPage, Scan, Segment, VERSION};
use crate::summary::{Builder, Summary};

/// A part of the log: the segment and what it says.
pub(crate) struct Part<D: Disk> {
    pub segment: Arc<Segment<D>>,
    pub summary: Summary,
    /// Offset and header of the last batch, when the segment was walked.
    last_batch: Option<(u64, BatchHeader)>,
}

/// The journal as found on disk.
pub(crate) struct Found<D: Disk> {
    pub checkpoint: Checkpoint,
    /// Class files in the order of the checkpoint, with what was not dead when it was written.
    pub classes: Vec<(Arc<ClassFile<D>>, Summary)>,
    pub parts: Vec<Part<D>>,
    /// Files that hold nothing that counts.
    pub rubbish: Vec<PathBuf>,
    /// The highest file number ever seen.
    pub last_number: u64,
    /// Everything damaged, in the order found.
    pub damage: Vec<Damage>,
}

/// A segment file that was looked at, before it is known which of its batches count.
struct Candidate<D: Disk> {
    path: PathBuf,
    file: D::File,
    seed: u64,
    content: Content,
}

enum Content {
    Footer(Summary),
    Walked(Scan),
}

/// Looks at every file and keeps what the checkpoint names and the unbroken chain of batches. Writes nothing.
pub(crate) fn find<D: Disk>(disk: &D, dir: &Path) -> Result<Found<D>, OpenError> {
    let checkpoint = Checkpoint::load(disk, dir)?;
    let (classes, parts, rubbish, damage) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut found = Found { checkpoint, classes, parts, rubbish, last_number: 0, damage };
    let mut names = disk.list(dir).map_err(disk_error("cannot list", dir))?;
    names.sort_unstable();
    let mut candidates = Vec::new();
    for name in names {
        if let Some(number) = segment::number(&name) {
            found.last_number = found.last_number.max(number);
            candidates.extend(look(disk, dir, number, &mut found)?);
        } else if let Some((class, number)) = Class::parse(&name) {
            found.last_number = found.last_number.max(number);
            if !found.checkpoint.classes.iter().any(|known| (known.0, known.1) == (class, number)) {
                found.rubbish.push(dir.join(name));
            }
        } else if name == checkpoint::NEW {
            found.rubbish.push(dir.join(name));
        }
    }
    open_classes(disk, dir, &mut found)?;
    chain(candidates, &mut found)?;
    Ok(found)
}

fn open_classes<D: Disk>(disk: &D, dir: &Path, found: &mut Found<D>) -> Result<(), OpenError> {
    for (class, number, dead) in &found.checkpoint.classes {
        match ClassFile::open(disk, dir, *class, *number) {
            Ok((file, mut summary)) => {
                let lives = |at: Locator| dead.binary_search(&at.address()).is_err();
                summary.entries.retain(|note| lives(note.at));
                summary.keyed.retain(|note| lives(note.at));
                summary.marks.retain(|note| lives(note.at));
                found.classes.push((Arc::new(file), summary));
            }
            Err(OpenError::Corrupt(damage)) => found.damage.push(damage),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn look<D: Disk>(disk: &D, dir: &Path, number: u64, found: &mut Found<D>) -> Result<Option<Candidate<D>>, OpenError> {
    let path = dir.join(segment::name(number));
    let file = disk.open(&path).map_err(disk_error("cannot open", &path))?;
    let mut page = vec![0; DATA as usize];
    let count = file.read_at(&mut page, 0).map_err(disk_error("cannot read", &path))?;
    let seed = match segment::parse_header(&page[..count], segment::MAGIC, number) {
        HeaderPage::Sound { seed } => Some(seed),
        HeaderPage::Version(version) => return Err(OpenError::Version { file: path, version, known: VERSION }),
        HeaderPage::Bad => None,
    };
    if let Some(seed) = seed {
        let bytes = footer::read(&file, seed).map_err(disk_error("cannot read", &path))?;
        if let Some((summary, _)) = bytes.and_then(|bytes| Summary::decode(bytes, 0)) {
            return Ok(Some(Candidate { path, file, seed, content: Content::Footer(summary) }));
        }
    }
    let bytes = read_all(&file).map_err(disk_error("cannot read", &path))?;
    let scan = segment::scan(&bytes, seed);
    if seed.is_none() && !scan.batches.is_empty() {
        found.damage.push(Damage { file: path.clone(), offset: 0, what: "the header page is unreadable".into() });
    }
    if let Some(stray) = scan.stray {
        let what = format!("a hole: sound batches follow at byte {stray}");
        found.damage.push(Damage { file: path.clone(), offset: scan.end as u64, what });
    }
    let Some((_, first)) = scan.batches.first() else {
        found.rubbish.push(path);
        return Ok(None);
    };
    Ok(Some(Candidate { path, file, seed: first.seed, content: Content::Walked(scan) }))
}

/// Where two segments hold the same batch the later one counts: it was written again after a failed sync. Every
/// segment but the last must then reach up to the next, and the oldest down to what the checkpoint says.
fn chain<D: Disk>(candidates: Vec<Candidate<D>>, found: &mut Found<D>) -> Result<(), OpenError> {
    let oldest = found.checkpoint.first_batch;
    let mut next: Option<u64> = None;
    for mut candidate in candidates.into_iter().rev() {
        let cut = next.unwrap_or(u64::MAX);
        let (first, behind, offset) = match &mut candidate.content {
            Content::Footer(summary) => (summary.batches.0, summary.batches.1, 0),
            Content::Walked(scan) => {
                scan.batches.retain(|(_, header)| header.number < cut);
                let numbers = scan.batches.first().zip(scan.batches.last());
                let (first, behind) = numbers.map_or((0, 0), |(first, last)| (first.1.number, last.1.number + 1));
                (first, behind, scan.end as u64)
            }
        };
        if behind <= oldest {
            // Whatever is wrong with it, it was on its way out.
            found.damage.retain(|damage| damage.file != candidate.path);
            found.rubbish.push(candidate.path);
            continue;
        }
        if next.is_some_and(|next| behind != next) {
            let what = format!("batch {behind} is damaged or missing");
            found.damage.push(Damage { file: candidate.path.clone(), offset, what });
        }
        next = Some(first);
        found.parts.push(read_part(candidate)?);
    }
    found.parts.reverse();
    if let Some(part) = found.parts.first()
        && part.summary.batches.0 > oldest
    {
        let what = format!("the segment before it is missing: the log begins with batch {oldest}");
        found.damage.push(Damage { file: part.segment.path.clone(), offset: 0, what });
    }
    Ok(())
}

/// The summary of a segment: its footer, or made by walking its batches.
fn read_part<D: Disk>(candidate: Candidate<D>) -> Result<Part<D>, OpenError> {
    let Candidate { path, file, seed, content } = candidate;
    let (summary, last_batch, footed) = match content {
        Content::Footer(summary) => (summary, None, true),
        Content::Walked(scan) => {
            let bytes = read_all(&file).map_err(disk_error("cannot read", &path))?;
            let (_, first) = scan.batches[0];
            let mut builder = Builder::new(first.address, first.number);
            for (offset, header) in &scan.batches {
                let len = (header.end() - header.address) as usize;
                builder.batch(&bytes[*offset..*offset + len], header.address, header.number);
            }
            let last = scan.batches.last().map(|(offset, header)| (*offset as u64, *header));
            (builder.finish(|_, _| true), last, false)
        }
    };
    let segment = Segment::from_parts(path, file, seed, &summary, footed);
    segment.seal();
    Ok(Part { segment: Arc::new(segment), summary, last_batch })
}

/// Makes sure that what was read is durable. Only the last batch can be in doubt: after a mere kill it may never have
/// left the page cache, and if its sync had failed the cache calls it clean although the disk never took it. Written
/// once more it is dirty again and the sync means something.
pub(crate) fn make_durable<D: Disk>(found: &Found<D>) -> Result<(), OpenError> {
    let Some(part) = found.parts.last() else { return Ok(()) };
    let Some((offset, header)) = part.last_batch else { return Ok(()) };
    let Segment { file, path, .. } = &*part.segment;
    let mut batch = vec![0; (header.end() - header.address) as usize];
    file.read_at(&mut batch, offset).map_err(disk_error("cannot read", path))?;
    file.write_at(&batch, offset).map_err(disk_error("cannot write", path))?;
    file.sync_data().map_err(disk_error("cannot sync", path))
}

/// The file that says the last stop was orderly; it goes before anything else can happen.
const CLEAN: &str = "CLEAN";

/// Removes what does not count; answers whether the last stop was orderly.
pub(crate) fn tidy<D: Disk>(disk: &D, dir: &Path, found: &Found<D>) -> Result<bool, OpenError> {
    for path in &found.rubbish {
        disk.unlink(path).map_err(disk_error("cannot remove", path))?;
    }
    let clean = dir.join(CLEAN);
    let fresh = found.parts.is_empty() && found.classes.is_empty();
    let was_clean = match disk.unlink(&clean) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => fresh,
        Err(error) => return Err(disk_error("cannot remove", &clean)(error)),
    };
    disk.sync_dir(dir).map_err(disk_error("cannot sync", dir))?;
    Ok(was_clean)
}

/// Notes an orderly stop.
pub(crate) fn mark_clean<D: Disk>(disk: &D, dir: &Path) -> std::io::Result<()> {
    disk.create(&dir.join(CLEAN))?.sync_all()?;
    disk.sync_dir(dir)
}
