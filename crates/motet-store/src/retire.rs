//! Giving room back: which files are due, and the move of what still lives in them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::{HashMap, HashSet};

use crate::batch;
use crate::checkpoint::Checkpoint;
use crate::class::{Class, ClassFile, ClassWriter};
use crate::disk::Disk;
use crate::error::ReadError;
use crate::journal::Journal;
use crate::keeper::Keeper;
use crate::ledger::{ClassLedger, Ledger};
use crate::reading::damaged;
use crate::record::{Kind, RawRecord};
use crate::segment::Segment;
use crate::summary::{Builder, Summary};

/// Small class files of one class that are merged at once.
const MERGE: usize = 8;
/// Segments that leave the log under one checkpoint.
const PREFIX: usize = 16;

/// Files to give up, after what lives in them has moved.
pub(crate) struct Plan {
    /// How many of the oldest segments.
    segments: usize,
    /// Which class files.
    classes: Vec<(Class, u64)>,
}

/// What should go now: dead segments at the old end, the oldest one when less than half of the sealed log lives or
/// the log is too long, class files that are mostly dead or small.
pub(crate) fn due<D: Disk>(journal: &Journal<D>) -> Option<Plan> {
    let sealed: Vec<u64> = {
        let table = journal.table.read();
        let old = table.segments.len().saturating_sub(1);
        table.segments[..old].iter().take_while(|s| s.footed()).map(|s| s.end() - s.base()).collect()
    };
    let ledger = journal.ledger.lock();
    let live: Vec<u64> = ledger.segments.iter().take(sealed.len()).map(|segment| segment.surely_live()).collect();
    let dead = live.iter().take_while(|bytes| **bytes == 0).count().min(PREFIX);
    let (all, all_live): (u64, u64) = (sealed.iter().sum(), live.iter().sum());
    if dead > 0 {
        return Some(Plan { segments: dead, classes: Vec::new() });
    }
    if !sealed.is_empty() && (all_live * 2 < all || sealed.len() > journal.config.segments_max) {
        return Some(Plan { segments: 1, classes: Vec::new() });
    }
    Class::ALL.into_iter().find_map(|class| class_due(&ledger, class, journal.config.class_bytes))
}

fn class_due(ledger: &Ledger, class: Class, class_bytes: u64) -> Option<Plan> {
    let files: Vec<&ClassLedger> = ledger.classes.iter().filter(|file| file.class == class).collect();
    // A quarter must be dead, else writing it again gains too little: index and footer are not smaller the next time.
    let wasteful = |file: &&ClassLedger| {
        let live = file.ledger.surely_live();
        live * 4 < file.bytes * 3 && live * 2 < file.size
    };
    if let Some(file) = files.iter().find(|file| wasteful(file)) {
        return Some(Plan { segments: 0, classes: vec![(class, file.number)] });
    }
    // Neighbours only: the address ranges of a class stay disjoint.
    let small = |file: &&ClassLedger| file.bytes * MERGE as u64 <= class_bytes;
    let run = files.windows(MERGE).find(|run| run.iter().all(small))?;
    Some(Plan { segments: 0, classes: run.iter().map(|file| (class, file.number)).collect() })
}

/// The summary of a sealed segment, without what is dead by now.
pub(crate) fn summarise<D: Disk>(journal: &Journal<D>, segment: &Segment<D>) -> Result<Summary, ReadError> {
    let mut builder = Builder::new(segment.base(), segment.first_batch());
    each_batch(segment, |batch, address, number| {
        builder.batch(batch, address, number);
        Ok(())
    })?;
    let mut summary = builder.finish(|_, _| true);
    // Asked one by one, so that the committer never waits for a whole segment: what dies meanwhile is said later.
    let alive = |object, at, class| journal.ledger.lock().alive(object, at, class);
    summary.entries.retain(|note| alive(note.object, note.at, Class::Parked));
    summary.marks.retain(|note| alive(note.object, note.at, Class::Parked));
    summary.keyed.retain(|note| alive(note.object, note.at, Class::Keyed));
    Ok(summary)
}

/// Walks the durable batches of a segment and checks every byte of them.
pub(crate) fn each_batch<D: Disk>(
    segment: &Segment<D>,
    mut each: impl FnMut(&[u8], u64, u64) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let bytes = segment.read_batches()?;
    let mut address = segment.base();
    while address < segment.end() {
        let at = (address - segment.base()) as usize;
        let header = bytes.get(at..).and_then(batch::verify).filter(|header| header.address == address);
        let header = header.ok_or_else(|| damaged(&segment.path, segment.offset(address)))?;
        each(&bytes[at..at + (header.end() - address) as usize], address, header.number)?;
        address = header.end();
    }
    Ok(())
}

