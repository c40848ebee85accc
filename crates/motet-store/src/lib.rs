//! Durable storage: the embedded journal, one write-ahead log for every durable object of a node.
//!
//! ```text
//!  a queue's lock                     journal-commit                     journal-keep
//!  ┌────────────┐  swap   ┌──────────────────────────┐ sealed ┌─────────────────────────────┐
//!  │ Stage      │ ──────▶ │ one batch: crc, write,   │ ─────▶ │ footer; dead segments go,   │
//!  │ (a memcpy) │         │ fdatasync, then durable()│        │ what lives long moves to    │
//!  └────────────┘         └──────────────────────────┘        │ class files, checkpoint     │
//!        │ Locator                     │ Events::durable      └─────────────────────────────┘
//!        ▼                             ▼
//!   Journal::read  ◀── staged, in flight, segment or class file: the locator stays the same for life
//! ```
//!
//! **The law.** Everything staged through one [`Stage`] is one piece: after a crash it is there or it is not. A record
//! is promised to anyone only once [`Journal::durable`] has reached the [`Position`] its stage finished with. Whoever
//! holds a [`Locator`] settles it once. Sequences of an object grow, and an object's number is never used again.
//!
//! **Invariants.** No byte of a batch is written before the sync of its predecessor returned. A sync that failed is never
//! repeated on the same file. Segments leave the log from its old end only, after the checkpoint that no longer needs
//! them is durable. Nothing here knows a message's meaning, a protocol, a runtime or a clock.
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use motet_store::sim_disk::SimDisk;
//! use motet_store::{Body, Config, Journal, NoEvents, NoRecovery, Opened};
//!
//! let config = Config { segment_bytes: 64 << 10, ..Config::default() };
//! let Opened { journal, mut committer, mut keeper } =
//!     Journal::open(Path::new("/data"), Arc::new(SimDisk::new(1)), config, Arc::new(NoEvents), &mut NoRecovery)?;
//! let mut stage = journal.try_stage().expect("nothing is pending yet");
//! let at = stage.enqueue(7, 1, b"expires never", Body::Inline(&[b"hello, ", b"world"]));
//! let position = stage.finish();
//! committer.step(); // a server calls `Opened::spawn` instead: two threads do this
//! keeper.step();
//! assert!(journal.durable() >= position);
//! assert_eq!(&journal.read(at)?.body[..], b"hello, world");
//! journal.stage().settle(7, 1, at);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | idea |
//! |---|---|
//! | `journal` `staging` `reading` | what users call |
//! | `committer` `keeper` | the two workers |
//! | `record` `batch` `segment` `summary` `footer` `class` `checkpoint` | the files, see `docs/store-format.md` |
//! | `ledger` `presence` `retire` | who is alive, and giving room back |
//! | `recovery` `survivors` `check` `repair` `backup` | starting, and caring for a directory |
//! | `disk` `real_disk` `sim_disk` | what lies below, true and simulated |

mod backup;
mod batch;
mod check;
mod checkpoint;
mod class;
mod committer;
mod config;
mod disk;
mod engine;
mod entering;
mod error;
mod events;
mod footer;
mod fuzz;
mod health;
mod journal;
mod keeper;
mod ledger;
mod locator;
mod presence;
mod reader;
mod reading;
mod real_disk;
mod record;
mod recovery;
mod repair;
mod reserve;
mod retire;
mod segment;
pub mod sim_disk;
mod staging;
mod summary;
mod survivors;

pub use check::{Report, check};
pub use committer::{Committer, Step};
pub use config::Config;
pub use disk::{Disk, DiskFile};
pub use engine::{EmbeddedEngine, EmbeddedStage, Sink};
pub use error::{Damage, Full, OpenError, ReadError};
pub use events::{Events, NoEvents, NoRecovery, RecoveredBody, Recovery};
pub use fuzz::fuzz_segment;
pub use journal::{Journal, Opened, Record, Usage};
pub use keeper::Keeper;
pub use locator::{Locator, Position};
pub use real_disk::RealDisk;
pub use repair::{Repaired, repair};
pub use staging::{Body, Stage};
