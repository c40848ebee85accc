//! A copy of everything durable, in a folder that a server can start on.
//!
//! ```text
//!   DIR/journal.unfinished ──(all is copied and synced)──▶ DIR/journal        motet --data-dir DIR
//! ```
//! Whoever finds `DIR/journal` finds all of it: a copy that was cut off keeps its other name.

use motet_store::{Disk as _, OpenError, RealDisk};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The journal's folder, inside a data directory and inside a backup.
pub const JOURNAL_DIR: &str = "journal";
const UNFINISHED_DIR: &str = "journal.unfinished";
const LOCK_FILE: &str = "LOCK";

/// What a backup came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackedUp {
    /// Bytes of all files of the copy.
    pub bytes: u64,
    /// Up to where in the log, in bytes; None for a copy made while no server ran: then it is everything.
    pub position: Option<u64>,
}

/// Why there is no backup. What was begun has been removed again, as far as the disk let us.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The server's working directory is nobody's business.
    #[error("{}: the folder for the backup must be named with its whole path, from / on", .0.display())]
    Relative(PathBuf),
    /// Backups do not mix.
    #[error("{}: is not empty: name a folder that is empty, or a new one", .0.display())]
    NotEmpty(PathBuf),
    /// A missing parent is often a disk that is not mounted.
    #[error("{}: the folder it should be in does not exist: make it first, or mount its disk", .0.display())]
    NoParent(PathBuf),
    /// The journal would copy itself.
    #[error("{}: is inside the journal that is to be copied: name a folder elsewhere", .0.display())]
    Inside(PathBuf),
    /// Nothing to copy.
    #[error("{}: there is no journal here", .0.display())]
    NoJournal(PathBuf),
    /// Somebody else uses the journal.
    #[error("{}: is in use by a running server", .0.display())]
    InUse(PathBuf),
    /// The disk refused.
    #[error("{}: {what}: {source}", path.display())]
    Disk {
        /// What could not be done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The journal could not be copied.
    #[error("{0}")]
    Journal(String),
}

impl BackupError {
    /// The request was wrong, and another one may succeed.
    pub(crate) fn is_askers(&self) -> bool {
        !matches!(self, BackupError::Disk { .. } | BackupError::Journal(_))
    }
}

impl From<OpenError> for BackupError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Disk { what, path, source } => BackupError::Disk { what, path, source },
            other => BackupError::Journal(other.to_string()),
        }
    }
}

fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Disk { what, path, source }
}

/// Copies the journal of a data directory that no server uses, into `target`, which is made, or is empty. Changes
/// nothing in the journal; damage is copied as it is.
///
/// # Errors
/// [`BackupError::InUse`] while a server runs: then ask it. Otherwise see [`BackupError`].
pub fn copy_unused(data_dir: &Path, target: &Path) -> Result<BackedUp, BackupError> {
    let journal = data_dir.join(JOURNAL_DIR);
    if !journal.is_dir() {
        return Err(BackupError::NoJournal(journal));
    }
    let lock = journal.join(LOCK_FILE);
    let _lock = RealDisk.lock(&lock).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => BackupError::InUse(journal.clone()),
        _ => disk("cannot be locked", &lock)(error),
    })?;
    fill(target, &journal, |to| copy_files(&journal, to).map(|()| None))
}

/// Makes `target` ready, lets `copy` fill a folder in it and answer up to where, and gives it its name.
pub(crate) fn fill(
    target: &Path,
    journal: &Path,
    copy: impl FnOnce(&Path) -> Result<Option<u64>, BackupError>,
) -> Result<BackedUp, BackupError> {
    let made_target = prepare(target, journal)?;
    let unfinished = target.join(UNFINISHED_DIR);
    let filled = make_dir(&unfinished).and_then(|()| {
        let position = copy(&unfinished)?;
        let bytes = size(&unfinished).map_err(disk("cannot be read", &unfinished))?;
        let finished = target.join(JOURNAL_DIR);
        fs::rename(&unfinished, &finished).map_err(disk("cannot be made", &finished))?;
        // The name of the copy, and the name of its folder.
        for folder in [Some(target), target.parent()].into_iter().flatten() {
            sync_dir(folder).map_err(disk("cannot be synced", folder))?;
        }
        Ok(BackedUp { bytes, position })
    });
    if filled.is_err() {
        // Half a copy only takes room; the error that is told is the first one.
        let _ = fs::remove_dir_all(&unfinished);
        if made_target {
            let _ = fs::remove_dir(target);
        }
    }
    filled
}

