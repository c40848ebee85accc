//! Definitions outside of the management API: at a start, and by commands that work on a store that no server uses.

use crate::config::Config;
use crate::error::ServerError;
use crate::users::{OfflineUsers, Users, wait_durable};
use motet_console::define::{Place, export, import, try_out};
use motet_core::core::Core;
use motet_core::engine::Engine;
use serde_json::{Map, Value};
use std::path::Path;

/// The version that exported documents name.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The document of a file.
///
/// # Errors
/// It is no JSON object; the text says what it is instead.
fn read(text: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(document)) => Ok(document),
        Ok(_) => Err("is not a JSON object".into()),
        Err(error) => Err(format!("is not JSON: {error}")),
    }
}

/// Takes a document into a store that no server uses, or, without one, only says what would become of it.
///
/// # Errors
/// The document is none, or the disk takes nothing.
pub fn import_definitions(text: &[u8], into: Option<&OfflineUsers>) -> Result<Value, String> {
    let document = read(text)?;
    let imported = match into {
        Some(store) => store.define(|place| import(place, &document, "")).map_err(|error| error.to_string())?,
        None => try_out(&document),
    };
    Ok(imported.told())
}

/// Everything that a store has, as a document.
///
/// # Errors
/// The disk takes nothing.
pub fn export_definitions(of: &OfflineUsers) -> Result<Value, String> {
    of.define(|place| export(place, VERSION)).map_err(|error| error.to_string())
}

/// The document that `load_definitions` names.
fn document(file: &Path) -> Result<Map<String, Value>, ServerError> {
    let wrong = |what: String| ServerError::File { key: "load_definitions".into(), file: file.into(), what };
    let text = std::fs::read(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    read(&text).map_err(wrong)
}

/// What of `load_definitions` a start would refuse, as far as an empty server can tell.
pub(crate) fn check(config: &Config) -> Result<(), ServerError> {
    config.load_definitions.as_deref().map_or(Ok(()), |file| document(file).map(drop))
}

/// Takes what `load_definitions` names. What is in the document is put in force again at each start; the rest stays.
pub(crate) fn load<E: Engine>(config: &Config, core: &Core<E>, users: &Users<E>) -> Result<(), ServerError> {
    let Some(file) = &config.load_definitions else { return Ok(()) };
    let wrong = |what: String| ServerError::File { key: "load_definitions".into(), file: file.clone(), what };
    let document = document(file)?;
    let imported = import(Place { core, roster: users, now: crate::clock::Clock::new().now() }, &document, "");
    for line in &imported.changed {
        tracing::warn!(definitions = line, "taken with a change");
    }
    if let Some((what, refusal)) = imported.refused.first() {
        return Err(wrong(format!("is not taken: {what}: {}", refusal.reason)));
    }
    wait_durable(core, imported.position).map_err(|error| wrong(error.to_string()))?;
    let taken: u64 = imported.taken.values().sum();
    tracing::info!(file = %file.display(), taken, "definitions are in force");
    Ok(())
}
