//! What the journal asks of a disk, so that the same code runs on real files and on the simulated disk.
//!
//! The trait is small on purpose: every promise the journal makes rests on these calls and on nothing else.

use std::io;
use std::path::Path;

use crate::error::{OpenError, disk as disk_error};

/// A directory tree with the few calls the journal needs.
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;
    /// Held as long as this process owns the directory; dropping it gives the directory back.
    type Lock: Send + Sync + 'static;

    /// Makes the directory and its parents; an existing one is fine.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock on `path`, without waiting: `WouldBlock` when another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Self::Lock>;
    /// Creates a file that must not exist yet, for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Self::File>;
    /// Removes a name. Durable after [`Disk::sync_dir`].
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Renames, replacing the target. Durable after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// The names of the files in a directory, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes creations, removals and renames in the directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// A fresh random number: the seed of a segment. The simulated disk draws it from its own seed.
    fn entropy(&self) -> u64;
}

/// An open file. All calls take `&self`: readers share the file with its one writer.
pub trait DiskFile: Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Fills `buffer` from `offset`; the count is short only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// fdatasync. After an error the written pages may be gone: never call it again for the same bytes.
    fn sync_data(&self) -> io::Result<()>;
    /// fsync.
    fn sync_all(&self) -> io::Result<()>;
    /// Reserves room up to `len` bytes and extends the file to it.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// The length in bytes.
    fn size(&self) -> io::Result<u64>;
}

/// Makes a journal's directory this process's own, for as long as the lock lives.
pub(crate) fn own<D: Disk>(disk: &D, dir: &Path) -> Result<D::Lock, OpenError> {
    let path = dir.join("LOCK");
    disk.lock(&path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse(dir.to_owned()),
        _ => disk_error("cannot lock", &path)(error),
    })
}

/// Reads a whole file.
pub(crate) fn read_all<F: DiskFile>(file: &F) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.size()? as usize];
    let count = file.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    Ok(bytes)
}
