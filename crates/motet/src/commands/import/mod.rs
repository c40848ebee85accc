//! `motet import mosquitto`: from another server's configuration to a motet.toml, and a report of what became of it.
//!
//! ```text
//!   mosquitto.conf ─▶ conf: lines ─▶ plan: sections ──┬─▶ motet.toml, checked by our own reader
//!   password_file ──▶ passwords: [[user]] ────────────┤
//!   acl_file ───────▶ acl: who may what ──────────────┴─▶ report: kept, differs, missing; file and line
//! ```

mod acl;
mod bridges;
mod conf;
mod passwords;
mod plan;
mod report;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use motet_server::config::{Sources, load};

use super::{Failure, definitions};
use crate::cli::Configuration;
use crate::cli::import::{ImportCommand, ImportMosquitto};
use crate::print;
use report::Report;

/// Exit status 0 when everything has a counterpart here, 2 when a line was left out, 1 when nothing was written.
pub(crate) fn import(command: &ImportCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let asked = match command {
        ImportCommand::Mosquitto(asked) => asked,
        ImportCommand::Rabbitmq(asked) => return definitions::import(asked, configuration),
    };
    let (text, report) = mosquitto(asked)?;
    write(&asked.to, &text)?;
    print::answer(if asked.json { report.json(&asked.to) } else { report.text(&asked.to) });
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// The text of a motet.toml, and what became of each line.
fn mosquitto(asked: &ImportMosquitto) -> Result<(String, Report), Failure> {
    let mut report = Report::default();
    let lines = conf::read(&asked.conf)?;
    let mut plan = plan::Plan::default();
    for line in &lines {
        plan.take(line, &mut report);
    }
    let has_rules = asked.acl.is_some() || plan.acl_file.is_some();
    let mut text = plan.toml(has_rules);
    text.push_str(&bridges::toml(&plan.bridges, &mut report));
    let beside = |file: &str| asked.conf.parent().unwrap_or(Path::new(".")).join(file);
    if let Some(file) = asked.passwd.clone().or_else(|| plan.password_file.as_deref().map(beside)) {
        text.push_str(&passwords::toml(&file, &mut report)?);
    }
    if let Some(file) = asked.acl.clone().or_else(|| plan.acl_file.as_deref().map(beside)) {
        text.push_str(&acl::toml(&file, &mut report)?);
        plan.bridges.iter().for_each(|bridge| text.push_str(&bridge.rule()));
    }
    check(&text)?;
    Ok((text, report))
}

/// What we write must be what we read; anything else is our bug, and better told than left to be found.
fn check(text: &str) -> Result<(), Failure> {
    let dir = std::env::temp_dir().join(format!("motet-import-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let file = dir.join("motet.toml");
    let checked = std::fs::write(&file, text).map_err(Failure::from).and_then(|()| {
        load(&Sources::new(Some(file))).map_err(|error| format!("what was to be written is not good: {error}").into())
    });
    let _ = std::fs::remove_dir_all(&dir);
    checked.map(|_| ())
}

/// Hashes of passwords are in it, so it is for its owner only.
fn write(to: &Path, text: &str) -> Result<(), Failure> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("{}: {error}\n  to do: name another file with --to", to.display()).into())
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    // A JSON string is a basic string of TOML, but for DEL, which TOML wants escaped too.
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}
