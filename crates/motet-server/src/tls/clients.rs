//! Which client certificates are good: roots, dates, purposes, revocation lists. [RFC5280]

use super::files;
use crate::config::{ClientCertificate, Tls};
use crate::error::ServerError;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::sync::Arc;

pub(super) fn verifier(tls: &Tls, key: &str) -> Result<Arc<dyn ClientCertVerifier>, ServerError> {
    let file = match (&tls.client_ca, tls.client_certificate) {
        (Some(file), ClientCertificate::Optional | ClientCertificate::Required) => file,
        _ => return Ok(WebPkiClientVerifier::no_client_auth()),
    };
    let roots_key = format!("{key}.client_ca");
    let wrong = |what: String| ServerError::File { key: roots_key.clone(), file: file.clone(), what };
    let mut roots = RootCertStore::empty();
    for root in files::chain(file, &roots_key)? {
        roots.add(root).map_err(|error| wrong(format!("holds a root that is not good: {error}")))?;
    }
    let mut lists = Vec::new();
    for (at, file) in tls.client_crl.iter().enumerate() {
        lists.extend(files::revocation_lists(file, &format!("{key}.client_crl.{at}"))?);
    }
    let mut builder = WebPkiClientVerifier::builder(roots.into());
    if !lists.is_empty() {
        // Of the whole chain; an issuer without a list is refused, and so is a list past its next update: who wants
        // revocation to be looked at does not want it skipped in silence.
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    if tls.client_certificate == ClientCertificate::Optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| wrong(error.to_string()))
}
