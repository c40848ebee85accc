//! What an operator may ask of a running server over HTTP: `POST /api/backup`, `POST /api/reload`, `POST /api/trace`, and
//! what is in [`inspect`].
//!
//! Who may: whoever can read the data directory. The server writes a new random token there at each start, for its
//! own user only, and a request carries it as `Authorization: Bearer`. [RFC6750-2.1]

mod inspect;

pub use inspect::{CONNECTIONS_PATH, SESSIONS_PATH};

use crate::audit;
use crate::backup::{self, BackedUp, BackupError, JOURNAL_DIR};
use crate::endpoint::Endpoint;
use crate::error::ServerError;
use crate::follow::{self, Wish};
use crate::http::{Answer, text, with_type};
use crate::reload::Reloaded;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, StatusCode};
use motet_core::engine::Engine;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Where the token of a running server is, inside the data directory.
pub const TOKEN_FILE: &str = "admin-token";
/// Where a backup is asked for.
pub const BACKUP_PATH: &str = "/api/backup";
/// Where a running server is told to read its configuration again.
pub const RELOAD_PATH: &str = "/api/reload";
/// Where messages are followed.
pub const TRACE_PATH: &str = "/api/trace";
/// Bytes of a request's body: a path (4096 at most on Linux) and what is around it, each byte escaped.
const BODY_BYTES_MAX: usize = 32 << 10;
const TOKEN_BYTES: usize = 32;
/// Operators who follow messages at the same time: each message is offered to each of them.
const FOLLOWERS_MAX: usize = 8;

/// What the requests of operators share.
pub(crate) struct Admin {
    /// In hexadecimal.
    token: String,
    journal: PathBuf,
    /// A second backup at the same time would only make both slower.
    turn: Arc<Semaphore>,
    /// Operators who follow messages.
    followers: Arc<Semaphore>,
}

impl Admin {
    /// Makes a token and writes it.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, ServerError> {
        let mut secret = [0; TOKEN_BYTES];
        getrandom::fill(&mut secret).map_err(|error| ServerError::System(std::io::Error::other(error.to_string())))?;
        let token = secret.iter().fold(String::new(), |mut token, byte| {
            let _ = write!(token, "{byte:02x}");
            token
        });
        let file = data_dir.join(TOKEN_FILE);
        write_token(data_dir, &file, &token).map_err(|error| ServerError::File {
            key: "data_dir".into(),
            file,
            what: format!("cannot be written: {error}"),
        })?;
        Ok(Admin {
            token,
            journal: data_dir.join(JOURNAL_DIR),
            turn: Arc::new(Semaphore::new(1)),
            followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
        })
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        // A scheme is compared without regard to case. [RFC9110-11.1]
        let Some((scheme, token)) = given.and_then(|given| given.split_at_checked(b"Bearer ".len())) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && token.ct_eq(self.token.as_bytes()).into()
    }
}

/// Never readable by others, not for a moment; renamed into place, so that whoever finds it finds all of it.
fn write_token(data_dir: &Path, file: &Path, token: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(data_dir)?;
    let unfinished = data_dir.join("admin-token.new");
    let _ = std::fs::remove_file(&unfinished);
    let mut writer = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    writer.write_all(token.as_bytes())?;
    std::fs::rename(&unfinished, file)
}

/// Whether an operator asks.
pub(crate) fn is_ours(path: &str) -> bool {
    [BACKUP_PATH, RELOAD_PATH, TRACE_PATH].contains(&path) || inspect::is_ours(path)
}

/// Answers an operator, after a look at who it is.
pub(crate) async fn answer<E: Engine>(
    endpoint: &Endpoint<E>,
    request: Request<Incoming>,
    peer: Option<SocketAddr>,
) -> Answer {
    let Some(admin) = &endpoint.admin else {
        return text(StatusCode::NOT_FOUND, "there is no such page; see /\n");
    };
    let inspects = inspect::is_ours(request.uri().path());
    if !inspects && request.method() != Method::POST {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only POST is answered here\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return answer;
    }
    let action = action_of(request.method(), request.uri().path()).to_owned();
    let record = |outcome, about: &str| {
        endpoint.house.audit.record(&audit::Operator { action: &action, outcome, peer, about });
    };
    if !admin.admits(request.headers()) {
        record("refused", "no token, or a wrong one");
        let sentence = "the token in the file admin-token of the data directory is needed, as Authorization: Bearer\n";
        let mut answer = text(StatusCode::UNAUTHORIZED, sentence);
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return answer;
    }
    if inspects {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = inspect::answer(&endpoint.house, &method, &uri);
        // To look is nothing to write down; to end a connection or a session is.
        if method == Method::DELETE {
            let about = uri.path_and_query().map_or("", |asked| asked.as_str());
            record(if answer.status().is_success() { "done" } else { "failed" }, audit::cut(about));
        }
        return answer;
    }
    if endpoint.house.is_draining() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down\n");
    }
    let (answer, about) = match request.uri().path() {
        RELOAD_PATH => reload(endpoint).await,
        TRACE_PATH => trace(endpoint, admin, request).await,
        _ => backup(endpoint, admin, request).await,
    };
    record(if answer.status().is_success() { "done" } else { "failed" }, audit::cut(&about));
    answer
}

