//! The journal itself: what its users call, and the state its two workers share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{io, thread};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};

use crate::class::ClassFile;
use crate::committer::{Committer, Step};
use crate::config::Config;
use crate::disk::{Disk, own};
use crate::error::{Full, OpenError, ReadError, disk as disk_error};
use crate::events::{Events, Recovery};
use crate::health::{Health, Trouble};
use crate::keeper::Keeper;
use crate::ledger::Ledger;
use crate::locator::{Locator, Position};
use crate::real_disk::RealDisk;
use crate::recovery::{self, Found};
use crate::reserve::Reserve;
use crate::segment::Segment;
use crate::staging::{Stage, Staging};
use crate::summary::Summary;
use crate::survivors::{self, Survivors};

/// One node's write-ahead log. See the crate's page for its law.
pub struct Journal<D: Disk = RealDisk> {
    pub(crate) dir: PathBuf,
    pub(crate) disk: Arc<D>,
    pub(crate) config: Config,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) staging: Mutex<Staging>,
    /// The committer waits here for something staged.
    pub(crate) work: Condvar,
    pub(crate) durable: AtomicU64,
    pub(crate) pending: AtomicU64,
    pub(crate) table: RwLock<Table<D>>,
    /// Batch and address with which this run began.
    pub(crate) floor: (u64, u64),
    pub(crate) ledger: Mutex<Ledger>,
    /// The next segment, made ready by the keeper.
    pub(crate) prepared: Mutex<Option<Segment<D>>>,
    pub(crate) next_number: AtomicU64,
    /// Why nothing durable is taken on, if it is not.
    pub(crate) health: Health,
    /// Bytes of each reserve; 0 as long as there was no room for one. See `reserve.rs`.
    pub(crate) reserve_kept: AtomicU64,
    /// Held while files are sealed, moved or removed, and while they are copied.
    pub(crate) upkeep: Mutex<()>,
    closing: AtomicBool,
    closed: Condvar,
    keeper_wanted: Mutex<bool>,
    keeper_wake: Condvar,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    clean_start: bool,
    _lock: D::Lock,
}

/// The files that hold durable records.
pub(crate) struct Table<D: Disk> {
    /// Oldest first.
    pub segments: Vec<Arc<Segment<D>>>,
    pub classes: Vec<Arc<ClassFile<D>>>,
}

/// A journal just opened, with its two workers: start them with [`Opened::spawn`], or drive them by hand.
pub struct Opened<D: Disk = RealDisk> {
    /// The journal.
    pub journal: Arc<Journal<D>>,
    /// Makes staged records durable.
    pub committer: Committer<D>,
    /// Prepares, seals and removes segments.
    pub keeper: Keeper<D>,
}

/// A record as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The object it belongs to.
    pub object: u64,
    /// The sequence of an entry; 0 of a keyed record.
    pub seq: u64,
    /// The head of an entry, or the key.
    pub head: Bytes,
    /// The body of an entry, or the value.
    pub body: Bytes,
}

/// Room taken on disk, beside the one or two segments that are reserved ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of live records, rounded up by at most 1/16.
    pub live_bytes: u64,
    /// Bytes of batches in segments.
    pub log_bytes: u64,
    /// Bytes of class files.
    pub class_bytes: u64,
    /// Segments that hold batches.
    pub segments: usize,
    /// Class files.
    pub class_files: usize,
}

impl<D: Disk> Journal<D> {
    /// Opens the journal in `dir`, making the directory if needed, and tells `recovery` what survived.
    pub fn open(
        dir: &Path,
        disk: Arc<D>,
        config: Config,
        events: Arc<dyn Events>,
        recovery: &mut dyn Recovery,
    ) -> Result<Opened<D>, OpenError> {
        disk.create_dir(dir).map_err(disk_error("cannot create", dir))?;
        let lock = own(&*disk, dir)?;
        let mut found = recovery::find(&*disk, dir)?;
        if !found.damage.is_empty() {
            return Err(OpenError::Corrupt(found.damage.remove(0)));
        }
        recovery::make_durable(&found)?;
        let clean_start = recovery::tidy(&*disk, dir, &found)?;
        Self::assemble(dir, disk, config, events, recovery, (found, clean_start, lock))
    }

