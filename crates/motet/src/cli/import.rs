//! The options of `motet import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Read Mosquitto's configuration and write a motet.toml, with a report of every line that matters.
    Mosquitto(ImportMosquitto),
    /// Take the definitions that RabbitMQ exported: users, vhosts, permissions, policies, queues, exchanges, bindings.
    Rabbitmq(ImportRabbitmq),
}

#[derive(Debug, Args)]
pub(crate) struct ImportRabbitmq {
    /// What `rabbitmqctl export_definitions` or the management API wrote.
    pub(crate) file: PathBuf,
    /// Only say what would become of it on an empty server.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Where the running server answers HTTP, when its data directory does not tell.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The report in JSON, for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// Write everything that the management API calls definitions, as RabbitMQ's tools read it.
    Definitions(ExportDefinitions),
}

#[derive(Debug, Args)]
pub(crate) struct ExportDefinitions {
    /// Where to write, instead of standard output; a file that is there stays.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Where the running server answers HTTP, when its data directory does not tell.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportMosquitto {
    /// Its mosquitto.conf; files it includes are read too.
    #[arg(long, value_name = "FILE", default_value = "/etc/mosquitto/mosquitto.conf")]
    pub(crate) conf: PathBuf,
    /// The password file, when it is not the one that the configuration names.
    #[arg(long, value_name = "FILE")]
    pub(crate) passwd: Option<PathBuf>,
    /// The access control list, when it is not the one that the configuration names.
    #[arg(long, value_name = "FILE")]
    pub(crate) acl: Option<PathBuf>,
    /// Where to write; a file that is there stays, and the import ends.
    #[arg(long, value_name = "FILE", default_value = "motet.toml")]
    pub(crate) to: PathBuf,
    /// The report in JSON, for programs.
    #[arg(long)]
    pub(crate) json: bool,
}
