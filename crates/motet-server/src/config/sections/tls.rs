//! `[tls]`, and the `tls` table of a listener.

use std::path::PathBuf;

use crate::config::section::Conflict;

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

section! {
    /// Certificates. The files are read again on reload, without dropping a connection.
    pub struct Tls {
        /// PEM file with the server's certificate and what chains it to its root. When it is not set, a self-signed
        /// one is made at the first run and kept in `tls/` of the data directory: enough to try, and clients must
        /// be told to trust it.
        certificate: Option<PathBuf> = None, example "\"/etc/motet/server.pem\"";
        /// PEM file with the private key of `certificate`.
        key: Option<PathBuf> = None, example "\"/etc/motet/server.key\"";
        /// PEM file with the roots that client certificates must lead to.
        client_ca: Option<PathBuf> = None, example "\"/etc/motet/clients-ca.pem\"";
        /// Whether a client shows a certificate. Most clients have none.
        client_certificate: ClientCertificate = ClientCertificate::None;
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
        if self.client_certificate != ClientCertificate::None && self.client_ca.is_none() {
            conflicts.push(Conflict {
                key: "client_certificate",
                wrong: format!("is \"{}\", but `client_ca` beside it is not set", self.client_certificate),
                expected: "the roots that client certificates must lead to".into(),
                remedy: "set `client_ca` to a PEM file with these roots, or client_certificate = \"none\"".into(),
            });
        }
        conflicts
    }
}
