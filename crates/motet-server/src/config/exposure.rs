//! What changes as soon as a listener is not loopback: what is refused there, what is open, and how to change it.

use std::fmt;

use super::sections::{AccessDefault, Anonymous, Config, Listener};

/// Something the start page says about listeners that other machines can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// What is refused or open, where, and why.
    pub fact: String,
    /// How to change it.
    pub remedy: String,
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.fact, self.remedy)
    }
}

impl Config {
    /// Whether only this machine can connect.
    pub fn is_loopback_only(&self) -> bool {
        self.listener.iter().all(Listener::is_loopback)
    }

    /// What the start page says about listeners beyond loopback, most important first; empty when there are none.
    pub fn exposures(&self) -> Vec<Exposure> {
        let exposed: Vec<_> = self.listener.iter().filter(|listener| !listener.is_loopback()).collect();
        if exposed.is_empty() {
            return Vec::new();
        }
        [
            self.anonymous_exposure(&exposed),
            self.rules_exposure(&exposed),
            plain_exposure(&exposed),
            self.metrics_exposure(&exposed),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn anonymous_exposure(&self, exposed: &[&Listener]) -> Option<Exposure> {
        let place = places(exposed);
        let nobody = if self.user.is_empty() { " Without a user nobody can log in there." } else { "" };
        match self.access.anonymous {
            Anonymous::Always => Some(Exposure {
                fact: format!(
                    "Clients without a login are let in from other machines on {place}, because access.anonymous = \"always\"."
                ),
                remedy: "To refuse them: access.anonymous = \"loopback\", and a user for those who may (motet user add).".into(),
            }),
            Anonymous::Never if !self.user.is_empty() => None,
            Anonymous::Loopback | Anonymous::Never => Some(Exposure {
                fact: format!(
                    "Clients without a login are refused on {place}, because other machines reach it.{nobody}"
                ),
                remedy: "To let clients log in: motet user add, or a [[user]]. To let anybody in: access.anonymous = \"always\"."
                    .into(),
            }),
        }
    }

    fn rules_exposure(&self, exposed: &[&Listener]) -> Option<Exposure> {
        let place = places(exposed);
        if self.access.default == AccessDefault::Allow && self.access.rule.is_empty() {
            return Some(Exposure {
                fact: format!(
                    "Whoever is let in on {place} may publish and subscribe to everything, because access.default = \"allow\" and there is no [[access.rule]]."
                ),
                remedy: "To say who may do what: add an [[access.rule]], and access.default = \"deny\".".into(),
            });
        }
        let nothing =
            crate::access::allows_by_default(self) || !self.access.rule.is_empty() || self.hook.authorize_url.is_some();
        // In a token may be rules too; then somebody has thought of them.
        (!nothing && !self.jwt.is_on()).then(|| Exposure {
            fact: format!(
                "Nobody may publish or subscribe to anything, because other machines reach {place} and there is no [[access.rule]]."
            ),
            remedy: "To allow everything to whoever has logged in: [[access.rule]] with who = [\"users\"] and allow = [\"all\"].".into(),
        })
    }

    fn metrics_exposure(&self, exposed: &[&Listener]) -> Option<Exposure> {
        let web: Vec<_> = exposed.iter().copied().filter(|listener| listener.protocol.is_web()).collect();
        (self.metrics.enabled && !web.is_empty()).then(|| Exposure {
            fact: format!("{} can be read without a login on {}.", self.metrics.path, places(&web)),
            remedy: "To close it: metrics.enabled = false.".into(),
        })
    }
}

fn plain_exposure(exposed: &[&Listener]) -> Option<Exposure> {
    let plain: Vec<_> = exposed.iter().copied().filter(|listener| !listener.protocol.is_encrypted()).collect();
    (!plain.is_empty()).then(|| Exposure {
        fact: format!("Passwords and messages can cross the network in clear text on {}.", places(&plain)),
        remedy: "To encrypt them: protocol = \"mqtts\" or \"https\" with a certificate in [tls].".into(),
    })
}

fn places(listeners: &[&Listener]) -> String {
    let places: Vec<_> =
        listeners.iter().map(|listener| format!("{} {}", listener.protocol, listener.address())).collect();
    places.join(", ")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::config::sections::{Protocol, User};

    fn exposed(protocols: &[Protocol]) -> Config {
        let listener = |protocol: &Protocol| Listener {
            address: Some(super::super::ListenAddress { host: super::super::Host::Any, port: protocol.port() }),
            protocol: *protocol,
            ..Listener::default()
        };
        Config { listener: protocols.iter().map(listener).collect(), ..Config::default() }
    }

    fn said(config: &Config) -> String {
        config.exposures().iter().map(|exposure| format!("{exposure}\n")).collect()
    }

    #[test]
    fn loopback_exposes_nothing() {
        let config = Config::default();
        assert!(config.is_loopback_only());
        assert_eq!(config.exposures(), []);
        assert!(config.listener.iter().all(|listener| config.access.admits_anonymous(listener)));
    }

    #[test]
    fn beyond_loopback_the_anonymous_are_refused_and_the_remedy_is_told() {
        let config = exposed(&[Protocol::Mqtt, Protocol::Http]);
        assert!(!config.is_loopback_only());
        assert!(!config.access.admits_anonymous(&config.listener[0]));
        expect![[r#"
            Clients without a login are refused on mqtt *:1883, http *:8080, because other machines reach it. Without a user nobody can log in there. To let clients log in: motet user add, or a [[user]]. To let anybody in: access.anonymous = "always".
            Nobody may publish or subscribe to anything, because other machines reach mqtt *:1883, http *:8080 and there is no [[access.rule]]. To allow everything to whoever has logged in: [[access.rule]] with who = ["users"] and allow = ["all"].
            Passwords and messages can cross the network in clear text on mqtt *:1883, http *:8080. To encrypt them: protocol = "mqtts" or "https" with a certificate in [tls].
            /metrics can be read without a login on http *:8080. To close it: metrics.enabled = false.
        "#]].assert_eq(&said(&config));
    }

    #[test]
    fn an_open_door_is_announced() {
        let mut config = exposed(&[Protocol::Mqtts]);
        config.access.anonymous = Anonymous::Always;
        assert!(config.access.admits_anonymous(&config.listener[0]));
        expect![[r#"
            Clients without a login are let in from other machines on mqtts *:8883, because access.anonymous = "always". To refuse them: access.anonymous = "loopback", and a user for those who may (motet user add).
            Nobody may publish or subscribe to anything, because other machines reach mqtts *:8883 and there is no [[access.rule]]. To allow everything to whoever has logged in: [[access.rule]] with who = ["users"] and allow = ["all"].
        "#]].assert_eq(&said(&config));
    }

    #[test]
    fn a_closed_house_has_nothing_to_say() {
        let mut config = exposed(&[Protocol::Mqtts]);
        config.access.anonymous = Anonymous::Never;
        config.user.push(User { name: "alice".into(), ..User::default() });
        config.access.rule.push(crate::config::AccessRule { allow: vec!["all".into()], ..Default::default() });
        assert_eq!(config.exposures(), []);
    }
}
