use std::fs;
use std::path::PathBuf;

use expect_test::{Expect, expect};

use super::*;

const CONF: &str = "\
# Place your local configuration in conf.d
persistence true
persistence_location /var/lib/mosquitto/
allow_anonymous false
password_file passwd
acl_file acl
max_queued_messages 5000
max_queued_bytes 0
max_packet_size 100000
persistent_client_expiration 2w
log_type warning
listener 1883 192.0.2.7
listener 8883
cafile /etc/ca.pem
certfile /etc/server.pem
keyfile /etc/server.key
require_certificate true
tls_version tlsv1.2
use_identity_as_username true
crlfile /etc/revoked.crl
listener 9001 ::1
protocol websockets
mount_point house/
plugin /usr/lib/dynsec.so
shiny_new_thing 3
connection uplink
address example.org:8883
topic # out 1
topic a/# both 2 here/ \"\"
bridge_cafile /etc/uplink.pem
bridge_protocol_version mqttv50
local_username x
keepalive_interval 30
remote_password hunter2
";

const ACL: &str = "\
topic read public/#
user alice
topic a/b
topic deny a/secret
pattern write dev/%c/up
nonsense
";

fn import(conf: &str, passwd: &str, acl: &str) -> (tempfile::TempDir, Result<(String, String), Failure>) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let conf = file("mosquitto.conf", conf);
    file("passwd", passwd);
    file("acl", acl);
    let asked = ImportMosquitto { conf, passwd: None, acl: None, to: PathBuf::from("motet.toml"), json: false };
    let place = format!("{}/", dir.path().display());
    let done = mosquitto(&asked).map(|(text, report)| (text, report.text(&asked.to).replace(&place, "")));
    (dir, done)
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(text);
}

