//! The opening handshake, as a server reads it. [RFC6455-4.2]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::deflate::DeflatePolicy;
use crate::error::{Refusal, quoted};
use crate::extension::{is_token, negotiate};
use crate::origin::{AllowedOrigins, Authority};
use crate::websocket::{Config, WebSocket};

/// Appended to the key before hashing. [RFC6455-1.3]
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// An HTTP request that asks for an upgrade, free of any HTTP library.
#[derive(Debug, Clone)]
pub struct UpgradeRequest<'a> {
    method: &'a str,
    http_version: (u8, u8),
    path: &'a str,
    headers: Vec<(&'a str, &'a [u8])>,
}

impl<'a> UpgradeRequest<'a> {
    /// `http_version` is (1, 1) for HTTP/1.1; header names are compared without regard to case.
    pub fn new(
        method: &'a str,
        http_version: (u8, u8),
        path: &'a str,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        Self { method, http_version, path, headers: headers.into_iter().collect() }
    }

    /// The path, for whoever chooses the endpoint by it.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The lines of a header, in order; lines that are not text are an error.
    fn lines(&self, name: &'static str) -> Result<Vec<&'a str>, Refusal> {
        self.headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| std::str::from_utf8(value).map(str::trim).map_err(|_| Refusal::Malformed(name)))
            .collect()
    }

    fn exactly_one(&self, name: &'static str) -> Result<&'a str, Refusal> {
        match self.lines(name)?[..] {
            [line] => Ok(line),
            _ => Err(Refusal::ExactlyOne(name)),
        }
    }

    /// Whether a comma-separated header contains a token, in any case and on any line.
    fn has_token(&self, name: &'static str, token: &str) -> Result<bool, Refusal> {
        Ok(self.lines(name)?.iter().flat_map(|line| line.split(',')).any(|it| it.trim().eq_ignore_ascii_case(token)))
    }
}

/// Who may connect here and what is spoken. The default is right for a loopback listener: programs, pages of this
/// server and pages of this machine.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Names this server answers under, beside IP literals and localhost; `*` for all. On a public listener, where
    /// every peer has to prove who it is, `*` is fine.
    pub allowed_hosts: Vec<String>,
    /// The configuration key of `allowed_hosts`, for the text of a refusal.
    pub allowed_hosts_key: String,
    /// Which pages may connect.
    pub allowed_origins: AllowedOrigins,
    /// The configuration key of `allowed_origins`, for the text of a refusal.
    pub allowed_origins_key: String,
    /// Sub-protocols spoken here, the preferred one first.
    pub subprotocols: Vec<String>,
    /// Whether a client must offer one of them. [MQTT-6.0.0-3] asks it of MQTT clients.
    pub subprotocol_required: bool,
    /// Whether and how messages may be compressed; None declines every offer.
    pub deflate: Option<DeflatePolicy>,
    /// What the connection then takes, and its bounds.
    pub config: Config,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            allowed_hosts_key: "websocket.allowed_hosts".to_owned(),
            allowed_origins: AllowedOrigins { same_origin: true, loopback: true, listed: Vec::new() },
            allowed_origins_key: "websocket.allowed_origins".to_owned(),
            subprotocols: Vec::new(),
            subprotocol_required: false,
            deflate: Some(DeflatePolicy::default()),
            config: Config::default(),
        }
    }
}

