//! Durable storage: the embedded journal.
