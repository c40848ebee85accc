//! What `[acme]` comes to, with the files that it names.

use super::courier::Courier;
use super::shelf::Shelf;
use crate::config::{Acme, Config};
use crate::error::ServerError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;

/// Everything that an order needs.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) acme: Acme,
    pub(super) courier: Courier,
    pub(super) shelf: Shelf,
    /// The identifier and the key of an account outside of ACME. [RFC8555-7.3.4]
    pub(super) external: Option<Arc<(String, Vec<u8>)>>,
}

impl Settings {
    /// None where nothing is fetched.
    ///
    /// # Errors
    /// A file that a key names is not good.
    pub(super) fn read(config: &Config) -> Result<Option<Self>, ServerError> {
        let acme = config.acme.clone();
        if !acme.is_on() {
            return Ok(None);
        }
        let courier = Courier::new(&acme)?;
        let shelf = Shelf::of(&acme, &config.data_dir);
        let external = external(&acme)?.map(Arc::new);
        Ok(Some(Settings { acme, courier, shelf, external }))
    }
}

fn external(acme: &Acme) -> Result<Option<(String, Vec<u8>)>, ServerError> {
    let (Some(account), Some(file)) = (&acme.external_account, &acme.external_account_key_file) else {
        return Ok(None);
    };
    let key = "acme.external_account_key_file";
    let text = crate::access::read_file(key, file)?;
    // Some write it with padding, some in the other alphabet.
    let text: Vec<u8> = text
        .trim_ascii()
        .iter()
        .filter(|byte| **byte != b'=')
        .map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        })
        .collect();
    match URL_SAFE_NO_PAD.decode(text) {
        Ok(secret) if !secret.is_empty() => Ok(Some((account.clone(), secret))),
        _ => Err(ServerError::File {
            key: key.into(),
            file: file.clone(),
            what: "is no key in base64url; write the key into it as the authority gives it".into(),
        }),
    }
}
