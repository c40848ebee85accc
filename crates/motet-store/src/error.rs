//! What can go wrong, sorted by whose fault it is.

use std::io;
use std::path::PathBuf;

/// Damage found in a place that was durable once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged at byte {offset}: {what}", file = file.display())]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What was found.
    pub what: String,
}

/// Why a journal does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process owns the directory.
    #[error("{0} is in use by another server: stop it, or choose another data directory")]
    InUse(PathBuf),
    /// A file carries a format this version does not know.
    #[error("{file} has format version {version}, this server reads {known}: use the version that wrote it", file = file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// The version it carries.
        version: u32,
        /// The version we read.
        known: u32,
    },
    /// Something durable is damaged; nothing was changed.
    #[error("{0}; run `motet store repair` to quarantine a copy and keep what is sound")]
    Corrupt(Damage),
    /// The disk refused.
    #[error("cannot open the journal: {what} {path}", path = path.display())]
    Disk {
        /// What we were doing.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why the disk refused.
        source: io::Error,
    },
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No file holds this locator any more: its record was settled, or it never was one.
    #[error("the journal holds no record there")]
    Gone,
    /// The record's checksum does not hold.
    #[error(transparent)]
    Corrupt(#[from] Damage),
    /// The disk refused.
    #[error("cannot read the journal")]
    Disk(#[from] io::Error),
}

/// The bound on staged bytes is reached: the disk is slow, full or failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal holds {pending_bytes} bytes that are not yet on disk")]
pub struct Full {
    /// Bytes staged and not yet durable.
    pub pending_bytes: u64,
}

/// Adds what was being done, and to which file, to an error of the disk.
pub(crate) fn disk(what: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Disk { what, path, source }
}
