//! The management API over HTTP: who asks is found out, the body is read, the answer is made on a thread that may wait.

mod login;
mod process;

use crate::admin::Admin;
use crate::audit;
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::house::House;
use crate::http::Answer;
use crate::server::Bound;
use crate::telemetry::count;
use crate::tls::Shown;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::{Request as HttpRequest, Response as HttpResponse, StatusCode};
use motet_console::{Api, Asker, BODY_BYTES_MAX, Method, Refusal, Request, Response};
use motet_core::engine::Engine;
use process::Process;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How often figures are looked at, for rates.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Where the API is.
const PREFIX: &str = "/api";
/// Requests that are answered at the same time: each may hold a body and a thread. Others wait.
const REQUESTS_MAX: usize = 8;
/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// How long a browser believes what it was told of other origins.
const CROSS_SECS: u32 = 1_800;
/// As RabbitMQ calls it; browsers show it.
const REALM: &str = "Basic realm=\"RabbitMQ Management\"";

/// The API of one server.
pub(crate) struct Console<E: Engine> {
    api: Arc<Api<E>>,
    process: Arc<Process<E>>,
    turns: Arc<Semaphore>,
}

/// Who sends a request, as the carrier knows it.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) secure: Option<Arc<Shown>>,
}

impl<E: Engine> Console<E> {
    pub(crate) fn new(house: &Arc<House<E>>, config: &Config) -> Self {
        let process = Arc::new(Process::new(house.clone(), config));
        let api = Api::new(house.core.clone(), process.clone());
        let api = Arc::new(match house.accounts.clone().roster() {
            Some(roster) => api.with_roster(roster),
            None => api,
        });
        Console { api, process, turns: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }

    /// The ports are known.
    pub(crate) fn listens(&self, addresses: &[Bound]) {
        self.process.listens(addresses);
    }

    /// Looks at figures.
    pub(crate) async fn look(self: Arc<Self>) {
        // It takes the lock of each queue in turn: not on a thread that carries bytes.
        let _ = tokio::task::spawn_blocking(move || self.api.look()).await;
    }
}

/// Whether a path belongs to the API. Motet's own requests are beneath it and are looked for first.
pub(crate) fn is_ours(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request of the API.
pub(crate) async fn answer<E: Engine>(endpoint: &Endpoint<E>, request: HttpRequest<Incoming>, from: Caller) -> Answer {
    let cross = Cross::of(endpoint, request.headers());
    // Without the query, which may hold credentials.
    let mut wish = Wish { about: format!("{} {}", request.method(), request.uri().path()), user: None };
    let is_change = !matches!(*request.method(), hyper::Method::GET | hyper::Method::HEAD | hyper::Method::OPTIONS);
    let mut response = respond(endpoint, request, &from, &mut wish).await.unwrap_or_else(|refusal| refusal.response());
    if let Some(cross) = cross {
        cross.allow(&mut response);
    }
    if is_change {
        let outcome = match response.status {
            401 | 403 => "refused",
            400.. => "failed",
            _ => "done",
        };
        let (peer, user, about) = (from.peer, wish.user.as_deref(), audit::cut(&wish.about));
        endpoint.house.audit.record(&audit::Operator { action: "manage", outcome, peer, user, about });
    }
    if let Some(counter) =
        endpoint.house.counters.management_requests.get(usize::from(response.status / 100).wrapping_sub(2))
    {
        count(counter);
    }
    served(response)
}

/// What the audit log says of a request.
struct Wish {
    /// Method and path, which name the user, the vhost or the queue that is changed.
    about: String,
    /// None before somebody has logged in, and for who shows the token.
    user: Option<String>,
}

/// Names in the body, where the path has none: `{"users": [...]}`.
const BULK_DELETE: &str = "/api/users/bulk-delete";

async fn respond<E: Engine>(
    endpoint: &Endpoint<E>,
    request: HttpRequest<Incoming>,
    from: &Caller,
    wish: &mut Wish,
) -> Result<Response, Refusal> {
    let method = Method::from_name(request.method().as_str());
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let mut asked = Request::read(method, path, parts.uri.query().unwrap_or_default(), Bytes::new())?;
    asked.reason = parts.headers.get("x-reason").and_then(|reason| reason.to_str().ok()).map(str::to_owned);
    asked.content_type = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    if method != Method::Get && method != Method::Options && !is_welcome(endpoint, &parts.headers) {
        return Err(Refusal::not_authorised("a page of another origin may not change anything here"));
    }
    let console = &endpoint.console;
    let asker = match console.api.is_public(&asked) {
        true => None,
        false => match who(endpoint, &asked, &parts.headers, from).await? {
            Some(asker) => Some(asker),
            None => return Ok(Response::empty(401).with("www-authenticate", REALM)),
        },
    };
    wish.user = asker.as_ref().map(|asker| asker.principal.name.to_string()).filter(|name| !name.is_empty());
    let Ok(turn) = console.turns.clone().acquire_owned().await else {
        return Err(Refusal::unavailable("the server is shutting down"));
    };
    asked.body = read(body).await?;
    if parts.uri.path() == BULK_DELETE {
        wish.about.push(' ');
        wish.about.push_str(&String::from_utf8_lossy(&asked.body));
    }
    let api = console.api.clone();
    let answered = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        api.answer(&asked, asker.as_ref())
    });
    answered.await.map_err(|_| Refusal::internal("answering panicked; please report this"))
}

