//! The audit log: who logged in, who was refused, what operators did. JSON, an object per line, in a file of its own.
//!
//! ```text
//!   record ──(bounded)──▶ writer thread ──▶ audit.jsonl ──(full)──▶ audit.jsonl.1 … .keep
//! ```
//! Entries are types with the fields below and no others, so that no password, token or payload can get in. Whoever
//! records never waits for the disk; what does not fit is counted.

use crate::config::Audit as Settings;
use crate::error::ServerError;
use motet_core::deeds::{Deed, DeedOutcome};
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::SystemTime;

/// Lines that wait for the disk; some megabytes at most.
const WAITING_MAX: usize = 10_000;
/// Bytes of a name that a peer chose; the rest is cut.
const NAME_BYTES_MAX: usize = 256;

/// Declarations that are recorded in one second.
const DECLARATIONS_PER_SECOND_MAX: u32 = 1_000;

/// Something worth a line.
pub(crate) trait Audited: Serialize {
    /// What happened; the value of `event`.
    const EVENT: &'static str;
}

/// Somebody logged in, or was refused.
#[derive(Debug, Serialize)]
pub(crate) struct Login<'a> {
    pub(crate) outcome: &'static str,
    /// None: anonymous.
    pub(crate) user: Option<&'a str>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) protocol: &'static str,
    pub(crate) reason: Option<&'a str>,
}

impl Audited for Login<'_> {
    const EVENT: &'static str = "login";
}

/// An operator asked for something over HTTP, or by a signal.
#[derive(Debug, Serialize)]
pub(crate) struct Operator<'a> {
    /// What was asked: `backup`, `reload`, `trace`.
    pub(crate) action: &'a str,
    pub(crate) outcome: &'static str,
    pub(crate) peer: Option<SocketAddr>,
    /// Who it was, where a login says so; not with the token of the data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<&'a str>,
    /// What it was about: a folder, a pattern, an account, the keys that changed.
    pub(crate) about: &'a str,
}

impl Audited for Operator<'_> {
    const EVENT: &'static str = "operator";
}

/// A client made, changed or removed something.
#[derive(Debug, Serialize)]
pub(crate) struct Declaration<'a> {
    /// `queue.declare`, `exchange.bind` and so on.
    pub(crate) action: &'a str,
    pub(crate) outcome: &'static str,
    pub(crate) user: &'a str,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) vhost: &'a str,
    pub(crate) what: &'a str,
}

impl Audited for Declaration<'_> {
    const EVENT: &'static str = "declaration";
}

/// The server itself.
#[derive(Debug, Serialize)]
pub(crate) struct Server {
    pub(crate) action: &'static str,
}

impl Audited for Server {
    const EVENT: &'static str = "server";
}

#[derive(Serialize)]
struct Line<'a, T> {
    at_ms: u128,
    event: &'static str,
    #[serde(flatten)]
    what: &'a T,
}

/// Where entries go. Without a file, nowhere.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    lines: Option<SyncSender<Vec<u8>>>,
    lost: Arc<AtomicU64>,
    written: AtomicU64,
    declarations: parking_lot::Mutex<Pace>,
    writer: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

impl Audit {
    /// Opens the file of `settings`, if one is named; a relative name begins at `data_dir`.
    pub(crate) fn open(settings: &Settings, data_dir: &Path) -> Result<Self, ServerError> {
        let Some(file) = &settings.file else { return Ok(Audit::default()) };
        let file = data_dir.join(file);
        let failed = |error: io::Error| ServerError::File {
            key: "audit.file".into(),
            file: file.clone(),
            what: format!("cannot be written: {error}"),
        };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut log = Log::open(file.clone(), settings.file_bytes_max.bytes(), settings.files_max).map_err(failed)?;
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let lost = Arc::<AtomicU64>::default();
        let loses = lost.clone();
        let writer = std::thread::Builder::new().name("motet-audit".into());
        let writer = writer.spawn(move || log.write_all(&waiting, &loses)).map_err(ServerError::System)?;
        let written = AtomicU64::new(0);
        let (declarations, writer) = (parking_lot::Mutex::default(), parking_lot::Mutex::new(Some(writer)));
        Ok(Audit { lines: Some(lines), lost, written, declarations, writer })
    }

    /// Entries go somewhere.
    pub(crate) fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    /// Records what a client has made. Beyond a number in a second it is only counted, so that one who declares and
    /// deletes without end does not push out what matters.
    pub(crate) fn declared(&self, deed: &Deed<'_>) {
        let second = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        if !self.declarations.lock().admits(second) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let outcome = match deed.outcome {
            DeedOutcome::Done => "done",
            DeedOutcome::Refused => "refused",
            DeedOutcome::Failed => "failed",
        };
        let Deed { action, user, peer, vhost, what, .. } = *deed;
        self.record(&Declaration { action, outcome, user: cut(user), peer, vhost: cut(vhost), what: cut(what) });
    }

    /// Adds an entry; never waits.
    pub(crate) fn record<T: Audited>(&self, what: &T) {
        let Some(lines) = &self.lines else { return };
        let at_ms = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let Ok(mut line) = serde_json::to_vec(&Line { at_ms, event: T::EVENT, what }) else { return };
        line.push(b'\n');
        match lines.try_send(line) {
            Ok(()) => self.written.fetch_add(1, Ordering::Relaxed),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.lost.fetch_add(1, Ordering::Relaxed),
        };
    }

