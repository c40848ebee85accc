//! `motet sessions` and `motet connections`: a running server is asked over HTTP, with the token in its data directory.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use motet_server::{CONNECTIONS_PATH, PORTS_FILE, SESSIONS_PATH, TOKEN_FILE};
use serde_json::Value;

use super::{Failure, http, running::reachable};
use crate::cli::Configuration;
use crate::cli::operator::{Asked, ConnectionsCommand, Part, SessionsCommand};
use crate::print;

pub(crate) fn sessions(command: &SessionsCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    match command {
        SessionsCommand::List { part, connected, asked } => {
            let mut path = list(SESSIONS_PATH, part);
            if let Some(connected) = connected {
                let _ = write!(path, "&connected={connected}");
            }
            tell(configuration, asked, "GET", &path, sessions_text)
        }
        SessionsCommand::Show { client, asked } => {
            tell(configuration, asked, "GET", &format!("{SESSIONS_PATH}/{}", percent_encoded(client)), session_text)
        }
        SessionsCommand::Remove { client, asked } => {
            let path = format!("{SESSIONS_PATH}/{}", percent_encoded(client));
            tell(configuration, asked, "DELETE", &path, |_| format!("the session {client} is gone\n"))
        }
    }
}

pub(crate) fn connections(command: &ConnectionsCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    match command {
        ConnectionsCommand::List { vhost, part, asked } => {
            let mut path = list(CONNECTIONS_PATH, part);
            if let Some(vhost) = vhost {
                let _ = write!(path, "&vhost={}", percent_encoded(vhost));
            }
            tell(configuration, asked, "GET", &path, connections_text)
        }
        ConnectionsCommand::Kick { id, asked } => {
            let path = format!("{CONNECTIONS_PATH}/{id}");
            tell(configuration, asked, "DELETE", &path, |_| format!("the connection {id} was told to go\n"))
        }
    }
}

/// Asks and prints the answer, as text by `text`. Exit status 1 when there is none of this name.
fn tell(
    configuration: &Configuration,
    asked: &Asked,
    method: &str,
    path: &str,
    text: impl FnOnce(&Value) -> String,
) -> Result<ExitCode, Failure> {
    let body = ask(configuration, asked, method, path)?;
    let answer: Value = serde_json::from_str(&body)?;
    print::answer(if asked.json { body } else { text(&answer) });
    Ok(ExitCode::SUCCESS)
}

/// The body of a good answer.
pub(super) fn ask(configuration: &Configuration, asked: &Asked, method: &str, path: &str) -> Result<String, Failure> {
    request(configuration, asked, path, |authority, token| http::ask(authority, method, path, token))
}

/// Puts a body at a path of a running server.
pub(super) fn put(configuration: &Configuration, asked: &Asked, path: &str, body: &Value) -> Result<(), Failure> {
    let body = body.to_string();
    request(configuration, asked, path, |authority, token| http::put(authority, path, token, &body)).map(drop)
}

fn request(
    configuration: &Configuration,
    asked: &Asked,
    path: &str,
    send: impl FnOnce(&str, &str) -> std::io::Result<http::Response>,
) -> Result<String, Failure> {
    let data_dir = configuration.load()?.config.data_dir;
    let authority = authority(asked.url.as_deref(), &data_dir)?;
    let token = read(&data_dir.join(TOKEN_FILE))?;
    let response = send(&authority, token.trim())
        .map_err(|error| format!("http://{authority}{path}: {error}\n  to do: check that motet runs"))?;
    if response.status / 100 != 2 {
        return Err(format!("the server said {}: {}", response.status, response.body.trim()).into());
    }
    Ok(response.body)
}

/// Host and port of the listener that was named, or of the one that the server of this data directory has.
pub(super) fn authority(url: Option<&str>, data_dir: &Path) -> Result<String, Failure> {
    match url {
        Some(url) => Ok(http::authority(url)
            .ok_or_else(|| format!("--url {url}: expected http://host:port of an HTTP listener"))?),
        None => http_listener(data_dir),
    }
}

