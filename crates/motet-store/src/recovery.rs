//! From files to survivors: which segments belong to the log, what they say, and what of it is still alive.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use crate::disk::{Disk, DiskFile, read_all};
use crate::error::{Damage, OpenError, disk as disk_error};
use crate::events::{RecoveredBody, Recovery};
use crate::journal::Journal;
use crate::ledger::{Ledger, ObjectState};
use crate::locator::Locator;
use crate::segment::{self, HeaderPage, Scan, Segment, VERSION};
use crate::summary::{Builder, Summary};

/// A part of the log: the segment and what it says.
pub(crate) struct Part<D: Disk> {
    pub segment: Arc<Segment<D>>,
    pub summary: Summary,
}

/// The log as found on disk.
pub(crate) struct Found<D: Disk> {
    pub parts: Vec<Part<D>>,
    /// Files that hold nothing confirmed and may go.
    pub empty: Vec<PathBuf>,
    /// The highest segment number ever seen.
    pub last_number: u64,
    /// Everything damaged, in the order found.
    pub damage: Vec<Damage>,
}

/// A segment file that was looked at, before it is known which of its batches count.
struct Candidate<D: Disk> {
    path: PathBuf,
    file: D::File,
    number: u64,
    seed: u64,
    scan: Scan,
}

/// Looks at every segment file and keeps the unbroken chain of batches.
pub(crate) fn find<D: Disk>(disk: &D, dir: &Path) -> Result<Found<D>, OpenError> {
    let mut found = Found { parts: Vec::new(), empty: Vec::new(), last_number: 0, damage: Vec::new() };
    let names = disk.list(dir).map_err(disk_error("cannot list", dir))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment::number(name)).collect();
    numbers.sort_unstable();
    found.last_number = numbers.last().copied().unwrap_or(0);
    let mut candidates = Vec::new();
    for number in numbers {
        candidates.extend(look(disk, dir, number, &mut found)?);
    }
    chain(candidates, &mut found)?;
    Ok(found)
}

fn look<D: Disk>(disk: &D, dir: &Path, number: u64, found: &mut Found<D>) -> Result<Option<Candidate<D>>, OpenError> {
    let path = dir.join(segment::name(number));
    let file = disk.open(&path).map_err(disk_error("cannot open", &path))?;
    let bytes = read_all(&file).map_err(disk_error("cannot read", &path))?;
    let seed = match segment::parse_header(&bytes, number) {
        HeaderPage::Sound { seed } => Some(seed),
        HeaderPage::Version(version) => return Err(OpenError::Version { file: path, version, known: VERSION }),
        HeaderPage::Bad => None,
    };
    let scan = segment::scan(&bytes, seed);
    if seed.is_none() && !scan.batches.is_empty() {
        found.damage.push(Damage { file: path.clone(), offset: 0, what: "the header page is unreadable".into() });
    }
    if let Some(stray) = scan.stray {
        let what = format!("a hole: sound batches follow at byte {stray}");
        found.damage.push(Damage { file: path.clone(), offset: scan.end as u64, what });
    }
    let Some((_, first)) = scan.batches.first() else {
        found.empty.push(path);
        return Ok(None);
    };
    Ok(Some(Candidate { path, file, number, seed: first.seed, scan }))
}

/// Where two segments hold the same batch the later one counts: it was written again after a failed sync. Every
/// segment but the last must then reach up to the next.
fn chain<D: Disk>(candidates: Vec<Candidate<D>>, found: &mut Found<D>) -> Result<(), OpenError> {
    let mut next: Option<u64> = None;
    for mut candidate in candidates.into_iter().rev() {
        let cut = next.unwrap_or(u64::MAX);
        candidate.scan.batches.retain(|(_, header)| header.number < cut);
        let (Some((_, first)), Some((_, last))) = (candidate.scan.batches.first(), candidate.scan.batches.last())
        else {
            found.empty.push(candidate.path);
            continue;
        };
        if next.is_some_and(|next| last.number + 1 != next) {
            let what = format!("batch {} is damaged or missing", last.number + 1);
            found.damage.push(Damage { file: candidate.path.clone(), offset: candidate.scan.end as u64, what });
        }
        next = Some(first.number);
        found.parts.push(read_part(candidate)?);
    }
    found.parts.reverse();
    Ok(())
}

/// Makes the summary of a segment without footer, and makes sure that what was read is durable. Only the last batch can
/// be in doubt: after a mere kill it may never have left the page cache, and if its sync had failed the cache calls it
/// clean although the disk never took it. Written once more it is dirty again and the sync means something.
fn read_part<D: Disk>(candidate: Candidate<D>) -> Result<Part<D>, OpenError> {
    let Candidate { path, file, number, seed, scan } = candidate;
    let bytes = read_all(&file).map_err(disk_error("cannot read", &path))?;
    let (_, first) = scan.batches[0];
    let mut builder = Builder::new(first.address, first.number);
    for (offset, header) in &scan.batches {
        let len = (header.end() - header.address) as usize;
        builder.batch(&bytes[*offset..*offset + len], header.address, header.number);
    }
    let summary = builder.finish(|_, _| true);
    let (offset, last) = scan.batches[scan.batches.len() - 1];
    let batch = &bytes[offset..offset + (last.end() - last.address) as usize];
    file.write_at(batch, offset as u64).map_err(disk_error("cannot write", &path))?;
    file.sync_data().map_err(disk_error("cannot sync", &path))?;
    let (base, end) = summary.addresses;
    let segment = Segment::from_parts(path, file, number, seed, base, end, false);
    segment.seal();
    Ok(Part { segment: Arc::new(segment), summary })
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
    pub(crate) fn gather<'a>(summaries: impl Iterator<Item = &'a Summary> + Clone) -> Self {
        let mut survivors = Self::default();
        for summary in summaries.clone() {
            for (object, _) in &summary.drops {
                survivors.objects.remove(object);
            }
            for note in &summary.objects {
                let fresh = ObjectState { born: note.born, last_seq: 0, used: 0 };
                let state = survivors.objects.entry(note.object).or_insert(fresh);
                state.last_seq = state.last_seq.max(note.last_seq);
                state.used = state.used.max(note.used);
            }
            survivors.killed.extend(summary.kills.iter().map(|(_, at)| at.address()));
        }
        for (index, summary) in summaries.enumerate() {
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

    /// Tells the ledger of a summary's living records.
    pub(crate) fn enter(&self, summary: &Summary, ledger: &mut Ledger) {
        for note in summary.entries.iter().filter(|note| self.alive(note.object, note.at)) {
            ledger.add(note.object, note.at, note.body);
        }
        for note in summary.keyed.iter().filter(|note| self.alive(note.object, note.at)) {
            ledger.add(note.object, note.at, None);
        }
        for note in &summary.marks {
            if self.marks.get(&note.entry.address()).is_some_and(|(at, ..)| *at == note.at) {
                ledger.marks.insert(note.entry.address(), note.at);
                ledger.add(note.object, note.at, None);
            }
        }
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
    use crate::error::ReadError;
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
