//! How fetching goes: figures for operators, and the events that move them.

use super::answers::Answers;
use super::order::Failure;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Written by the one task that fetches.
#[derive(Debug, Default)]
pub(crate) struct Board {
    pub(crate) answers: Answers,
    on: AtomicBool,
    /// Seconds since 1970; 0 while there is no certificate.
    expires: AtomicU64,
    /// Seconds since 1970 of the next try.
    next: AtomicU64,
    pub(crate) issued: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// In a row.
    failures: AtomicU64,
}

/// What the last try came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastResult {
    /// Nothing was tried since the start.
    None,
    /// A certificate was issued.
    Issued,
    /// See the log.
    Failed,
}

impl Board {
    /// None while nothing is to be fetched.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// When the fetched certificate ends, in seconds since 1970; 0 while there is none.
    pub(crate) fn expires(&self) -> u64 {
        self.expires.load(Ordering::Relaxed)
    }

    /// When the next try is due, in seconds since 1970.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    pub(crate) fn last(&self) -> LastResult {
        match (self.failures.load(Ordering::Relaxed), self.issued.load(Ordering::Relaxed)) {
            (0, 0) => LastResult::None,
            (0, _) => LastResult::Issued,
            _ => LastResult::Failed,
        }
    }

    pub(super) fn turn(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// What is there, and when it is looked at again.
    pub(super) fn plan(&self, expires: u64, next: u64) {
        self.expires.store(expires, Ordering::Relaxed);
        self.next.store(next, Ordering::Relaxed);
    }

    pub(super) fn done(&self, domains: &[String], expires: u64) {
        self.failures.store(0, Ordering::Relaxed);
        self.expires.store(expires, Ordering::Relaxed);
        self.issued.fetch_add(1, Ordering::Relaxed);
        tracing::info!(domains = domains.join(", "), expires, "a certificate was fetched");
    }

    pub(super) fn missed(&self, domains: &[String], failure: &Failure, again: Duration) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            domains = domains.join(", "),
            error = %failure,
            to_do = failure.remedy(),
            again_secs = again.as_secs(),
            "no certificate was fetched; what was shown before stays"
        );
    }
}
