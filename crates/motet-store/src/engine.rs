//! The journal as the core's engine.
//!
//! ```text
//!  core ── stage ──▶ Journal ── committer thread ──▶ Completion::Durable ─┐
//!  core ── read ───▶ reader thread ── read_many ───▶ Completion::Read ────┴▶ sink (the core)
//! ```
//! The journal keeps a record's locator for life, so nothing is ever reported as moved.

use crate::config::Config;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::events::{Events, RecoveredBody, Recovery};
use crate::journal::Journal;
use crate::locator::{Locator as Place, Position as Address};
use crate::reader::{self, ReadRequest};
use crate::real_disk::RealDisk;
use crate::staging::{Body, Stage as Staging};
use motet_core::core::{FIRST_OBJECT, Recovery as CoreRecovery};
use motet_core::engine::{
    Completion, Engine, Found, Locator, ObjectId, Position, Refused, Stage as CoreStage, StagedBody,
};
use parking_lot::Mutex;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

/// The engine's own object: how far object ids are reserved.
const RESERVED: u64 = 3;
const NEXT_OBJECT: &[u8] = b"next-object";
/// Ids reserved at a time: one record per so many new sessions.
const RESERVE: u64 = 4096;

/// Who hears completions.
pub type Sink = Box<dyn Fn(Completion) + Send + Sync>;

/// The embedded engine.
pub struct EmbeddedEngine<D: Disk = RealDisk> {
    journal: Arc<Journal<D>>,
    outlet: Arc<Outlet>,
    reads: Mutex<Option<mpsc::Sender<ReadRequest>>>,
    reader: Mutex<Option<thread::JoinHandle<()>>>,
    ids: Mutex<Ids>,
}

#[derive(Debug)]
struct Ids {
    next: u64,
    /// Ids below this may be given out.
    reserved: u64,
    record: Option<Place>,
}

/// Where completions go once the core exists, and what the disk last said.
#[derive(Default)]
pub(crate) struct Outlet {
    sink: OnceLock<Sink>,
    failing: AtomicBool,
    failures: AtomicU64,
}

impl Outlet {
    pub(crate) fn send(&self, completion: Completion) {
        if let Some(sink) = self.sink.get() {
            sink(completion);
        }
    }
}

impl Events for Outlet {
    fn durable(&self, position: Address) {
        self.send(Completion::Durable(Position(position.0)));
    }

    fn failed(&self, reason: &str) {
        self.failing.store(true, Ordering::Release);
        self.failures.fetch_add(1, Ordering::Relaxed);
        tracing::error!(reason, "the disk refuses: nothing durable is confirmed until it works again");
        self.send(Completion::Stalled);
    }

    fn recovered_room(&self) {
        self.failing.store(false, Ordering::Release);
        tracing::warn!("the disk works again");
        self.send(Completion::Recovered);
    }

    fn damaged(&self, reason: &str) {
        tracing::error!(reason, "a journal file is damaged; see `motet store check`");
    }
}

impl<D: Disk> std::fmt::Debug for EmbeddedEngine<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedEngine").finish_non_exhaustive()
    }
}

impl EmbeddedEngine<RealDisk> {
    /// Opens the journal under `dir` and collects what survived.
    ///
    /// # Errors
    /// See [`OpenError`]: another server has the directory, a sealed file is damaged, the disk refuses.
    pub fn open(dir: &Path, config: Config) -> Result<(Self, CoreRecovery), OpenError> {
        Self::open_on(Arc::new(RealDisk), dir, config)
    }
}

impl<D: Disk> EmbeddedEngine<D> {
    /// The same on another disk.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_on(disk: Arc<D>, dir: &Path, config: Config) -> Result<(Self, CoreRecovery), OpenError> {
        let outlet = Arc::new(Outlet::default());
        let mut collected = Collected { core: CoreRecovery::new(), highest: FIRST_OBJECT, ids: None };
        let opened = Journal::open(dir, disk, config, outlet.clone(), &mut collected)?;
        let journal = opened.spawn().map_err(|source| OpenError::Disk {
            what: "starting the threads for",
            path: dir.to_owned(),
            source,
        })?;
        if journal.clean_start() {
            collected.core.stopped_in_order();
        }
        let (next, record) = match collected.ids {
            Some((bound, at)) => (bound.max(collected.highest + 1), Some(at)),
            None => (collected.highest + 1, None),
        };
        let (sender, receiver) = mpsc::channel();
        let reader = reader::spawn(journal.clone(), outlet.clone(), receiver);
        let engine = EmbeddedEngine {
            journal,
            outlet,
            reads: Mutex::new(Some(sender)),
            reader: Mutex::new(Some(reader)),
            ids: Mutex::new(Ids { next, reserved: next, record }),
        };
        Ok((engine, collected.core))
    }

    /// Says who hears completions; once, before anything is staged.
    pub fn set_sink(&self, sink: Sink) {
        let first = self.outlet.sink.set(sink).is_ok();
        debug_assert!(first, "an engine has one core");
    }

    /// The disk refuses at the moment.
    pub fn is_failing(&self) -> bool {
        self.outlet.failing.load(Ordering::Acquire)
    }

    /// How often the disk has refused.
    pub fn failures(&self) -> u64 {
        self.outlet.failures.load(Ordering::Relaxed)
    }

    /// The journal itself, for tools.
    pub fn journal(&self) -> &Arc<Journal<D>> {
        &self.journal
    }

    /// Makes everything durable and stops the threads. Nothing may be staged afterwards.
    pub fn shutdown(&self) {
        self.reads.lock().take();
        if let Some(reader) = self.reader.lock().take() {
            let _ = reader.join();
        }
        self.journal.shutdown();
    }
}

