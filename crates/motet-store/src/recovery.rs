//! From files to survivors: which segments belong to the log, what they say, and what of it is still alive.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use crate::batch::BatchHeader;
use crate::checkpoint::{self, Checkpoint};
use crate::class::{Class, ClassFile};
use crate::disk::{Disk, DiskFile, read_all};
use crate::error::{Damage, OpenError, ReadError, disk as disk_error};
use crate::events::{RecoveredBody, Recovery};
use crate::footer;
use crate::journal::Journal;
use crate::ledger::{Ledger, ObjectState};
use crate::locator::Locator;
use crate::segment::{self, DATA, HeaderPage, Scan, Segment, VERSION};
use crate::summary::{Builder, MarkNote, Summary};

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

/// Everything alive, gathered from summaries in the order of the log.
#[derive(Default)]
pub(crate) struct Survivors {
    pub objects: HashMap<u64, ObjectState>,
    killed: HashSet<u64>,
    /// The latest mark of an entry: where, in which summary, which note.
    marks: HashMap<u64, (Locator, usize, usize)>,
}

impl Survivors {
    /// `objects` are those the checkpoint knows.
    pub(crate) fn gather(objects: &HashMap<u64, ObjectState>, summaries: &[&Summary]) -> Self {
        let mut survivors = Self { objects: objects.clone(), ..Self::default() };
        for summary in summaries {
            for (object, address) in &summary.drops {
                if survivors.objects.get(object).is_some_and(|state| state.born < *address) {
                    survivors.objects.remove(object);
                }
            }
            for note in &summary.objects {
                let fresh = ObjectState { born: note.born, last_seq: 0, used: 0 };
                let state = survivors.objects.entry(note.object).or_insert(fresh);
                state.last_seq = state.last_seq.max(note.last_seq);
                state.used = state.used.max(note.used);
            }
            survivors.killed.extend(summary.kills.iter().map(|(_, at)| at.address()));
        }
        for (index, summary) in summaries.iter().enumerate() {
            for (place, note) in summary.marks.iter().enumerate() {
                let newer = survivors.marks.get(&note.entry.address()).is_none_or(|(at, ..)| *at < note.at);
                if newer && survivors.alive(note.object, note.entry) {
                    survivors.marks.insert(note.entry.address(), (note.at, index, place));
                }
            }
        }
        survivors
    }

    pub(crate) fn alive(&self, object: u64, at: Locator) -> bool {
        !self.killed.contains(&at.address())
            && self.objects.get(&object).is_some_and(|state| state.born <= at.address())
    }

    /// Is this the mark that counts?
    fn marks(&self, note: &MarkNote) -> bool {
        self.marks.get(&note.entry.address()).is_some_and(|(at, ..)| *at == note.at)
    }

    /// The living records of a summary: object, place, shared body.
    pub(crate) fn living<'a>(
        &'a self,
        summary: &'a Summary,
    ) -> impl Iterator<Item = (u64, Locator, Option<Locator>)> + 'a {
        let entries = summary.entries.iter().filter(|note| self.alive(note.object, note.at));
        let keyed = summary.keyed.iter().filter(|note| self.alive(note.object, note.at));
        let marks = summary.marks.iter().filter(|note| self.marks(note));
        entries
            .map(|note| (note.object, note.at, note.body))
            .chain(keyed.map(|note| (note.object, note.at, None)))
            .chain(marks.map(|note| (note.object, note.at, None)))
    }

    /// Tells the ledger of a segment's living records.
    pub(crate) fn enter(&self, summary: &Summary, ledger: &mut Ledger) {
        self.living(summary).for_each(|(object, at, body)| ledger.add(object, at, body));
        self.enter_marks(summary, ledger);
    }

    /// Tells the ledger of a class file's living and dead records.
    pub(crate) fn enter_class<D: Disk>(
        &self,
        file: &ClassFile<D>,
        summary: &Summary,
        checkpoint: &Checkpoint,
        ledger: &mut Ledger,
    ) {
        let mut account = file.ledger();
        self.living(summary).for_each(|(object, at, body)| account.ledger.add(object, at, body));
        let entries = summary.entries.iter().filter(|note| !self.alive(note.object, note.at)).map(|note| note.at);
        let keyed = summary.keyed.iter().filter(|note| !self.alive(note.object, note.at)).map(|note| note.at);
        let marks = summary.marks.iter().filter(|note| !self.marks(note)).map(|note| note.at);
        entries.chain(keyed).chain(marks).for_each(|at| account.ledger.note_dead(at.address()));
        let known = checkpoint.classes.iter().filter(|known| (known.0, known.1) == (file.class, file.number));
        known.flat_map(|known| &known.2).for_each(|address| account.ledger.note_dead(*address));
        ledger.classes.push(account);
        ledger.classes.sort_unstable_by_key(|account| (account.class, account.first));
        self.enter_marks(summary, ledger);
    }

    fn enter_marks(&self, summary: &Summary, ledger: &mut Ledger) {
        let marks = summary.marks.iter().filter(|note| self.marks(note));
        ledger.marks.extend(marks.map(|note| (note.entry.address(), note.at)));
    }
}

