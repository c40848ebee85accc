//! Our own certificates: which of them a client is shown. [RFC6066-3]

use super::{files, self_signed};
use crate::acme::Kept;
use crate::config::{AlsoCertificate, Tls};
use crate::error::ServerError;
use motet_auth::x509;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// A certificate, its key, and what it says.
#[derive(Debug)]
struct One {
    key: Arc<CertifiedKey>,
    says: x509::Served,
}

/// All certificates of a listener. The first one is for clients that name nothing, or nothing we know.
#[derive(Debug)]
pub(super) struct Served {
    all: Vec<One>,
    /// Index by name; of two certificates for one name the earlier one holds.
    by_name: HashMap<String, usize>,
}

/// Whether the certificates beside the first one can be read.
pub(super) fn check_further(tls: &Tls, key: &str) -> Result<(), ServerError> {
    let read = |(at, also): (usize, &AlsoCertificate)| read(&also.certificate, &also.key, &format!("{key}.also.{at}"));
    tls.also.iter().enumerate().try_for_each(|one| read(one).map(drop))
}

impl Served {
    /// `kept` is what ACME keeps for a table that names no certificate.
    pub(super) fn read(tls: &Tls, data_dir: &Path, key: &str, kept: Option<&Kept>) -> Result<Self, ServerError> {
        let kept = kept.filter(|_| tls.certificate.is_none());
        let first = match (&tls.certificate, &tls.key) {
            (Some(certificate), Some(private)) => read(certificate, private, key)?,
            _ => match kept.and_then(|kept| fetched(&kept.file)) {
                Some(fetched) => fetched,
                None => {
                    let (certificate, private) = self_signed::files(data_dir)?;
                    read(&certificate, &private, key)?
                }
            },
        };
        let mut all = vec![first];
        for (at, also) in tls.also.iter().enumerate() {
            let key = format!("{key}.also.{at}");
            let one = read(&also.certificate, &also.key, &key)?;
            if let Some(both) = kept.and_then(|kept| kept.names.iter().find(|name| one.says.dns_names.contains(name))) {
                return Err(ServerError::Tls {
                    key: format!("{key}.certificate"),
                    what: format!(
                        "is for {both}, and so is the certificate that acme.domains asks for; remove one of them"
                    ),
                });
            }
            all.push(one);
        }
        let mut by_name = HashMap::new();
        for (at, one) in all.iter().enumerate() {
            for name in &one.says.dns_names {
                by_name.entry(name.clone()).or_insert(at);
            }
        }
        Ok(Served { all, by_name })
    }

    /// When the first of them ends, in seconds since 1970.
    pub(super) fn expires(&self) -> u64 {
        self.all.iter().map(|one| one.says.expires).min().unwrap_or(u64::MAX)
    }

    /// What binds a login to the certificate that was shown to who asked for `name`.
    pub(super) fn end_point(&self, name: Option<&str>) -> Option<&[u8]> {
        self.of(name).says.end_point.as_deref()
    }

    fn of(&self, name: Option<&str>) -> &One {
        let found = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            // A wildcard stands for exactly one label. [RFC6125-6.4.3]
            let wild = || name.split_once('.').and_then(|(_, parent)| self.by_name.get(&format!("*.{parent}")));
            self.by_name.get(&name).or_else(wild).copied()
        });
        &self.all[found.unwrap_or(0)]
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.of(hello.server_name()).key.clone())
    }
}

/// What ACME keeps, once it is there. One that is no good is fetched again, which is told there.
fn fetched(file: &Path) -> Option<One> {
    if !file.exists() {
        return None;
    }
    read(file, file, "acme").ok()
}

fn read(certificate: &Path, private: &Path, key: &str) -> Result<One, ServerError> {
    let chain = files::chain(certificate, &format!("{key}.certificate"))?;
    let private = files::private_key(private, &format!("{key}.key"))?;
    let wrong = |what: String| ServerError::Tls { key: format!("{key}.certificate"), what };
    let says = chain.first().and_then(|first| x509::Served::read(first));
    let says = says.ok_or_else(|| wrong("is no certificate that can be read; name one of version 3".into()))?;
    let certified = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()).map_err(|error| {
        wrong(format!("does not fit its key: {error}; name a certificate and the key it was made for"))
    })?;
    Ok(One { key: Arc::new(certified), says })
}
