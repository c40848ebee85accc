//! The command line.

pub(crate) mod acl;
pub(crate) mod bench;
pub(crate) mod broker;
pub(crate) mod govern;
pub(crate) mod import;
pub(crate) mod limits;
pub(crate) mod operator;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use motet_server::config::{ConfigError, Loaded, Sources, load};

/// One messaging server for many protocols.
#[derive(Debug, Parser)]
#[command(name = "motet", version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// What to do; without a command the server runs.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Configuration {
    /// The configuration file; motet.toml in the working directory when not given.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key, as section.key=value; may be given several times and wins over file and environment.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The folder for everything durable, as --set data_dir=DIR.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
}

/// Commands whose name alone asks for the list.
const LISTS: [&str; 6] = ["sessions", "connections", "queues", "exchanges", "bindings", "channels"];

impl Arguments {
    /// The arguments of this process; `motet queues --json` is `motet queues list --json`.
    pub(crate) fn of_process() -> Self {
        Self::parse_from(with_list(std::env::args_os().collect()))
    }
}

fn with_list(mut words: Vec<OsString>) -> Vec<OsString> {
    let is_list = |word: &OsString| LISTS.iter().any(|list| word == *list);
    if let Some(at) = words.iter().skip(1).position(is_list).map(|at| at + 1)
        && words[1..at]
            .iter()
            .all(|word| word.to_str().is_some_and(|word| word.contains('=') && word.starts_with("--")))
        && words.get(at + 1).is_none_or(|next| {
            next.to_str().is_some_and(|next| next.starts_with('-') && !["-h", "--help"].contains(&next))
        })
    {
        words.insert(at + 1, "list".into());
    }
    words
}

impl Configuration {
    /// Nothing but a data directory.
    #[cfg(test)]
    pub(crate) fn in_data_dir(data_dir: &str) -> Self {
        Self { data_dir: Some(data_dir.into()), ..Self::default() }
    }

