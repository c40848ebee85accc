//! From the configuration to who may do what: rules, signatures, and what `motet acl explain` says.

use crate::config::{AccessDefault, AccessRule, Config};
use crate::error::ServerError;
use motet_auth::{Signatures, SigningKey};
use motet_core::access::{AccessRules, Action, Actions, Places, Reason, Resource, Rule, Template, Verdict, Who};
use motet_core::pattern::Pattern;
use motet_core::principal::{Details, Principal};
use motet_core::spelling::{amqp, mqtt};
use std::path::Path;

/// A key of a rule and what is wrong with it.
type Wrong = (&'static str, String);

/// The rules of `[[access.rule]]` and what holds where none decides.
///
/// # Errors
/// Never for a configuration that was loaded: its rules have been read before.
pub fn access_rules(config: &Config) -> Result<AccessRules, ServerError> {
    let mut rules = Vec::new();
    for (at, entry) in config.access.rule.iter().enumerate() {
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let read = rule_of(entry, number)
            .map_err(|(key, what)| ServerError::User { key: format!("access.rule.{at}.{key}"), what })?;
        rules.extend(read);
    }
    Ok(AccessRules::new(rules, allows_by_default(config)))
}

/// Whether everything is allowed that no rule decides.
pub(crate) fn allows_by_default(config: &Config) -> bool {
    match config.access.default {
        AccessDefault::Allow => true,
        AccessDefault::Deny => false,
        AccessDefault::Loopback => config.is_loopback_only(),
    }
}

/// The one or two rules of an entry: what it refuses comes before what it allows.
pub(crate) fn rule_of(entry: &AccessRule, number: u32) -> Result<Vec<Rule>, Wrong> {
    let who = entry.who.iter().map(|text| who_of(text).ok_or_else(|| ("who", format!("has {text:?}"))));
    let who: Vec<Who> = who.collect::<Result<_, _>>()?;
    let read = |key, list: &[String], read: fn(&str) -> Option<Template>| -> Result<Vec<Template>, Wrong> {
        list.iter().map(|text| read(text).ok_or_else(|| (key, format!("has {text:?}")))).collect()
    };
    let mut names = read("topics", &entry.topics, place_of)?;
    names.extend(read("routing_keys", &entry.routing_keys, words_of)?);
    let places = Places {
        names,
        queues: read("queues", &entry.queues, words_of)?,
        exchanges: read("exchanges", &entry.exchanges, words_of)?,
    };
    let (allow, deny) = (actions_of("allow", &entry.allow)?, actions_of("deny", &entry.deny)?);
    if allow.is_empty() && deny.is_empty() {
        return Err(("allow", "is empty, and so is `deny`".into()));
    }
    let vhosts: Vec<Box<str>> = entry.vhosts.iter().map(|name| name.as_str().into()).collect();
    let rule = |actions, allow| Rule {
        number,
        who: who.clone(),
        actions,
        places: places.clone(),
        vhosts: vhosts.clone(),
        allow,
    };
    let both = [(deny, false), (allow, true)];
    Ok(both
        .into_iter()
        .filter(|(actions, _)| !actions.is_empty())
        .map(|(actions, allow)| rule(actions, allow))
        .collect())
}

fn who_of(text: &str) -> Option<Who> {
    Some(match text {
        "everyone" => Who::Everyone,
        "anonymous" => Who::Anonymous,
        "users" => Who::Known,
        text => match text.split_once(':').filter(|(_, name)| !name.is_empty())? {
            ("user", name) => Who::User(name.into()),
            ("group", name) => Who::Group(name.into()),
            ("tag", name) => Who::Tag(name.into()),
            _ => return None,
        },
    })
}

fn actions_of(key: &'static str, words: &[String]) -> Result<Actions, Wrong> {
    if words.iter().any(|word| word == "all") {
        return Ok(Actions::ALL);
    }
    words.iter().map(|word| Action::from_word(word).ok_or_else(|| (key, format!("has {word:?}")))).collect()
}

/// A filter in MQTT's spelling, with placeholders.
pub(crate) fn place_of(filter: &str) -> Option<Template> {
    Template::new(&mqtt::decode_pattern(filter).ok()?).ok()
}

fn words_of(key: &str) -> Option<Template> {
    Template::new(&amqp::decode_pattern(key.as_bytes()).ok()?).ok()
}

/// What `[[access.signature]]` asks for.
pub(crate) fn signatures(config: &Config) -> Result<Signatures, ServerError> {
    let mut signatures = Signatures::default();
    for (at, entry) in config.access.signature.iter().enumerate() {
        let key = format!("access.signature.{at}.key_file");
        let Some(file) = &entry.key_file else { continue };
        let bytes = read_file(&key, file)?;
        let signing = SigningKey::new(&entry.key_id, bytes.trim_ascii_end()).ok_or_else(|| ServerError::File {
            key,
            file: file.clone(),
            what: "is shorter than 32 bytes; make one with: openssl rand -hex 32".into(),
        })?;
        let topics: Vec<Pattern> = entry.topics.iter().filter_map(|filter| mqtt::decode_pattern(filter).ok()).collect();
        signatures.require(topics, vec![signing]);
    }
    Ok(signatures)
}

/// A file that a key of the configuration names.
pub(crate) fn read_file(key: &str, file: &Path) -> Result<Vec<u8>, ServerError> {
    std::fs::read(file).map_err(|error| ServerError::File {
        key: key.into(),
        file: file.into(),
        what: format!("cannot be read: {error}"),
    })
}

/// What somebody asks `motet acl explain`.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The user; none for a client without a login.
    pub user: Option<String>,
    /// The client identifier.
    pub client: Option<String>,
    /// Groups of its token.
    pub groups: Vec<String>,
    /// Tags of its account.
    pub tags: Vec<String>,
    /// The word of an action.
    pub action: String,
    /// The topic or filter; of `queue` and `exchange` the name.
    pub what: String,
    /// `topic`, `queue` or `exchange`; a topic for a subscription is a filter.
    pub kind: String,
}

