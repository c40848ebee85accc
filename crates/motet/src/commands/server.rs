//! The running server that uses a data directory: where it listens and the token that lets us ask it.

use std::path::{Path, PathBuf};

use motet_server::{PORTS_FILE, TOKEN_FILE};
use serde_json::Value;

use super::{Failure, http};

/// Where to ask, and with what.
pub(super) struct Running {
    pub(super) authority: String,
    pub(super) token: String,
}

/// The server of `data_dir`; `url` names another of its listeners than the one it has written down.
pub(super) fn running(data_dir: &Path, url: Option<&str>) -> Result<Running, Failure> {
    let authority = match url {
        Some(url) => {
            http::authority(url).ok_or_else(|| format!("--url {url}: expected http://host:port of an HTTP listener"))?
        }
        None => http_listener(data_dir)?,
    };
    let token = read(data_dir.join(TOKEN_FILE), "to do: run this as the user of the server")?;
    Ok(Running { authority, token: token.trim().into() })
}

/// The address of a running server's HTTP listener, from where it writes them down.
fn http_listener(data_dir: &Path) -> Result<String, Failure> {
    let file = data_dir.join(PORTS_FILE);
    let hint = "to do: start the server, or name its data directory with --data-dir or --config";
    let ports: Value = serde_json::from_str(&read(file.clone(), hint)?)?;
    let listeners = ports.as_array().map(Vec::as_slice).unwrap_or_default();
    let http = listeners.iter().find(|listener| listener["protocol"] == "http");
    let Some(address) = http.and_then(|listener| listener["address"].as_str()) else {
        return Err(format!(
            "{}: the server has no listener with protocol \"http\", and only there it can be asked\n  \
             to do: add one on localhost",
            file.display()
        )
        .into());
    };
    Ok(reachable(address))
}

/// An address on which all of the machine listens is none to connect to.
pub(super) fn reachable(address: &str) -> String {
    match address.rsplit_once(':') {
        Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        _ => address.into(),
    }
}

fn read(file: PathBuf, hint: &str) -> Result<String, Failure> {
    Ok(std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}\n  {hint}", file.display()))?)
}
