//! The motet server: parse the command line, load the configuration, and do what was asked.

mod cli;
mod commands;
mod print;

use std::process::ExitCode;

/// musl's own allocator takes one lock for all threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match commands::perform(cli::Arguments::of_process()) {
        Ok(code) => code,
        Err(failure) => {
            print::complaint(&failure);
            ExitCode::FAILURE
        }
    }
}
