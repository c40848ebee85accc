//! PEM files, with errors that name the key, the file and the remedy.

use crate::error::ServerError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::path::Path;

fn wrong(file: &Path, key: &str, what: String) -> ServerError {
    ServerError::File { key: key.into(), file: file.into(), what }
}

/// At least one certificate.
pub(super) fn chain(file: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, ServerError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match chain {
        Ok(chain) if chain.is_empty() => Err(wrong(file, key, "holds no certificate in PEM".into())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(wrong(file, key, format!("is not readable as certificates in PEM: {error}"))),
    }
}

pub(super) fn private_key(file: &Path, key: &str) -> Result<PrivateKeyDer<'static>, ServerError> {
    PrivateKeyDer::from_pem_file(file)
        .map_err(|error| wrong(file, key, format!("is not readable as a private key in PEM: {error}")))
}

/// At least one revocation list.
pub(super) fn revocation_lists(
    file: &Path,
    key: &str,
) -> Result<Vec<CertificateRevocationListDer<'static>>, ServerError> {
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_file_iter(file).and_then(Iterator::collect);
    match lists {
        Ok(lists) if lists.is_empty() => Err(wrong(file, key, "holds no revocation list in PEM (X509 CRL)".into())),
        Ok(lists) => Ok(lists),
        Err(error) => Err(wrong(file, key, format!("is not readable as revocation lists in PEM: {error}"))),
    }
}