#[test]
fn every_line_is_answered_for() {
    let (_dir, done) = import(
        CONF,
        "alice:$7$101$nobody$knows\nbob:plain\nbroken\n\
         carol:$7$101$Tk6XKzZ2xFV35OtU$L8sRfKdMGHU8GzG+rmtzQ9s3h9yCpZaSseYBaXLHU/cDvyy/idzuzl8cCbz5ne/bg6uO4vLF6S5+eHGk2b0w6w==\n",
        ACL,
    );
    let (text, report) = done.unwrap();
    check(
        &text,
        expect![[r##"
            # Made by `motet import mosquitto`. Every key: motet config reference

            [access]
            anonymous = "never"
            default = "deny"

            [limits]
            session_queue_messages = 5000
            packet_bytes_max = 100000
            session_expiry_max = "14d"

            [log]
            level = "warn"

            [[listener]]
            address = "192.0.2.7:1883"
            protocol = "mqtt"

            [[listener]]
            address = "*:8883"
            protocol = "mqtts"

            [listener.tls]
            certificate = "/etc/server.pem"
            key = "/etc/server.key"
            client_ca = "/etc/ca.pem"
            client_certificate = "required"
            client_crl = ["/etc/revoked.crl"]
            client_identity = "%cn"

            [[listener]]
            address = "[::1]:9001"
            protocol = "ws"

            [[bridge]]
            name = "uplink"
            address = "example.org:8883"
            version = "5"
            keep_alive = "30s"
            password = "hunter2"

            [bridge.tls]
            ca = "/etc/uplink.pem"

            [[bridge.topic]]
            filter = "#"
            direction = "out"
            qos = 1

            [[bridge.topic]]
            filter = "a/#"
            direction = "both"
            qos = 2
            local_prefix = "here/"

            [[user]]
            name = "bob"
            password = "plain"

            [[user]]
            name = "carol"
            password_hash = "$7$101$Tk6XKzZ2xFV35OtU$L8sRfKdMGHU8GzG+rmtzQ9s3h9yCpZaSseYBaXLHU/cDvyy/idzuzl8cCbz5ne/bg6uO4vLF6S5+eHGk2b0w6w=="

            [[access.rule]]
            who = ["user:alice"]
            deny = ["publish", "subscribe"]
            topics = ["a/secret"]

            [[access.rule]]
            who = ["anonymous"]
            allow = ["subscribe"]
            topics = ["public/#"]

            [[access.rule]]
            who = ["user:alice"]
            allow = ["publish", "subscribe"]
            topics = ["a/b"]

            [[access.rule]]
            who = ["everyone"]
            allow = ["publish"]
            topics = ["dev/%c/up"]

            [[access.rule]]
            who = ["user:bridge:uplink"]
            allow = ["all"]
        "##]],
    );
    check(
        &report,
        expect![[r#"
            differs  mosquitto.conf:2: persistence true
                     what is confirmed is always on disk here
            missing  mosquitto.conf:3: persistence_location /var/lib/mosquitto/
                     set data_dir; mosquitto.db is not read: sessions and retained messages begin empty
            kept     mosquitto.conf:4: allow_anonymous false
                     access.anonymous = "never"
            kept     mosquitto.conf:5: password_file ...
                     every user becomes a [[user]]; see its lines
            kept     mosquitto.conf:6: acl_file acl
                     see its lines
            kept     mosquitto.conf:7: max_queued_messages 5000
                     limits.session_queue_messages = 5000
            differs  mosquitto.conf:8: max_queued_bytes 0
                     limits.session_queue_bytes keeps its default: everything has a bound here
            kept     mosquitto.conf:9: max_packet_size 100000
                     limits.packet_bytes_max = 100000
            kept     mosquitto.conf:10: persistent_client_expiration 2w
                     limits.session_expiry_max = "14d"
            differs  mosquitto.conf:11: log_type warning
                     log.level = "warn"
            kept     mosquitto.conf:12: listener 1883 192.0.2.7
                     a [[listener]]
            kept     mosquitto.conf:13: listener 8883
                     a [[listener]]
            kept     mosquitto.conf:14: cafile /etc/ca.pem
                     listener.tls.client_ca, if clients show certificates
            kept     mosquitto.conf:15: certfile /etc/server.pem
                     listener.tls.certificate
            kept     mosquitto.conf:16: keyfile /etc/server.key
                     listener.tls.key
            kept     mosquitto.conf:17: require_certificate true
                     listener.tls.client_certificate
            differs  mosquitto.conf:18: tls_version tlsv1.2
                     TLS 1.2 and 1.3 are spoken
            kept     mosquitto.conf:19: use_identity_as_username true
                     listener.tls.client_identity
            kept     mosquitto.conf:20: crlfile /etc/revoked.crl
                     listener.tls.client_crl
            kept     mosquitto.conf:21: listener 9001 ::1
                     a [[listener]]
            kept     mosquitto.conf:22: protocol websockets
                     the protocol of the [[listener]]
            missing  mosquitto.conf:23: mount_point house/
                     a listener has no prefix of its own; rewrite topics at the clients
            missing  mosquitto.conf:24: plugin /usr/lib/dynsec.so
                     there are no plugins
            missing  mosquitto.conf:25: shiny_new_thing 3
                     this is not known here, or its value is not
            kept     mosquitto.conf:27: address example.org:8883
                     address
            kept     mosquitto.conf:28: topic # out 1
                     a [[bridge.topic]]
            kept     mosquitto.conf:29: topic a/# both 2 here/ ""
                     a [[bridge.topic]]
            kept     mosquitto.conf:30: bridge_cafile /etc/uplink.pem
                     bridge.tls.ca
            kept     mosquitto.conf:31: bridge_protocol_version mqttv50
                     version
            missing  mosquitto.conf:32: local_username x
                     a bridge has nothing like it here
            kept     mosquitto.conf:33: keepalive_interval 30
                     keep_alive
            kept     mosquitto.conf:34: remote_password ...
                     password
            kept     mosquitto.conf:26: connection uplink
                     a [[bridge]]
            missing  passwd:1: alice:...
                     the password is to be set anew: the text is no hash of Mosquitto's; expected $7$iterations$salt$hash or $6$salt$hash in base64
            differs  passwd:2: bob:...
                     the file holds this password in clear text, and so does motet.toml now: better make a hash of it
            missing  passwd:3: ...
                     expected name:hash
            kept     passwd:4: carol:...
                     the password stays as it is
            differs  acl:1: topic read public/#
                     an [[access.rule]]; Mosquitto grants any subscription and filters what it delivers, here a filter that goes beyond the rules is refused
            differs  acl:3: topic a/b
                     an [[access.rule]]; Mosquitto grants any subscription and filters what it delivers, here a filter that goes beyond the rules is refused
            differs  acl:4: topic deny a/secret
                     an [[access.rule]]; Mosquitto grants any subscription and filters what it delivers, here a filter that goes beyond the rules is refused
            kept     acl:5: pattern write dev/%c/up
                     an [[access.rule]]
            missing  acl:6: nonsense
                     expected user, topic or pattern
            motet.toml: written. 26 lines kept, 8 differ, 8 missing
            to check it: motet config check --config motet.toml
        "#]],
    );
    assert!(!report.contains("hunter2") && !report.contains("L8sRf"), "no password in a report");
}

#[test]
fn no_configuration_at_all_is_what_mosquitto_does_without_one() {
    let (_dir, done) = import("", "", "");
    check(
        &done.unwrap().0,
        expect![[r##"
            # Made by `motet import mosquitto`. Every key: motet config reference

            [access]
            anonymous = "always"
            default = "allow"

            [limits]
            session_expiry_max = "3650d"

            [[listener]]
            address = "localhost:1883"
            protocol = "mqtt"
        "##]],
    );
}

#[test]
fn bounds_that_mean_something_else_here_are_told_so() {
    let conf = "message_size_limit 1000\nsys_interval 0\nglobal_max_connections 900\n\
                listener 1883\nmax_connections 100\nlistener 1884\nmax_connections 50\nuse_subject_as_username maybe\n";
    let (_dir, done) = import(conf, "", "");
    let (text, report) = done.unwrap();
    for key in ["packet_bytes_max = 66536\n", "sys_interval = \"0s\"\n", "connections = 150\n"] {
        assert!(text.contains(key), "{text}");
    }
    for (fate, line, note) in [
        ("differs", "1: message_size_limit 1000", "limits.packet_bytes_max = 66536: the whole packet counts"),
        ("kept   ", "2: sys_interval 0", "mqtt.sys_interval = \"0s\"\n"),
        ("kept   ", "3: global_max_connections 900", "limits.connections = 900\n"),
        ("differs", "5: max_connections 100", "limits.connections = 100: all listeners"),
        ("differs", "7: max_connections 50", "limits.connections = 150: all listeners"),
        ("missing", "8: use_subject_as_username maybe", "this is not known here"),
    ] {
        let found = format!("{fate}  mosquitto.conf:{line}\n         {note}");
        assert!(report.contains(&found), "{found}\n{report}");
    }
}

#[test]
fn included_files_are_read_and_circles_found() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("mosquitto.conf");
    let included = dir.path().join("conf.d");
    fs::create_dir(&included).unwrap();
    fs::write(&conf, format!("include_dir {}\n", included.display())).unwrap();
    fs::write(included.join("b.conf"), "max_keepalive 60\n").unwrap();
    fs::write(included.join("a.conf"), "retain_available false\n").unwrap();
    fs::write(included.join("README"), "listener 1\n").unwrap();
    let keys: Vec<_> = conf::read(&conf).unwrap().into_iter().map(|line| line.key).collect();
    assert_eq!(keys, ["retain_available", "max_keepalive"]);
    fs::write(included.join("c.conf"), format!("include_dir {}\n", included.display())).unwrap();
    assert!(conf::read(&conf).unwrap_err().to_string().contains("circle"));
    assert!(conf::read(&dir.path().join("none")).unwrap_err().to_string().contains("none: "));
}

#[test]
fn a_file_that_is_there_stays() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("motet.toml");
    write(&to, "a").unwrap();
    assert!(write(&to, "b").unwrap_err().to_string().contains("--to"));
    assert_eq!(fs::read_to_string(&to).unwrap(), "a");
}