/// Moves, writes the checkpoint, forgets, removes: in this order.
pub(crate) fn carry_out<D: Disk>(keeper: &mut Keeper<D>, plan: Plan) -> Result<(), ReadError> {
    let journal = keeper.journal.clone();
    let old_segments: Vec<Arc<Segment<D>>> = journal.table.read().segments[..plan.segments].to_vec();
    let mut mover = Mover::new(&journal);
    let prepared = mover.run(&old_segments, &plan.classes).and_then(|moved| {
        // The names first: a checkpoint may arrive although a name it relies on does not.
        journal.disk.sync_dir(&journal.dir)?;
        checkpoint(&journal, &plan, &moved).write_beside(&*journal.disk, &journal.dir)?;
        Ok(moved)
    });
    let moved = match prepared {
        Ok(moved) => moved,
        Err(error) => {
            // No checkpoint names them, and the next attempt makes its own.
            mover.made.iter().for_each(|path| drop(journal.disk.unlink(path)));
            return Err(error);
        }
    };
    if let Err(error) = Checkpoint::replace(&*journal.disk, &journal.dir) {
        // It may have arrived all the same: what it names stays until another one is durable.
        keeper.rubbish.extend(mover.made);
        return Err(error.into());
    }

    keeper.rubbish.extend(old_segments.iter().map(|segment| segment.path.clone()));
    let gone = |class: Class, number: u64| plan.classes.contains(&(class, number));
    {
        let mut ledger = journal.ledger.lock();
        let mut table = journal.table.write();
        let ledgers: Vec<ClassLedger> = moved.iter().map(|(file, summary)| enter(&ledger, file, summary)).collect();
        ledger.segments.drain(..plan.segments);
        ledger.classes.retain(|file| !gone(file.class, file.number));
        ledger.classes.extend(ledgers);
        ledger.classes.sort_unstable_by_key(|file| (file.class, file.first));
        table.segments.drain(..plan.segments);
        table.classes.retain(|file| {
            let stays = !gone(file.class, file.number);
            if !stays {
                keeper.rubbish.push(file.path.clone());
            }
            stays
        });
        table.classes.extend(moved.into_iter().map(|(file, _)| Arc::new(file)));
    }
    keeper.remove()?;
    Ok(())
}

/// What the checkpoint must say once the plan is carried out.
fn checkpoint<D: Disk>(journal: &Journal<D>, plan: &Plan, moved: &[(ClassFile<D>, Summary)]) -> Checkpoint {
    // The ledger first: whatever it does not know yet lies in segments that stay.
    let ledger = journal.ledger.lock();
    let table = journal.table.read();
    let mut classes: Vec<(Class, u64, Vec<u64>)> = Vec::new();
    for file in ledger.classes.iter().filter(|file| !plan.classes.contains(&(file.class, file.number))) {
        classes.push((file.class, file.number, file.ledger.dead()));
    }
    for (file, summary) in moved {
        classes.push((file.class, file.number, enter(&ledger, file, summary).ledger.dead()));
    }
    let first = table.segments.get(plan.segments);
    let floor = journal.floor;
    Checkpoint {
        first_batch: first.map_or(floor.0, |segment| segment.first_batch()),
        next_batch: first.map_or(floor.0, |segment| segment.first_batch()),
        next_address: first.map_or(floor.1, |segment| segment.base()),
        classes,
        objects: ledger.objects.clone(),
    }
}

/// The accounting of a new class file as of now: some of it may have died while it was written.
pub(crate) fn enter<D: Disk>(ledger: &Ledger, file: &ClassFile<D>, summary: &Summary) -> ClassLedger {
    let mut account = file.ledger();
    for note in &summary.entries {
        match ledger.alive(note.object, note.at, Class::Parked) {
            true => account.ledger.add(note.object, note.at, note.body),
            false => account.ledger.note_dead(note.at.address()),
        }
    }
    for note in &summary.marks {
        match ledger.alive(note.object, note.at, Class::Parked) {
            true => account.ledger.add(note.object, note.at, None),
            false => account.ledger.note_dead(note.at.address()),
        }
    }
    for note in &summary.keyed {
        match ledger.alive(note.object, note.at, Class::Keyed) {
            true => account.ledger.add(note.object, note.at, None),
            false => account.ledger.note_dead(note.at.address()),
        }
    }
    account
}

/// Copies what lives into new class files.
struct Mover<'a, D: Disk> {
    journal: &'a Journal<D>,
    writers: HashMap<Class, ClassWriter<D>>,
    done: Vec<(ClassFile<D>, Summary)>,
    /// Every file created.
    made: Vec<PathBuf>,
}