/// True when the folder had to be made.
fn prepare(target: &Path, journal: &Path) -> Result<bool, BackupError> {
    let (true, Some(parent), Some(name)) = (target.is_absolute(), target.parent(), target.file_name()) else {
        return Err(BackupError::Relative(target.into()));
    };
    let parent = parent.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => BackupError::NoParent(target.into()),
        _ => disk("its folder cannot be read", target)(error),
    })?;
    let place = target.canonicalize().unwrap_or_else(|_| parent.join(name));
    if journal.canonicalize().is_ok_and(|journal| place.starts_with(journal)) {
        return Err(BackupError::Inside(target.into()));
    }
    match fs::read_dir(target) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => Err(BackupError::NotEmpty(target.into())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_dir(target).map(|()| true),
        Err(error) => Err(disk("cannot be read as a folder", target)(error)),
    }
}

/// For its owner only: messages are inside.
fn make_dir(dir: &Path) -> Result<(), BackupError> {
    fs::DirBuilder::new().mode(0o700).create(dir).map_err(disk("cannot be made", dir))
}

/// Every file but the lock; the folders beside them are what `motet store repair` has put away.
fn copy_files(from: &Path, to: &Path) -> Result<(), BackupError> {
    for name in RealDisk.list(from).map_err(disk("cannot be read", from))? {
        if name != LOCK_FILE {
            let copy = to.join(&name);
            fs::copy(from.join(&name), &copy)
                .and_then(|_| File::open(&copy)?.sync_all())
                .map_err(disk("cannot be copied", &copy))?;
        }
    }
    sync_dir(to).map_err(disk("cannot be synced", to))
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn size(dir: &Path) -> io::Result<u64> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_every_file_but_the_lock_and_the_quarantine() {
        let dir = tempfile::tempdir().unwrap();
        let (data, target) = (dir.path().join("data"), dir.path().join("copy"));
        fs::create_dir_all(data.join("journal/quarantine-1")).unwrap();
        fs::write(data.join("journal/checkpoint"), "12345").unwrap();
        let copied = copy_unused(&data, &target).unwrap();
        assert_eq!(copied, BackedUp { bytes: 5, position: None });
        assert_eq!(RealDisk.list(&target.join("journal")).unwrap(), ["checkpoint"]);
        assert!(!target.join("journal/quarantine-1").exists());
        assert!(matches!(copy_unused(&data, &target), Err(BackupError::NotEmpty(_))), "backups do not mix");
    }

    #[test]
    fn a_failed_copy_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("copy");
        let failed = fill(&target, dir.path(), |to| {
            fs::write(to.join("half"), "a").unwrap();
            Err(BackupError::Journal("the disk is full".into()))
        });
        assert!(matches!(failed, Err(BackupError::Inside(_))), "{failed:?}");
        let failed = fill(&target, &dir.path().join("journal"), |to| {
            fs::write(to.join("half"), "a").unwrap();
            Err(BackupError::Journal("the disk is full".into()))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        assert!(!target.exists());
    }

    #[test]
    fn a_target_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let none = |_: &Path| Ok(None);
        let refusal = |target: &Path| fill(target, Path::new("/nowhere"), none).unwrap_err();
        assert!(matches!(refusal(Path::new("backup")), BackupError::Relative(_)));
        assert!(matches!(refusal(Path::new("/")), BackupError::Relative(_)));
        assert!(matches!(refusal(&dir.path().join("a/b")), BackupError::NoParent(_)));
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(matches!(refusal(&dir.path().join("file")), BackupError::Disk { .. }));
        assert!(matches!(refusal(dir.path()), BackupError::NotEmpty(_)));
    }

    #[test]
    fn a_journal_in_use_is_not_copied_behind_its_servers_back() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("journal")).unwrap();
        let _lock = RealDisk.lock(&dir.path().join("journal/LOCK")).unwrap();
        let refused = copy_unused(dir.path(), Path::new("/nowhere/else"));
        assert!(matches!(refused, Err(BackupError::InUse(_))), "{refused:?}");
        assert!(matches!(copy_unused(Path::new("/nowhere"), dir.path()), Err(BackupError::NoJournal(_))));
    }
}
