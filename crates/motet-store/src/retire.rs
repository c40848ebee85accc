//! Giving room back: which files are due, and the move of what still lives in them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::{HashMap, HashSet};

use crate::batch;
use crate::checkpoint::Checkpoint;
use crate::class::{Class, ClassFile, ClassWriter};
use crate::disk::Disk;
use crate::entering::Entering;
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
        Ok(moved)
    });
    let (files, summaries): (Vec<_>, Vec<_>) = match prepared {
        Ok(moved) => moved.into_iter().unzip(),
        Err(error) => {
            mover.discard();
            return Err(error);
        }
    };
    let entering = account(&journal, &files, &summaries);
    if let Err(error) = checkpoint(&journal, &plan, &files, &entering).write_beside(&*journal.disk, &journal.dir) {
        journal.ledger.lock().deaths = None;
        mover.discard();
        return Err(error.into());
    }
    if let Err(error) = Checkpoint::replace(&*journal.disk, &journal.dir) {
        // It may have arrived all the same: what it names stays until another one is durable.
        journal.ledger.lock().deaths = None;
        keeper.rubbish.extend(mover.made);
        return Err(error.into());
    }
    keeper.rubbish.extend(old_segments.iter().map(|segment| segment.path.clone()));
    let old_classes = exchange(&journal, &plan, files, entering);
    keeper.rubbish.extend(old_classes.iter().map(|file| file.path.clone()));
    keeper.remove()?;
    Ok(())
}

/// The accounts of new class files as of now: some of their records may have died while they were written.
fn account<'a, D: Disk>(journal: &Journal<D>, files: &[ClassFile<D>], summaries: &'a [Summary]) -> Entering<'a> {
    let empty = files.iter().map(ClassFile::ledger).zip(summaries);
    let mut entering = Entering::begin(empty, &mut journal.ledger.lock());
    while entering.enter(&journal.ledger.lock()) {}
    entering
}

/// What the checkpoint must say once the plan is carried out. The ledger is asked first, and in pieces, since the committer
/// needs it: whatever it does not know yet lies in segments that stay.
fn checkpoint<D: Disk>(
    journal: &Journal<D>,
    plan: &Plan,
    files: &[ClassFile<D>],
    entering: &Entering<'_>,
) -> Checkpoint {
    let stays = |file: &&ClassLedger| !plan.classes.contains(&(file.class, file.number));
    let staying: Vec<_> =
        journal.ledger.lock().classes.iter().filter(stays).map(|file| (file.class, file.number)).collect();
    let dead_of = |(class, number)| {
        let ledger = journal.ledger.lock();
        let file = ledger.classes.iter().find(|file| (file.class, file.number) == (class, number));
        (class, number, file.map(|file| file.ledger.dead()).unwrap_or_default())
    };
    let mut classes: Vec<(Class, u64, Vec<u64>)> = staying.into_iter().map(dead_of).collect();
    classes.extend(files.iter().zip(entering.dead()).map(|(file, dead)| (file.class, file.number, dead)));
    let objects = journal.ledger.lock().objects.clone();
    let table = journal.table.read();
    let first = table.segments.get(plan.segments);
    let floor = journal.floor;
    Checkpoint {
        first_batch: first.map_or(floor.0, |segment| segment.first_batch()),
        next_batch: first.map_or(floor.0, |segment| segment.first_batch()),
        next_address: first.map_or(floor.1, |segment| segment.base()),
        classes,
        objects,
    }
}

/// The new files take the place of the old ones in one step; gives the old class files.
fn exchange<D: Disk>(
    journal: &Journal<D>,
    plan: &Plan,
    files: Vec<ClassFile<D>>,
    entering: Entering<'_>,
) -> Vec<Arc<ClassFile<D>>> {
    let gone = |class: Class, number: u64| plan.classes.contains(&(class, number));
    let mut ledger = journal.ledger.lock();
    let mut table = journal.table.write();
    let accounts = entering.finish(&mut ledger);
    ledger.segments.drain(..plan.segments);
    ledger.classes.retain(|file| !gone(file.class, file.number));
    ledger.classes.extend(accounts);
    ledger.classes.sort_unstable_by_key(|file| (file.class, file.first));
    table.segments.drain(..plan.segments);
    let old = table.classes.extract_if(.., |file| gone(file.class, file.number)).collect();
    table.classes.extend(files.into_iter().map(Arc::new));
    old
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

    /// No checkpoint names the files made, and the next attempt makes its own.
    fn discard(self) {
        self.made.iter().for_each(|path| drop(self.journal.disk.unlink(path)));
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
            living.iter().try_for_each(|(address, record)| self.append(*address, record))
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
        file.records(|address, record| {
            if outcome.is_ok() && needed.contains(&address) {
                outcome = self.append(address, record);
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

    fn append(&mut self, address: u64, record: &RawRecord<'_>) -> Result<(), ReadError> {
        let class = Class::of(record.kind);
        if !self.writers.contains_key(&class) {
            let number = self.journal.next_number.fetch_add(1, Ordering::Relaxed);
            self.made.push(self.journal.dir.join(class.name(number)));
            let writer = ClassWriter::create(&*self.journal.disk, &self.journal.dir, class, number)?;
            self.writers.insert(class, writer);
        }
        let writer = self.writers.get_mut(&class).expect("the writer was just made sure of");
        writer.append(address, record)?;
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
