//! The options of `motet queues`, `motet exchanges`, `motet bindings` and `motet channels`.

use super::operator::Asked;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum QueuesCommand {
    /// Queues by name: how much waits in them, and for whom.
    List {
        #[command(flatten)]
        page: Page,
        #[command(flatten)]
        asked: Asked,
    },
    /// Everything about one.
    Show {
        #[command(flatten)]
        queue: Named,
        #[command(flatten)]
        asked: Asked,
    },
    /// Drop what waits in one; what consumers hold stays theirs.
    Purge {
        #[command(flatten)]
        queue: Named,
        #[command(flatten)]
        asked: Asked,
    },
    /// Delete one with everything in it.
    Delete {
        #[command(flatten)]
        queue: Named,
        #[command(flatten)]
        asked: Asked,
    },
}

/// What can only be listed.
#[derive(Debug, Subcommand)]
pub(crate) enum ListCommand {
    /// One line each.
    List {
        #[command(flatten)]
        page: Page,
        #[command(flatten)]
        asked: Asked,
    },
}

/// One queue.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Its name.
    pub(crate) name: String,
    /// The vhost it is in.
    #[arg(long, default_value = "/")]
    pub(crate) vhost: String,
}

/// Which part of a list.
#[derive(Debug, Args)]
pub(crate) struct Page {
    /// Only of this vhost.
    #[arg(long)]
    pub(crate) vhost: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) limit: u16,
    /// Which part of the list, each of `--limit` lines.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) page: u32,
    /// Only those with this in their name, in any case.
    #[arg(long)]
    pub(crate) filter: Option<String>,
}