/// What an operator asks for, as the audit log has it.
fn action_of<'a>(method: &Method, path: &'a str) -> &'a str {
    match (method, inspect::is_ours(path)) {
        (&Method::DELETE, _) => "remove",
        (_, true) => "look",
        _ => path.rsplit('/').next().unwrap_or_default(),
    }
}

/// Reads the configuration again.
async fn reload<E: Engine>(endpoint: &Endpoint<E>) -> (Answer, String) {
    let reloader = endpoint.reloader.clone();
    let again = tokio::task::spawn_blocking(move || reloader.again());
    match again.await {
        Ok(Some(Ok(Reloaded { taken, kept, restart }))) => {
            let about = taken.join(" ");
            let json = serde_json::json!({ "taken": taken, "kept": kept, "restart": restart });
            (with_type(StatusCode::OK, "application/json", format!("{json}\n")), about)
        }
        Ok(Some(Err(error))) => (text(StatusCode::CONFLICT, &format!("{error}\n")), "the file is broken".into()),
        Ok(None) => (text(StatusCode::CONFLICT, "this server was started without a file\n"), String::new()),
        Err(_) => (text(StatusCode::INTERNAL_SERVER_ERROR, "reading panicked; please report this\n"), String::new()),
    }
}

/// Follows messages.
async fn trace<E: Engine>(endpoint: &Endpoint<E>, admin: &Admin, request: Request<Incoming>) -> (Answer, String) {
    let house = &endpoint.house;
    let within = house.limits().first_byte_timeout;
    let wish: Wish = match timeout(within, body(request)).await {
        Ok(Ok(wish)) => wish,
        Ok(Err(what)) => return (text(StatusCode::BAD_REQUEST, &format!("{what}\n")), String::new()),
        Err(_) => return (text(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time\n"), String::new()),
    };
    let Ok(turn) = admin.followers.clone().try_acquire_owned() else {
        let busy = format!("{FOLLOWERS_MAX} operators follow messages already: wait for one of them\n");
        return (text(StatusCode::CONFLICT, &busy), wish.pattern);
    };
    match follow::follow(house, &wish, turn) {
        Ok(answer) => (answer, wish.pattern),
        Err(what) => (text(StatusCode::BAD_REQUEST, &format!("{what}\n")), wish.pattern),
    }
}

/// Makes a backup.
async fn backup<E: Engine>(endpoint: &Endpoint<E>, admin: &Admin, request: Request<Incoming>) -> (Answer, String) {
    let house = endpoint.house.clone();
    let Ok(read) = timeout(house.limits().first_byte_timeout, target(request)).await else {
        return (text(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time\n"), String::new());
    };
    let target = match read {
        Ok(target) => target,
        Err(what) => return (text(StatusCode::BAD_REQUEST, &format!("{what}\n")), String::new()),
    };
    let about = target.display().to_string();
    let Ok(turn) = admin.turn.clone().try_acquire_owned() else {
        return (text(StatusCode::CONFLICT, "another backup is being made: wait for it\n"), about);
    };
    let journal = admin.journal.clone();
    // It goes on when the asker leaves: half a copy is of no use to anybody.
    let made = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let made = backup::fill(&target, &journal, |to| house.store.backup(to).map(Some));
        match &made {
            Ok(made) => tracing::info!(folder = %target.display(), bytes = made.bytes, "a backup was made"),
            Err(error) if error.is_askers() => tracing::warn!(%error, "no backup was made"),
            Err(error) => tracing::error!(%error, "no backup was made"),
        }
        made
    });
    let answer = match made.await {
        Ok(made) => told(made),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the backup panicked; please report this\n"),
    };
    (answer, about)
}

/// The folder that `{"target": "/whole/path"}` names.
async fn target(request: Request<Incoming>) -> Result<PathBuf, String> {
    #[derive(serde::Deserialize)]
    struct Asked {
        target: PathBuf,
    }
    let asked: Asked =
        body(request).await.map_err(|error| format!("expected {{\"target\": \"/whole/path\"}}: {error}"))?;
    Ok(asked.target)
}

/// What a request says in JSON.
async fn body<T: serde::de::DeserializeOwned>(request: Request<Incoming>) -> Result<T, String> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())
}

fn told(made: Result<BackedUp, BackupError>) -> Answer {
    match made {
        Ok(BackedUp { bytes, position }) => {
            let json = serde_json::json!({ "bytes": bytes, "position": position });
            with_type(StatusCode::OK, "application/json", format!("{json}\n"))
        }
        Err(error) if error.is_askers() => text(StatusCode::CONFLICT, &format!("{error}\n")),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests;