/// What a page of another origin sends with a password that the browser remembers is not the user's wish.
fn is_welcome<E: Engine>(endpoint: &Endpoint<E>, headers: &HeaderMap) -> bool {
    let text = |value: Option<&HeaderValue>| value.and_then(|value| value.to_str().ok()).map(str::to_owned);
    match (headers.get(ORIGIN), text(headers.get(HOST))) {
        (None, _) => true,
        (origin, Some(host)) => text(origin).is_some_and(|origin| endpoint.web.welcomes(&origin, &host)),
        (Some(_), None) => false,
    }
}

/// Who asks; None where nobody says so.
async fn who<E: Engine>(
    endpoint: &Endpoint<E>,
    asked: &Request,
    headers: &HeaderMap,
    from: &Caller,
) -> Result<Option<Asker>, Refusal> {
    if endpoint.admin.as_deref().is_some_and(|admin: &Admin| admin.admits(headers)) {
        return Ok(Some(login::owner()));
    }
    // Browsers save and send definitions by a form or a link, with what a header would have said in the query.
    let said = asked.parameter("auth").filter(|_| asked.path.first().is_some_and(|path| path == "definitions"));
    let Some(credentials) = login::credentials(headers).or_else(|| login::basic(said?)) else { return Ok(None) };
    let checked = login::check(endpoint, credentials, from).await;
    endpoint.house.counters.count_login("http", checked.is_ok());
    checked.map(Some)
}

/// A page of another origin that the configuration names: a browser asks whether it may read and send. [Fetch, CORS]
struct Cross {
    origin: String,
    /// Headers it wants to send; for a question in advance only.
    wants: Option<String>,
}

impl Cross {
    fn of<E: Engine>(endpoint: &Endpoint<E>, headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let origin = endpoint.web.shares_with(text("origin")?)?;
        let wants = text("access-control-request-method")
            .map(|_| text("access-control-request-headers").unwrap_or("authorization, content-type").to_owned());
        Some(Cross { origin, wants })
    }

    fn allow(self, response: &mut Response) {
        let mut add = |name, value: String| response.headers.push((name, value));
        // Whoever is anybody sends no passwords that the browser remembers.
        if self.origin != "*" {
            add("access-control-allow-credentials", "true".into());
            add("vary", "origin".into());
        }
        add("access-control-allow-origin", self.origin);
        if let Some(wants) = self.wants {
            add("access-control-allow-methods", "GET, HEAD, PUT, POST, DELETE, OPTIONS".into());
            add("access-control-allow-headers", wants);
            add("access-control-max-age", CROSS_SECS.to_string());
        }
    }
}

async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    let read = timeout(BODY_WITHIN, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(Refusal::bad_request(error.to_string())),
        Err(_) => Err(Refusal::bad_request("the request did not arrive in time")),
    }
}

/// As HTTP has it.
fn served(response: Response) -> Answer {
    let mut answer = HttpResponse::new(Full::new(response.body).boxed());
    *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    if let Some(content_type) = response.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if response.status == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(REALM));
    }
    for (name, value) in response.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    answer
}

#[cfg(test)]
mod tests;