/// Tells the user what survived, object by object.
pub(crate) fn tell<D: Disk>(
    journal: &Journal<D>,
    summaries: &[&Summary],
    survivors: &Survivors,
    recovery: &mut dyn Recovery,
) -> Result<(), OpenError> {
    let mut entries = Vec::new();
    let mut keyed = Vec::new();
    for (index, summary) in summaries.iter().enumerate() {
        let living = summary.entries.iter().enumerate().filter(|(_, note)| survivors.alive(note.object, note.at));
        entries.extend(living.map(|(place, note)| (note.object, note.seq, note.at, index as u32, place as u32)));
        let living = summary.keyed.iter().enumerate().filter(|(_, note)| survivors.alive(note.object, note.at));
        keyed.extend(living.map(|(place, note)| (note.object, note.at, index, place)));
    }
    entries.sort_unstable();
    keyed.sort_unstable();
    let mut objects: Vec<(u64, u64)> =
        survivors.objects.iter().map(|(object, state)| (*object, state.last_seq)).collect();
    objects.sort_unstable();
    let (mut entries, mut keyed) = (entries.into_iter().peekable(), keyed.into_iter().peekable());
    for (object, last_seq) in objects {
        recovery.object(object, last_seq);
        while let Some((.., index, place)) = entries.next_if(|entry| entry.0 == object) {
            tell_entry(journal, summaries, survivors, (index as usize, place as usize), recovery)?;
        }
        while let Some((_, at, index, place)) = keyed.next_if(|keyed| keyed.0 == object) {
            match summaries[index].keyed[place].pair {
                Some((key, value)) => {
                    recovery.keyed(object, summaries[index].text(key), summaries[index].text(value), at);
                }
                None => {
                    let record = read(journal, at)?;
                    recovery.keyed(object, &record.head, &record.body, at);
                }
            }
        }
    }
    Ok(())
}

fn tell_entry<D: Disk>(
    journal: &Journal<D>,
    summaries: &[&Summary],
    survivors: &Survivors,
    (index, place): (usize, usize),
    recovery: &mut dyn Recovery,
) -> Result<(), OpenError> {
    let note = summaries[index].entries[place];
    let mut body = RecoveredBody { length: note.body_len, bytes: None };
    let mark_record;
    let mark = match survivors.marks.get(&note.at.address()) {
        Some((at, index, place)) => match summaries[*index].marks[*place].data {
            Some(span) => Some(summaries[*index].text(span)),
            None => {
                mark_record = read(journal, *at)?;
                Some(&mark_record.body[..])
            }
        },
        None => None,
    };
    match note.head {
        Some(span) => recovery.entry(note.object, note.seq, summaries[index].text(span), body, note.at, mark),
        None => {
            let record = read(journal, note.at)?;
            body.bytes = Some(&record.body);
            recovery.entry(note.object, note.seq, &record.head, body, note.at, mark);
        }
    }
    Ok(())
}

fn read<D: Disk>(journal: &Journal<D>, at: Locator) -> Result<crate::journal::Record, OpenError> {
    journal.read(at).map_err(|error| match error {
        ReadError::Corrupt(damage) => OpenError::Corrupt(damage),
        ReadError::Disk(source) => OpenError::Disk { what: "cannot read", path: journal.dir.clone(), source },
        ReadError::Gone => OpenError::Corrupt(Damage {
            file: journal.dir.clone(),
            offset: at.address(),
            what: "a footer names a record that is not there".into(),
        }),
    })
}
