//! The certificate of the first run: enough to try, and nobody trusts it unless told to.

use crate::error::ServerError;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Where it is, made when it is not there: certificate and key.
pub(super) fn files(data_dir: &Path) -> Result<(PathBuf, PathBuf), ServerError> {
    let dir = data_dir.join("tls");
    let (certificate, key) = paths(data_dir);
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    let failed = |what: String| ServerError::File { key: "data_dir".into(), file: dir.clone(), what };
    let (certificate_pem, key_pem) = make().map_err(|error| failed(error.to_string()))?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .and_then(|()| write(&key, &key_pem, 0o600))
        .and_then(|()| write(&certificate, &certificate_pem, 0o644))
        .map_err(|error| failed(format!("cannot be written: {error}")))?;
    Ok((certificate, key))
}

/// Where it is or will be.
pub(super) fn paths(data_dir: &Path) -> (PathBuf, PathBuf) {
    let dir = data_dir.join("tls");
    (dir.join("self-signed.pem"), dir.join("self-signed.key"))
}

fn make() -> Result<(String, String), rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let mut params = rcgen::CertificateParams::new(names)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "motet, self-signed");
    let key = rcgen::KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn write(file: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
