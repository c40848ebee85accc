//! Certificates: whose they are, which names they serve, and what binds a login to them. [RFC 5280]
//!
//! The handshake has verified a client's certificate before anything here reads it; nothing here trusts one.

mod distinguished_name;
mod template;

pub use template::{Template, TemplateError};

use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry as oid;
use x509_parser::prelude::FromDer as _;

/// What is asked of a server's own certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The DNS names it is for, in small letters; `*.example.org` stands for one further label.
    pub dns_names: Vec<String>,
    /// Of X.509: 3 where there are extensions, without which a name cannot be told.
    pub version: u32,
    /// The beginning of its life, in seconds since 1970.
    pub begins: u64,
    /// The end of its life, in seconds since 1970.
    pub expires: u64,
    /// `tls-server-end-point`: none for signatures that name no hash. [RFC 5929 §4.1]
    pub end_point: Option<Vec<u8>>,
}

impl Served {
    /// Reads a certificate in DER; none when it is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let certificate = parse(der)?;
        let names = general_names(&certificate).iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let dns_names = names.collect();
        let validity = certificate.validity();
        let [begins, expires] =
            [validity.not_before, validity.not_after].map(|time| u64::try_from(time.timestamp()).unwrap_or(0));
        let version = certificate.version().0 + 1;
        Some(Served { dns_names, version, begins, expires, end_point: end_point(&certificate, der) })
    }
}

/// The hash of the certificate by the hash of its signature, at least SHA-256. [RFC 5929 §4.1]
fn end_point(certificate: &X509Certificate<'_>, der: &[u8]) -> Option<Vec<u8>> {
    let signature = &certificate.signature_algorithm.algorithm;
    let is = |oids: &[x509_parser::der_parser::Oid<'_>]| oids.contains(signature);
    if is(&[oid::OID_PKCS1_SHA384WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA384]) {
        return Some(Sha384::digest(der).to_vec());
    }
    if is(&[oid::OID_PKCS1_SHA512WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA512]) {
        return Some(Sha512::digest(der).to_vec());
    }
    let sha_256 = [oid::OID_PKCS1_SHA256WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA256, oid::OID_PKCS1_SHA1WITHRSA];
    is(&sha_256).then(|| Sha256::digest(der).to_vec())
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, certificate)| certificate)
}

fn general_names<'a>(certificate: &'a X509Certificate<'_>) -> &'a [GeneralName<'a>] {
    match certificate.subject_alternative_name() {
        Ok(Some(extension)) => &extension.value.general_names,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_shows_is_read() {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = ["mqtt.Example.org", "*.example.net", "127.0.0.1"].map(String::from);
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let served = Served::read(certificate.der()).unwrap();
        assert_eq!(served.dns_names, ["mqtt.example.org", "*.example.net"]);
        assert_eq!((served.version, served.expires), (3, 2_208_988_800));
        assert_eq!(served.end_point, Some(Sha256::digest(certificate.der()).to_vec()), "ECDSA with SHA-256");
        for wrong in [&b""[..], b"hello", &certificate.der()[..100]] {
            assert_eq!(Served::read(wrong), None);
        }
    }
}
