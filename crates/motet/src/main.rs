//! The motet server: parse the command line, load the configuration, and do what was asked.

mod cli;
mod commands;
mod print;

use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::perform(cli::Arguments::of_process()) {
        Ok(code) => code,
        Err(failure) => {
            print::complaint(&failure);
            ExitCode::FAILURE
        }
    }
}