impl<D: Disk> Engine for EmbeddedEngine<D> {
    type Stage<'a> = EmbeddedStage<'a, D>;

    fn stage(&self) -> Result<Self::Stage<'_>, Refused> {
        if self.is_failing() {
            return Err(Refused);
        }
        self.journal.try_stage().map(EmbeddedStage).map_err(|_| Refused)
    }

    fn stage_release(&self) -> Self::Stage<'_> {
        EmbeddedStage(self.journal.stage())
    }

    fn durable(&self) -> Position {
        Position(self.journal.durable().0)
    }

    fn read(&self, queue: ObjectId, entries: Vec<(u64, Locator)>) {
        if let Some(reads) = &*self.reads.lock() {
            // The reader is gone only when the engine shuts down, and then nobody waits for bodies.
            let _ = reads.send((queue, entries));
        }
    }

    fn pending_bytes(&self) -> u64 {
        self.journal.pending_bytes()
    }

    fn allot_object(&self) -> ObjectId {
        let mut ids = self.ids.lock();
        if ids.next >= ids.reserved {
            // Whatever uses these ids is staged later, so it is durable only if this is.
            ids.reserved = ids.next + RESERVE;
            let mut stage = self.journal.stage();
            ids.record = Some(stage.put(RESERVED, NEXT_OBJECT, &ids.reserved.to_le_bytes(), ids.record));
            stage.finish();
        }
        ids.next += 1;
        ObjectId(ids.next - 1)
    }
}

/// One atomic group in the journal.
pub struct EmbeddedStage<'a, D: Disk>(Staging<'a, D>);

impl<D: Disk> CoreStage for EmbeddedStage<'_, D> {
    fn enqueue(&mut self, queue: ObjectId, seq: u64, head: &[u8], body: StagedBody<'_>) -> Locator {
        let body = match body {
            StagedBody::Inline(parts) => Body::Inline(parts),
            StagedBody::Shared(at) => Body::Shared(place(at)),
        };
        locator(self.0.enqueue(queue.0, seq, head, body))
    }

    fn body(&mut self, parts: &[&[u8]]) -> Locator {
        locator(self.0.body(parts))
    }

    fn settle(&mut self, queue: ObjectId, seq: u64, at: Locator) {
        self.0.settle(queue.0, seq, place(at));
    }

    fn mark(&mut self, queue: ObjectId, seq: u64, at: Locator, data: &[u8]) {
        self.0.mark(queue.0, seq, place(at), data);
    }

    fn put(&mut self, object: ObjectId, key: &[u8], value: &[u8], previous: Option<Locator>) -> Locator {
        locator(self.0.put(object.0, key, value, previous.map(place)))
    }

    fn delete(&mut self, object: ObjectId, key: &[u8], previous: Locator) {
        self.0.delete(object.0, key, place(previous));
    }

    fn drop_object(&mut self, object: ObjectId) {
        self.0.drop_object(object.0);
    }

    fn finish(self) -> Position {
        Position(self.0.finish().0)
    }
}

fn locator(place: Place) -> Locator {
    Locator(NonZeroU64::new(place.to_bits()).expect("a journal locator is never zero"))
}

pub(crate) fn place(locator: Locator) -> Place {
    Place::from_bits(locator.0.get()).expect("the core gives back what it was given")
}

/// Passes on what the journal finds, keeping back what is the engine's own.
struct Collected {
    core: CoreRecovery,
    highest: u64,
    ids: Option<(u64, Place)>,
}

impl Recovery for Collected {
    fn object(&mut self, object: u64, last_seq: u64) {
        self.highest = self.highest.max(object);
        self.core.found(Found::Object { object: ObjectId(object), last_seq });
    }

    fn entry(&mut self, object: u64, seq: u64, head: &[u8], body: RecoveredBody<'_>, at: Place, mark: Option<&[u8]>) {
        let body_len = u32::try_from(body.length).unwrap_or(u32::MAX);
        self.core.found(Found::Entry { queue: ObjectId(object), seq, head, body_len, at: locator(at), mark });
    }

    fn keyed(&mut self, object: u64, key: &[u8], value: &[u8], at: Place) {
        if object == RESERVED {
            if let (NEXT_OBJECT, Some(bound)) = (key, value.first_chunk::<8>()) {
                self.ids = Some((u64::from_le_bytes(*bound), at));
            }
            return;
        }
        self.core.found(Found::Keyed { object: ObjectId(object), key, value, at: locator(at) });
    }
}
