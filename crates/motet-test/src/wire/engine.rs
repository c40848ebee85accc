//! An engine that keeps nothing, for scripts: durable at once, or when the bench says so.

use motet_core::core::FIRST_OBJECT;
use motet_core::engine::{Engine, Locator, ObjectId, Position, Refused, Stage, StagedBody};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// When a stage is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// With the call that ends it.
    AtOnce,
    /// Only when everybody has come to rest, so that every answer which promises it has to wait.
    AtRest,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct MemoryEngine {
    durability: Durability,
    staged: AtomicU64,
    durable: AtomicU64,
    objects: AtomicU64,
    locators: AtomicU64,
}

impl MemoryEngine {
    /// An empty one.
    pub fn new(durability: Durability) -> Self {
        MemoryEngine {
            durability,
            staged: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            objects: AtomicU64::new(FIRST_OBJECT),
            locators: AtomicU64::new(1),
        }
    }

    /// Makes durable what is staged; `None` when it already was.
    pub fn sync(&self) -> Option<Position> {
        let staged = self.staged.load(Ordering::Relaxed);
        (self.durable.swap(staged, Ordering::Relaxed) < staged).then_some(Position(staged))
    }

    fn locator(&self) -> Locator {
        let number = self.locators.fetch_add(1, Ordering::Relaxed);
        Locator(NonZeroU64::new(number).expect("counts from one"))
    }
}

impl Engine for MemoryEngine {
    type Stage<'a> = MemoryStage<'a>;

    fn stage(&self) -> Result<MemoryStage<'_>, Refused> {
        Ok(MemoryStage(self))
    }

    fn stage_release(&self) -> MemoryStage<'_> {
        MemoryStage(self)
    }

    fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Relaxed))
    }

    fn read(&self, queue: ObjectId, _: Vec<(u64, Locator)>) {
        panic!("{queue:?}: a script has fewer messages than a queue keeps in memory");
    }

    fn pending_bytes(&self) -> u64 {
        0
    }

    fn allot_object(&self) -> ObjectId {
        ObjectId(self.objects.fetch_add(1, Ordering::Relaxed))
    }
}

/// Counts, and forgets.
#[derive(Debug)]
pub struct MemoryStage<'a>(&'a MemoryEngine);

impl Stage for MemoryStage<'_> {
    fn enqueue(&mut self, _: ObjectId, _: u64, _: &[u8], _: StagedBody<'_>) -> Locator {
        self.0.locator()
    }

    fn body(&mut self, _: &[&[u8]]) -> Locator {
        self.0.locator()
    }

    fn settle(&mut self, _: ObjectId, _: u64, _: Locator) {}

    fn mark(&mut self, _: ObjectId, _: u64, _: Locator, _: &[u8]) {}

    fn put(&mut self, _: ObjectId, _: &[u8], _: &[u8], _: Option<Locator>) -> Locator {
        self.0.locator()
    }

    fn delete(&mut self, _: ObjectId, _: &[u8], _: Locator) {}

    fn drop_object(&mut self, _: ObjectId) {}

    fn finish(self) -> Position {
        let position = self.0.staged.fetch_add(1, Ordering::Relaxed) + 1;
        if self.0.durability == Durability::AtOnce {
            self.0.durable.fetch_max(position, Ordering::Relaxed);
        }
        Position(position)
    }
}