/// The address of a running server's HTTP listener, from where it writes them down.
fn http_listener(data_dir: &Path) -> Result<String, Failure> {
    let ports: Value = serde_json::from_str(&read(&data_dir.join(PORTS_FILE))?)?;
    let listeners = ports.as_array().map(Vec::as_slice).unwrap_or_default();
    let http = listeners.iter().find(|listener| listener["protocol"] == "http");
    match http.and_then(|listener| listener["address"].as_str()) {
        Some(address) => Ok(reachable(address)),
        None => Err("the server has no listener with protocol \"http\", and only there it can be asked\n  \
                     to do: add one on localhost"
            .into()),
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    Ok(std::fs::read_to_string(file).map_err(|error| {
        format!(
            "{}: {error}\n  to do: check that motet runs, name its data directory with --data-dir or --config, and run \
             this as its user",
            file.display()
        )
    })?)
}

fn list(path: &str, part: &Part) -> String {
    let mut path = format!("{path}?limit={}", part.limit);
    for (key, value) in [("after", &part.after), ("filter", &part.filter)] {
        if let Some(value) = value {
            let _ = write!(path, "&{key}={}", percent_encoded(value));
        }
    }
    path
}

/// Everything but what is unreserved. [RFC3986-2.3]
pub(super) fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

fn sessions_text(answer: &Value) -> String {
    let mut text = format!("{:<32} {:<12} {:>8} {:>8} {:>8}\n", "client", "connected", "filters", "waiting", "unacked");
    for session in rows(answer, "sessions") {
        let since = if session["connected"] == true { &session["connected_at_ms"] } else { &Value::Null };
        let connected = if session["connected"] == true { ago(since) } else { "away".into() };
        let [client, filters] = ["client", "subscriptions"].map(|key| word(&session[key]));
        let [waiting, unacked] = ["queued", "unacknowledged"].map(|key| word(&session[key]));
        let _ = writeln!(text, "{client:<32} {connected:<12} {filters:>8} {waiting:>8} {unacked:>8}");
    }
    text + &more(answer)
}

fn session_text(session: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:18} {value}");
    };
    line("client", word(&session["client"]));
    match session["connected"] == true {
        true => line("connected for", ago(&session["connected_at_ms"])),
        false => line("away for", ago(&session["disconnected_at_ms"])),
    }
    line("survives restarts", if session["durable"] == true { "yes".into() } else { "no".into() });
    line(
        "expires",
        match session["expiry_secs"].as_u64() {
            Some(0) => "with its connection".into(),
            Some(secs) => format!("after {secs} s away"),
            None => "never".into(),
        },
    );
    line("waiting", format!("{} messages, {} bytes", session["queued"], session["queued_bytes"]));
    line("unacknowledged", session["unacknowledged"].to_string());
    for (name, value) in session["queue"].as_object().into_iter().flatten() {
        line(&name.replace("_total", "").replace('_', " "), value.to_string());
    }
    for subscription in rows(session, "subscriptions") {
        line("subscribes to", format!("{} (QoS {})", word(&subscription["filter"]), subscription["qos"]));
    }
    text
}

fn connections_text(answer: &Value) -> String {
    let mut text = format!("{:>8} {:<8} {:<24} {:<10} {:<12} client\n", "number", "protocol", "from", "for", "vhost");
    for connection in rows(answer, "connections") {
        let (id, protocol) = (word(&connection["id"]), word(&connection["protocol"]));
        let (peer, since) = (word(&connection["peer"]), ago(&connection["since_ms"]));
        let (vhost, client) = (word(&connection["vhost"]), word(&connection["client"]));
        let _ = writeln!(text, "{id:>8} {protocol:<8} {peer:<24} {since:<10} {vhost:<12} {client}");
    }
    text + &more(answer)
}

fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn more(answer: &Value) -> String {
    match &answer["next"] {
        Value::Null => String::new(),
        next => format!("there are more: --after {}\n", word(next)),
    }
}

/// A value as one reads it. Clients choose their names, so nothing of them may steer a terminal.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => {
            text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
        }
        other => other.to_string(),
    }
}

/// How long it is since then.
fn ago(at_ms: &Value) -> String {
    let Some(at_ms) = at_ms.as_u64() else { return "-".into() };
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(at_ms);
    let secs = at.elapsed().unwrap_or_default().as_secs();
    match secs {
        0..=119 => format!("{secs} s"),
        120..=7199 => format!("{} min", secs / 60),
        7200..=172_799 => format!("{} h", secs / 3600),
        _ => format!("{} d", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_clients_can_be_anything() {
        assert_eq!(percent_encoded("a/b c%ä-~"), "a%2Fb%20c%25%C3%A4-~");
        assert_eq!(word(&json!("a\u{1b}[2Jb")), "a\\u{1b}[2Jb");
    }

    #[test]
    fn lists_say_where_they_go_on() {
        let answer = json!({ "sessions": [{ "client": "a", "connected": false, "subscriptions": 2, "queued": 3,
            "unacknowledged": 0 }], "next": "a" });
        let text = sessions_text(&answer);
        assert!(text.contains("a                                away                2        3        0\n"), "{text}");
        assert!(text.ends_with("there are more: --after a\n"), "{text}");
        let answer = json!({ "connections": [{ "id": 7, "protocol": "mqtt", "peer": "127.0.0.1:1", "client": null }],
            "next": null });
        assert!(connections_text(&answer).contains("7 mqtt     127.0.0.1:1              -          -            -\n"));
    }

    #[test]
    fn without_a_server_it_is_said_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let configuration = Configuration::in_data_dir(dir.path().to_str().unwrap());
        let list = ConnectionsCommand::List {
            vhost: None,
            part: Part { limit: 1, after: None, filter: None },
            asked: Asked { url: None, json: false },
        };
        let error = connections(&list, &configuration).unwrap_err().to_string();
        assert!(error.contains("ports.json") && error.contains("check that motet runs"), "{error}");
    }
}
