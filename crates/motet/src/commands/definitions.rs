//! `motet import rabbitmq` and `motet export definitions`: by the running server, or in its store when none runs.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use motet_server::config::Config;
use motet_server::{OfflineUsers, ServerError, export_definitions, import_definitions};
use serde_json::Value;

use super::{Failure, http, running};
use crate::cli::Configuration;
use crate::cli::import::{ExportDefinitions, ImportRabbitmq};
use crate::print;

/// Where a running server takes and gives definitions.
const PATH: &str = "/api/definitions";
/// Bytes of a document at most, as the server takes it.
const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// Exit status 0 when everything was taken, 2 when something was refused.
pub(crate) fn import(asked: &ImportRabbitmq, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let mut document = Vec::new();
    let file = std::fs::File::open(&asked.file).map_err(|error| format!("{}: {error}", asked.file.display()))?;
    file.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut document)?;
    if document.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(format!("{}: is longer than {DOCUMENT_BYTES_MAX} bytes", asked.file.display()).into());
    }
    let named = |error: String| format!("{}: {error}", asked.file.display());
    let report = if asked.dry_run {
        import_definitions(&document, None).map_err(named)?
    } else {
        let config = configuration.load()?.config;
        match offline(&config)? {
            Some(store) => import_definitions(&document, Some(&store)).map_err(named)?,
            None => to_server(&config, asked.url.as_deref(), &String::from_utf8_lossy(&document))?,
        }
    };
    print::answer(if asked.json { format!("{report}\n") } else { text(&report, asked.dry_run) });
    let refused = report["refused"].as_array().is_some_and(|refused| !refused.is_empty());
    Ok(if refused { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

fn offline(config: &Config) -> Result<Option<OfflineUsers>, Failure> {
    match OfflineUsers::open(config) {
        Ok(offline) => Ok(Some(offline)),
        Err(ServerError::InUse(_)) => Ok(None),
        Err(error) => Err(print::chain(&error).into()),
    }
}

fn to_server(config: &Config, url: Option<&str>, document: &str) -> Result<Value, Failure> {
    let (authority, token) = running::find(&config.data_dir, url)?;
    let response = http::post(&authority, &format!("{PATH}?report=true"), &token, document)?;
    read(&authority, &response)
}

fn read(authority: &str, response: &http::Response) -> Result<Value, Failure> {
    if response.status != 200 {
        let said = response.body.trim();
        return Err(format!("{said}\n  (the server on http://{authority} answered {})", response.status).into());
    }
    Ok(serde_json::from_str(&response.body)?)
}

fn text(report: &Value, dry_run: bool) -> String {
    let mut text = String::new();
    let taken = report["taken"].as_object().into_iter().flatten();
    for (part, count) in taken {
        text += &format!("{}  {:20} {count}\n", if dry_run { "would take" } else { "taken" }, part.replace('_', " "));
    }
    for (key, word) in [("changed", "changed"), ("refused", "refused")] {
        for line in report[key].as_array().into_iter().flatten().filter_map(Value::as_str) {
            text += &format!("{word}  {line}\n");
        }
    }
    if text.is_empty() { "nothing to take\n".into() } else { text }
}

pub(crate) fn export(asked: &ExportDefinitions, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let config = configuration.load()?.config;
    let document = match offline(&config)? {
        Some(store) => export_definitions(&store)?,
        None => {
            let (authority, token) = running::find(&config.data_dir, asked.url.as_deref())?;
            read(&authority, &http::ask(&authority, "GET", PATH, &token)?)?
        }
    };
    let text = format!("{}\n", serde_json::to_string_pretty(&document)?);
    match &asked.to {
        Some(file) => write(file, &text)?,
        None => print::answer(text),
    }
    Ok(ExitCode::SUCCESS)
}

/// Hashes of passwords are in it, so it is for its owner only.
fn write(to: &Path, text: &str) -> Result<(), Failure> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("{}: {error}\n  to do: name another file with --to", to.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_names_what_was_taken_and_what_was_not() {
        let report = json!({ "taken": { "topic_permissions": 2 }, "changed": ["a"], "refused": ["b: c"] });
        let said = "taken  topic permissions    2\nchanged  a\nrefused  b: c\n";
        assert_eq!(text(&report, false), said);
        assert_eq!(text(&json!({}), true), "nothing to take\n");
    }
}
