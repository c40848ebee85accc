//! After a handshake: who the client's certificate says it is, and what binds a login to this connection.

use super::served::Served;
use crate::config::Tls;
use crate::error::ServerError;
use motet_auth::x509::Template;
use motet_core::machine::{Identity, Secure};
use rustls::ProtocolVersion;

/// The label and length of `tls-exporter`. [RFC9266-2]
const EXPORTER: (&[u8], usize) = (b"EXPORTER-Channel-Binding", 32);

/// How a client certificate becomes a user.
#[derive(Debug)]
pub(super) struct Clients {
    /// None: a certificate opens the door and says nothing about the user.
    template: Option<Template>,
    password_needed: bool,
}

/// The certificate is good, and yet it makes no user by the listener's template.
#[derive(Debug, thiserror::Error)]
#[error("the client's certificate has nothing of what client_identity asks for")]
pub(crate) struct NoUser;

impl Clients {
    pub(super) fn new(tls: &Tls, key: &str) -> Result<Self, ServerError> {
        let template = tls.client_identity.as_deref().map(Template::read).transpose();
        let template = template
            .map_err(|error| ServerError::Tls { key: format!("{key}.client_identity"), what: error.to_string() })?;
        Ok(Clients { template, password_needed: tls.client_password_needed })
    }

    pub(super) fn secure(&self, connection: &rustls::ServerConnection, served: &Served) -> Result<Secure, NoUser> {
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        let identity = match (&self.template, shown) {
            (Some(template), Some(shown)) => {
                let name = template.apply(shown).ok_or(NoUser)?;
                Some(Identity { name: name.into(), password_needed: self.password_needed })
            }
            _ => None,
        };
        let mut bindings = Vec::new();
        // Before TLS 1.3 it may be the same on two connections. [RFC9266-3]
        if connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
            && let Ok(data) = connection.export_keying_material([0; EXPORTER.1], EXPORTER.0, Some(&[]))
        {
            bindings.push(("tls-exporter", data.to_vec().into()));
        }
        if let Some(data) = served.end_point(connection.server_name()) {
            bindings.push(("tls-server-end-point", data.to_vec().into()));
        }
        let certificate = shown.map(|shown| shown.to_vec().into());
        Ok(Secure { certificate, identity, bindings })
    }
}