    /// Reads file, environment and options, in this order; the later one wins.
    pub(crate) fn load(&self) -> Result<Loaded, ConfigError> {
        let mut sources = Sources::new(self.config.clone());
        sources.environment(std::env::vars_os())?;
        for assignment in &self.set {
            sources.set(assignment)?;
        }
        if let Some(data_dir) = &self.data_dir {
            sources.option("--data-dir", "data_dir", data_dir);
        }
        load(&sources)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server (the same as no command).
    Run,
    /// Check the configuration, or print its reference.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Ask a running server how it is.
    Status(Status),
    /// Check or repair the journal while no server uses it.
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// Add, list, change and remove users, while the server runs or not.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Copy everything durable into a folder, while the server runs or not.
    Backup(Backup),
    /// Let a running server read its configuration again, and say what it took and what wants a restart.
    Reload(Ask),
    /// Follow messages through a running server: published, routed, stored, delivered, acknowledged.
    Trace(Trace),
    /// Ask what the access rules say.
    Acl {
        #[command(subcommand)]
        command: acl::AclCommand,
    },
    /// See and remove the sessions of a running server.
    Sessions {
        #[command(subcommand)]
        command: operator::SessionsCommand,
    },
    /// See, purge and delete the queues of a running server.
    Queues {
        #[command(subcommand)]
        command: broker::QueuesCommand,
    },
    /// See the exchanges of a running server.
    Exchanges {
        #[command(subcommand)]
        command: broker::ListCommand,
    },
    /// See the bindings of a running server.
    Bindings {
        #[command(subcommand)]
        command: broker::ListCommand,
    },
    /// See the channels of AMQP clients of a running server.
    Channels {
        #[command(subcommand)]
        command: broker::ListCommand,
    },
    /// See and end the connections of a running server.
    Connections {
        #[command(subcommand)]
        command: operator::ConnectionsCommand,
    },
    /// See, make and remove the vhosts of a running server.
    Vhosts {
        #[command(subcommand)]
        command: govern::VhostsCommand,
    },
    /// See, give and take away permissions on a running server.
    Permissions {
        #[command(subcommand)]
        command: govern::PermissionsCommand,
    },
    /// See, make and remove the policies of a running server.
    Policies {
        #[command(subcommand)]
        command: govern::PoliciesCommand,
    },
    /// See, set and take away the limits of vhosts and users on a running server.
    Limits {
        #[command(subcommand)]
        command: limits::LimitsCommand,
    },
    /// See, set and take away the parameters of a running server.
    Parameters {
        #[command(subcommand)]
        command: limits::ParametersCommand,
    },
    /// See which addresses must wait with their logins, and let one go.
    Bans {
        #[command(subcommand)]
        command: limits::BansCommand,
    },
    /// Bring in the configuration of another server.
    Import {
        #[command(subcommand)]
        command: import::ImportCommand,
    },
    /// Write what the server was told while it ran.
    Export {
        #[command(subcommand)]
        command: import::ExportCommand,
    },
    /// Measure a server: rate, latency, loss, duplicates, order, and what it costs the server.
    Bench {
        #[command(subcommand)]
        command: bench::BenchCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether the configuration is good and what it comes to, or what is wrong with it (exit status 1).
    Check,
    /// Print every key with its meaning, default and bounds.
    Reference {
        /// A page to read, or a motet.toml to start from.
        #[arg(long, value_enum, default_value_t = Format::Markdown)]
        format: Format,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Markdown,
    Toml,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// An HTTP listener of the server; when not given, the one that the server of this data directory has.
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Answer in JSON, for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read every byte and say what is wrong; changes nothing. Exit status 0: sound, 1: damaged, 2: could not look.
    Check(StoreOptions),
    /// Keep everything sound, and a copy of what is damaged. Exit status 0: sound now, 1: damaged, 2: could not look.
    Repair(StoreOptions),
}

#[derive(Debug, Args)]
pub(crate) struct StoreOptions {
    /// The journal's folder, or a data directory with one; when not given, the one of the configuration.
    pub(crate) dir: Option<PathBuf>,
    /// Answer in JSON, for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// A new folder, or an empty one; motet --data-dir DIR then starts on the copy.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// An HTTP listener of the running server, when the one it has written down in its data directory is not the one
    /// to ask. Our token goes there in clear text.
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Answer in JSON, for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user; the password is asked for, or read from standard input.
    Add {
        /// The user.
        name: String,
        /// What it may do beyond its messages: administrator, monitoring, policymaker, management.
        #[arg(long, value_delimiter = ',')]
        tags: Vec<String>,
        #[command(flatten)]
        keys: Keys,
        #[command(flatten)]
        at: Where,
    },
    /// Show all users.
    List {
        #[command(flatten)]
        at: Where,
        /// Answer in JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Remove a user; its connections end.
    Remove {
        /// The user.
        name: String,
        #[command(flatten)]
        at: Where,
    },
    /// Give a user another password; it is asked for, or read from standard input. Its connections end.
    Passwd {
        /// The user.
        name: String,
        #[command(flatten)]
        keys: Keys,
        #[command(flatten)]
        at: Where,
    },
    /// Set what a user may do beyond its messages.
    Tags {
        /// The user.
        name: String,
        /// All that it shall have; none takes them away.
        tags: Vec<String>,
        #[command(flatten)]
        at: Where,
    },
    /// Print what to write into the configuration as password_hash; changes nothing.
    Hash {
        #[command(flatten)]
        keys: Keys,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Keys {
    /// What to keep of the password: argon2id, or any of scram-sha-1, scram-sha-256, scram-sha-512 with commas
    /// between them; login.keys of the configuration when not given.
    #[arg(long, value_delimiter = ',')]
    pub(crate) keys: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Where {
    /// An HTTP listener of the running server, when the one it has written down in its data directory is not the one
    /// to ask. Our token goes there in clear text.
    #[arg(long)]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Ask {
    #[command(flatten)]
    pub(crate) at: Where,
    /// Answer in JSON, for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// Which messages: a topic filter as MQTT has it, such as plant/+/temperature or '#'.
    pub(crate) pattern: String,
    /// For how many seconds, at most 3600.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,
    /// Lines per second at most, up to 10000; how many were passed over is told.
    #[arg(long, default_value_t = 1000, value_name = "LINES")]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_options_are_taken_before_and_after_the_command() {
        for line in [
            ["motet", "--set", "log.level=debug", "config", "check"],
            ["motet", "config", "check", "--set", "log.level=debug"],
        ] {
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert_eq!(arguments.configuration.set, ["log.level=debug"]);
        }
    }
    #[test]
    fn the_name_of_a_list_asks_for_it() {
        let with = |line: &str| {
            let words = with_list(line.split(' ').map(OsString::from).collect());
            words.into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(with("motet queues"), "motet queues list");
        assert_eq!(
            with("motet --set=log.level=debug channels --json"),
            "motet --set=log.level=debug channels list --json"
        );
        for as_it_is in ["motet", "motet queues show jobs", "motet queues --help", "motet user add queues --json"] {
            assert_eq!(with(as_it_is), as_it_is);
        }
    }
}
