//! Rules, signatures, tokens and the hook of a running server: made from the configuration, and made anew on reload.

use crate::access::{access_rules, read_file, signatures};
use crate::config::{Config, HookFailure, Jwt, JwtRules};
use crate::error::ServerError;
use crate::outcall::Outcall;
use motet_auth::{
    Clocks, Courier, Front, HOOK_ANSWER_BYTES_MAX, Hook, HookConfig, HookPurpose, HookReply, JWKS_BYTES_MAX,
    TokenConfig, TokenKeys, TokenRules, Tokens,
};
use motet_core::access::{Authority, SignatureCheck};
use motet_core::core::Core;
use motet_core::engine::Engine;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// How soon a key set is asked for again that could not be had.
const RETRY: Duration = Duration::from_secs(5);
/// How long the issuer may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// What of access a reload replaces.
pub(crate) struct Doors<E: Engine> {
    core: Arc<Core<E>>,
    front: Arc<Front>,
    clocks: Clocks,
    /// Keeps a key set up to date.
    fetching: Mutex<Option<AbortHandle>>,
}

impl<E: Engine> Doors<E> {
    pub(crate) fn new(core: Arc<Core<E>>, front: Arc<Front>, clocks: Clocks) -> Self {
        Doors { core, front, clocks, fetching: Mutex::default() }
    }

    /// Takes everything of `config`, or nothing. Whatever asks over HTTP needs the runtime that this is called in.
    pub(crate) fn apply(&self, config: &Config) -> Result<(), ServerError> {
        let rules = access_rules(config)?;
        let signatures = signatures(config)?;
        let (tokens, source) = tokens(config)?;
        let hook = self.hook(config)?;
        self.core.set_access(rules);
        self.core.set_signatures((!signatures.is_empty()).then(|| Arc::new(signatures) as Arc<dyn SignatureCheck>));
        let authority = hook.clone().filter(|hook| hook.config().authorizes);
        self.core.set_authority(authority.map(|hook| Arc::new(hook) as Arc<dyn Authority>));
        self.front.set_hook(hook);
        self.front.set_tokens(tokens.clone());
        let fetching = match (&tokens, source) {
            (Some(tokens), Some(source)) => {
                Some(runtime()?.spawn(keep_fetching(Arc::downgrade(tokens), source)).abort_handle())
            }
            _ => None,
        };
        if let Some(former) = std::mem::replace(&mut *self.fetching.lock(), fetching) {
            former.abort();
        }
        Ok(())
    }

    fn hook(&self, config: &Config) -> Result<Option<Hook>, ServerError> {
        let settings = &config.hook;
        if !settings.is_on() {
            return Ok(None);
        }
        let outcall = |key: &str, url: &Option<String>| {
            url.as_ref().map(|url| Outcall::new(key, url, settings.ca_file.as_deref())).transpose()
        };
        let courier = HttpCourier {
            authenticate: outcall("hook.authenticate_url", &settings.authenticate_url)?,
            authorize: outcall("hook.authorize_url", &settings.authorize_url)?,
            timeout: settings.timeout,
            runtime: runtime()?,
        };
        let asks = HookConfig {
            authenticates: courier.authenticate.is_some(),
            authorizes: courier.authorize.is_some(),
            on_failure: settings.on_failure == HookFailure::Allow,
            in_flight_max: settings.in_flight as usize,
            cache_entries: settings.cache_entries as usize,
            ttl: settings.cache_ttl,
        };
        Ok(Some(Hook::new(asks, Arc::new(courier), self.clocks.clone())?))
    }
}

impl<E: Engine> Drop for Doors<E> {
    fn drop(&mut self) {
        if let Some(fetching) = self.fetching.lock().take() {
            fetching.abort();
        }
    }
}

/// What of tokens a start would refuse.
pub(crate) fn check(config: &Config) -> Result<(), ServerError> {
    tokens(config).map(drop)
}

fn runtime() -> Result<Handle, ServerError> {
    Handle::try_current().map_err(|error| ServerError::System(std::io::Error::other(error)))
}

/// Where the issuer publishes its keys, and those that are known anyway.
struct KeySource {
    outcall: Outcall,
    url: String,
    refresh: Duration,
    jwt: Jwt,
}

