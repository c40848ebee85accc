//! The options of `motet limits`, `motet parameters` and `motet bans`.

use super::operator::Asked;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum LimitsCommand {
    /// Limits of vhosts and users; of one with --vhost or --user.
    List {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        asked: Asked,
    },
    /// Set one. A negative number is no limit, whatever the configuration says for all.
    Set {
        /// Of a vhost max-connections, max-queues, max-disk-bytes or max-memory-bytes; of a user max-connections or
        /// max-channels.
        name: String,
        /// The limit.
        #[arg(allow_negative_numbers = true)]
        value: i64,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        asked: Asked,
    },
    /// Take one away.
    Clear {
        /// Its name.
        name: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        asked: Asked,
    },
}

/// Whose limits they are.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// A vhost's.
    #[arg(long, conflicts_with = "user")]
    pub(crate) vhost: Option<String>,
    /// A user's.
    #[arg(long)]
    pub(crate) user: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ParametersCommand {
    /// Parameters by component, vhost and name, then the global ones.
    List {
        /// Only those of this component.
        #[arg(long)]
        component: Option<String>,
        #[command(flatten)]
        asked: Asked,
    },
    /// Set one.
    Set {
        #[command(flatten)]
        parameter: Parameter,
        /// Its value in JSON.
        value: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// Take one away.
    Clear {
        #[command(flatten)]
        parameter: Parameter,
        #[command(flatten)]
        asked: Asked,
    },
}

/// One parameter.
#[derive(Debug, Args)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: String,
    /// The part it is for; without one it is a global parameter.
    #[arg(long)]
    pub(crate) component: Option<String>,
    /// The vhost it is for.
    #[arg(long, default_value = "/", requires = "component")]
    pub(crate) vhost: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BansCommand {
    /// Addresses from which no login is checked for now.
    List {
        #[command(flatten)]
        asked: Asked,
    },
    /// Let one try again at once.
    Lift {
        /// The address; of IPv6 any of its /64.
        address: String,
        #[command(flatten)]
        asked: Asked,
    },
}
