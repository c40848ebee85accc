//! A disk in memory that lies the way real ones do, from a seed.
//!
//! Writes land in a page cache; only a sync moves them to the platter. [`SimDisk::power_cut`] then decides page by
//! page, and directory entry by directory entry, what of the unsynced rest arrived: all, nothing, or a torn part.
//! A failed sync marks the pages clean without having written all of them, as Linux does: that is why the journal
//! never repeats one. [`SimDisk::kill`] ends the process alone and keeps the page cache.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile};

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// A seeded disk; clones share it.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// An open file of a [`SimDisk`]; useless after a power cut, as a real handle is.
pub struct SimFile {
    state: Arc<Mutex<State>>,
    inode: u64,
    boot: u64,
}

/// The lock of a [`SimDisk`] directory.
pub struct SimLock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
    boot: u64,
}

#[derive(Default)]
struct State {
    random: u64,
    boot: u64,
    next_inode: u64,
    inodes: HashMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// Directory changes since the last `sync_dir`, in order: `None` removes.
    pending_names: Vec<(PathBuf, Option<u64>)>,
    locks: HashSet<PathBuf>,
    sync_errors: u32,
    write_errors: u32,
    read_errors: u32,
    room: Option<u64>,
    calls_left: Option<u64>,
    calls: u64,
}

#[derive(Default, Clone)]
struct Inode {
    cached: Vec<u8>,
    platter: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl SimDisk {
    /// A new empty disk; everything it decides follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let state = State { random: seed ^ 0x9E37_79B9_7F4A_7C15, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The next `count` syncs fail with EIO and lose an unknown part of their pages.
    pub fn fail_syncs(&self, count: u32) {
        self.state.lock().sync_errors = count;
    }

    /// The next `count` writes fail with EIO after an unknown part of their bytes.
    pub fn fail_writes(&self, count: u32) {
        self.state.lock().write_errors = count;
    }

    /// The next `count` reads fail with EIO.
    pub fn fail_reads(&self, count: u32) {
        self.state.lock().read_errors = count;
    }

    /// Limits the sum of all file lengths, in bytes; `None` lifts the limit.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.state.lock().room = bytes;
    }

    /// After `calls` more calls the power is gone: every later call fails until [`SimDisk::power_cut`] is called.
    pub fn cut_power_after(&self, calls: u64) {
        self.state.lock().calls_left = Some(calls);
    }

    /// How many calls changed or synced something so far.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// The sum of all file lengths, in bytes.
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used()
    }

    /// Turns one bit of a file over, on the platter as in the cache.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) {
        let mut state = self.state.lock();
        let Some(inode) = state.names.get(path).copied().and_then(|inode| state.inodes.get_mut(&inode)) else { return };
        for copy in [&mut inode.cached, &mut inode.platter] {
            if let Some(byte) = copy.get_mut(offset as usize) {
                *byte ^= 1 << (bit & 7);
            }
        }
    }

    /// The process dies, the machine stays: the page cache survives, handles and locks do not.
    pub fn kill(&self) {
        self.state.lock().reboot();
    }

    /// The power fails: of everything unsynced an arbitrary part has reached the platter.
    pub fn power_cut(&self) {
        let mut state = self.state.lock();
        state.settle_names();
        let live: HashSet<u64> = state.names.values().copied().collect();
        state.inodes.retain(|inode, _| live.contains(inode));
        let mut inodes: Vec<u64> = live.into_iter().collect();
        inodes.sort_unstable();
        for inode in inodes {
            state.settle_pages(inode, true);
        }
        state.reboot();
    }
}

