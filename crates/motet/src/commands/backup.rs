//! `motet backup --to DIR`: a running server is asked to copy its journal; when none runs, the copy is made here.

use std::path::Path;
use std::process::ExitCode;

use motet_server::{BACKUP_PATH, BackedUp, BackupError, copy_unused};
use serde_json::{Value, json};

use super::{Failure, http, running};
use crate::cli::{Backup, Configuration};
use crate::print;

pub(crate) fn backup(options: &Backup, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let data_dir = configuration.load()?.config.data_dir;
    // The server's working directory may be another one.
    let target = std::path::absolute(&options.to)?;
    let (made, how) = match copy_unused(&data_dir, &target) {
        Ok(made) => (made, "offline"),
        Err(BackupError::InUse(_)) => (ask(&data_dir, &target, options.url.as_deref())?, "online"),
        Err(error @ BackupError::NoJournal(_)) => {
            return Err(
                format!("{error}\n  to do: name the server's data directory with --data-dir or --config").into()
            );
        }
        Err(error) => return Err(error.into()),
    };
    print::answer(if options.json { as_json(&target, made, how) } else { as_text(&target, made, how) });
    Ok(ExitCode::SUCCESS)
}

fn as_text(target: &Path, BackedUp { bytes, position }: BackedUp, how: &str) -> String {
    let up_to = match position {
        Some(position) => format!("the running server's messages up to position {position}"),
        None => "everything; no server is running".into(),
    };
    let place = target.display();
    format!(
        "{place}: {bytes} bytes, {how}: {up_to}\nto check it: motet store check {place}\nto start on it: motet --data-dir {place}\n"
    )
}

fn as_json(target: &Path, BackedUp { bytes, position }: BackedUp, how: &str) -> String {
    format!("{}\n", json!({ "target": target, "bytes": bytes, "position": position, "how": how }))
}

/// Asks the server that uses `data_dir`.
fn ask(data_dir: &Path, target: &Path, url: Option<&str>) -> Result<BackedUp, Failure> {
    let (authority, token) = running::find(data_dir, url)?;
    let Some(path) = target.to_str() else {
        return Err(format!("{}: a running server takes a name in UTF-8 only", target.display()).into());
    };
    let body = json!({ "target": path }).to_string();
    let response = http::post(&authority, BACKUP_PATH, &token, &body).map_err(|error| {
        format!(
            "the journal in {} is in use, but its server did not answer on http://{authority}{BACKUP_PATH}: {error}\n  \
             to do: if the server has just ended, see whether {} is there; else stop the server and try again, the copy is then made without it",
            data_dir.display(),
            target.join(motet_server::JOURNAL_DIR).display()
        )
    })?;
    if response.status != 200 {
        let said = response.body.trim();
        return Err(format!("the server on http://{authority} made no backup ({}): {said}", response.status).into());
    }
    let answer: Value = serde_json::from_str(&response.body)?;
    let bytes = answer["bytes"].as_u64().ok_or("the server's answer does not tell the size of the backup")?;
    Ok(BackedUp { bytes, position: answer["position"].as_u64() })
}

#[cfg(test)]
mod tests {
    use motet_server::config::{Loaded, Sources, load};
    use motet_server::{PORTS_FILE, Server, TOKEN_FILE};

    use super::*;

    fn configuration(data_dir: &Path) -> (Configuration, Loaded) {
        let data_dir = data_dir.to_str().unwrap();
        let configuration = Configuration::in_data_dir(data_dir);
        let mut sources = Sources::default();
        for assignment in ["listener.0.address=localhost:0", "listener.0.protocol=http"] {
            sources.set(assignment).unwrap();
        }
        sources.option("--data-dir", "data_dir", data_dir);
        (configuration, load(&sources).unwrap())
    }

    fn to(target: &Path, url: Option<String>) -> Backup {
        Backup { to: target.into(), url, json: true }
    }

    #[test]
    fn without_a_server_the_copy_is_made_here_and_with_one_by_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let (configuration, Loaded { config, .. }) = configuration(&data);
        let nothing = backup(&to(&dir.path().join("none"), None), &configuration).unwrap_err().to_string();
        assert!(nothing.contains("there is no journal here"), "{nothing}");

        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(async { Server::start(&config) }).unwrap();
        let address = server.addresses()[0].address;
        let silent = backup(&to(&dir.path().join("silent"), None), &configuration).unwrap_err().to_string();
        assert!(silent.contains("ports.json") && silent.contains("wait until the server is ready"), "{silent}");
        let ports = format!("[{{\"protocol\": \"http\", \"address\": \"{address}\"}}]");
        std::fs::write(data.join(PORTS_FILE), ports).unwrap();
        for (name, url) in [("by-file", None), ("by-url", Some(format!("http://{address}")))] {
            let target = dir.path().join(name);
            backup(&to(&target, url), &configuration).unwrap();
            assert!(target.join("journal").is_dir());
            let again = backup(&to(&target, None), &configuration).unwrap_err().to_string();
            assert!(again.contains("is not empty"), "{again}");
        }
        std::fs::write(data.join(TOKEN_FILE), "guessed").unwrap();
        let refused = backup(&to(&dir.path().join("refused"), None), &configuration).unwrap_err().to_string();
        assert!(refused.contains("made no backup (401)"), "{refused}");

        runtime.block_on(server.shutdown());
        let target = dir.path().join("offline");
        backup(&to(&target, None), &configuration).unwrap();
        assert!(target.join("journal").is_dir());
    }
}