/// A handshake that succeeds: answer with [`Accepted::STATUS`] and `headers`, then drive `websocket`.
#[derive(Debug)]
pub struct Accepted {
    /// The headers of the answer, complete.
    pub headers: Vec<(&'static str, String)>,
    /// The sub-protocol that was chosen.
    pub subprotocol: Option<String>,
    /// The connection, in state Open.
    pub websocket: WebSocket,
}

impl Accepted {
    /// Switching Protocols.
    pub const STATUS: u16 = 101;
}

/// Reads an upgrade request and decides. `Refusal::status`, `Refusal::headers` and its text make the answer otherwise.
pub fn accept(request: &UpgradeRequest<'_>, policy: &Policy) -> Result<Accepted, Refusal> {
    check_upgrade(request)?;
    check_host_and_origin(request, policy)?;
    let accept_key = accept_key(request.exactly_one("sec-websocket-key")?)?;
    let subprotocol = choose_subprotocol(request, policy)?;
    let extensions = request.lines("sec-websocket-extensions")?;
    let deflate = negotiate(extensions.into_iter(), policy.deflate.as_ref())?;

    let mut headers = vec![
        ("connection", "Upgrade".to_owned()),
        ("upgrade", "websocket".to_owned()),
        ("sec-websocket-accept", accept_key),
    ];
    headers.extend(subprotocol.clone().map(|name| ("sec-websocket-protocol", name)));
    let (deflate, answer) = deflate.unzip();
    headers.extend(answer.map(|answer| ("sec-websocket-extensions", answer)));
    Ok(Accepted { headers, subprotocol, websocket: WebSocket::new(policy.config.clone(), deflate) })
}

/// Whether this is a WebSocket handshake at all, and of our version. [RFC6455-4.2.1]
fn check_upgrade(request: &UpgradeRequest<'_>) -> Result<(), Refusal> {
    if request.http_version != (1, 1) {
        return Err(Refusal::HttpVersion);
    }
    if request.method != "GET" {
        return Err(Refusal::Method);
    }
    if !request.has_token("upgrade", "websocket")? || !request.has_token("connection", "upgrade")? {
        return Err(Refusal::NotAnUpgrade);
    }
    // [RFC6455-4.4] the answer to another version names the one spoken
    match request.lines("sec-websocket-version")?[..] {
        ["13"] => Ok(()),
        _ => Err(Refusal::Version),
    }
}

fn check_host_and_origin(request: &UpgradeRequest<'_>, policy: &Policy) -> Result<(), Refusal> {
    let host = request.exactly_one("host")?;
    let authority = Authority::parse(host).ok_or(Refusal::Malformed("host"))?;
    if !authority.is_served(&policy.allowed_hosts) {
        return Err(Refusal::Host { host: quoted(host), key: policy.allowed_hosts_key.clone() });
    }
    match request.lines("origin")?[..] {
        [] => Ok(()),
        [origin] if policy.allowed_origins.allows(origin, &authority) => Ok(()),
        [origin] => Err(Refusal::Origin { origin: quoted(origin), key: policy.allowed_origins_key.clone() }),
        _ => Err(Refusal::ExactlyOne("origin")),
    }
}

/// [RFC6455-4.2.2] proves that the server has read the handshake
fn accept_key(key: &str) -> Result<String, Refusal> {
    // [RFC6455-4.2.1] base64 of 16 bytes
    if !STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
        return Err(Refusal::Malformed("sec-websocket-key"));
    }
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
    Ok(STANDARD.encode(digest))
}

