//! `[store]`
//!
//! There is no key that turns fdatasync off: a confirm means "on disk", and a server that could be told to lie about
//! it would be measured with the lie. Tests use the store in memory.

use std::time::Duration;

use crate::config::units::ByteSize;

section! {
    /// The durable store. Every confirm means that the message is on disk; there is no key to weaken that.
    pub struct Store {
        /// Length of one file of the journal. Space is given back one such file at a time; smaller ones give it back
        /// sooner, larger ones cost fewer file operations.
        segment_bytes: ByteSize = ByteSize::mib(64), within ByteSize::mib(1)..=ByteSize::gib(1);
        /// How long a commit waits for company. 0 commits at once: while the disk is busy the next batch gathers by
        /// itself. A longer wait saves disk operations where few publishers send, and delays each confirm as much.
        commit_delay: Duration = Duration::ZERO, within Duration::ZERO..=Duration::from_millis(2);
    }
}