    fn assemble(
        dir: &Path,
        disk: Arc<D>,
        config: Config,
        events: Arc<dyn Events>,
        recovery: &mut dyn Recovery,
        (found, clean_start, lock): (Found<D>, bool, D::Lock),
    ) -> Result<Opened<D>, OpenError> {
        let Found { checkpoint, classes, parts, last_number, .. } = found;
        let summaries: Vec<&Summary> =
            classes.iter().map(|(_, summary)| summary).chain(parts.iter().map(|part| &part.summary)).collect();
        let alive = Survivors::gather(&checkpoint.objects, &summaries);
        let mut ledger = Ledger::new();
        ledger.objects = alive.objects.clone();
        for (file, summary) in &classes {
            alive.enter_class(file, summary, &checkpoint, &mut ledger);
        }
        for part in &parts {
            ledger.open_segment(part.summary.addresses.0);
            alive.enter(&part.summary, &mut ledger);
        }
        let end = parts.last().map_or(0, |last| last.summary.addresses.1).max(checkpoint.next_address);
        let next_batch = parts.last().map_or(0, |last| last.summary.batches.1).max(checkpoint.next_batch);
        let table = Table {
            segments: parts.iter().map(|part| part.segment.clone()).collect(),
            classes: classes.iter().map(|(file, _)| file.clone()).collect(),
        };
        let journal = Arc::new(Self {
            dir: dir.to_owned(),
            disk,
            config,
            health: Health::new(events.clone()),
            events,
            staging: Mutex::new(Staging::new(end)),
            work: Condvar::new(),
            durable: AtomicU64::new(end),
            pending: AtomicU64::new(0),
            table: RwLock::new(table),
            floor: (next_batch, end),
            ledger: Mutex::new(ledger),
            prepared: Mutex::new(None),
            next_number: AtomicU64::new(last_number + 1),
            reserve_kept: AtomicU64::new(0),
            upkeep: Mutex::new(()),
            closing: AtomicBool::new(false),
            closed: Condvar::new(),
            keeper_wanted: Mutex::new(true),
            keeper_wake: Condvar::new(),
            threads: Mutex::new(Vec::new()),
            clean_start,
            _lock: lock,
        });
        if let Err(error) = journal.keep_reserves() {
            tracing::warn!(%error, "no room can be put by for a full disk");
        }
        survivors::tell(&journal, &summaries, &alive, recovery)?;
        let committer = Committer::new(journal.clone(), next_batch);
        let keeper = Keeper::new(journal.clone());
        Ok(Opened { journal, committer, keeper })
    }

