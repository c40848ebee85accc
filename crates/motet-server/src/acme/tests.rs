//! What is kept and what is shown, without an authority; with one see `tests/interop/test_acme.py`.

use super::answers::Pending;
use super::courier::Courier;
use super::settings::Settings;
use super::shelf::{Issued, Shelf};
use super::*;
use crate::config::{Acme, Config, Protocol, Tls};
use crate::tls::{self, Certificates};
use bytes::Bytes;
use hyper::Request;
use instant_acme::{BodyWrapper, HttpClient as _};
use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

const NAME: &str = "mqtt.example.org";

fn config(dir: &Path) -> Config {
    let acme = Acme { domains: vec![NAME.into()], accept_terms: true, ..Acme::default() };
    Config { data_dir: dir.into(), acme, ..Config::default() }
}

fn issued(name: &str) -> Issued {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    Issued::read(format!("{}{}", key.serialize_pem(), certificate.pem())).unwrap()
}

#[test]
fn what_is_kept_is_for_the_server_alone_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::of(&config(dir.path()).acme, dir.path());
    assert!(shelf.certificate().unwrap().is_none() && shelf.account().unwrap().is_none());
    let first = issued(NAME);
    for one in [&issued("former.example.org"), &first] {
        shelf.keep_certificate(one).unwrap();
    }
    assert_eq!(shelf.certificate().unwrap().as_ref(), Some(&first));
    assert!(first.is_for(&[NAME.into()]) && !first.is_for(&[NAME.into(), "also.example.org".into()]));
    let file = Kept::of(&config(dir.path())).unwrap().file;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(file.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let account = file.with_file_name("account.json");
    std::fs::write(&account, "{").unwrap();
    let error = shelf.account().err().unwrap().to_string();
    assert!(error.contains("account.json") && error.contains("remove it"), "{error}");
    std::fs::write(&file, "nonsense").unwrap();
    assert!(shelf.certificate().unwrap().is_none(), "another one is fetched");
}

#[test]
fn each_directory_has_what_it_gave_in_a_place_of_its_own() {
    let folder = |url: &str| {
        let acme = Acme { directory_url: url.into(), domains: vec![NAME.into()], ..Acme::default() };
        Kept::of(&Config { acme, ..Config::default() }).unwrap().file.parent().unwrap().to_owned()
    };
    assert_ne!(folder("https://ca.example/a/b"), folder("https://ca.example/a-b"));
    let climbs = folder("https://ca.example/../../etc");
    assert_eq!(climbs.parent().unwrap().file_name().unwrap(), "acme", "{climbs:?}");
    assert!(folder(&format!("https://{}", "x".repeat(5_000))).file_name().unwrap().len() < 128);
}

#[test]
fn a_certificate_of_another_key_is_not_taken() {
    let [one, other] = [issued(NAME), issued(NAME)].map(|issued| issued.pem);
    let (key, _) = one.split_once("-----BEGIN CERTIFICATE").unwrap();
    let (_, chain) = other.split_once("-----BEGIN CERTIFICATE").unwrap();
    let error = Issued::read(format!("{key}-----BEGIN CERTIFICATE{chain}")).unwrap_err();
    assert!(error.contains("do not fit"), "{error}");
    assert!(Issued::read(key.to_owned()).unwrap_err().contains("no certificate"));
    assert!(Issued::read(String::new()).is_err());
}

