//! `/api/motet/users`: what `motet user` asks of a running server.
//!
//! ```text
//! GET   → [{"name": "alice", "kind": "scram-sha-256", "tags": "management", "configured": false}]
//! POST  {"do": "add", "name": "alice", "password": "...", "tags": "management", "keys": ["argon2id"]}
//!       {"do": "passwd", "name": "alice", "password": "...", "keys": ["scram-sha-1"]}
//!       {"do": "tags", "name": "alice", "tags": "administrator"}      {"do": "remove", "name": "alice"}
//! ```

use crate::config::{self, KeyKind};
use crate::http::{Answer, text, with_type};
use crate::users::{AccountControl, Change, UserError};
use hyper::StatusCode;
use motet_auth::{AccountError, Listed, Origin, Tags};
use std::sync::Arc;

/// What is asked for. No `Debug`: there is a password in it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(rename = "do")]
    wish: String,
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    tags: String,
    #[serde(default)]
    keys: Vec<String>,
}

pub(super) fn list(accounts: &dyn AccountControl) -> Answer {
    with_type(StatusCode::OK, "application/json", format!("{}\n", as_json(accounts)))
}

/// All accounts as the answer to `GET` has them.
pub fn as_json(accounts: &dyn AccountControl) -> String {
    let listed = |user: Listed| {
        let configured = user.origin == Origin::Configured;
        serde_json::json!({ "name": *user.name, "kind": user.kind, "tags": user.tags.to_string(), "configured": configured })
    };
    let all: Vec<_> = accounts.list().into_iter().map(listed).collect();
    serde_json::Value::from(all).to_string()
}

/// Makes a change; with it, what it was about.
pub(super) async fn change(accounts: Arc<dyn AccountControl>, body: &[u8]) -> (Answer, String) {
    let (change, wish) = match read(body) {
        Ok(change) => change,
        Err(what) => return (text(StatusCode::BAD_REQUEST, &format!("{what}\n")), String::new()),
    };
    let about = format!("{wish} {}", change.name());
    // A slow hash, then the disk.
    let made = tokio::task::spawn_blocking(move || {
        let made = accounts.change(&change);
        match &made {
            Ok(()) => tracing::info!(user = change.name(), wish, "an account was changed"),
            Err(error) => tracing::warn!(user = change.name(), wish, %error, "an account was not changed"),
        }
        made
    });
    let answer = match made.await {
        Ok(Ok(())) => with_type(StatusCode::OK, "application/json", "{}\n".into()),
        Ok(Err(error)) => text(status(&error), &format!("{error}\n")),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the change panicked; please report this\n"),
    };
    (answer, about)
}

fn read(body: &[u8]) -> Result<(Change, &'static str), String> {
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| format!("expected {{\"do\": \"add\", \"name\": ..., \"password\": ...}}: {error}"))?;
    let Asked { wish, name, password, tags, keys } = asked;
    let tags = Tags::read(&tags).map_err(|error| error.to_string())?;
    let keys = if keys.is_empty() { None } else { Some(kinds(&keys)?) };
    Ok(match &*wish {
        "add" => (Change::Add { name, password, tags, keys }, "add"),
        "passwd" => (Change::Password { name, password, keys }, "passwd"),
        "tags" => (Change::Tags { name, tags }, "tags"),
        "remove" => (Change::Remove { name }, "remove"),
        other => return Err(format!("{other:?} is nothing to do; expected add, passwd, tags or remove")),
    })
}

/// What a body of `POST` asks for.
///
/// # Errors
/// A sentence for whoever wrote it.
pub fn read_change(body: &[u8]) -> Result<Change, String> {
    read(body).map(|(change, _)| change)
}

fn kinds(words: &[String]) -> Result<Vec<KeyKind>, String> {
    config::key_kinds(words.iter().map(String::as_str))
}

fn status(error: &UserError) -> StatusCode {
    match error {
        UserError::Account(AccountError::Unknown { .. }) => StatusCode::NOT_FOUND,
        UserError::Account(AccountError::Twice { .. } | AccountError::Configured { .. }) => StatusCode::CONFLICT,
        UserError::Account(_) | UserError::Password(_) | UserError::TooBig => StatusCode::BAD_REQUEST,
        UserError::NotDurable => StatusCode::SERVICE_UNAVAILABLE,
    }
}
