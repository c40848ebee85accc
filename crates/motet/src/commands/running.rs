//! How a running server is found and proved to be ours: by what it has written into its data directory.

use std::path::{Path, PathBuf};

use motet_server::{PORTS_FILE, TOKEN_FILE};
use serde_json::Value;

use super::{Failure, http};

/// Host and port of the server that uses `data_dir`, and the token it has written there.
pub(super) fn find(data_dir: &Path, url: Option<&str>) -> Result<(String, String), Failure> {
    let authority = match url {
        Some(url) => {
            http::authority(url).ok_or_else(|| format!("--url {url}: expected http://host:port of an HTTP listener"))?
        }
        None => http_listener(data_dir)?,
    };
    let token = read(data_dir.join(TOKEN_FILE), "to do: run this as the user of the server")?;
    Ok((authority, token.trim().into()))
}

/// The address of a running server's HTTP listener, from where it writes them down.
fn http_listener(data_dir: &Path) -> Result<String, Failure> {
    let file = data_dir.join(PORTS_FILE);
    let hint = "to do: wait until the server is ready, or stop it and try again: then it is done without it";
    let ports: Value = serde_json::from_str(&read(file.clone(), hint)?)?;
    let listeners = ports.as_array().map(Vec::as_slice).unwrap_or_default();
    let http = listeners.iter().find(|listener| listener["protocol"] == "http");
    let Some(address) = http.and_then(|listener| listener["address"].as_str()) else {
        return Err(format!(
            "{}: the server has no listener with protocol \"http\", and only there it can be asked\n  \
             to do: add one on localhost, or stop the server and try again: then it is done without it",
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
    Ok(std::fs::read_to_string(&file)
        .map_err(|error| format!("the server is running, but {}: {error}\n  {hint}", file.display()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_whole_machine_is_asked_on_loopback() {
        for (bound, asked) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("192.0.2.1:80", "192.0.2.1:80")]
        {
            assert_eq!(reachable(bound), asked);
        }
    }
}
