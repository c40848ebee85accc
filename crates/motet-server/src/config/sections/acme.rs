//! `[acme]`

use std::path::PathBuf;
use std::time::Duration;

use super::{Config, Protocol};
use crate::config::section::Conflict;

/// Names in one certificate: what the largest public authority takes.
const DOMAINS_MAX: usize = 100;

choice! {
    /// How an authority finds out that a name is ours.
    pub enum AcmeChallenge {
        /// It asks for a page at port 80 of each name, which must lead to a listener that speaks HTTP.
        Http01 = "http-01",
        /// It begins TLS at port 443 of each name, which must lead to a listener that speaks TLS.
        TlsAlpn01 = "tls-alpn-01",
    }
}

section! {
    /// A certificate that the server fetches and renews itself (ACME, RFC 8555). Every TLS listener shows it whose table
    /// names no `certificate`; until it is there, those show the self-signed one. See docs/tls.md.
    pub struct Acme {
        /// The DNS names that it is for, all in one certificate. Naming one turns this on.
        domains: Vec<String> = Vec::new(), example "[\"mqtt.example.org\"]";
        /// Whether you accept the authority's terms of service. Nothing is asked for before.
        accept_terms: bool = false;
        /// Where the authority's directory is. While you try things out, the authority's staging directory spares its
        /// limits.
        directory_url: String = "https://acme-v02.api.letsencrypt.org/directory".into();
        /// Where the authority reaches you, as `mailto:` addresses. Some authorities want one, none needs it for renewal.
        contact: Vec<String> = Vec::new(), example "[\"mailto:ops@example.org\"]";
        /// How the authority finds out that the names are ours.
        challenge: AcmeChallenge = AcmeChallenge::Http01;
        /// PEM file with the roots that the directory's own certificate must lead to, in place of the system's: for a
        /// private authority.
        ca_file: Option<PathBuf> = None, example "\"/etc/motet/private-ca.pem\"";
        /// How long before its end a certificate is renewed, but never before two thirds of its life are over. A few days
        /// later at random, so that not everybody comes at the same time.
        renew_before: Duration = Duration::from_secs(30 * 86_400), within Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);
        /// How long to wait after a failure; twice as long after each further one, up to six hours, or as long as the
        /// authority says. Public authorities take about five failures an hour.
        retry_interval: Duration = Duration::from_secs(300), within Duration::from_secs(1)..=Duration::from_secs(21_600);
        /// The identifier of an account that you have with the authority outside of ACME (external account binding).
        external_account: Option<String> = None, example "\"kid-1\"";
        /// File with the key that belongs to `external_account`, as the authority gives it: base64url.
        external_account_key_file: Option<PathBuf> = None, example "\"/etc/motet/acme-account.key\"";
    }
    verified Acme::conflicts
}

impl Acme {
    /// Certificates are fetched.
    pub fn is_on(&self) -> bool {
        !self.domains.is_empty()
    }

    fn conflicts(&self) -> Vec<Conflict> {
        let mut conflicts = self.domain_conflicts();
        if self.is_on() && !self.accept_terms {
            conflicts.push(Conflict {
                key: "accept_terms",
                wrong: "is false, so the authority gives nothing for `domains`".into(),
                expected: "true".into(),
                remedy: "read the authority's terms of service and set accept_terms = true, or remove `domains`".into(),
            });
        }
        // [RFC8555-6.1]
        if !crate::outcall::is_url(&self.directory_url) || !self.directory_url.starts_with("https://") {
            conflicts.push(Conflict {
                key: "directory_url",
                wrong: format!("is {:?}", self.directory_url),
                expected: "a URL that begins https://".into(),
                remedy: "write the whole URL of the authority's directory".into(),
            });
        }
        for contact in self.contact.iter().filter(|contact| !contact.starts_with("mailto:")) {
            conflicts.push(Conflict {
                key: "contact",
                wrong: format!("has {contact:?}"),
                expected: "mailto: and an address".into(),
                remedy: format!("write it as \"mailto:{contact}\""),
            });
        }
        let pair = [
            ("external_account", self.external_account.is_some(), self.external_account_key_file.is_some()),
            ("external_account_key_file", self.external_account_key_file.is_some(), self.external_account.is_some()),
        ];
        for (key, _, _) in pair.into_iter().filter(|(_, set, other)| *set && !other) {
            conflicts.push(Conflict {
                key,
                wrong: "is set without the other one".into(),
                expected: "external_account and external_account_key_file, or neither".into(),
                remedy: "set both as the authority gives them, or remove this one".into(),
            });
        }
        conflicts
    }

