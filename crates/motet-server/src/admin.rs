//! What an operator may ask of a running server over HTTP: `POST /api/motet/backup`, `POST /api/motet/reload`, `POST /api/motet/trace`, `GET`
//! and `POST /api/motet/users`, and
//! what is in [`inspect`].
//!
//! Who may: whoever can read the data directory. The server writes a new random token there at each start, for its
//! own user only, and a request carries it as `Authorization: Bearer`. [RFC6750-2.1]

mod acl;
mod bans;
mod inspect;
pub(crate) mod users;

pub use acl::ACL_PATH;
pub use bans::BANS_PATH;
pub use inspect::{CONNECTIONS_PATH, SESSIONS_PATH};

use crate::audit;
use crate::backup::{self, BackedUp, BackupError, JOURNAL_DIR};
use crate::endpoint::Endpoint;
use crate::error::ServerError;
use crate::follow;
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
pub const BACKUP_PATH: &str = "/api/motet/backup";
/// Where a running server is told to read its configuration again.
pub const RELOAD_PATH: &str = "/api/motet/reload";
/// Where messages are followed.
pub const TRACE_PATH: &str = "/api/motet/trace";
/// Where accounts are listed and changed.
pub const USERS_PATH: &str = "/api/motet/users";
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

    /// Whoever asks has read the token.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
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

/// What an operator may ask for.
#[derive(Clone, Copy)]
pub(crate) enum Wish {
    Backup,
    Reload,
    Trace,
    Users,
    Inspect,
    Explain,
    Bans,
}

impl Wish {
    /// None where the path is no operator's.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            BACKUP_PATH => Some(Wish::Backup),
            RELOAD_PATH => Some(Wish::Reload),
            TRACE_PATH => Some(Wish::Trace),
            USERS_PATH => Some(Wish::Users),
            ACL_PATH => Some(Wish::Explain),
            _ if bans::is_ours(path) => Some(Wish::Bans),
            _ => inspect::is_ours(path).then_some(Wish::Inspect),
        }
    }

    /// None where it is the part's own business.
    fn methods(self) -> Option<(&'static [Method], &'static str)> {
        match self {
            Wish::Backup | Wish::Reload | Wish::Trace => Some((&[Method::POST], "POST")),
            Wish::Users => Some((&[Method::GET, Method::POST], "GET, POST")),
            Wish::Explain => Some((&[Method::GET], "GET")),
            Wish::Inspect | Wish::Bans => None,
        }
    }

    /// As the audit log has it; None for a look, which is nothing to write down.
    fn action(self, method: &Method) -> Option<&'static str> {
        match self {
            Wish::Backup => Some("backup"),
            Wish::Reload => Some("reload"),
            Wish::Trace => Some("trace"),
            Wish::Users => (method != Method::GET).then_some("users"),
            Wish::Inspect => (method == Method::DELETE).then_some("remove"),
            Wish::Bans => (method == Method::DELETE).then_some("lift"),
            Wish::Explain => None,
        }
    }
}

/// Answers an operator, after a look at who it is.
pub(crate) async fn answer<E: Engine>(
    wish: Wish,
    endpoint: &Endpoint<E>,
    request: Request<Incoming>,
    peer: Option<SocketAddr>,
) -> Answer {
    let Some(admin) = &endpoint.admin else {
        return text(StatusCode::NOT_FOUND, "there is no such page; see /\n");
    };
    if let Some((methods, named)) = wish.methods()
        && !methods.contains(request.method())
    {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, &format!("only {named} is answered here\n"));
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(named));
        return answer;
    }
    let action = wish.action(request.method());
    let record = |outcome, about: &str| {
        if let Some(action) = action {
            endpoint.house.audit.record(&audit::Operator { action, outcome, peer, user: None, about });
        }
    };
    if !admin.admits(request.headers()) {
        record("refused", "no token, or a wrong one");
        let sentence = "the token in the file admin-token of the data directory is needed, as Authorization: Bearer\n";
        let mut answer = text(StatusCode::UNAUTHORIZED, sentence);
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return answer;
    }
    let house = &endpoint.house;
    // A look is welcome to the end.
    if house.is_draining() && !matches!(wish, Wish::Inspect | Wish::Bans) {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down\n");
    }
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect();
    let Ok(read) = timeout(house.limits().first_byte_timeout, body).await else {
        return text(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time\n");
    };
    let body = match read {
        Ok(body) => body.to_bytes(),
        Err(error) => return text(StatusCode::BAD_REQUEST, &format!("{error}\n")),
    };
    let asked = || parts.uri.path_and_query().map_or(String::new(), ToString::to_string);
    let (answer, about) = match wish {
        Wish::Backup => backup(endpoint, admin, &body).await,
        Wish::Reload => reload(endpoint).await,
        Wish::Trace => trace(endpoint, admin, &body),
        Wish::Explain => (acl::answer(house, &parts.uri), String::new()),
        Wish::Bans => (bans::answer(house, &parts.method, &parts.uri), asked()),
        Wish::Inspect => (inspect::answer(house, &parts.method, &parts.uri), asked()),
        Wish::Users if parts.method == Method::GET => (users::list(&*house.accounts), String::new()),
        Wish::Users => users::change(house.accounts.clone(), &body).await,
    };
    record(if answer.status().is_success() { "done" } else { "failed" }, audit::cut(&about));
    answer
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
fn trace<E: Engine>(endpoint: &Endpoint<E>, admin: &Admin, body: &[u8]) -> (Answer, String) {
    let wish: follow::Wish = match serde_json::from_slice(body) {
        Ok(wish) => wish,
        Err(what) => return (text(StatusCode::BAD_REQUEST, &format!("{what}\n")), String::new()),
    };
    let Ok(turn) = admin.followers.clone().try_acquire_owned() else {
        let busy = format!("{FOLLOWERS_MAX} operators follow messages already: wait for one of them\n");
        return (text(StatusCode::CONFLICT, &busy), wish.pattern);
    };
    match follow::follow(&endpoint.house, &wish, turn) {
        Ok(answer) => (answer, wish.pattern),
        Err(what) => (text(StatusCode::BAD_REQUEST, &format!("{what}\n")), wish.pattern),
    }
}

/// Makes a backup.
async fn backup<E: Engine>(endpoint: &Endpoint<E>, admin: &Admin, body: &[u8]) -> (Answer, String) {
    let house = endpoint.house.clone();
    let target = match target(body) {
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
fn target(body: &[u8]) -> Result<PathBuf, String> {
    #[derive(serde::Deserialize)]
    struct Asked {
        target: PathBuf,
    }
    let asked: Asked =
        serde_json::from_slice(body).map_err(|error| format!("expected {{\"target\": \"/whole/path\"}}: {error}"))?;
    Ok(asked.target)
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
