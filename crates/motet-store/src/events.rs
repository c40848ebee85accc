//! What the journal tells its user, while running and while opening.

use crate::locator::{Locator, Position};

/// Told by the committer's thread; answers must be quick and must not stage.
pub trait Events: Send + Sync + 'static {
    /// Everything up to `position` is on disk.
    fn durable(&self, position: Position);
    /// The disk refused, or a worker is lost: nothing is taken on until [`Events::recovered_room`]. Told once, whatever
    /// else fails before that.
    fn failed(&self, reason: &str);
    /// The disk works again and everything staged meanwhile is being written.
    fn recovered_room(&self);
    /// A durable file turned out damaged while running. It is left as it is.
    fn damaged(&self, reason: &str);
}

/// A listener for those who only ask [`crate::Journal::durable`].
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl Events for NoEvents {
    fn durable(&self, _position: Position) {}
    fn failed(&self, _reason: &str) {}
    fn recovered_room(&self) {}
    fn damaged(&self, _reason: &str) {}
}

/// The body of a recovered entry: its length, and the bytes when they happen to be in memory.
#[derive(Debug, Clone, Copy)]
pub struct RecoveredBody<'a> {
    /// Length in bytes.
    pub length: u64,
    /// The bytes, when recovery had to read them anyway.
    pub bytes: Option<&'a [u8]>,
}

/// Told by [`crate::Journal::open`] what survived: objects in ascending order, and of one object first
/// [`Recovery::object`], then its entries in the order of their sequences, then its keyed records.
pub trait Recovery {
    /// The object exists; `last_seq` is the highest sequence it ever used, also when it is empty now.
    fn object(&mut self, object: u64, last_seq: u64);
    /// An unsettled entry.
    fn entry(&mut self, object: u64, seq: u64, head: &[u8], body: RecoveredBody<'_>, at: Locator, mark: Option<&[u8]>);
    /// A keyed record that was neither superseded nor deleted.
    fn keyed(&mut self, object: u64, key: &[u8], value: &[u8], at: Locator);
}

/// Forgets everything: for tools that only want the files checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRecovery;

impl Recovery for NoRecovery {
    fn object(&mut self, _object: u64, _last_seq: u64) {}
    fn entry(&mut self, _: u64, _: u64, _: &[u8], _: RecoveredBody<'_>, _: Locator, _: Option<&[u8]>) {}
    fn keyed(&mut self, _object: u64, _key: &[u8], _value: &[u8], _at: Locator) {}
}
