//! What to try first: two lines that work as they stand, or say what is still to be filled in.

use crate::config::{ClientCertificate, Config, Listener, Protocol, ProxyProtocol, Tls};
use crate::listen::reachable;
use crate::server::Bound;
use std::fmt::Write as _;

/// The lines, for the listener that asks least of a client; none where no client of this kind could connect.
pub(super) fn attempt(config: &Config, addresses: &[Bound]) -> Option<String> {
    let ways = addresses.iter().filter_map(|bound| Way::of(config, bound));
    Some(ways.min_by_key(|way| (way.tls.is_some(), !way.anonymous))?.lines(config))
}

/// How a client gets in.
struct Way<'a> {
    host: String,
    port: u16,
    /// None: in clear text.
    tls: Option<&'a Tls>,
    anonymous: bool,
}

impl<'a> Way<'a> {
    fn of(config: &'a Config, bound: &Bound) -> Option<Self> {
        let listener = listener_of(config, bound)?;
        let tls = match bound.protocol {
            Protocol::Mqtt => None,
            Protocol::Mqtts => Some(listener.tls.as_ref().unwrap_or(&config.tls)),
            _ => return None,
        };
        let address = reachable(bound.address);
        let host = match tls {
            None => address.ip().to_string(),
            // A certificate is for a name: ours for this one, any other for one that only its owner knows.
            Some(tls) if shows_ours(config, tls) && (address.ip().is_loopback() || address.ip().is_unspecified()) => {
                "localhost".into()
            }
            Some(_) => "HOST".into(),
        };
        Some(Way { host, port: address.port(), tls, anonymous: config.access.admits_anonymous(listener) })
    }

    fn lines(&self, config: &Config) -> String {
        let Way { host, port, tls, anonymous } = self;
        let (mut to, mut blanks) = (format!("-h {host} -p {port}"), Vec::new());
        if let Some(tls) = tls {
            match shows_ours(config, tls) {
                true => {
                    let file = config.data_dir.join("tls/self-signed.pem");
                    let _ = write!(to, " --cafile '{}'", file.display());
                    if host == "HOST" {
                        to.push_str(" --insecure");
                        blanks.push("HOST: an address of this machine");
                    }
                }
                false => {
                    to.push_str(" --tls-use-os-certs");
                    blanks.push("HOST: a name of the certificate");
                }
            }
            if tls.client_certificate == ClientCertificate::Required {
                to.push_str(" --cert CERTIFICATE --key KEY");
                blanks.push("CERTIFICATE and KEY: files of a client");
            }
        }
        if !anonymous {
            let user = config.user.first().map_or("USER", |user| &user.name);
            let _ = write!(to, " -u '{user}' -P PASSWORD");
            blanks.push(if config.user.is_empty() {
                "USER and PASSWORD: a login; `motet user add USER` makes one"
            } else {
                "PASSWORD: the user's"
            });
        }
        let mut text = String::from("\nTry it, in two terminals:\n");
        let _ = writeln!(text, "  mosquitto_sub {to} -t 'hello/#' -v");
        let _ = writeln!(text, "  mosquitto_pub {to} -t hello/world -m 'good morning'");
        blanks.iter().for_each(|blank| text.push_str(&format!("  ({blank})\n")));
        text
    }
}

/// The entry that a socket is of; none where clients of this kind cannot connect, as they send no PROXY header.
fn listener_of<'a>(config: &'a Config, bound: &Bound) -> Option<&'a Listener> {
    let is_it = |listener: &&Listener| {
        let mut sockets = listener.address().sockets().into_iter();
        let here = sockets
            .any(|socket| socket.ip() == bound.address.ip() && [0, bound.address.port()].contains(&socket.port()));
        listener.protocol == bound.protocol && here && listener.proxy_protocol == ProxyProtocol::Off
    };
    config.listener.iter().find(is_it)
}

/// The certificate is the one of the first run.
fn shows_ours(config: &Config, tls: &Tls) -> bool {
    tls.certificate.is_none() && !config.acme.is_on()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};
    use expect_test::{Expect, expect};

    fn check(settings: &[&str], addresses: &[&str], expected: Expect) {
        let mut sources = Sources::default();
        settings.iter().for_each(|setting| sources.set(setting).unwrap());
        let config = load(&sources).unwrap().config;
        let bound = |address: &&str| {
            let (protocol, address) = address.split_once(' ').unwrap();
            let protocol = if protocol == "mqtts" { Protocol::Mqtts } else { Protocol::Mqtt };
            Bound { protocol, address: address.parse().unwrap() }
        };
        let addresses: Vec<Bound> = addresses.iter().map(bound).collect();
        expected.assert_eq(&attempt(&config, &addresses).unwrap_or_default());
    }

    #[test]
    fn on_loopback_the_lines_work_as_they_stand() {
        check(
            &["listener.0.address=localhost:0", "listener.1.protocol=mqtts"],
            &["mqtts 127.0.0.1:8883", "mqtt 127.0.0.1:4001"],
            expect![[r#"

                Try it, in two terminals:
                  mosquitto_sub -h 127.0.0.1 -p 4001 -t 'hello/#' -v
                  mosquitto_pub -h 127.0.0.1 -p 4001 -t hello/world -m 'good morning'
            "#]],
        );
    }

    #[test]
    fn where_a_login_is_needed_it_is_in_the_lines() {
        check(
            &["listener.0.address=*:1883"],
            &["mqtt 0.0.0.0:1883"],
            expect![[r#"

                Try it, in two terminals:
                  mosquitto_sub -h 127.0.0.1 -p 1883 -u 'USER' -P PASSWORD -t 'hello/#' -v
                  mosquitto_pub -h 127.0.0.1 -p 1883 -u 'USER' -P PASSWORD -t hello/world -m 'good morning'
                  (USER and PASSWORD: a login; `motet user add USER` makes one)
            "#]],
        );
    }

    #[test]
    fn over_tls_alone_the_certificate_is_in_the_lines() {
        check(
            &["listener.0.protocol=mqtts"],
            &["mqtts 127.0.0.1:8883"],
            expect![[r#"

                Try it, in two terminals:
                  mosquitto_sub -h localhost -p 8883 --cafile './motet-data/tls/self-signed.pem' -t 'hello/#' -v
                  mosquitto_pub -h localhost -p 8883 --cafile './motet-data/tls/self-signed.pem' -t hello/world -m 'good morning'
            "#]],
        );
        check(
            &[
                "listener.0.protocol=mqtts",
                "listener.0.address=192.0.2.7:8883",
                "user.0.name=ann",
                "user.0.password=secret-1",
                "tls.certificate=a.pem",
                "tls.key=a.key",
            ],
            &["mqtts 192.0.2.7:8883"],
            expect![[r#"

                Try it, in two terminals:
                  mosquitto_sub -h HOST -p 8883 --tls-use-os-certs -u 'ann' -P PASSWORD -t 'hello/#' -v
                  mosquitto_pub -h HOST -p 8883 --tls-use-os-certs -u 'ann' -P PASSWORD -t hello/world -m 'good morning'
                  (HOST: a name of the certificate)
                  (PASSWORD: the user's)
            "#]],
        );
    }

    #[test]
    fn behind_a_proxy_there_is_nothing_to_try_directly() {
        check(&["listener.0.proxy_protocol=required"], &["mqtt 127.0.0.1:1883"], expect![""]);
    }
}
