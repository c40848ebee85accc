//! The options of `motet vhosts`, `motet permissions` and `motet policies`.

use super::broker::Page;
use super::operator::Asked;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum VhostsCommand {
    /// Vhosts by name, and how much waits in them.
    List {
        #[command(flatten)]
        page: Page,
        #[command(flatten)]
        asked: Asked,
    },
    /// Make one, or describe it anew.
    Set {
        /// Its name.
        name: String,
        /// What it is for.
        #[arg(long, default_value = "")]
        description: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// Remove one with everything in it.
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        asked: Asked,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PermissionsCommand {
    /// Who may what, by vhost and user.
    List {
        #[command(flatten)]
        asked: Asked,
    },
    /// Give a user regular expressions of the names it may configure, write to and read from.
    Set {
        #[command(flatten)]
        whose: Whose,
        /// Queues and exchanges it may make, change and remove.
        configure: String,
        /// Exchanges it may publish to, and queues it may bind.
        write: String,
        /// Queues it may take from, and exchanges it may bind to.
        read: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// Take a user's permission in a vhost away.
    Remove {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        asked: Asked,
    },
}

/// A user in a vhost.
#[derive(Debug, Args)]
pub(crate) struct Whose {
    /// The user.
    pub(crate) user: String,
    /// The vhost.
    #[arg(long, default_value = "/")]
    pub(crate) vhost: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PoliciesCommand {
    /// Policies by vhost and name.
    List {
        #[command(flatten)]
        page: Page,
        /// Operators' policies instead.
        #[arg(long)]
        operator: bool,
        #[command(flatten)]
        asked: Asked,
    },
    /// Make one, or replace it.
    Set {
        #[command(flatten)]
        which: Which,
        /// A regular expression of names.
        pattern: String,
        /// The settings in JSON: {"max-length": 1000}
        definition: String,
        /// Of several that fit, the one with the highest holds.
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        priority: i64,
        /// all, queues, classic_queues, quorum_queues, streams or exchanges.
        #[arg(long, default_value = "all")]
        apply_to: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// Remove one.
    Remove {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        asked: Asked,
    },
}

/// One policy.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Its name.
    pub(crate) name: String,
    /// The vhost it is in.
    #[arg(long, default_value = "/")]
    pub(crate) vhost: String,
    /// An operator's policy, which only makes limits tighter.
    #[arg(long)]
    pub(crate) operator: bool,
}
