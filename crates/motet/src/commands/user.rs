//! `motet user`: accounts, by the running server, or in its store when none runs.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use motet_server::config::{Config, key_kinds};
use motet_server::{Change, OfflineUsers, ServerError, USERS_PATH, hash_password};
use rustix::termios::{self, LocalModes, OptionalActions};
use serde_json::{Value, json};

use super::{Failure, http, running};
use crate::cli::{Configuration, Keys, UserCommand};
use crate::print;

/// A password from standard input is at most so long; the server takes 4096 bytes.
const PASSWORD_BYTES_MAX: u64 = 8192;

pub(crate) fn user(command: &UserCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let config = configuration.load()?.config;
    match command {
        UserCommand::Hash { keys } => {
            let kinds = if keys.keys.is_empty() { None } else { Some(kinds(keys)?) };
            print::answer(format!("{}\n", hash_password(&password()?, kinds.as_deref(), &config.login)?));
        }
        UserCommand::List { at, json } => {
            let users = list(&config, at.url.as_deref())?;
            print::answer(if *json { format!("{users}\n") } else { table(&users) });
        }
        UserCommand::Add { name, tags, keys, at } => {
            let asked = json!({ "do": "add", "name": name, "tags": tags.join(","), "keys": words(keys)?, "password": password()? });
            change(&config, at.url.as_deref(), &asked)?;
            print::answer(format!("{name} can log in\n"));
        }
        UserCommand::Passwd { name, keys, at } => {
            let asked = json!({ "do": "passwd", "name": name, "keys": words(keys)?, "password": password()? });
            change(&config, at.url.as_deref(), &asked)?;
            print::answer(format!("{name} has a new password\n"));
        }
        UserCommand::Tags { name, tags, at } => {
            change(&config, at.url.as_deref(), &json!({ "do": "tags", "name": name, "tags": tags.join(",") }))?;
            print::answer(format!(
                "{name} has the tags: {}\n",
                if tags.is_empty() { "none".into() } else { tags.join(", ") }
            ));
        }
        UserCommand::Remove { name, at } => {
            change(&config, at.url.as_deref(), &json!({ "do": "remove", "name": name }))?;
            print::answer(format!("{name} is removed\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn kinds(keys: &Keys) -> Result<Vec<motet_server::config::KeyKind>, Failure> {
    Ok(key_kinds(keys.keys.iter().map(String::as_str)).map_err(|error| format!("--keys: {error}"))?)
}

/// The kinds as they were given, once it is known that they are good: before a password is asked for.
fn words(keys: &Keys) -> Result<&[String], Failure> {
    if !keys.keys.is_empty() {
        kinds(keys)?;
    }
    Ok(&keys.keys)
}

/// The store when no server uses it.
fn offline(config: &Config) -> Result<Option<OfflineUsers>, Failure> {
    match OfflineUsers::open(config) {
        Ok(offline) => Ok(Some(offline)),
        Err(ServerError::InUse(_)) => Ok(None),
        Err(error) => Err(print::chain(&error).into()),
    }
}

fn list(config: &Config, url: Option<&str>) -> Result<Value, Failure> {
    if let Some(offline) = offline(config)? {
        return Ok(serde_json::from_str(&motet_server::users_as_json(offline.users()))?);
    }
    let (authority, token) = running::find(&config.data_dir, url)?;
    let response = http::ask(&authority, "GET", USERS_PATH, &token)?;
    if response.status != 200 {
        return Err(refused(&authority, &response).into());
    }
    Ok(serde_json::from_str(&response.body)?)
}

fn change(config: &Config, url: Option<&str>, asked: &Value) -> Result<(), Failure> {
    if let Some(offline) = offline(config)? {
        let change: Change = motet_server::read_change(asked.to_string().as_bytes())?;
        return Ok(offline.users().change(&change)?);
    }
    let (authority, token) = running::find(&config.data_dir, url)?;
    let response = http::post(&authority, USERS_PATH, &token, &asked.to_string())?;
    if response.status == 200 { Ok(()) } else { Err(refused(&authority, &response).into()) }
}

fn refused(authority: &str, response: &http::Response) -> String {
    format!("{}\n  (the server on http://{authority} answered {})", response.body.trim(), response.status)
}

fn table(users: &Value) -> String {
    let users = users.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |user: &Value, key: &str| user[key].as_str().unwrap_or_default().to_owned();
    let width = users.iter().map(|user| text(user, "name").chars().count()).max().unwrap_or(0).max(4);
    let mut table = format!("{:width$}  {:13}  {:13}  {}\n", "user", "from", "password", "tags");
    for user in users {
        let from = if user["configured"] == true { "configuration" } else { "store" };
        let (name, kind, tags) = (text(user, "name"), text(user, "kind"), text(user, "tags"));
        table += format!("{name:width$}  {from:13}  {kind:13}  {tags}").trim_end();
        table.push('\n');
    }
    table
}

/// Asked for twice on a terminal, without showing it; else the first line of standard input.
fn password() -> Result<String, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let mut line = String::new();
        stdin.lock().take(PASSWORD_BYTES_MAX).read_line(&mut line)?;
        return given(&line);
    }
    let (first, second) = (hidden("Password: ")?, hidden("The same once more: ")?);
    if first == second { given(&first) } else { Err("the two passwords differ; nothing was changed".into()) }
}

fn given(line: &str) -> Result<String, Failure> {
    let password = line.strip_suffix('\n').unwrap_or(line);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() { Err("no password was given; nothing was changed".into()) } else { Ok(password.into()) }
}

fn hidden(prompt: &str) -> Result<String, Failure> {
    let _ = write!(io::stderr().lock(), "{prompt}");
    let stdin = io::stdin();
    let shown = termios::tcgetattr(&stdin)?;
    let mut hidden = shown.clone();
    hidden.local_modes -= LocalModes::ECHO;
    termios::tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let mut line = String::new();
    let read = stdin.lock().take(PASSWORD_BYTES_MAX).read_line(&mut line);
    termios::tcsetattr(&stdin, OptionalActions::Now, &shown)?;
    let _ = writeln!(io::stderr().lock());
    read?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_a_line_and_not_nothing() {
        assert_eq!(given("swordfish\n").unwrap(), "swordfish");
        assert_eq!(given(" sword fish \r\n").unwrap(), " sword fish ");
        assert!(given("\n").is_err() && given("").is_err());
    }

    #[test]
    fn users_are_a_table() {
        let users = json!([
            { "name": "alice", "kind": "scram-sha-256", "tags": "management", "configured": false },
            { "name": "bob", "kind": "plain", "tags": "", "configured": true },
        ]);
        let expected = "user   from           password       tags\n\
                        alice  store          scram-sha-256  management\n\
                        bob    configuration  plain\n";
        assert_eq!(table(&users), expected);
    }
}