impl Wish {
    /// Which rule decides, in one line, and whether it allows.
    ///
    /// # Errors
    /// What is asked cannot be understood; the text says why.
    pub fn explain(&self, rules: &AccessRules) -> Result<(bool, String), String> {
        let action = Action::from_word(&self.action)
            .ok_or_else(|| format!("{:?} is no action: publish, subscribe, consume or configure", self.action))?;
        let boxed = |list: &[String]| list.iter().map(|one| one.as_str().into()).collect();
        let details = Details { groups: boxed(&self.groups), tags: boxed(&self.tags), ..Details::default() };
        let who = Principal::named(self.user.as_deref().unwrap_or_default())
            .with(details)
            .on(self.client.as_deref().unwrap_or_default());
        let wrong = |error: motet_core::spelling::SpellingError| format!("{:?}: {error}", self.what);
        let verdict = match (self.kind.as_str(), action) {
            ("queue", _) => rules.decide(&who, action, Resource::Queue(self.what.as_bytes())),
            ("exchange", _) => rules.decide(&who, action, Resource::Exchange(self.what.as_bytes())),
            (_, Action::Subscribe) => {
                let pattern = mqtt::decode_pattern(&self.what).map_err(wrong)?;
                rules.decide(&who, action, Resource::Pattern(&pattern))
            }
            _ => rules.check(&who, action, &mqtt::decode_name(&self.what).map_err(wrong)?),
        };
        Ok((verdict.allowed, sentence(verdict, rules)))
    }
}

fn sentence(verdict: Verdict, rules: &AccessRules) -> String {
    let word = if verdict.allowed { "allowed" } else { "refused" };
    let Reason::Rule(number) = verdict.reason else { return format!("{word} by {}", verdict.reason) };
    let who = rules.rules().iter().find(|rule| rule.number == number).map(|rule| {
        let all: Vec<_> = rule.who.iter().map(ToString::to_string).collect();
        all.join(", ")
    });
    format!("{word} by {} (who: {})", verdict.reason, who.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn configured(keys: &[&str]) -> Config {
        let mut sources = Sources::default();
        keys.iter().for_each(|key| sources.set(key).unwrap());
        load(&sources).unwrap().config
    }

    fn explain(config: &Config, user: &str, action: &str, what: &str) -> String {
        let wish = Wish {
            user: Some(user.into()),
            client: Some("c1".into()),
            action: action.into(),
            what: what.into(),
            ..Wish::default()
        };
        wish.explain(&access_rules(config).unwrap()).unwrap().1
    }

    #[test]
    fn rules_of_the_configuration_decide_in_their_order() {
        let config = configured(&[
            "access.default=deny",
            "access.rule.0.deny=all",
            "access.rule.0.topics=a/secret/#",
            "access.rule.1.who=user:ann,group:ops",
            "access.rule.1.allow=publish,subscribe",
            "access.rule.1.topics=a/#,own/%u/%c",
            "access.rule.1.routing_keys=amqp.*",
        ]);
        for (user, action, what, expected) in [
            ("ann", "publish", "a/x", "allowed by access.rule 2 (who: user:ann, group:ops)"),
            ("ann", "publish", "own/ann/c1", "allowed by access.rule 2 (who: user:ann, group:ops)"),
            ("ann", "publish", "amqp/x", "allowed by access.rule 2 (who: user:ann, group:ops)"),
            ("ann", "publish", "own/bob/c1", "refused by no rule fits: access.default"),
            ("ann", "subscribe", "a/#", "refused by access.rule 1 (who: everyone)"),
            ("bob", "subscribe", "a/x", "refused by no rule fits: access.default"),
        ] {
            assert_eq!(explain(&config, user, action, what), expected, "{user} {action} {what}");
        }
        assert!(Wish { action: "fly".into(), ..Wish::default() }.explain(&access_rules(&config).unwrap()).is_err());
    }

    #[test]
    fn the_default_allows_on_loopback_only() {
        assert!(allows_by_default(&configured(&[])));
        assert!(!allows_by_default(&configured(&["listener.0.address=*:1883"])));
        assert!(allows_by_default(&configured(&["listener.0.address=*:1883", "access.default=allow"])));
        assert!(!allows_by_default(&configured(&["access.default=deny"])));
    }

    #[test]
    fn what_is_wrong_in_a_rule_is_told_with_its_key() {
        for (key, named) in [
            ("access.rule.0.who=ann", "access.rule.0.who"),
            ("access.rule.0.allow=fly", "access.rule.0.allow"),
            ("access.rule.0.topics=a/#/b", "access.rule.0.topics"),
            ("access.rule.0.vhosts=eu", "access.rule.0.allow"),
            ("access.signature.0.topics=a/#/b", "access.signature.0.topics"),
            ("access.signature.0.topics=a", "access.signature.0.key_file"),
            ("jwt.jwks_url=ftp://x", "jwt.jwks_url"),
            ("hook.authorize_url=/path", "hook.authorize_url"),
        ] {
            let mut sources = Sources::default();
            sources.set(key).unwrap();
            let error = load(&sources).unwrap_err().to_string();
            assert!(error.contains(named), "{key}: {error}");
        }
    }
}