impl State {
    /// SplitMix64: small, seeded, good enough to choose among faults.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn used(&self) -> u64 {
        self.names.values().filter_map(|inode| self.inodes.get(inode)).map(|inode| inode.cached.len() as u64).sum()
    }

    fn reboot(&mut self) {
        self.boot += 1;
        self.locks.clear();
        self.calls_left = None;
        self.sync_errors = 0;
        self.write_errors = 0;
        self.read_errors = 0;
    }

    /// One call that changes something: refused once the power is gone.
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        match &mut self.calls_left {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn room_for(&self, inode: u64, len: usize) -> io::Result<()> {
        let old = self.inodes.get(&inode).map_or(0, |inode| inode.cached.len());
        let grown = self.used() + len.saturating_sub(old) as u64;
        match self.room {
            Some(room) if len > old && grown > room => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn set_name(&mut self, path: &Path, inode: Option<u64>) {
        match inode {
            Some(inode) => self.names.insert(path.to_owned(), inode),
            None => self.names.remove(path),
        };
        self.pending_names.push((path.to_owned(), inode));
    }

    /// Keeps an arbitrary subset of the unsynced directory changes.
    fn settle_names(&mut self) {
        let pending = std::mem::take(&mut self.pending_names);
        let mut names = self.durable_names.clone();
        for (path, inode) in pending {
            if self.draw() & 1 == 0 {
                match inode {
                    Some(inode) => names.insert(path, inode),
                    None => names.remove(&path),
                };
            }
        }
        self.names = names.clone();
        self.durable_names = names;
    }

    /// Writes an arbitrary part of the dirty pages; `forget` also makes the cache forget the rest.
    fn settle_pages(&mut self, number: u64, forget: bool) {
        let Some(mut inode) = self.inodes.remove(&number) else { return };
        let dirty = std::mem::take(&mut inode.dirty);
        let long = inode.cached.len();
        if long != inode.platter.len() && self.draw() & 1 == 0 {
            inode.platter.resize(long, 0);
        }
        for page in dirty {
            let from = page * PAGE;
            let to = (from + PAGE).min(long).min(inode.platter.len());
            if from >= to {
                continue;
            }
            let (start, end) = match self.draw() % 4 {
                0 => (from, from),
                1 => (from, to),
                // A torn page: some sectors at one end of it arrived.
                2 => (from, (from + SECTOR * (self.draw() as usize % 8)).min(to)),
                _ => ((from + SECTOR * (self.draw() as usize % 8)).min(to), to),
            };
            inode.platter[start..end].copy_from_slice(&inode.cached[start..end]);
        }
        if forget {
            inode.cached = inode.platter.clone();
        }
        self.inodes.insert(number, inode);
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<SimLock> {
        let mut state = self.state.lock();
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(SimLock { state: self.state.clone(), path: path.to_owned(), boot: state.boot })
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        let mut state = self.state.lock();
        state.call()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(inode, Inode::default());
        state.set_name(path, Some(inode));
        Ok(SimFile { state: self.state.clone(), inode, boot: state.boot })
    }

    fn open(&self, path: &Path) -> io::Result<SimFile> {
        let state = self.state.lock();
        let inode = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(SimFile { state: self.state.clone(), inode, boot: state.boot })
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.call()?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.set_name(path, None);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.call()?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.set_name(to, Some(inode));
        state.set_name(from, None);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        let in_dir = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(in_dir.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.call()?;
        state.pending_names.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn entropy(&self) -> u64 {
        self.state.lock().draw()
    }
}

impl SimFile {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        if state.boot != self.boot {
            return Err(io::Error::other("a handle from before the power cut"));
        }
        work(&mut state)
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|state| {
            let powered = state.call();
            let end = offset as usize + bytes.len();
            state.room_for(self.inode, end)?;
            let mut failed = powered.is_err();
            if !failed && state.write_errors > 0 {
                state.write_errors -= 1;
                failed = true;
            }
            // A failing write may have taken some of its bytes.
            let taken = if failed { state.draw() as usize % (bytes.len() + 1) } else { bytes.len() };
            let inode = state.inodes.get_mut(&self.inode).expect("an open file has an inode");
            let until = offset as usize + taken;
            if inode.cached.len() < until {
                inode.cached.resize(until, 0);
            }
            inode.cached[offset as usize..until].copy_from_slice(&bytes[..taken]);
            if taken > 0 {
                inode.dirty.extend(offset as usize / PAGE..=(until - 1) / PAGE);
            }
            if failed { Err(io::Error::other("simulated EIO on write")) } else { Ok(()) }
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|state| {
            if state.read_errors > 0 {
                state.read_errors -= 1;
                return Err(io::Error::other("simulated EIO on read"));
            }
            let inode = state.inodes.get(&self.inode).expect("an open file has an inode");
            let from = (offset as usize).min(inode.cached.len());
            let count = buffer.len().min(inode.cached.len() - from);
            buffer[..count].copy_from_slice(&inode.cached[from..from + count]);
            Ok(count)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state| {
            state.call()?;
            if state.sync_errors > 0 {
                state.sync_errors -= 1;
                state.settle_pages(self.inode, false);
                return Err(io::Error::other("simulated EIO on fdatasync"));
            }
            let inode = state.inodes.get_mut(&self.inode).expect("an open file has an inode");
            inode.platter.resize(inode.cached.len(), 0);
            for page in std::mem::take(&mut inode.dirty) {
                let from = (page * PAGE).min(inode.cached.len());
                let to = (from + PAGE).min(inode.cached.len());
                inode.platter[from..to].copy_from_slice(&inode.cached[from..to]);
            }
            Ok(())
        })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.with(|state| {
            state.call()?;
            state.room_for(self.inode, len as usize)?;
            let inode = state.inodes.get_mut(&self.inode).expect("an open file has an inode");
            if inode.cached.len() < len as usize {
                inode.cached.resize(len as usize, 0);
            }
            Ok(())
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.with(|state| {
            state.call()?;
            let inode = state.inodes.get_mut(&self.inode).expect("an open file has an inode");
            inode.cached.resize(len as usize, 0);
            Ok(())
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.with(|state| Ok(state.inodes.get(&self.inode).map_or(0, |inode| inode.cached.len() as u64)))
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.boot == self.boot {
            state.locks.remove(&self.path);
        }
    }
}
