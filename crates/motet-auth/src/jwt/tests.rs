use super::*;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use motet_core::access::{AccessRules, Action, Reason};
use motet_core::spelling::mqtt;
use rcgen::KeyPair;
use serde_json::{Value, json};

const NOW: WallMillis = WallMillis(1_700_000_000_000);
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn secs(after: i64) -> i64 {
    1_700_000_000 + after
}

fn sign(algorithm: Algorithm, id: Option<&str>, key: &EncodingKey, claims: &Value) -> String {
    let header = Header { kid: id.map(str::to_owned), ..Header::new(algorithm) };
    encode(&header, claims, key).expect("the key is for the algorithm")
}

fn shared(claims: &Value) -> String {
    sign(Algorithm::HS256, None, &EncodingKey::from_secret(SECRET), claims)
}

fn tokens(config: TokenConfig) -> Tokens {
    let mut keys = TokenKeys::default();
    keys.add_secret(SECRET).unwrap();
    Tokens::new(config, keys)
}

fn check(config: TokenConfig, claims: &Value) -> Result<Principal, TokenError> {
    tokens(config).verify(shared(claims).as_bytes(), Beside::default(), NOW)
}

fn good() -> Value {
    json!({ "sub": "ann", "exp": secs(60) })
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = good();
    claims[key] = value;
    claims
}

#[test]
fn every_algorithm_is_checked_with_its_key() {
    let pair = |algorithm| KeyPair::generate_for(algorithm).unwrap();
    let rsa = pair(&rcgen::PKCS_RSA_SHA256);
    let (p256, p384) = (pair(&rcgen::PKCS_ECDSA_P256_SHA256), pair(&rcgen::PKCS_ECDSA_P384_SHA384));
    let ed = pair(&rcgen::PKCS_ED25519);
    let private = |pair: &KeyPair| pair.serialize_pem().into_bytes();
    let rsa_key = EncodingKey::from_rsa_pem(&private(&rsa)).unwrap();
    let cases = [
        (Algorithm::RS256, &rsa, rsa_key.clone()),
        (Algorithm::RS384, &rsa, rsa_key.clone()),
        (Algorithm::RS512, &rsa, rsa_key.clone()),
        (Algorithm::PS256, &rsa, rsa_key),
        (Algorithm::ES256, &p256, EncodingKey::from_ec_pem(&private(&p256)).unwrap()),
        (Algorithm::ES384, &p384, EncodingKey::from_ec_pem(&private(&p384)).unwrap()),
        (Algorithm::EdDSA, &ed, EncodingKey::from_ed_pem(&private(&ed)).unwrap()),
    ];
    for (algorithm, pair, key) in cases {
        let mut keys = TokenKeys::default();
        keys.add_pem(pair.public_key_pem().as_bytes()).unwrap();
        let tokens = Tokens::new(TokenConfig::default(), keys);
        let token = sign(algorithm, None, &key, &good());
        let principal = tokens.verify(token.as_bytes(), Beside::default(), NOW).unwrap();
        assert_eq!(&*principal.name, "ann", "{algorithm:?}");
        let mut broken = token.into_bytes();
        let last = broken.len() - 10;
        broken[last] = if broken[last] == b'A' { b'B' } else { b'A' };
        assert_eq!(tokens.verify(&broken, Beside::default(), NOW), Err(TokenError::Signature), "{algorithm:?}");
        // The public key taken for a shared secret: nobody here would.
        let confused = EncodingKey::from_secret(pair.public_key_pem().as_bytes());
        let forged = sign(Algorithm::HS256, None, &confused, &good());
        assert_eq!(tokens.verify(forged.as_bytes(), Beside::default(), NOW), Err(TokenError::NoKey));
    }
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let token = sign(algorithm, None, &EncodingKey::from_secret(SECRET), &good());
        assert!(tokens(TokenConfig::default()).verify(token.as_bytes(), Beside::default(), NOW).is_ok());
    }
}

#[test]
fn a_token_without_a_signature_is_refused() {
    // {"alg":"none"} and {"alg":"None"}, the claims of ann, no signature.
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb25lIn0"] {
        let token = format!("{header}.eyJzdWIiOiJhbm4iLCJleHAiOjE3MDAwMDAwNjB9.");
        let answer = tokens(TokenConfig::default()).verify(token.as_bytes(), Beside::default(), NOW);
        assert_eq!(answer, Err(TokenError::Malformed));
    }
}

