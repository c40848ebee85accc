//! Certificates as files: read, refused, replaced, chosen by name.

use super::*;
use crate::config::{AlsoCertificate, ClientCertificate};
use std::os::unix::fs::PermissionsExt as _;

fn read(dir: &Path, tls: &Tls) -> Result<Certificates, ServerError> {
    Certificates::open(tls, dir, "tls", None, alpn(Protocol::Https))
}

/// Writes a certificate for these names and answers what `[tls]` says of it.
fn made(dir: &Path, file: &str, names: &[&str]) -> (PathBuf, PathBuf) {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let paths = (dir.join(file).with_extension("pem"), dir.join(file).with_extension("key"));
    std::fs::write(&paths.0, certificate.pem()).unwrap();
    std::fs::write(&paths.1, key.serialize_pem()).unwrap();
    paths
}

fn tls(dir: &Path) -> Tls {
    let (certificate, key) = made(dir, "server", &["mqtt.example.org"]);
    Tls { certificate: Some(certificate), key: Some(key), ..Tls::default() }
}

#[test]
fn the_first_run_makes_a_certificate_that_later_runs_keep() {
    let dir = tempfile::tempdir().unwrap();
    read(dir.path(), &Tls::default()).unwrap();
    let key = dir.path().join("tls/self-signed.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&key).unwrap();
    read(dir.path(), &Tls::default()).unwrap();
    assert_eq!(std::fs::read(&key).unwrap(), before);
}

/// What is agreed upon with a client that offers this; an error when that is nothing.
async fn agree(protocol: Protocol, offered: &[&[u8]]) -> Result<Option<Vec<u8>>, io::Error> {
    let dir = tempfile::tempdir().unwrap();
    let tls = tls(dir.path());
    let certificates = Certificates::open(&tls, dir.path(), "tls", None, alpn(protocol)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(files::chain(tls.certificate.as_deref().unwrap(), "tls").unwrap());
    let mut client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    let (ours, theirs) = tokio::io::duplex(16 << 10);
    let name = "mqtt.example.org".try_into().unwrap();
    let (handshake, board) = (certificates.handshake(), Board::default());
    let (client, server) = tokio::join!(
        tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, theirs),
        handshake.shake(ours, &board)
    );
    server?;
    Ok(client?.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
}

#[tokio::test]
async fn a_listener_agrees_on_what_it_speaks_and_on_nothing_else() {
    for (protocol, offered, agreed) in [
        (Protocol::Mqtts, &[&b"h2"[..], b"http/1.1"][..], Err(())),
        (Protocol::Mqtts, &[b"x-amzn-mqtt-ca"], Ok(Some(&b"x-amzn-mqtt-ca"[..]))),
        (Protocol::Mqtts, &[b"http/1.1", b"mqtt"], Ok(Some(b"mqtt"))),
        (Protocol::Mqtts, &[], Ok(None)),
        (Protocol::Https, &[b"h2", b"http/1.1"], Ok(Some(b"http/1.1"))),
        (Protocol::Https, &[b"mqtt"], Ok(Some(b"mqtt"))),
        (Protocol::Amqps, &[b"amqp"], Ok(None)),
        (Protocol::ManagementTls, &[b"mqtt"], Err(())),
    ] {
        let found = agree(protocol, offered).await.map_err(drop);
        assert_eq!(found, agreed.map(|name| name.map(<[u8]>::to_vec)), "{protocol:?} {offered:?}");
    }
}

/// What `openssl x509 -req` makes without an extension file.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBFjCBvQIUIuKoNT/ArxF3/4GE0mv8e2mQKIkwCgYIKoZIzj0EAwIwDTELMAkG
A1UEAwwCY2EwIBcNMjYxMTIxMTgzODI1WhgPMjEyNjEwMjgxODM4MjVaMA0xCzAJ
BgNVBAMMAnYxMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEtQRuPGq4c2jADFim
WoVEikpn6t6FjY6g212NchxqzE00Gh+GfMoMlORnXshFgICrBtA5woFSiPBEfvQU
GmxXDTAKBggqhkjOPQQDAgNIADBFAiEAh982DyJdsTpUHAi3zDxJxum/H7RuHtLC
NARTb+nt+oICICBuJhUNZxilIE4wVT2AfX1NxuE9inH4ge0PUMXkMudL
-----END CERTIFICATE-----
";

#[test]
fn a_certificate_of_version_1_is_told_as_that() {
    let dir = tempfile::tempdir().unwrap();
    let tls = tls(dir.path());
    let old = dir.path().join("old.pem");
    std::fs::write(&old, VERSION_1).unwrap();
    let error = read(dir.path(), &Tls { certificate: Some(old.clone()), ..tls.clone() }).unwrap_err().to_string();
    assert!(error.starts_with("tls.certificate: is of version 1 of X.509") && error.contains("-extfile"), "{error}");
    // As a client's.
    let client_ca = tls.certificate.clone();
    let tls = Tls { client_certificate: ClientCertificate::Required, client_ca, ..tls };
    let verifier = clients::verifier(&tls, "tls").unwrap();
    let old = files::chain(&old, "tls").unwrap().remove(0);
    let error = verifier.verify_client_cert(&old, &[], rustls::pki_types::UnixTime::now()).unwrap_err();
    assert!(in_words(&error).unwrap().starts_with("the certificate is of version 1 of X.509"), "{error}");
}

#[test]
fn a_file_that_is_no_certificate_is_named_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hello.pem");
    std::fs::write(&file, "hello").unwrap();
    let wrong = |change: &dyn Fn(&mut Tls)| {
        let mut tls = tls(dir.path());
        change(&mut tls);
        Certificates::open(&tls, dir.path(), "listener.2.tls", None, alpn(Protocol::Https)).unwrap_err().to_string()
    };
    let also = || AlsoCertificate { certificate: file.clone(), key: file.clone() };
    let clients = |tls: &mut Tls| {
        tls.client_certificate = ClientCertificate::Required;
        tls.client_ca = tls.certificate.clone();
    };
    for (key, error) in [
        ("certificate", wrong(&|tls| tls.certificate = Some(file.clone()))),
        ("key", wrong(&|tls| tls.key = Some(file.clone()))),
        ("also.0.certificate", wrong(&|tls| tls.also.push(also()))),
        (
            "client_ca",
            wrong(&|tls| {
                clients(tls);
                tls.client_ca = Some(file.clone());
            }),
        ),
        (
            "client_crl.0",
            wrong(&|tls| {
                clients(tls);
                tls.client_crl.push(file.clone());
            }),
        ),
    ] {
        assert!(error.starts_with(&format!("listener.2.tls.{key}: ")) && error.contains("hello.pem"), "{error}");
    }
    let (other, _) = made(dir.path(), "other", &["other"]);
    let unfit = wrong(&|tls| tls.certificate = Some(other.clone()));
    assert!(unfit.contains("does not fit its key"), "{unfit}");
}

#[test]
fn a_certificate_that_went_bad_leaves_the_old_one_and_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let tls = tls(dir.path());
    let certificates = read(dir.path(), &tls).unwrap();
    let before = certificates.current.load_full();
    assert!(certificates.look().is_none(), "nothing has changed");
    std::fs::write(tls.certificate.as_ref().unwrap(), "").unwrap();
    assert!(certificates.look().unwrap().is_err());
    assert!(certificates.look().is_none(), "and it is told once");
    assert!(Arc::ptr_eq(&before, &certificates.current.load_full()));
    made(dir.path(), "server", &["new.example.org"]);
    assert!(certificates.look().unwrap().is_ok());
    assert!(!Arc::ptr_eq(&before, &certificates.current.load_full()));
    assert!(certificates.expires() > 0);
}