    /// Entries taken, and entries that did not reach the file.
    pub(crate) fn figures(&self) -> (u64, u64) {
        (self.written.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }
}

impl Drop for Audit {
    /// Waits until what was recorded is written.
    fn drop(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
    }
}

/// How many declarations of this second were recorded.
#[derive(Debug, Default)]
struct Pace {
    second: u64,
    recorded: u32,
}

impl Pace {
    fn admits(&mut self, second: u64) -> bool {
        if self.second != second {
            *self = Pace { second, recorded: 0 };
        }
        self.recorded += 1;
        self.recorded <= DECLARATIONS_PER_SECOND_MAX
    }
}

/// A name that a peer chose, not longer than a line should be.
pub(crate) fn cut(name: &str) -> &str {
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// The file and those before it.
struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    files_max: u32,
}

impl Log {
    fn open(path: PathBuf, bytes_max: u64, files_max: u32) -> io::Result<Self> {
        let file = append(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Log { path, file, bytes, bytes_max, files_max })
    }

    /// Until everybody who records has gone.
    fn write_all(&mut self, lines: &Receiver<Vec<u8>>, lost: &AtomicU64) {
        while let Ok(line) = lines.recv() {
            if let Err(error) = self.write(&line) {
                // Said once per run of failures: the figure tells how many.
                if lost.fetch_add(1, Ordering::Relaxed).is_multiple_of(1000) {
                    tracing::error!(file = %self.path.display(), %error, "the audit log cannot be written");
                }
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.bytes_max {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// The oldest goes, the others move on by one, and a new one begins.
    fn rotate(&mut self) -> io::Result<()> {
        let older = |n: u32| self.path.with_added_extension(n.to_string());
        for n in (1..self.files_max).rev() {
            match fs::rename(if n == 1 { self.path.clone() } else { older(n - 1) }, older(n)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.files_max == 1 {
            fs::remove_file(&self.path)?;
        }
        self.file = append(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

/// For its owner only: user names and addresses are in it.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ByteSize;
    use std::os::unix::fs::PermissionsExt as _;

    fn entry(user: &str) -> Login<'_> {
        let peer = Some("192.0.2.7:1".parse().unwrap());
        Login { outcome: "refused", user: Some(user), peer, protocol: "mqtt", reason: Some("unknown user") }
    }

    #[test]
    fn an_entry_is_a_line_of_json_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { file: Some("logs/audit.jsonl".into()), ..Settings::default() };
        let audit = Audit::open(&settings, dir.path()).unwrap();
        audit.record(&entry("ann\n\"b"));
        audit.record(&Server { action: "started" });
        assert_eq!(audit.figures(), (2, 0));
        drop(audit);
        let file = dir.path().join("logs/audit.jsonl");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(file).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["event"], &lines[0]["user"]), (&"login".into(), &"ann\n\"b".into()));
        assert_eq!((&lines[0]["peer"], &lines[0]["reason"]), (&"192.0.2.7:1".into(), &"unknown user".into()));
        assert!(lines[1]["at_ms"].as_u64().unwrap() > 1_700_000_000_000);
    }

    #[test]
    fn files_are_kept_up_to_their_number_and_size() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { file: Some("a.log".into()), file_bytes_max: ByteSize(300), files_max: 3 };
        let audit = Audit::open(&settings, dir.path()).unwrap();
        (0..50).for_each(|_| audit.record(&entry("ann")));
        drop(audit);
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["a.log", "a.log.1", "a.log.2"]);
        for name in names {
            assert!(dir.path().join(name).metadata().unwrap().len() <= 300);
        }
    }

    #[test]
    fn without_a_file_nothing_is_recorded() {
        let audit = Audit::default();
        audit.record(&entry("ann"));
        assert_eq!(audit.figures(), (0, 0));
    }

    #[test]
    fn declarations_are_recorded_up_to_their_pace() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::open(&Settings { file: Some("a.log".into()), ..Settings::default() }, dir.path()).unwrap();
        let (peer, outcome) = (Some("192.0.2.7:1".parse().unwrap()), DeedOutcome::Refused);
        audit.declared(&Deed { action: "queue.declare", outcome, user: "ann", peer, vhost: "/", what: "q" });
        drop(audit);
        let line: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(dir.path().join("a.log")).unwrap()).unwrap();
        assert_eq!((&line["event"], &line["outcome"]), (&"declaration".into(), &"refused".into()));
        assert_eq!((&line["action"], &line["user"]), (&"queue.declare".into(), &"ann".into()));
        assert_eq!((&line["vhost"], &line["what"]), (&"/".into(), &"q".into()));
        let mut pace = Pace::default();
        let recorded = (0..2 * DECLARATIONS_PER_SECOND_MAX).filter(|_| pace.admits(7)).count();
        assert_eq!((recorded as u32, pace.admits(8)), (DECLARATIONS_PER_SECOND_MAX, true));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let long = format!("a{}", "ä".repeat(200));
        assert_eq!(cut(&long).len(), 255);
        assert_eq!(cut("ann"), "ann");
    }
}
