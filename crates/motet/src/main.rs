//! The motet server: parse the command line, load the configuration, and do what was asked.

mod cli;
mod commands;
mod print;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match commands::perform(cli::Arguments::parse()) {
        Ok(code) => code,
        Err(failure) => {
            print::complaint(&failure);
            ExitCode::FAILURE
        }
    }
}