#[test]
fn times_are_kept_with_leeway() {
    let principal = check(TokenConfig::default(), &good()).unwrap();
    assert_eq!(principal.expires_at(), Some(WallMillis(1_700_000_090_000)));
    assert!(check(TokenConfig::default(), &with("exp", json!(secs(-29)))).is_ok());
    for (claim, value, error) in [
        ("exp", json!(secs(-30)), TokenError::Expired),
        ("exp", Value::Null, TokenError::Expired),
        ("exp", json!("tomorrow"), TokenError::Expired),
        ("nbf", json!(secs(31)), TokenError::TooEarly),
        ("nbf", json!("tomorrow"), TokenError::TooEarly),
        ("iat", json!(secs(31)), TokenError::TooEarly),
    ] {
        assert_eq!(check(TokenConfig::default(), &with(claim, value.clone())), Err(error), "{claim} {value}");
    }
    let endless = json!({ "sub": "ann" });
    assert_eq!(check(TokenConfig::default(), &endless), Err(TokenError::Expired));
    let lasts = TokenConfig { needs_expiry: false, ..TokenConfig::default() };
    assert_eq!(check(lasts, &endless).unwrap().expires_at(), None);
}

#[test]
fn issuer_and_audience_are_asked_for_where_they_are_configured() {
    let config =
        || TokenConfig { issuers: vec!["us".into()], audiences: vec!["motet".into()], ..TokenConfig::default() };
    let claims = |iss: Value, aud: Value| json!({ "sub": "ann", "exp": secs(60), "iss": iss, "aud": aud });
    assert!(check(config(), &claims(json!("us"), json!("motet"))).is_ok());
    assert!(check(config(), &claims(json!("us"), json!(["x", "motet"]))).is_ok());
    for claims in [claims(json!("them"), json!("motet")), claims(json!("us"), json!("x")), good()] {
        assert_eq!(check(config(), &claims), Err(TokenError::NotForUs));
    }
}

#[test]
fn user_and_client_must_be_the_peers_where_that_is_configured() {
    let config = TokenConfig { user_must_match: true, client_claim: Some("device".into()), ..TokenConfig::default() };
    let token = shared(&with("device", json!("c1")));
    let ask =
        |user, client| tokens(config.clone()).verify(token.as_bytes(), Beside { user, client, holder: None }, NOW);
    assert!(ask(Some("ann"), Some("c1")).is_ok());
    assert!(ask(None, Some("c1")).is_ok());
    for (user, client) in [(Some("bob"), Some("c1")), (Some("ann"), Some("c2")), (Some("ann"), None)] {
        assert_eq!(ask(user, client), Err(TokenError::OtherPeer));
    }
    assert_eq!(check(TokenConfig::default(), &json!({ "sub": "", "exp": secs(9) })), Err(TokenError::OtherPeer));
}

#[test]
fn groups_and_names_are_found_inside_of_objects() {
    let config = TokenConfig {
        user_claim: "user.name".into(),
        groups_claim: "realm_access.roles".into(),
        ..TokenConfig::default()
    };
    let claims = json!({ "exp": secs(60), "user": { "name": "ann" }, "realm_access": { "roles": ["a", "b"] } });
    let ann = check(config, &claims).unwrap();
    assert_eq!((&*ann.name, ann.groups()), ("ann", &["a".into(), "b".into()][..]));
    let scope = TokenConfig { groups_claim: "scope".into(), ..TokenConfig::default() };
    assert_eq!(check(scope, &with("scope", json!("x y"))).unwrap().groups().len(), 2);
}

