//! The options of `motet acl`.

use clap::{Args, Subcommand, ValueEnum};

use super::operator::Asked;

#[derive(Debug, Subcommand)]
pub(crate) enum AclCommand {
    /// Say whether somebody may do something, and which rule decides. Exit status 0: allowed, 1: refused.
    Explain(Explain),
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The user; a client without a login when not given.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// The client identifier, for %c.
    #[arg(long)]
    pub(crate) client: Option<String>,
    /// A group of its token; may be given several times.
    #[arg(long)]
    pub(crate) group: Vec<String>,
    /// A tag of its account; may be given several times.
    #[arg(long)]
    pub(crate) tag: Vec<String>,
    /// publish, subscribe, consume or configure.
    #[arg(long, default_value = "publish")]
    pub(crate) action: String,
    /// What WHAT is: to subscribe to a topic is to ask for a filter.
    #[arg(long, value_enum, default_value_t = Kind::Topic)]
    pub(crate) kind: Kind,
    /// Ask the running server instead of reading the configuration: it also knows permissions set while it runs.
    #[arg(long)]
    pub(crate) online: bool,
    #[command(flatten)]
    pub(crate) asked: Asked,
    /// The topic, filter, queue or exchange.
    pub(crate) what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Topic,
    Queue,
    Exchange,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Topic => "topic",
            Kind::Queue => "queue",
            Kind::Exchange => "exchange",
        }
    }
}