    fn domain_conflicts(&self) -> Vec<Conflict> {
        let wrong = |wrong: String, expected: &str, remedy: &str| Conflict {
            key: "domains",
            wrong,
            expected: expected.into(),
            remedy: remedy.into(),
        };
        let mut conflicts = Vec::new();
        if self.domains.len() > DOMAINS_MAX {
            let much = format!("has {} names", self.domains.len());
            conflicts.push(wrong(much, &format!("at most {DOMAINS_MAX}"), "leave out some"));
        }
        for (at, domain) in self.domains.iter().enumerate() {
            if domain.starts_with("*.") {
                conflicts.push(wrong(
                    format!("has {domain:?}, which an authority gives by DNS records only"),
                    "names without a wildcard",
                    "list the names one by one, or fetch the wildcard with another tool and name its files in [tls]",
                ));
            } else if !is_dns_name(domain) {
                conflicts.push(wrong(
                    format!("has {domain:?}"),
                    "DNS names in small letters, with at least one dot, such as \"mqtt.example.org\"",
                    "write the name as clients ask for it; international names as xn--…",
                ));
            } else if self.domains[..at].contains(domain) {
                conflicts.push(wrong(format!("has {domain:?} twice"), "each name once", "remove one of them"));
            }
        }
        conflicts
    }
}

/// [RFC1035-2.3.1]
fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // What is all digits at its end is an address.
    let last_is_no_number = |last: &str| !last.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253
        && text.split('.').all(label)
        && text.rsplit_once('.').is_some_and(|(_, last)| last_is_no_number(last))
}

impl Config {
    /// What of `[acme]` the listeners contradict.
    pub(super) fn acme_conflicts(&self) -> Vec<Conflict> {
        if !self.acme.is_on() {
            return Vec::new();
        }
        let mut conflicts = Vec::new();
        let shows = |listener: &super::Listener| {
            listener.protocol.may_speak_tls() && listener.tls.as_ref().unwrap_or(&self.tls).certificate.is_none()
        };
        if !self.listener.iter().any(shows) {
            conflicts.push(Conflict {
                key: "acme",
                wrong: "fetches a certificate that no listener would show".into(),
                expected: "a TLS listener whose table names no `certificate`".into(),
                remedy:
                    "remove `certificate` and `key` from [tls] or the listener's table, add a TLS listener, or remove \
                         acme.domains"
                        .into(),
            });
        }
        let asked = |protocol| matches!(protocol, Protocol::Http | Protocol::Ws | Protocol::Management);
        if self.acme.challenge == AcmeChallenge::Http01 && !self.listener.iter().any(|one| asked(one.protocol)) {
            conflicts.push(Conflict {
                key: "acme",
                wrong: "has challenge = \"http-01\", and no listener speaks HTTP without TLS".into(),
                expected: "a listener with protocol = \"http\" that port 80 of the names leads to".into(),
                remedy: "add one, or set acme.challenge = \"tls-alpn-01\"".into(),
            });
        }
        conflicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(acme: &Acme) -> Vec<&'static str> {
        acme.conflicts().iter().map(|conflict| conflict.key).collect()
    }

    fn good() -> Acme {
        Acme { domains: vec!["mqtt.example.org".into()], accept_terms: true, ..Acme::default() }
    }

    #[test]
    fn what_contradicts_itself_is_named() {
        assert!(wrong(&Acme::default()).is_empty() && wrong(&good()).is_empty());
        assert_eq!(wrong(&Acme { accept_terms: false, ..good() }), ["accept_terms"]);
        assert_eq!(wrong(&Acme { directory_url: "http://ca.example/".into(), ..good() }), ["directory_url"]);
        assert_eq!(wrong(&Acme { contact: vec!["a@example.org".into()], ..good() }), ["contact"]);
        assert_eq!(wrong(&Acme { external_account: Some("kid".into()), ..good() }), ["external_account"]);
        let file = Some("key".into());
        assert_eq!(wrong(&Acme { external_account_key_file: file, ..good() }), ["external_account_key_file"]);
    }

    #[test]
    fn only_names_that_an_authority_can_look_for_are_taken() {
        for name in [
            "*.example.org",
            "192.0.2.1",
            "localhost",
            "Mqtt.example.org",
            "a..b",
            "-a.org",
            "a_b.org",
            ".org",
            "a.org.",
        ] {
            assert_eq!(wrong(&Acme { domains: vec![name.into()], ..good() }), ["domains"], "{name}");
        }
        for name in ["a.org", "xn--bcher-kva.example", "a-b.3com.org", "1.example.org"] {
            assert!(wrong(&Acme { domains: vec![name.into()], ..good() }).is_empty(), "{name}");
        }
        assert_eq!(wrong(&Acme { domains: vec!["a.org".into(); 2], ..good() }), ["domains"], "twice the same");
        let many = (0..=DOMAINS_MAX).map(|at| format!("a{at}.org")).collect();
        assert_eq!(wrong(&Acme { domains: many, ..good() }), ["domains"]);
    }

    #[test]
    fn a_certificate_that_nobody_would_see_is_a_contradiction() {
        let mut config = Config { acme: good(), ..Config::default() };
        assert!(config.acme_conflicts().is_empty());
        config.tls.certificate = Some("a.pem".into());
        assert_eq!(config.acme_conflicts().len(), 1);
        config.tls.certificate = None;
        config.listener.retain(|listener| listener.protocol == Protocol::Mqtts);
        assert_eq!(config.acme_conflicts().len(), 1, "nobody can be asked for a page");
        config.acme.challenge = AcmeChallenge::TlsAlpn01;
        assert!(config.acme_conflicts().is_empty());
    }
}
