//! `motet`, `motet run`: load the configuration and serve.

use std::process::ExitCode;

use super::Failure;
use crate::cli::Configuration;

/// Runs the server until it is told to stop.
pub(crate) fn run(configuration: &Configuration) -> Result<ExitCode, Failure> {
    let _loaded = configuration.load()?;
    Err("the configuration is good, but this build has no server to run yet".into())
}