#[test]
fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut tls = tls(dir.path());
    for (file, names) in [("other", &["other.example.org"][..]), ("wild", &["*.example.net", "mqtt.example.org"])] {
        let (certificate, key) = made(dir.path(), file, names);
        tls.also.push(AlsoCertificate { certificate, key });
    }
    let served = Served::read(&tls, dir.path(), "tls", None).unwrap();
    let end_points: Vec<_> = [Some("mqtt.example.org"), Some("other.example.org"), Some("a.example.net")]
        .map(|name| served.end_point(name).unwrap())
        .into();
    assert!(end_points[0] != end_points[1] && end_points[1] != end_points[2]);
    for (name, at) in [
        (None, 0),
        (Some("unknown.example.org"), 0),
        (Some("MQTT.example.org"), 0),
        (Some("OTHER.EXAMPLE.ORG"), 1),
        (Some("b.example.net"), 2),
        (Some("a.b.example.net"), 0),
        (Some("example.net"), 0),
    ] {
        assert_eq!(served.end_point(name).unwrap(), end_points[at], "{name:?}");
    }
}

#[test]
fn what_acme_keeps_is_shown_once_it_is_there_and_where_no_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = made(dir.path(), "fetched", &["mqtt.example.org"]);
    let file = dir.path().join("bundle.pem");
    let kept = Some(Kept { file: file.clone(), names: vec!["mqtt.example.org".into()] });
    let certificates =
        Certificates::open(&Tls::default(), dir.path(), "tls", kept.clone(), alpn(Protocol::Https)).unwrap();
    let shown = |certificates: &Certificates| certificates.current.load().served.end_point(None).unwrap().to_vec();
    let self_signed = shown(&certificates);
    // The first run has written its files.
    let _ = certificates.look();
    std::fs::write(&file, [std::fs::read(&key).unwrap(), std::fs::read(&certificate).unwrap()].concat()).unwrap();
    assert!(certificates.look().unwrap().is_ok());
    assert_ne!(shown(&certificates), self_signed);
    let named = Certificates::open(&tls(dir.path()), dir.path(), "tls", kept.clone(), alpn(Protocol::Https)).unwrap();
    assert!(shown(&named) != shown(&certificates) && shown(&named) != self_signed);
    let also = Tls { also: vec![AlsoCertificate { certificate, key }], ..Tls::default() };
    let both = Certificates::open(&also, dir.path(), "tls", kept, alpn(Protocol::Https)).unwrap_err().to_string();
    assert!(
        both.starts_with("tls.also.0.certificate: is for mqtt.example.org") && both.contains("acme.domains"),
        "{both}"
    );
    std::fs::write(&file, "half").unwrap();
    assert!(certificates.look().unwrap().is_ok(), "another one is fetched; until then the first run's");
    assert_eq!(shown(&certificates), self_signed);
}
