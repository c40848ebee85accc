//! `[tls]`, and the `tls` table of a listener.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::section::Conflict;
use motet_auth::x509::Template;

choice! {
    /// Whether a client shows a certificate.
    pub enum ClientCertificate {
        /// It is not asked for one.
        None = "none",
        /// It is asked; one that it shows must be good.
        Optional = "optional",
        /// Without a good one there is no connection.
        Required = "required",
    }
}

choice! {
    /// A version of TLS.
    pub enum TlsVersion {
        /// TLS 1.2 and 1.3.
        V1_2 = "1.2",
        /// TLS 1.3 alone.
        V1_3 = "1.3",
    }
}

section! {
    /// A further certificate, for clients that ask for one of its names.
    pub struct AlsoCertificate {
        /// PEM file with the certificate and what chains it to its root. It must be set. Its DNS names say for whom it
        /// is; `*.example.org` stands for one label.
        certificate: PathBuf = PathBuf::new(), example "\"/etc/motet/other.pem\"";
        /// PEM file with the private key of `certificate`. It must be set.
        key: PathBuf = PathBuf::new(), example "\"/etc/motet/other.key\"";
    }
    verified AlsoCertificate::conflicts
}

impl AlsoCertificate {
    fn conflicts(&self) -> Vec<Conflict> {
        let missing = [("certificate", &self.certificate), ("key", &self.key)];
        let missing = missing.into_iter().filter(|(_, file)| file.as_os_str().is_empty());
        missing
            .map(|(key, _)| Conflict {
                key,
                wrong: "is not set".into(),
                expected: "a PEM file".into(),
                remedy: "set both `certificate` and `key`, or remove this entry".into(),
            })
            .collect()
    }
}

section! {
    /// Certificates. The files are read again when they change and on reload, without dropping a connection; what is
    /// not good then is logged, and the old holds.
    pub struct Tls {
        /// PEM file with the server's certificate and what chains it to its root. When it is not set, a self-signed
        /// one is made at the first run and kept in `tls/` of the data directory: enough to try, and clients must
        /// be told to trust it.
        certificate: Option<PathBuf> = None, example "\"/etc/motet/server.pem\"";
        /// PEM file with the private key of `certificate`.
        key: Option<PathBuf> = None, example "\"/etc/motet/server.key\"";
        /// Further certificates for other names of this server (SNI). Who asks for none of their names, or for no
        /// name, is shown `certificate`.
        also: Vec<AlsoCertificate> = Vec::new();
        /// The least version of TLS. 1.2 is sound as it is spoken here (forward secrecy and authenticated encryption
        /// only), and many devices have no other.
        min_version: TlsVersion = TlsVersion::V1_2;
        /// PEM file with the roots that client certificates must lead to.
        client_ca: Option<PathBuf> = None, example "\"/etc/motet/clients-ca.pem\"";
        /// PEM files with revocation lists of those who issue client certificates, intermediates included: with a list
        /// given, a certificate whose issuer has none, or only an outdated one, is refused. Without any, nothing is
        /// looked up. What is connected already stays.
        client_crl: Vec<PathBuf> = Vec::new();
        /// Whether a client shows a certificate. Most clients have none.
        client_certificate: ClientCertificate = ClientCertificate::None;
        /// Makes a user of a client certificate: a text with `%cn` (common name), `%dn` (the whole subject as RFC 4514
        /// writes it), `%san_dns`, `%san_email` or `%san_uri` (the first of its kind). That user needs no `[[user]]`;
        /// another user name beside the certificate is refused, and so is a certificate without what is asked for.
        /// When it is not set, a certificate opens the door and clients log in as without one.
        client_identity: Option<String> = None, example "\"%cn\"";
        /// Whether the user that `client_identity` makes needs its password as well: two factors, the second of them
        /// from `[[user]]` or `motet user`.
        client_password_needed: bool = false;
        /// How often the files are looked at for changes; 0 looks only on reload. A look costs a few calls to the
        /// system.
        watch_interval: Duration = Duration::from_secs(10), within Duration::ZERO..=Duration::from_secs(86_400);
    }
    verified Tls::conflicts
}

impl Tls {
    fn conflicts(&self) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        let pairs = [
            (&self.certificate, &self.key, "certificate", "key"),
            (&self.key, &self.certificate, "key", "certificate"),
        ];
        for (set, unset, key, other) in pairs {
            if set.is_some() && unset.is_none() {
                conflicts.push(Conflict {
                    key,
                    wrong: format!("is set, but `{other}` beside it is not"),
                    expected: "both, or neither for a self-signed certificate".into(),
                    remedy: format!("set `{other}` to the PEM file that belongs to it, or remove `{key}`"),
                });
            }
        }
        conflicts.extend(self.client_conflicts());
        conflicts
    }

    fn client_conflicts(&self) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        if self.client_certificate != ClientCertificate::None && self.client_ca.is_none() {
            conflicts.push(Conflict {
                key: "client_certificate",
                wrong: format!("is \"{}\", but `client_ca` beside it is not set", self.client_certificate),
                expected: "the roots that client certificates must lead to".into(),
                remedy: "set `client_ca` to a PEM file with these roots, or client_certificate = \"none\"".into(),
            });
        }
        let of_no_use = [
            ("client_crl", !self.client_crl.is_empty()),
            ("client_identity", self.client_identity.is_some()),
            ("client_password_needed", self.client_password_needed),
        ];
        let asked = self.client_certificate != ClientCertificate::None;
        for (key, _) in of_no_use.into_iter().filter(|(_, set)| *set && !asked) {
            conflicts.push(Conflict {
                key,
                wrong: "is set, but clients are not asked for a certificate".into(),
                expected: "client_certificate = \"optional\" or \"required\" beside it".into(),
                remedy: format!("set `client_certificate`, or remove `{key}`"),
            });
        }
        if let Some(error) = self.client_identity.as_deref().and_then(|text| Template::read(text).err()) {
            conflicts.push(Conflict {
                key: "client_identity",
                wrong: format!("is {:?}", self.client_identity.as_deref().unwrap_or_default()),
                expected: "a text with a place that a certificate fills".into(),
                remedy: error.to_string(),
            });
        }
        conflicts
    }
}