#[test]
fn rules_in_a_token_allow_and_refuse() {
    let says = |acl: Value, rules: TokenRules, topic: &str| {
        let principal = check(TokenConfig { rules, ..TokenConfig::default() }, &with("acl", acl)).unwrap().on("c");
        let name = mqtt::decode_name(topic).unwrap();
        let verdict = AccessRules::default().check(&principal, Action::Publish, &name);
        (verdict.allowed, verdict.reason)
    };
    let object = json!({ "pub": ["home/%u/#"], "subscribe": "x", "all": ["own/%c"] });
    assert_eq!(says(object.clone(), TokenRules::Only, "home/ann/a"), (true, Reason::OwnRule(2)));
    assert_eq!(says(object.clone(), TokenRules::Only, "own/c"), (true, Reason::OwnRule(1)));
    assert_eq!(says(object.clone(), TokenRules::Only, "home/bob"), (false, Reason::OwnDefault));
    assert_eq!(says(object.clone(), TokenRules::First, "home/bob"), (true, Reason::Default));
    assert_eq!(says(object, TokenRules::Ignored, "home/ann/a"), (true, Reason::Default));
    let list = json!([{ "permission": "deny", "action": "publish", "topic": "a/secret" }, { "permission": "allow", "topics": ["a/#"] }]);
    assert_eq!(says(list.clone(), TokenRules::First, "a/secret"), (false, Reason::OwnRule(1)));
    assert_eq!(says(list, TokenRules::First, "a/b"), (true, Reason::OwnRule(2)));
    assert_eq!(says(json!({ "all": [] }), TokenRules::Only, "a"), (false, Reason::OwnDefault));
    for wrong in [
        json!("all"),
        json!({ "fly": ["a"] }),
        json!({ "pub": 7 }),
        json!({ "pub": ["a/#/b"] }),
        json!([{ "action": "all" }]),
    ] {
        let answer = check(TokenConfig::default(), &with("acl", wrong.clone()));
        assert!(matches!(answer, Err(TokenError::Rules(_))), "{wrong}");
    }
}

#[test]
fn a_key_set_is_read_for_what_it_is_good_for() {
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let point = pair.public_key_raw();
    let base64 = |bytes: &[u8]| {
        jsonwebtoken::jwk::Jwk::from_encoding_key(&EncodingKey::from_secret(bytes), Algorithm::HS256)
            .map(|jwk| serde_json::to_value(jwk).unwrap()["k"].clone())
            .unwrap()
    };
    let ec = |id: &str, usage: &str| json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": usage, "x": base64(&point[1..33]), "y": base64(&point[33..]) });
    let oct = json!({ "kty": "oct", "kid": "s", "k": base64(SECRET) });
    let set = json!({ "keys": [ec("1", "sig"), ec("2", "enc"), oct] }).to_string();
    let mut keys = TokenKeys::default();
    assert_eq!(keys.add_jwks(set.as_bytes(), false), Ok(1), "a secret that was fetched is none");
    let fetched = Tokens::new(TokenConfig::default(), keys);
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let ask = |tokens: &Tokens, id| {
        let token = sign(Algorithm::ES256, id, &key, &good());
        tokens.verify(token.as_bytes(), Beside::default(), NOW).map(|_| ())
    };
    assert_eq!(ask(&fetched, Some("1")), Ok(()));
    assert_eq!(ask(&fetched, None), Ok(()));
    assert_eq!(ask(&fetched, Some("2")), Err(TokenError::NoKey));
    let mut keys = TokenKeys::default();
    assert_eq!(keys.add_jwks(set.as_bytes(), true), Ok(2));
    fetched.set_keys(TokenKeys::default());
    assert_eq!(ask(&fetched, Some("1")), Err(TokenError::NoKey), "keys may be withdrawn");
    assert_eq!(TokenKeys::default().add_jwks(b"{\"keys\":[]}", true), Err(KeyError::NoUsableKey));
    assert!(matches!(TokenKeys::default().add_jwks(b"[", true), Err(KeyError::NotJwks(_))));
    assert_eq!(TokenKeys::default().add_secret(&SECRET[..31]), Err(KeyError::SecretTooShort));
    assert_eq!(TokenKeys::default().add_pem(b"key"), Err(KeyError::NotPem));
}

#[test]
fn a_certificate_of_one_user_does_not_carry_the_token_of_another() {
    for user_must_match in [true, false] {
        let tokens = tokens(TokenConfig { user_must_match, ..TokenConfig::default() });
        let ask = |holder| {
            let beside = Beside { holder, ..Beside::default() };
            tokens.verify(shared(&good()).as_bytes(), beside, NOW).map(|principal| principal.name.to_string())
        };
        assert_eq!(ask(Some("ann")), Ok("ann".into()));
        assert_eq!(ask(Some("bob")), Err(TokenError::OtherPeer));
    }
}
