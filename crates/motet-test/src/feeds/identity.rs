//! Who a peer says it is: SASL mechanisms and tokens.

use motet_auth::sasl::scram::{Binding, ClientFirst, ITERATIONS_MIN, Mechanism, ScramHash, ScramKeys};
use motet_auth::sasl::simple;
use std::sync::OnceLock;

const MECHANISMS: [&str; 4] = ["SCRAM-SHA-256", "SCRAM-SHA-1", "SCRAM-SHA-512", "SCRAM-SHA-256-PLUS"];

/// Every mechanism reads or refuses; nobody proves a password that it does not know. A line end parts the first message
/// of a client from its second, in which `~` stands for the nonce that it has to repeat.
///
/// # Panics
/// If somebody gets in.
pub fn sasl(data: &[u8]) {
    let _ = (simple::plain(data), simple::amqplain(data), simple::external(data), simple::anonymous(data));
    let mut messages = data.splitn(2, |byte| *byte == b'\n');
    let (first, second) = (messages.next().unwrap_or_default(), messages.next().unwrap_or_default());
    for (n, name) in MECHANISMS.into_iter().enumerate() {
        let mechanism = Mechanism::named(name).expect("it is one of ours");
        let Ok(read) = ClientFirst::read(mechanism, first, n == 3) else { continue };
        let (challenge, exchange) = read.challenge(keys(mechanism.hash).clone(), "ours");
        let nonce = challenge
            .strip_prefix("r=")
            .and_then(|rest| rest.split(',').next())
            .expect("a challenge begins with the nonce");
        assert!(nonce.ends_with("ours"), "{challenge}");
        let answer = String::from_utf8_lossy(second).replace('~', nonce);
        let binding = Binding { tls_exporter: Some(b"channel"), tls_server_end_point: None };
        let finished = exchange.finish(answer.as_bytes(), (n == 3).then_some(binding));
        assert!(finished.is_err(), "{answer} proves nothing");
    }
}

/// Slow to make, so made once.
fn keys(hash: ScramHash) -> &'static ScramKeys {
    static KEYS: OnceLock<Vec<ScramKeys>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let derive = |hash| ScramKeys::derive(hash, "swordfish", b"0123456789abcdef", ITERATIONS_MIN);
        ScramHash::ALL.into_iter().map(|hash| derive(hash).expect("the salt is long enough")).collect()
    });
    keys.iter().find(|keys| keys.hash() == hash).expect("there are keys for all")
}

/// A token is read or refused, and believed by its signature alone.
pub fn token(data: &[u8]) {
    motet_auth::fuzz_token(data);
}
