//! The options of `motet sessions` and `motet connections`.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// Clients by name: connected or not, how much waits for them.
    List {
        #[command(flatten)]
        part: Part,
        /// Only those that are connected (true), or away (false).
        #[arg(long)]
        connected: Option<bool>,
        #[command(flatten)]
        asked: Asked,
    },
    /// Everything about one: its subscriptions, its queue.
    Show {
        /// The client's name.
        client: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// Forget it, with everything that waits for it; its connection ends.
    Remove {
        /// The client's name.
        client: String,
        #[command(flatten)]
        asked: Asked,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionsCommand {
    /// Who is connected, from where, since when.
    List {
        /// Only those in this vhost.
        #[arg(long)]
        vhost: Option<String>,
        #[command(flatten)]
        part: Part,
        #[command(flatten)]
        asked: Asked,
    },
    /// End one; a client may come again, and its session stays as it is.
    Kick {
        /// Its number in the list.
        id: u64,
        #[command(flatten)]
        asked: Asked,
    },
}

/// Which part of a list.
#[derive(Debug, Args)]
pub(crate) struct Part {
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// Those behind this one: where the list before ended.
    #[arg(long)]
    pub(crate) after: Option<String>,
    /// Only clients with this in their name, in any case.
    #[arg(long)]
    pub(crate) filter: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Asked {
    /// An HTTP listener of the running server, when the one it has written down in its data directory is not the one
    /// to ask. Our token goes there in clear text.
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Answer in JSON, for programs.
    #[arg(long)]
    pub(crate) json: bool,
}