/// The first of our list that the client offers. Names are compared exactly. [RFC6455-1.9]
fn choose_subprotocol(request: &UpgradeRequest<'_>, policy: &Policy) -> Result<Option<String>, Refusal> {
    let lines = request.lines("sec-websocket-protocol")?;
    let offered: Vec<&str> =
        lines.iter().flat_map(|line| line.split(',')).map(str::trim).filter(|name| !name.is_empty()).collect();
    if offered.iter().any(|name| !is_token(name)) {
        return Err(Refusal::Malformed("sec-websocket-protocol"));
    }
    let chosen = policy.subprotocols.iter().find(|name| offered.contains(&name.as_str()));
    if chosen.is_none() && policy.subprotocol_required {
        return Err(Refusal::Subprotocol(policy.subprotocols.join(", ")));
    }
    Ok(chosen.cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of RFC 6455, section 1.2, with `changes` in place of or beside its headers ("" removes).
    fn try_accept(changes: &[(&str, &str)], policy: &Policy) -> Result<Accepted, Refusal> {
        let mut headers = vec![
            ("Host", "127.0.0.1:8083"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ];
        headers.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        headers.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        accept(&UpgradeRequest::new("GET", (1, 1), "/mqtt", headers), policy)
    }

    fn header<'a>(accepted: &'a Accepted, name: &str) -> Option<&'a str> {
        accepted.headers.iter().find(|(header, _)| *header == name).map(|(_, value)| value.as_str())
    }

    fn mqtt() -> Policy {
        Policy { subprotocols: vec!["mqtt".into(), "mqttv3.1".into()], subprotocol_required: true, ..Policy::default() }
    }

    #[test]
    fn the_accept_key_of_the_rfc_is_computed() {
        // [RFC6455-1.3]
        let accepted = try_accept(&[], &Policy::default()).unwrap();
        assert_eq!(header(&accepted, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(header(&accepted, "upgrade"), Some("websocket"));
        assert_eq!(header(&accepted, "sec-websocket-protocol"), None);
    }

    #[test]
    fn tokens_are_found_in_lists_lines_and_any_case() {
        for changes in [
            &[("Connection", "keep-alive, UPGRADE")][..],
            &[("Connection", "keep-alive"), ("Connection", "upgrade")],
            &[("Upgrade", "WebSocket")],
        ] {
            assert!(try_accept(changes, &Policy::default()).is_ok(), "{changes:?}");
        }
    }

    #[test]
    fn what_is_not_a_handshake_is_refused_with_the_fitting_status() {
        for (changes, status) in [
            (&[("Connection", "close")][..], 426),
            (&[("Connection", "")], 426),
            (&[("Upgrade", "h2c")], 426),
            (&[("Sec-WebSocket-Version", "8")], 426),
            (&[("Sec-WebSocket-Version", "")], 426),
            (&[("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Version", "8")], 426),
            (&[("Sec-WebSocket-Key", "")], 400),
            (&[("Sec-WebSocket-Key", "c2hvcnQ=")], 400),
            (&[("Sec-WebSocket-Key", "not base64 at all!!!!!!!")], 400),
            (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==")], 400),
            (&[("Host", "")], 400),
            (&[("Host", "127.0.0.1"), ("Host", "127.0.0.2")], 400),
            (&[("Sec-WebSocket-Extensions", "permessage-deflate;")], 400),
            (&[("Sec-WebSocket-Protocol", "a b")], 400),
        ] {
            let refusal = try_accept(changes, &Policy::default()).unwrap_err();
            assert_eq!(refusal.status(), status, "{changes:?} {refusal}");
        }
        let post = UpgradeRequest::new("POST", (1, 1), "/", []);
        assert_eq!(accept(&post, &Policy::default()).unwrap_err().status(), 405);
        let old = UpgradeRequest::new("GET", (1, 0), "/", []);
        assert_eq!(accept(&old, &Policy::default()).unwrap_err().status(), 505);
    }

    #[test]
    fn another_version_is_answered_with_ours() {
        let refusal = try_accept(&[("Sec-WebSocket-Version", "7")], &Policy::default()).unwrap_err();
        assert!(refusal.headers().contains(&("sec-websocket-version", "13")));
    }

    #[test]
    fn our_preference_chooses_the_subprotocol() {
        for changes in [
            &[("Sec-WebSocket-Protocol", "mqttv3.1, mqtt")][..],
            &[("Sec-WebSocket-Protocol", "mqttv3.1"), ("Sec-WebSocket-Protocol", "mqtt")],
        ] {
            let accepted = try_accept(changes, &mqtt()).unwrap();
            assert_eq!(accepted.subprotocol.as_deref(), Some("mqtt"));
            assert_eq!(header(&accepted, "sec-websocket-protocol"), Some("mqtt"));
        }
        assert_eq!(
            try_accept(&[("Sec-WebSocket-Protocol", "mqttv3.1")], &mqtt()).unwrap().subprotocol.as_deref(),
            Some("mqttv3.1")
        );
    }

    #[test]
    fn a_missing_subprotocol_is_refused_only_where_one_is_required() {
        let refusal = try_accept(&[("Sec-WebSocket-Protocol", "MQTT, wamp")], &mqtt()).unwrap_err();
        assert_eq!(refusal.to_string(), "offer one of these sub-protocols in Sec-WebSocket-Protocol: mqtt, mqttv3.1");
        let lenient = Policy { subprotocol_required: false, ..mqtt() };
        assert_eq!(try_accept(&[], &lenient).unwrap().subprotocol, None);
    }

    #[test]
    fn a_foreign_page_is_told_the_key_that_would_allow_it() {
        let refusal = try_accept(&[("Origin", "https://evil.example")], &Policy::default()).unwrap_err();
        assert_eq!(refusal.status(), 403);
        assert_eq!(
            refusal.to_string(),
            "origin \"https://evil.example\" may not connect; to allow pages of this origin, add it to websocket.allowed_origins"
        );
        assert!(try_accept(&[("Origin", "http://localhost:3000")], &Policy::default()).is_ok());
    }

    #[test]
    fn a_rebound_name_is_refused_although_page_and_host_agree() {
        let rebound = [("Host", "evil.example:8083"), ("Origin", "http://evil.example:8083")];
        let refusal = try_accept(&rebound, &Policy::default()).unwrap_err();
        assert_eq!(refusal.status(), 403);
        assert!(refusal.to_string().contains("websocket.allowed_hosts"), "{refusal}");
        let named = Policy { allowed_hosts: vec!["evil.example".into()], ..Policy::default() };
        assert!(try_accept(&rebound, &named).is_ok());
    }

    #[test]
    fn deflate_is_answered_when_offered() {
        let accepted = try_accept(&[("Sec-WebSocket-Extensions", "permessage-deflate")], &Policy::default()).unwrap();
        assert_eq!(
            header(&accepted, "sec-websocket-extensions"),
            Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
        );
        assert!(accepted.websocket.deflate().is_some());
    }
}
