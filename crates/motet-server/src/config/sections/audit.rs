//! `[audit]`

use std::path::PathBuf;

use crate::config::units::ByteSize;

section! {
    /// Who logged in, who was refused and what operators did, as JSON, an object per line, in a file of its own.
    /// Passwords, tokens and payloads are never in it.
    pub struct Audit {
        /// The file; a relative name begins at `data_dir`. Without it nothing is recorded.
        file: Option<PathBuf> = None, example "\"audit.jsonl\"";
        /// The longest it may get; then it is renamed with `.1` behind its name, what had that name gets `.2`, and
        /// a new one begins. As much as a pager opens at once.
        file_bytes_max: ByteSize = ByteSize::mib(64), within ByteSize(256)..=ByteSize::gib(64);
        /// How many files there are at most, the one that is written included; the oldest goes.
        files_max: u32 = 8, within 1..=1000;
    }
}
