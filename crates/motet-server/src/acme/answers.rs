//! What an authority looks for at our listeners while an order is under way: pages and certificates of one purpose.

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ClientHello;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::collections::HashMap;
use std::sync::Arc;

/// Where a page is asked for; the token follows. [RFC8555-8.3]
pub(crate) const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";
/// What an authority's validator speaks inside of TLS. [RFC8737-4]
const ALPN: &[u8] = b"acme-tls/1";

/// What is to be found.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Key authorizations by token.
    pages: HashMap<String, String>,
    /// How a handshake goes that asks for the name.
    handshakes: HashMap<String, Arc<ServerConfig>>,
}

impl Pending {
    pub(super) fn page(&mut self, token: &str, authorization: &str) {
        self.pages.insert(token.into(), authorization.into());
    }

    /// A self-signed certificate with the digest of the key authorization in it. [RFC8737-3]
    pub(super) fn handshake(
        &mut self,
        domain: &str,
        digest: &[u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::new([domain.to_owned()])?;
        params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(digest)];
        let certificate = params.self_signed(&key)?;
        let provider = aws_lc_rs::default_provider();
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let private = provider.key_provider.load_private_key(private)?;
        // Nobody checks whether they fit: the check refuses the extension, which must be critical.
        let certified = CertifiedKey::new(vec![certificate.der().clone()], private);
        // Whoever validates has no certificate to show, whatever the listener wants of others.
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        self.handshakes.insert(domain.into(), Arc::new(config));
        Ok(())
    }
}

/// Looked at by every listener; filled by one order at a time, which bounds it.
#[derive(Debug, Default)]
pub(crate) struct Answers(ArcSwap<Pending>);

impl Answers {
    /// Shows them until the guard goes.
    pub(super) fn show(&self, pending: Pending) -> Shown<'_> {
        self.0.store(Arc::new(pending));
        Shown(self)
    }

    /// The page at this path.
    pub(crate) fn page(&self, path: &str) -> Option<String> {
        self.0.load().pages.get(path.strip_prefix(CHALLENGE_PATH)?).cloned()
    }

    /// Whether a handshake may be an authority's: only then is it worth a look.
    pub(crate) fn awaits_handshake(&self) -> bool {
        !self.0.load().handshakes.is_empty()
    }

    /// How to shake hands with an authority; none for everybody else.
    pub(crate) fn handshake(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        // Nothing else may be offered beside it. [RFC8737-4]
        let mut offered = hello.alpn()?;
        let alone = offered.next() == Some(ALPN) && offered.next().is_none();
        let name = hello.server_name().filter(|_| alone)?.to_ascii_lowercase();
        self.0.load().handshakes.get(&name).cloned()
    }
}

/// Takes down what was shown, however the order ends.
pub(super) struct Shown<'a>(&'a Answers);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.0.store(Arc::default());
    }
}
