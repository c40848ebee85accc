//! Whether a file has changed: its time, its length and its number, asked now and then. That costs a few calls, needs no
//! descriptor per folder, and sees what mounts of secrets do (a link is turned), which watches of the system miss.

use super::self_signed;
use crate::acme::Kept;
use crate::config::Tls;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How the files of a `tls` table are now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<Option<Stamp>>);

/// Seconds, nanoseconds, length, inode.
type Stamp = (i64, i64, u64, u64);

impl Fingerprint {
    pub(super) fn of(tls: &Tls, data_dir: &Path, kept: Option<&Kept>) -> Self {
        Fingerprint(files(tls, data_dir, kept).iter().map(|file| stamp(file)).collect())
    }
}

fn files(tls: &Tls, data_dir: &Path, kept: Option<&Kept>) -> Vec<PathBuf> {
    let (certificate, key) = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => self_signed::paths(data_dir),
    };
    let also = tls.also.iter().flat_map(|also| [also.certificate.clone(), also.key.clone()]);
    let clients = tls.client_ca.iter().chain(&tls.client_crl).cloned();
    let kept = kept.map(|kept| kept.file.clone());
    [certificate, key].into_iter().chain(also).chain(clients).chain(kept).collect()
}

/// None where there is none to look at.
fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec(), metadata.len(), metadata.ino()))
}