impl<'a, D: Disk> Mover<'a, D> {
    fn new(journal: &'a Journal<D>) -> Self {
        Self { journal, writers: HashMap::default(), done: Vec::new(), made: Vec::new() }
    }

    fn run(
        &mut self,
        segments: &[Arc<Segment<D>>],
        classes: &[(Class, u64)],
    ) -> Result<Vec<(ClassFile<D>, Summary)>, ReadError> {
        for segment in segments {
            self.move_segment(segment)?;
        }
        for (class, number) in classes {
            let wanted = |file: &&Arc<ClassFile<D>>| (file.class, file.number) == (*class, *number);
            let file = self.journal.table.read().classes.iter().find(wanted).cloned();
            if let Some(file) = file {
                self.move_class(&file)?;
            }
        }
        self.finish()
    }

    fn move_segment(&mut self, segment: &Segment<D>) -> Result<(), ReadError> {
        each_batch(segment, |batch, address, _| {
            self.roll()?;
            let living = self.living(|| batch::records(batch, address));
            self.copy(&living)
        })
    }

    /// Begins new files where the old ones are full: between batches only, so that a body stays with its entries.
    fn roll(&mut self) -> Result<(), ReadError> {
        for class in Class::ALL {
            let full = self.writers.get(&class).is_some_and(|writer| writer.size() >= self.journal.config.class_bytes);
            if full && let Some(writer) = self.writers.remove(&class) {
                self.done.push(writer.finish()?);
            }
        }
        Ok(())
    }

    fn move_class(&mut self, file: &ClassFile<D>) -> Result<(), ReadError> {
        // Parsed once to see what lives, which needs the entries before their bodies are judged.
        let mut needed = HashSet::default();
        let alive = |ledger: &Ledger, address: u64, record: &RawRecord<'_>| {
            ledger.alive(record.object, record.locator(address), Class::of(record.kind))
        };
        let journal = self.journal;
        file.records(|address, record| {
            if alive(&journal.ledger.lock(), address, record) {
                needed.insert(address);
                needed.extend(record.shared_body().map(|body| body.address()));
            }
        })?;
        let mut outcome = Ok(());
        let mut body_len = 0;
        file.records(|address, record| {
            if outcome.is_ok() && needed.contains(&address) {
                if record.kind == Kind::Body {
                    body_len = record.body.len() as u64;
                }
                let len = if record.shared() { body_len } else { record.body.len() as u64 };
                outcome = self.append(address, record, len);
            }
        })?;
        outcome
    }

    /// The living records of a batch and the bodies they need.
    fn living<'b, I: Iterator<Item = (u64, RawRecord<'b>)>>(
        &self,
        records: impl Fn() -> I,
    ) -> Vec<(u64, RawRecord<'b>)> {
        let ledger = self.journal.ledger.lock();
        let alive = |address: u64, record: &RawRecord<'_>| {
            matches!(record.kind, Kind::Entry | Kind::Mark | Kind::Put)
                && ledger.alive(record.object, record.locator(address), Class::of(record.kind))
        };
        let living: Vec<_> = records().filter(|(address, record)| alive(*address, record)).collect();
        let bodies: HashSet<u64> =
            living.iter().filter_map(|(_, record)| record.shared_body()).map(|body| body.address()).collect();
        if bodies.is_empty() {
            return living;
        }
        let kept: HashSet<u64> = living.iter().map(|(address, _)| *address).collect();
        records().filter(|(address, _)| kept.contains(address) || bodies.contains(address)).collect()
    }

    fn copy(&mut self, living: &[(u64, RawRecord<'_>)]) -> Result<(), ReadError> {
        let mut body_len = 0;
        for (address, record) in living {
            if record.kind == Kind::Body {
                body_len = record.body.len() as u64;
            }
            let len = if record.shared() { body_len } else { record.body.len() as u64 };
            self.append(*address, record, len)?;
        }
        Ok(())
    }

    fn append(&mut self, address: u64, record: &RawRecord<'_>, body_len: u64) -> Result<(), ReadError> {
        let class = Class::of(record.kind);
        if !self.writers.contains_key(&class) {
            let number = self.journal.next_number.fetch_add(1, Ordering::Relaxed);
            self.made.push(self.journal.dir.join(class.name(number)));
            let writer = ClassWriter::create(&*self.journal.disk, &self.journal.dir, class, number)?;
            self.writers.insert(class, writer);
        }
        let writer = self.writers.get_mut(&class).expect("the writer was just made sure of");
        writer.append(address, record, body_len)?;
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<(ClassFile<D>, Summary)>, ReadError> {
        for class in Class::ALL {
            if let Some(writer) = self.writers.remove(&class) {
                self.done.push(writer.finish()?);
            }
        }
        Ok(std::mem::take(&mut self.done))
    }
}