/// Who checks tokens, and whose keys have to be fetched.
fn tokens(config: &Config) -> Result<(Option<Arc<Tokens>>, Option<KeySource>), ServerError> {
    let jwt = &config.jwt;
    if !jwt.is_on() {
        return Ok((None, None));
    }
    let checks = TokenConfig {
        issuers: jwt.issuers.clone(),
        audiences: jwt.audiences.clone(),
        leeway: jwt.leeway,
        needs_expiry: jwt.needs_expiry,
        user_claim: jwt.user_claim.clone(),
        user_must_match: jwt.user_must_match,
        client_claim: jwt.client_claim.clone(),
        groups_claim: jwt.groups_claim.clone(),
        rules_claim: jwt.rules_claim.clone(),
        rules: match jwt.rules {
            JwtRules::First => TokenRules::First,
            JwtRules::Only => TokenRules::Only,
            JwtRules::Ignored => TokenRules::Ignored,
        },
    };
    let tokens = Arc::new(Tokens::new(checks, keys_of_files(jwt)?));
    let source = jwt.jwks_url.as_ref().map(|url| {
        let outcall = Outcall::new("jwt.jwks_url", url, jwt.ca_file.as_deref())?;
        Ok::<_, ServerError>(KeySource { outcall, url: url.clone(), refresh: jwt.jwks_refresh, jwt: jwt.clone() })
    });
    Ok((Some(tokens), source.transpose()?))
}

fn keys_of_files(jwt: &Jwt) -> Result<TokenKeys, ServerError> {
    let mut keys = TokenKeys::default();
    let wrong = |key: &str, file: &Path, error: motet_auth::KeyError| ServerError::File {
        key: key.into(),
        file: file.into(),
        what: error.to_string(),
    };
    if let Some(file) = &jwt.secret_file {
        let bytes = read_file("jwt.secret_file", file)?;
        keys.add_secret(bytes.trim_ascii_end()).map_err(|error| wrong("jwt.secret_file", file, error))?;
    }
    for (at, file) in jwt.key_files.iter().enumerate() {
        let key = format!("jwt.key_files.{at}");
        keys.add_pem(&read_file(&key, file)?).map_err(|error| wrong(&key, file, error))?;
    }
    if let Some(file) = &jwt.jwks_file {
        let bytes = read_file("jwt.jwks_file", file)?;
        keys.add_jwks(&bytes, true).map_err(|error| wrong("jwt.jwks_file", file, error))?;
    }
    Ok(keys)
}

/// Fetches now and then as long as somebody checks tokens; what cannot be had or read changes nothing.
async fn keep_fetching(tokens: Weak<Tokens>, source: KeySource) {
    loop {
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, source.outcall.ask(None, JWKS_BYTES_MAX)).await;
        let taken = match fetched {
            Ok(Ok((200, body))) => take_keys(&tokens, &source, &body),
            Ok(Ok((status, _))) => Err(format!("the answer was {status}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".into()),
        };
        let wait = match taken {
            Ok(Some(keys)) => {
                tracing::debug!(url = source.url, keys, "a key set was fetched");
                source.refresh
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(url = source.url, error, "the key set was not fetched; the keys stay as they are");
                source.refresh.min(RETRY)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// How many keys were taken; `None` when nobody needs them any more.
fn take_keys(tokens: &Weak<Tokens>, source: &KeySource, body: &[u8]) -> Result<Option<usize>, String> {
    let Some(tokens) = tokens.upgrade() else { return Ok(None) };
    let mut keys = keys_of_files(&source.jwt).map_err(|error| error.to_string())?;
    let count = keys.add_jwks(body, false).map_err(|error| error.to_string())?;
    tokens.set_keys(keys);
    Ok(Some(count))
}

/// Carries the hook's questions over HTTP.
struct HttpCourier {
    authenticate: Option<Outcall>,
    authorize: Option<Outcall>,
    timeout: Duration,
    runtime: Handle,
}

impl Courier for HttpCourier {
    fn post(&self, purpose: HookPurpose, body: Vec<u8>, answer: Box<dyn FnOnce(Option<HookReply>) + Send>) {
        let outcall = match purpose {
            HookPurpose::Authenticate => self.authenticate.clone(),
            HookPurpose::Authorize => self.authorize.clone(),
        };
        let Some(outcall) = outcall else { return answer(None) };
        let timeout = self.timeout;
        self.runtime.spawn(async move {
            let asked = tokio::time::timeout(timeout, outcall.ask(Some(body), HOOK_ANSWER_BYTES_MAX)).await;
            if let Ok(Err(error)) = &asked {
                tracing::debug!(%error, "the hook did not answer");
            }
            let reply = asked.ok().and_then(Result::ok);
            answer(reply.map(|(status, body)| HookReply { status, body: body.into() }));
        });
    }
}
