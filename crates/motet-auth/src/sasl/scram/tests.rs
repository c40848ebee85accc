//! Whole exchanges: the examples of the specifications, and what a client may not do.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const SHA_256: Mechanism = Mechanism { hash: ScramHash::Sha256, plus: false };
const SHA_256_PLUS: Mechanism = Mechanism { hash: ScramHash::Sha256, plus: true };
const CHANNEL: Binding<'_> = Binding { tls_exporter: Some(&[7; 32]), tls_server_end_point: Some(&[9; 32]) };

fn keys(hash: ScramHash, salt: &str) -> ScramKeys {
    ScramKeys::derive(hash, "pencil", &STANDARD.decode(salt).unwrap(), 4096).unwrap()
}

#[test]
fn the_example_of_rfc_5802_holds() {
    let mechanism = Mechanism::named("SCRAM-SHA-1").unwrap();
    let first = ClientFirst::read(mechanism, b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", false).unwrap();
    assert_eq!(first.user(), "user");
    let (server_first, exchange) = first.challenge(keys(ScramHash::Sha1, "QSXCR+Q6sek8bf92"), "3rfcNHYJY1ZVvWVs7j");
    assert_eq!(server_first, "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096");
    let client_final = b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
    assert_eq!(exchange.finish(client_final, None).unwrap(), "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
}

#[test]
fn the_example_of_rfc_7677_holds() {
    let first = ClientFirst::read(SHA_256, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", false).unwrap();
    let (server_first, exchange) =
        first.challenge(keys(ScramHash::Sha256, "W22ZaJ0SNY7soEsUEjb6gQ=="), "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    assert_eq!(server_first, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    let client_final =
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(exchange.finish(client_final, None).unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

/// A client of ours: its last message for this exchange, computed from the password alone.
pub(crate) fn client_final(hash: ScramHash, password: &str, bare: &str, server_first: &str, bound: &[u8]) -> String {
    let field = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let salt = STANDARD.decode(field("s=")).unwrap();
    let salted = hash.stretch(password.as_bytes(), &salt, field("i=").parse().unwrap());
    let client_key = hash.hmac(salted.as_slice(), b"Client Key");
    let stored = hash.hash(client_key.as_slice());
    let without_proof = format!("c={},r={}", STANDARD.encode(bound), field("r="));
    let auth_message = format!("{bare},{server_first},{without_proof}");
    let proof = hash.hmac(stored.as_slice(), auth_message.as_bytes()).xor(client_key.as_slice());
    format!("{without_proof},p={}", STANDARD.encode(proof.as_slice()))
}

/// An exchange of "user" with this header and this binding data, over `channel`.
fn exchange(
    mechanism: Mechanism,
    header: &str,
    data: &[u8],
    password: &str,
    channel: Option<Binding<'_>>,
) -> Result<String, ScramError> {
    let bare = "n=user,r=abc";
    let first = ClientFirst::read(mechanism, format!("{header}{bare}").as_bytes(), false)?;
    let (server_first, exchange) = first.challenge(keys(mechanism.hash, "c2FsdA=="), "def");
    let last = client_final(mechanism.hash, password, bare, &server_first, &[header.as_bytes(), data].concat());
    exchange.finish(last.as_bytes(), channel)
}

#[test]
fn every_hash_lets_in_who_knows_the_password_and_nobody_else() {
    for hash in ScramHash::ALL {
        let mechanism = Mechanism { hash, plus: false };
        assert!(exchange(mechanism, "n,,", b"", "pencil", None).unwrap().starts_with("v="));
        assert!(exchange(mechanism, "n,a=user,", b"", "pencil", None).is_ok());
        assert_eq!(exchange(mechanism, "n,,", b"", "pencli", None), Err(ScramError::Proof));
    }
}

#[test]
fn a_bound_client_must_be_at_the_other_end_of_this_very_channel() {
    for (name, data) in [("tls-exporter", [7; 32]), ("tls-server-end-point", [9; 32])] {
        let header = format!("p={name},,");
        let with = |data: &[u8], channel| exchange(SHA_256_PLUS, &header, data, "pencil", channel);
        assert!(with(&data, Some(CHANNEL)).is_ok());
        assert_eq!(with(&[1; 32], Some(CHANNEL)), Err(ScramError::OtherChannel));
        assert_eq!(with(&data, None), Err(ScramError::BindingType));
    }
    let unique = exchange(SHA_256_PLUS, "p=tls-unique,,", &[7; 32], "pencil", Some(CHANNEL));
    assert_eq!(unique, Err(ScramError::BindingType));
    // The header is part of what is proved: nobody between can turn the flag.
    let first = ClientFirst::read(SHA_256, b"n,,n=user,r=abc", false).unwrap();
    let (server_first, waiting) = first.challenge(keys(ScramHash::Sha256, "c2FsdA=="), "def");
    let last = client_final(ScramHash::Sha256, "pencil", "n=user,r=abc", &server_first, b"y,,");
    assert_eq!(waiting.finish(last.as_bytes(), None), Err(ScramError::OtherChannel));
}

#[test]
fn the_flag_and_the_mechanism_must_belong_together() {
    for (mechanism, flag, plus_offered, expected) in [
        (SHA_256, "n", true, None),
        (SHA_256, "y", false, None),
        (SHA_256, "y", true, Some(ScramError::Downgrade)),
        (SHA_256, "p=tls-exporter", true, Some(ScramError::BindingNotSupported)),
        (SHA_256_PLUS, "p=tls-exporter", true, None),
        (SHA_256_PLUS, "n", true, Some(ScramError::BindingNotSupported)),
        (SHA_256_PLUS, "y", true, Some(ScramError::BindingNotSupported)),
        (SHA_256, "x", false, Some(ScramError::Malformed)),
    ] {
        let first = ClientFirst::read(mechanism, format!("{flag},,n=user,r=abc").as_bytes(), plus_offered);
        assert_eq!(first.err(), expected, "{flag} {mechanism:?}");
    }
}

#[test]
fn a_first_message_that_breaks_the_rules_is_refused() {
    for (message, expected) in [
        ("", ScramError::Malformed),
        ("n,", ScramError::Malformed),
        ("n,,", ScramError::Malformed),
        ("n,,n=user", ScramError::Malformed),
        ("n,,r=abc,n=user", ScramError::Malformed),
        ("n,,n=user,r=", ScramError::Malformed),
        ("n,,n=user,r=a b", ScramError::Malformed),
        ("n,,n=us\0er,r=abc", ScramError::Malformed),
        ("n,,m=must,n=user,r=abc", ScramError::Extension),
        ("n,,n=,r=abc", ScramError::UserName),
        ("n,,n=us=er,r=abc", ScramError::UserName),
        ("n,,n=us=2cer,r=abc", ScramError::UserName),
        ("n,,n=us\u{7}er,r=abc", ScramError::UserName),
        ("n,a=root,n=user,r=abc", ScramError::OtherUser),
        ("n,root,n=user,r=abc", ScramError::Malformed),
    ] {
        assert_eq!(ClientFirst::read(SHA_256, message.as_bytes(), false).err(), Some(expected), "{message:?}");
    }
    let endless = format!("n,,n={},r=abc", "u".repeat(10_000));
    assert_eq!(ClientFirst::read(SHA_256, endless.as_bytes(), false).err(), Some(ScramError::Malformed));
    let escaped = ClientFirst::read(SHA_256, b"n,,n=a=2Cb=3Dc,r=abc,x=unknown", false).unwrap();
    assert_eq!(escaped.user(), "a,b=c");
}

#[test]
fn a_last_message_that_breaks_the_rules_is_refused() {
    let last = |message: &str| {
        let first = ClientFirst::read(SHA_256, b"n,,n=user,r=abc", false).unwrap();
        let (server_first, exchange) = first.challenge(keys(ScramHash::Sha256, "c2FsdA=="), "def");
        let good = client_final(ScramHash::Sha256, "pencil", "n=user,r=abc", &server_first, b"n,,");
        exchange.finish(message.replace("GOOD", good.rsplit_once(",p=").unwrap().1).as_bytes(), None)
    };
    assert!(last("c=biws,r=abcdef,p=GOOD").is_ok());
    for (message, expected) in [
        ("", ScramError::Malformed),
        ("c=biws,r=abcdef", ScramError::Malformed),
        ("c=biws,p=GOOD", ScramError::Malformed),
        ("r=abcdef,c=biws,p=GOOD", ScramError::Malformed),
        ("c=!,r=abcdef,p=GOOD", ScramError::Malformed),
        ("c=biws,r=abcdef,p=AAAA", ScramError::Malformed),
        ("c=eSws,r=abcdef,p=GOOD", ScramError::OtherChannel),
        ("c=biws,r=abc,p=GOOD", ScramError::Proof),
        ("c=biws,r=abcdef,x=1,p=GOOD", ScramError::Proof),
    ] {
        assert_eq!(last(message), Err(expected), "{message:?}");
    }
}

#[test]
fn every_error_has_the_word_the_specification_gives_it() {
    for error in [ScramError::Malformed, ScramError::Proof, ScramError::Downgrade, ScramError::OtherChannel] {
        assert!(error.server_final().starts_with("e="));
    }
}