    /// Begins to stage, whatever the bound says: for what gives room back or must not be refused (settlements).
    /// Check [`Journal::try_stage`] or [`Journal::pending_bytes`] before taking on new messages.
    pub fn stage(&self) -> Stage<'_, D> {
        Stage::new(self, self.staging.lock())
    }

    /// Begins to stage unless the bound on staged bytes is reached.
    pub fn try_stage(&self) -> Result<Stage<'_, D>, Full> {
        let pending_bytes = self.pending_bytes();
        if pending_bytes >= self.config.pending_bytes_max || self.closing() {
            return Err(Full { pending_bytes });
        }
        Ok(self.stage())
    }

    /// Everything before this place is on disk.
    pub fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    /// Bytes staged and not yet durable: what back-pressure looks at.
    pub fn pending_bytes(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// How much room the journal takes, and for how much.
    pub fn usage(&self) -> Usage {
        let live_bytes = self.ledger.lock().live_bytes();
        let table = self.table.read();
        Usage {
            live_bytes,
            log_bytes: table.segments.iter().map(|segment| segment.end() - segment.base()).sum(),
            class_bytes: table.classes.iter().map(|file| file.size).sum(),
            segments: table.segments.len(),
            class_files: table.classes.len(),
        }
    }

    /// Did the last user of the directory stop in order? True also of an empty directory.
    pub fn clean_start(&self) -> bool {
        self.clean_start
    }

    /// Reads a record, wherever it is: still staged, being written, or on disk. Blocks for one `pread`, two when the
    /// body is shared.
    pub fn read(&self, at: Locator) -> Result<Record, ReadError> {
        let raw = self.read_raw(at)?;
        self.complete(&raw)
    }

    /// Reads many records, answers in the order asked. Neighbours on disk are fetched in blocks of up to 256 KiB,
    /// lonely ones by themselves.
    pub fn read_many(&self, places: &[Locator]) -> Vec<Result<Record, ReadError>> {
        crate::reading::read_many(self, places)
    }

    /// Writes out everything staged and marks the end as orderly. Afterwards [`Journal::try_stage`] refuses.
    pub fn shutdown(self: &Arc<Self>) {
        self.closing.store(true, Ordering::Release);
        {
            let _staging = self.staging.lock();
            self.work.notify_all();
            self.closed.notify_all();
        }
        self.wake_keeper();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A worker that panicked has said so; there is nothing left to wait for.
            let _ = thread.join();
        }
        self.close();
    }

    /// Footers for all, and the mark of an orderly stop when nothing is left to write.
    fn close(self: &Arc<Self>) {
        self.closing.store(true, Ordering::Release);
        Keeper::new(self.clone()).close();
        if self.pending_bytes() == 0
            && !self.health.has(Trouble::Worker)
            && let Err(error) = recovery::mark_clean(&*self.disk, &self.dir)
        {
            tracing::warn!(%error, "the orderly stop of the journal cannot be noted");
        }
    }

    /// Does the work of a thread. Should it panic, the journal takes on nothing durable any more and says so: what is
    /// volatile goes on, and nobody waits in silence for what will never be confirmed.
    pub(crate) fn watch(&self, thread: &str, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            let reason = format!("the thread {thread} has panicked: nothing durable is taken on until a restart");
            self.health.begin(Trouble::Worker, &reason);
        }
    }

    pub(crate) fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The committer's sleep: until something is staged or the journal closes.
    pub(crate) fn wait_staged(&self) {
        let mut staging = self.staging.lock();
        if staging.is_empty() && !self.closing() {
            staging.sleeping = true;
            self.work.wait(&mut staging);
            staging.sleeping = false;
        }
    }

    /// The committer's patience after a failure.
    pub(crate) fn wait_closing(&self, delay: Duration) {
        let mut staging = self.staging.lock();
        if !self.closing() {
            self.closed.wait_for(&mut staging, delay);
        }
    }

    pub(crate) fn wake_keeper(&self) {
        *self.keeper_wanted.lock() = true;
        self.keeper_wake.notify_one();
    }

    /// The keeper's sleep.
    pub(crate) fn wait_keeper(&self, delay: Duration) {
        let mut wanted = self.keeper_wanted.lock();
        if !*wanted && !self.closing() {
            self.keeper_wake.wait_for(&mut wanted, delay);
        }
        *wanted = false;
    }

    /// The prepared segment, or one made now.
    pub(crate) fn next_segment(&self) -> io::Result<Segment<D>> {
        // The lock is held while one is made: segments are used in the order of their numbers.
        let mut prepared = self.prepared.lock();
        match prepared.take() {
            Some(segment) => Ok(segment),
            None => self.make_segment(),
        }
    }

    /// Makes the next segment ready unless it is.
    pub(crate) fn prepare_segment(&self) -> io::Result<()> {
        let mut prepared = self.prepared.lock();
        if prepared.is_none() {
            *prepared = Some(self.make_segment()?);
        }
        Ok(())
    }

    /// A segment of at least so many bytes, header included; where nothing else is free, in the room that was put by.
    pub(crate) fn next_segment_at_any_price(&self, bytes: u64) -> io::Result<Segment<D>> {
        match self.next_segment_of(bytes) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull && self.spend(Reserve::Log) => {
                self.next_segment_of(bytes)
            }
            done => done,
        }
    }

    fn next_segment_of(&self, bytes: u64) -> io::Result<Segment<D>> {
        let segment = self.next_segment()?;
        if bytes > segment.room() {
            // One that is too small is nobody's: kept, each further attempt on a full disk would leave another.
            segment.grow(bytes).inspect_err(|_| drop(self.disk.unlink(&segment.path)))?;
        }
        Ok(segment)
    }

    fn make_segment(&self) -> io::Result<Segment<D>> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        Segment::prepare(&*self.disk, &self.dir, number, self.config.segment_bytes)
    }

    /// The segment is durable up to `end`: readers may look there.
    pub(crate) fn register(&self, segment: &Arc<Segment<D>>, end: u64) {
        let fresh = segment.end() == segment.base();
        segment.advance(end);
        if fresh {
            self.ledger.lock().open_segment(segment.base());
            self.table.write().segments.push(segment.clone());
        }
    }
}

impl<D: Disk> Opened<D> {
    /// The orderly stop for those who drive the workers by hand.
    pub fn close(mut self) {
        while self.committer.step() == Step::Committed {}
        self.committer.finish();
        self.journal.close();
    }

    /// Starts the two worker threads.
    pub fn spawn(self) -> io::Result<Arc<Journal<D>>> {
        let Self { journal, committer, keeper } = self;
        let watched = journal.clone();
        let commit = thread::Builder::new().name("journal-commit".into());
        let commit = commit.spawn(move || watched.watch("journal-commit", || committer.run()))?;
        journal.threads.lock().push(commit);
        let watched = journal.clone();
        let keep = thread::Builder::new().name("journal-keep".into());
        let keep = keep.spawn(move || watched.watch("journal-keep", || keeper.run()))?;
        journal.threads.lock().push(keep);
        Ok(journal)
    }
}
