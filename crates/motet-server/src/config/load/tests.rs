//! What an operator writes, and what the server answers.

use std::time::Duration;

use expect_test::{Expect, expect};

use super::*;
use crate::config::{ByteSize, ClientCertificate, Protocol, Sources};

fn good(text: &str) -> Config {
    resolve(text, Path::new("motet.toml"), &Sources::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn wrong(text: &str, expected: Expect) {
    let error = resolve(text, Path::new("motet.toml"), &Sources::default()).expect_err("is accepted");
    expected.assert_eq(&format!("{error}\n"));
}

fn variables(pairs: &[(&str, &str)]) -> Sources {
    let mut sources = Sources::default();
    sources.environment(pairs.iter().map(|(name, value)| (name.into(), value.into()))).unwrap();
    sources
}

fn with(text: &str, sources: &Sources) -> Result<Config, String> {
    resolve(text, Path::new("motet.toml"), sources).map_err(|error| format!("{error}\n"))
}

#[test]
fn an_empty_file_gives_the_defaults() {
    assert_eq!(good(""), Config::default());
    assert!(Config::default().is_loopback_only());
}

#[test]
fn every_kind_of_value_is_read() {
    let config = good(
        r#"
        data_dir = "/var/lib/motet"
        [[listener]]
        address = "*:8883"
        protocol = "mqtts"
        [listener.tls]
        certificate = "c.pem"
        key = "k.pem"
        client_ca = "ca.pem"
        client_certificate = "required"
        [[user]]
        name = "alice"
        password_hash = "$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA"
        [limits]
        connections = 0x10
        first_byte_timeout = "1500ms"
        write_timeout = 5
        packet_bytes_max = "64KiB"
        [mqtt]
        keep_alive_max = "5m"
        retain_available = false
        [web]
        allowed_origins = ["https://app.example.org", "*"]
        "#,
    );
    assert_eq!(config.data_dir, Path::new("/var/lib/motet"));
    assert_eq!((config.listener.len(), config.listener[0].protocol), (1, Protocol::Mqtts));
    let tls = config.listener[0].tls.as_ref().unwrap();
    assert_eq!(tls.client_certificate, ClientCertificate::Required);
    assert!(config.user[0].password_hash.as_ref().unwrap().reveal().starts_with("$argon2id$"));
    assert_eq!(config.limits.connections, 16);
    assert_eq!(config.limits.first_byte_timeout, Duration::from_millis(1500));
    assert_eq!(config.limits.write_timeout, Duration::from_secs(5));
    assert_eq!(config.limits.packet_bytes_max, ByteSize::kib(64));
    assert_eq!(config.mqtt.keep_alive_max, Some(Duration::from_secs(300)));
    assert!(!config.mqtt.retain_available);
    assert_eq!(config.web.allowed_origins.len(), 2);
}

#[test]
fn a_listener_without_an_address_takes_its_protocols_port() {
    let config = good("[[listener]]\nprotocol = \"ws\"");
    assert_eq!(config.listener[0].address().to_string(), "localhost:8083");
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_one() {
    wrong("[limits]\nconections = 5\n", expect![[r#""#]]);
}

#[test]
fn an_unknown_key_far_from_any_is_told_with_all_of_them() {
    wrong("[log]\nlevel = \"info\"\ncolour = true\n[colours]\n", expect![[r#""#]]);
}

#[test]
fn a_value_outside_its_bounds_is_told_with_them() {
    wrong(
        "[limits]\nreceive_maximum = 70000\nconnections = 0\nworker_threads = -1\ndrain_timeout = \"2h\"\n[mqtt]\nkeep_alive_max = \"1d\"",
        expect![[r#""#]],
    );
}

#[test]
fn a_value_of_another_type_is_told() {
    wrong(
        "data_dir = 5\n[limits]\nconnections = \"many\"\ndrain_timeout = \"10 parsecs\"\nmailbox_bytes = 1.5\n[mqtt]\nretain_available = \"yes\"",
        expect![[r#""#]],
    );
}

#[test]
fn a_word_outside_a_choice_is_told_with_the_nearest() {
    wrong("[log]\nlevel = \"inof\"\nformat = \"yaml\"\n", expect![[r#""#]]);
}

#[test]
fn a_table_written_as_something_else_is_told() {
    wrong("log = true\n[listener]\naddress = \"*:1\"\n", expect![[r#""#]]);
}

#[test]
fn an_address_that_is_none_is_told() {
    wrong("[[listener]]\n[[listener]]\naddress = \"broker.example.org:1883\"\n", expect![[r#""#]]);
}

#[test]
fn keys_that_contradict_one_another_are_told() {
    wrong(
        "[tls]\ncertificate = \"c.pem\"\nclient_certificate = \"optional\"\n[[listener]]\nprotocol = \"mqtt\"\n[listener.tls]\n[[user]]\n[[user]]\nname = \"bob\"\n[metrics]\npath = \"metrics\"\n[web]\nallowed_origins = [\"app.example.org\"]",
        expect![[r#""#]],
    );
}

#[test]
fn what_is_no_toml_is_told_without_the_line_itself() {
    wrong("[[user]]\nname = \"alice\"\npassword = \"swordfish\n", expect![[r#""#]]);
}

#[test]
fn a_secret_is_not_told_when_it_is_wrong() {
    let text = "[[user]]\nname = \"alice\"\npassword_hash = \"swordfish\"\npassword = \"swordfish\"";
    assert!(!with(text, &Sources::default()).unwrap_err().contains("swordfish"));
}

#[test]
fn a_variable_wins_over_the_file_and_an_option_over_both() {
    let mut sources =
        variables(&[("MOTET_LIMITS__CONNECTIONS", "2_000"), ("MOTET_LOG__FORMAT", "json"), ("HOME", "/")]);
    let text = "[limits]\nconnections = 1\ntopic_levels = 9\n";
    let config = with(text, &sources).unwrap();
    assert_eq!((config.limits.connections, config.limits.topic_levels), (2000, 9));
    assert_eq!(config.log.format.word(), "json");
    sources.set("limits.connections=3").unwrap();
    assert_eq!(with(text, &sources).unwrap().limits.connections, 3);
}

#[test]
fn variables_make_and_change_entries_of_lists() {
    let config = with(
        "[[listener]]\naddress = \"localhost:1\"\n",
        &variables(&[
            ("MOTET_LISTENER__1__PROTOCOL", "http"),
            ("MOTET_LISTENER__0__ADDRESS", "*:2"),
            ("MOTET_WEB__ALLOWED_HOSTS", "a.example.org, b.example.org"),
        ]),
    )
    .unwrap();
    let places: Vec<_> = config.listener.iter().map(|listener| listener.address().to_string()).collect();
    assert_eq!(places, ["*:2", "localhost:8080"]);
    assert_eq!(config.web.allowed_hosts, ["a.example.org", "b.example.org"]);
}

#[test]
fn more_than_ten_entries_come_in_the_order_of_their_numbers() {
    let pairs: Vec<_> = (0..12).map(|at| (format!("MOTET_LISTENER__{at}__ADDRESS"), format!("*:{at}"))).collect();
    let pairs: Vec<_> = pairs.iter().rev().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let config = with("", &variables(&pairs)).unwrap();
    assert_eq!(config.listener.iter().map(|one| one.address().port).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
}

#[test]
fn a_wrong_variable_is_told_by_its_name() {
    let sources = variables(&[
        ("MOTET_LIMIT__CONNECTIONS", "5"),
        ("MOTET_LIMITS__CONNECTIONS", "many"),
        ("MOTET_LISTENER__1__ADDRESS", "*:1"),
        ("MOTET_LOG", "debug"),
        ("MOTET_USER__0__PASSWORD", "swordfish"),
    ]);
    expect![[r#""#]].assert_eq(&with("", &sources).unwrap_err());
}

#[test]
fn a_wrong_option_is_told_by_its_key() {
    let mut sources = Sources::default();
    assert!(sources.set("limits.connections").is_err());
    sources.set("log.level=loud").unwrap();
    sources.set("log..level=info").unwrap();
    expect![[r#""#]].assert_eq(&with("", &sources).unwrap_err());
}

#[test]
fn what_kubernetes_sets_for_a_service_called_motet_is_left_alone() {
    let sources =
        variables(&[("MOTET_PORT", "tcp://10.0.0.1:1883"), ("MOTET_SERVICE_HOST", "10.0.0.1"), ("MOTET_", "")]);
    assert_eq!(with("", &sources).unwrap(), Config::default());
}

#[test]
fn a_file_that_is_named_must_exist() {
    let sources = Sources { file: Some("no-such-folder/motet.toml".into()), ..Sources::default() };
    expect![[r#""#]].assert_eq(&format!("{}\n", load(&sources).unwrap_err()));
}
