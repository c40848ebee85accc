//! What can be asked of this program, a file each.

mod acl;
mod backup;
mod bench;
mod broker;
mod config;
mod definitions;
mod govern;
mod http;
mod import;
mod limits;
mod operator;
mod reload;
mod run;
mod running;
mod status;
mod store;
mod trace;
mod user;

use std::error::Error;
use std::process::ExitCode;

use crate::cli::import::ExportCommand;
use crate::cli::{Arguments, Command};

/// What ends the program with a complaint and exit status 1.
pub(crate) type Failure = Box<dyn Error>;

/// Does what the command line asks.
pub(crate) fn perform(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        None | Some(Command::Run) => run::run(&arguments.configuration),
        Some(Command::Config { command }) => config::config(&command, &arguments.configuration),
        Some(Command::Status(status)) => status::status(&status, &arguments.configuration),
        Some(Command::Store { command }) => Ok(store::store(&command, &arguments.configuration)),
        Some(Command::Import { command }) => import::import(&command, &arguments.configuration),
        Some(Command::Export { command: ExportCommand::Definitions(asked) }) => {
            definitions::export(&asked, &arguments.configuration)
        }
        Some(Command::Acl { command }) => acl::acl(&command, &arguments.configuration),
        Some(Command::Sessions { command }) => operator::sessions(&command, &arguments.configuration),
        Some(Command::Connections { command }) => operator::connections(&command, &arguments.configuration),
        Some(Command::Queues { command }) => broker::queues(&command, &arguments.configuration),
        Some(Command::Exchanges { command }) => broker::exchanges(&command, &arguments.configuration),
        Some(Command::Bindings { command }) => broker::bindings(&command, &arguments.configuration),
        Some(Command::Channels { command }) => broker::channels(&command, &arguments.configuration),
        Some(Command::Vhosts { command }) => govern::vhosts(&command, &arguments.configuration),
        Some(Command::Permissions { command }) => govern::permissions(&command, &arguments.configuration),
        Some(Command::Policies { command }) => govern::policies(&command, &arguments.configuration),
        Some(Command::Limits { command }) => limits::limits(&command, &arguments.configuration),
        Some(Command::Parameters { command }) => limits::parameters(&command, &arguments.configuration),
        Some(Command::Bans { command }) => limits::bans(&command, &arguments.configuration),
        Some(Command::Bench { command }) => bench::bench(&command),
        Some(Command::User { command }) => user::user(&command, &arguments.configuration),
        Some(Command::Backup(options)) => backup::backup(&options, &arguments.configuration),
        Some(Command::Reload(options)) => reload::reload(&options, &arguments.configuration),
        Some(Command::Trace(options)) => trace::trace(&options, &arguments.configuration),
    }
}