/// Keeps the certificate that it is shown, and asks nothing of it: a library that does refuses the challenge's extension.
#[derive(Debug, Default)]
struct Sees(Mutex<Option<CertificateDer<'static>>>);

impl ServerCertVerifier for Sees {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock() = Some(shown.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Shakes hands as a client that offers this; the certificate that it is shown, and whether the server goes on with it.
async fn meet(certificates: &Certificates, board: &Board, alpn: &[&[u8]]) -> Option<(CertificateDer<'static>, bool)> {
    let sees = Arc::new(Sees::default());
    let mut tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(sees.clone())
        .with_no_client_auth();
    tls.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
    let (ours, theirs) = tokio::io::duplex(16 << 10);
    let name = ServerName::try_from(NAME).unwrap();
    let handshake = certificates.handshake();
    let (client, server) = tokio::join!(
        tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, theirs),
        handshake.shake(ours, board)
    );
    client.ok()?;
    let goes_on = server.ok()?.is_some();
    Some((sees.0.lock().take()?, goes_on))
}

#[tokio::test]
async fn an_authority_is_shown_its_challenge_and_everybody_else_the_certificate() {
    const AUTHORITY: &[&[u8]] = &[b"acme-tls/1"];
    let dir = tempfile::tempdir().unwrap();
    let board = Board::default();
    let certificates =
        Certificates::open(&Tls::default(), dir.path(), "tls", None, tls::alpn(Protocol::Https)).unwrap();
    let (ordinary, goes_on) = meet(&certificates, &board, &[b"mqtt"]).await.unwrap();
    assert!(goes_on);
    assert!(meet(&certificates, &board, AUTHORITY).await.is_none(), "no order is under way");
    let digest = [7; 32];
    let mut pending = Pending::default();
    pending.handshake(NAME, &digest).unwrap();
    pending.page("token", "token.thumb");
    let shown = board.answers.show(pending);
    let (proof, goes_on) = meet(&certificates, &board, AUTHORITY).await.unwrap();
    assert!(!goes_on, "nothing is said after the handshake");
    assert!(proof != ordinary && proof.windows(32).any(|bytes| bytes == digest));
    for others in [&[&b"mqtt"[..]][..], &[b"acme-tls/1", b"mqtt"], &[]] {
        assert_eq!(meet(&certificates, &board, others).await.unwrap(), (ordinary.clone(), true));
    }
    assert_eq!(board.answers.page("/.well-known/acme-challenge/token").as_deref(), Some("token.thumb"));
    for path in ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/other", "/token"] {
        assert_eq!(board.answers.page(path), None);
    }
    drop(shown);
    assert!(meet(&certificates, &board, AUTHORITY).await.is_none());
    assert_eq!(board.answers.page("/.well-known/acme-challenge/token"), None);
}

#[tokio::test]
async fn a_request_that_is_not_encrypted_is_never_sent() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root.pem");
    std::fs::write(&root, issued(NAME).pem).unwrap();
    let acme = Acme { ca_file: Some(root), ..Acme::default() };
    let courier = Courier::new(&acme).unwrap();
    let request = Request::builder().uri("http://127.0.0.1:1/").body(BodyWrapper::<Bytes>::default()).unwrap();
    let error = courier.request(request).await.err().unwrap().to_string();
    assert!(error.contains("https://"), "{error}");
    assert_eq!(courier.told(), None);
}

#[test]
fn a_file_that_is_no_good_is_named_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = |change: &dyn Fn(&mut Acme)| {
        let mut config = config(dir.path());
        let root = dir.path().join("root.pem");
        std::fs::write(&root, issued(NAME).pem).unwrap();
        config.acme.ca_file = Some(root);
        change(&mut config.acme);
        Settings::read(&config).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(wrong(&|_| {}), Ok(()));
    let error = wrong(&|acme| acme.ca_file = Some("/nowhere.pem".into())).unwrap_err();
    assert!(error.contains("acme.directory_url") && error.contains("/nowhere.pem"), "{error}");
    let file = dir.path().join("account.key");
    let external = |text: &str| {
        std::fs::write(&file, text).unwrap();
        wrong(&|acme| {
            acme.external_account = Some("kid".into());
            acme.external_account_key_file = Some(file.clone());
        })
    };
    for good in ["AAEC_w\n", "AAEC/w==", " AAEC_w "] {
        assert_eq!(external(good), Ok(()), "{good}");
    }
    for bad in ["", "not a key!", "="] {
        assert!(external(bad).unwrap_err().starts_with("acme.external_account_key_file: "), "{bad}");
    }
}
