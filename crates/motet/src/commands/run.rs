//! `motet`, `motet run`: load the configuration and serve.

use std::process::ExitCode;

use super::Failure;
use crate::cli::Configuration;

/// Runs the server until it is told to stop.
pub(crate) fn run(configuration: &Configuration) -> Result<ExitCode, Failure> {
    let config = configuration.load()?.config;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if config.limits.worker_threads > 0 {
        runtime.worker_threads(config.limits.worker_threads as usize);
    }
    let again = configuration.clone();
    let reread = move || again.load().map(|loaded| loaded.config);
    runtime.enable_all().build()?.block_on(motet_server::run(config, reread))?;
    Ok(ExitCode::SUCCESS)
}
