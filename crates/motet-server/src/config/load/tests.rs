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
    wrong(
        "[limits]\nconections = 5\n",
        expect![[r#"
        motet.toml:2:1: `limits.conections` is not a key
          to do: did you mean `limits.connections`?
    "#]],
    );
}

#[test]
fn an_unknown_key_far_from_any_is_told_with_all_of_them() {
    wrong(
        "[log]\nlevel = \"info\"\ncolour = true\n[colours]\n",
        expect![[r#"
            motet.toml:4:2: `colours` is not a key
              expected: one of data_dir, load_definitions, log, listener, tls, acme, user, access, jwt, hook, login, limits, mqtt, amqp, bridge, store, web, metrics, audit, otlp
              to do: remove it, or look the key up with `motet config reference`
            motet.toml:3:1: `log.colour` is not a key
              expected: one of level, format
              to do: remove it, or look the key up with `motet config reference`
        "#]],
    );
}

#[test]
fn a_value_outside_its_bounds_is_told_with_them() {
    wrong(
        "[limits]\nreceive_maximum = 70000\nconnections = 0\nworker_threads = -1\ndrain_timeout = \"2h\"\n[mqtt]\nkeep_alive_max = \"1d\"",
        expect![[r#"
            motet.toml:4:18: `limits.worker_threads` is out of bounds
              expected: an integer from 0 to 1024
              to do: write such a value, or remove the key: the default is 0
            motet.toml:3:15: `limits.connections` is 0
              expected: an integer from 1 to 10000000
              to do: write such a value, or remove the key: the default is 100000
            motet.toml:2:19: `limits.receive_maximum` is out of bounds
              expected: an integer from 1 to 65535
              to do: write such a value, or remove the key: the default is 1024
            motet.toml:5:17: `limits.drain_timeout` is "2h"
              expected: a duration such as "10s" (us, ms, s, m, h, d; a plain integer is seconds) from "0s" to "1h"
              to do: write such a value, or remove the key: the default is "10s"
            motet.toml:7:18: `mqtt.keep_alive_max` is "1d"
              expected: a duration such as "10s" (us, ms, s, m, h, d; a plain integer is seconds) from "1s" to "65535s"
              to do: write such a value, or remove the key: it is not set by default
        "#]],
    );
}

#[test]
fn a_value_of_another_type_is_told() {
    wrong(
        "data_dir = 5\n[limits]\nconnections = \"many\"\ndrain_timeout = \"10 parsecs\"\nmailbox_bytes = 1.5\n[mqtt]\nretain_available = \"yes\"",
        expect![[r#"
            motet.toml:1:12: `data_dir` is an integer
              expected: a path
              to do: write such a value, or remove the key: the default is "./motet-data"
            motet.toml:3:15: `limits.connections` is a text
              expected: an integer from 1 to 10000000
              to do: write such a value, or remove the key: the default is 100000
            motet.toml:5:17: `limits.mailbox_bytes` is a number with a fraction
              expected: a size such as "64KiB" (B, KiB, MiB, GiB, TiB; a plain integer is bytes) from "4KiB" to "4GiB"
              to do: write such a value, or remove the key: the default is "16MiB"
            motet.toml:4:17: `limits.drain_timeout` is "10 parsecs"
              expected: a duration such as "10s" (us, ms, s, m, h, d; a plain integer is seconds) from "0s" to "1h"
              to do: write such a value, or remove the key: the default is "10s"
            motet.toml:7:20: `mqtt.retain_available` is a text
              expected: true or false
              to do: write such a value, or remove the key: the default is true
        "#]],
    );
}

#[test]
fn a_word_outside_a_choice_is_told_with_the_nearest() {
    wrong(
        "[log]\nlevel = \"inof\"\nformat = \"yaml\"\n",
        expect![[r#"
        motet.toml:2:9: `log.level` is "inof"
          expected: one of "error", "warn", "info", "debug", "trace"
          to do: did you mean "info"?
        motet.toml:3:10: `log.format` is "yaml"
          expected: one of "text", "json"
          to do: write such a value, or remove the key: the default is "text"
    "#]],
    );
}

#[test]
fn a_table_written_as_something_else_is_told() {
    wrong(
        "log = true\n[listener]\naddress = \"*:1\"\n",
        expect![[r#"
        motet.toml:1:7: `log` is a boolean
          expected: a table with the keys level, format
          to do: write `[log]` and the keys below it
        motet.toml:2:1: `listener` is a table
          expected: a list of tables
          to do: write `[[listener]]` and the keys of one entry below it, once per entry
    "#]],
    );
}

#[test]
fn an_address_that_is_none_is_told() {
    wrong(
        "[[listener]]\n[[listener]]\naddress = \"broker.example.org:1883\"\n",
        expect![[r#"
        motet.toml:3:11: `listener.1.address` is "broker.example.org:1883"
          expected: an IP address, localhost or *, then a colon and a port: "localhost:1883", "*:1883", "[::1]:1883"
          to do: write such a value, or remove the key: it is not set by default
    "#]],
    );
}

#[test]
fn keys_that_contradict_one_another_are_told() {
    wrong(
        "[tls]\ncertificate = \"c.pem\"\nclient_certificate = \"optional\"\n[[listener]]\nprotocol = \"mqtt\"\n[listener.tls]\n[[user]]\n[[user]]\nname = \"bob\"\n[metrics]\npath = \"metrics\"\n[web]\nallowed_origins = [\"app.example.org\"]",
        expect![[r#"
            motet.toml:6:1: `listener.0.tls` is set, but the protocol "mqtt" has no TLS
              expected: certificates only where protocol is "mqtts", "amqps", "http", "https" or "management-tls"
              to do: change `protocol` to one of these, or remove `tls`
            motet.toml:2:15: `tls.certificate` is set, but `key` beside it is not
              expected: both, or neither for a self-signed certificate
              to do: set `key` to the PEM file that belongs to it, or remove `certificate`
            motet.toml:3:22: `tls.client_certificate` is "optional", but `client_ca` beside it is not set
              expected: the roots that client certificates must lead to
              to do: set `client_ca` to a PEM file with these roots, or client_certificate = "none"
            motet.toml:7:1: `user.0.name` is not set
              expected: the name to log in with
              to do: add name = "..." to this [[user]]
            motet.toml:8:1: `user.1.password` is not set, nor is `password_hash`
              expected: one of both
              to do: set `password_hash`, or `password` for a test
            motet.toml:13:19: `web.allowed_origins` has "app.example.org"
              expected: origins: scheme, host and, if it is not the scheme's own, port; no path
              to do: write it as the browser sends it, for example "https://app.example.org"
            motet.toml:11:8: `metrics.path` is "metrics"
              expected: a path that begins with / and is not that of another page
              to do: write path = "/metrics", or remove it
        "#]],
    );
}

#[test]
fn two_listeners_on_one_port_are_told() {
    wrong(
        "[[listener]]\naddress = \"localhost:1883\"\n[[listener]]\nprotocol = \"amqp\"\naddress = \"127.0.0.1:1883\"\n",
        expect![[r#"
            motet.toml:1:1: `listener` has two entries for the same address and port: listener.0 (mqtt on localhost:1883) and listener.1 (amqp on 127.0.0.1:1883)
              expected: an address and port for each entry
              to do: change the port of one of them, or remove it; a listener with protocol = "http" also knows MQTT, AMQP and TLS by their first bytes
        "#]],
    );
    let two = |one, other| {
        good(&format!("[[listener]]\naddress = {one:?}\n[[listener]]\naddress = {other:?}")).listener.len()
    };
    for (one, other) in
        [("localhost:0", "localhost:0"), ("127.0.0.1:1", "[::1]:1"), ("127.0.0.1:1", "127.0.0.2:1"), ("*:1", "*:2")]
    {
        assert_eq!(two(one, other), 2, "{one} {other}");
    }
    let error = resolve(
        "[[listener]]\naddress = \"*:1\"\n[[listener]]\naddress = \"192.0.2.7:1\"",
        Path::new("a"),
        &Sources::default(),
    );
    assert!(error.is_err(), "every interface is that one too");
}

#[test]
fn what_is_no_toml_is_told_without_the_line_itself() {
    wrong(
        "[[user]]\nname = \"alice\"\npassword = \"swordfish\n",
        expect![[r#"
        motet.toml:3:22: not readable as TOML: invalid basic string, expected `"`
          to do: mend this line; texts need quotes, tables look like [limits], lists of tables like [[listener]]
    "#]],
    );
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
    expect![[r#"
        environment variable MOTET_LISTENER__1__ADDRESS: `listener.1.address` has the index 1, but the entry 0 before it is missing
          to do: name keys as MOTET_SECTION__KEY or section.key, and number list entries from 0 without gaps
        environment variable MOTET_LIMIT__CONNECTIONS: `limit` is not a key
          to do: did you mean `limits`?
        environment variable MOTET_LOG: `log` is a text
          expected: a table with the keys level, format
          to do: write `[log]` and the keys below it
        environment variable MOTET_USER__0__PASSWORD: `user.0.name` is not set
          expected: the name to log in with
          to do: add name = "..." to this [[user]]
        environment variable MOTET_LIMITS__CONNECTIONS: `limits.connections` is a text
          expected: an integer from 1 to 10000000
          to do: write such a value, or remove the key: the default is 100000
    "#]].assert_eq(&with("", &sources).unwrap_err());
}

#[test]
fn a_wrong_option_is_told_by_its_key() {
    let mut sources = Sources::default();
    assert!(sources.set("limits.connections").is_err());
    sources.set("log.level=loud").unwrap();
    sources.set("log..level=info").unwrap();
    expect![[r#"
        --set log..level: `log..level` is not a key path
          to do: name keys as MOTET_SECTION__KEY or section.key, and number list entries from 0 without gaps
        --set log.level: `log.level` is "loud"
          expected: one of "error", "warn", "info", "debug", "trace"
          to do: write such a value, or remove the key: the default is "info"
    "#]]
    .assert_eq(&with("", &sources).unwrap_err());
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
    expect![[r#"
        no-such-folder/motet.toml: cannot read the configuration: No such file or directory (os error 2)
          to do: check the path, or make a file to start from with `motet config reference --format toml`
    "#]]
    .assert_eq(&format!("{}\n", load(&sources).unwrap_err()));
}
