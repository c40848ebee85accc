//! The options of `motet import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Read Mosquitto's configuration and write a motet.toml, with a report of every line that matters.
    Mosquitto(ImportMosquitto),
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
