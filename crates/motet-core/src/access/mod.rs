//! May they: the first rule that decides is the answer, and the verdict says which one it was.
//!
//! ```text
//!  what is asked ─▶ trees: `$queue/q` is the queue q ─▶ rules of the peer's token ─▶ rules ─▶ permissions ─▶ authority ─▶ default
//! ```
//! | file | what |
//! |---|---|
//! | `rule.rs` | a rule: who, what, where |
//! | `template.rs` | the names of a rule, with placeholders, and when a pattern is covered by them |
//! | `trees.rs` | what a name in a reserved tree stands for |
//! | `permissions.rs` | the second kind of rule: regular expressions per user, as RabbitMQ has them |
//! | `authority.rs` | somebody outside who is asked, and what waits for the answer |
//!
//! A subscription asks for many names at once. An allowing rule decides when it covers *all* of them, a refusing one
//! when it meets *some*: whoever is let in may hear everything it asked for, so nothing is filtered at delivery.

mod authority;
mod permissions;
mod rule;
mod template;
mod trees;

pub use authority::{Authority, Question, SIGNATURE_HEADER, SignatureCheck};
pub use permissions::{Permission, PermissionError, Permissions, REGEX_BYTES_MAX, TopicPermission};
pub use rule::{Actions, OwnRules, Places, Rule, Who};
pub use template::{TEMPLATE_STEPS_MAX, Template, TooManySteps};
pub(crate) use trees::Place;

use crate::name::Name;
use crate::pattern::Pattern;
use crate::principal::Principal;
use crate::spelling::{amqp, mqtt};
use std::fmt;
use std::sync::Arc;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Action {
    /// Send a message to a name, a queue or an exchange.
    Publish,
    /// Hear what is sent to a name, or bind to an exchange.
    Subscribe,
    /// Take messages out of a queue.
    Consume,
    /// Make, change or remove a queue or an exchange.
    Configure,
}

impl Action {
    /// All of them, in their order.
    pub const ALL: [Action; 4] = [Action::Publish, Action::Subscribe, Action::Consume, Action::Configure];

    /// Its word in rules, logs and figures.
    pub fn word(self) -> &'static str {
        match self {
            Action::Publish => "publish",
            Action::Subscribe => "subscribe",
            Action::Consume => "consume",
            Action::Configure => "configure",
        }
    }

    /// The action of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Action::ALL.into_iter().find(|action| action.word() == word)
    }
}

/// What they want to do it with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The address of messages.
    Name(&'a Name),
    /// All addresses of a pattern.
    Pattern(&'a Pattern),
    /// A queue, by its name.
    Queue(&'a [u8]),
    /// An exchange, by its name; the default one has none.
    Exchange(&'a [u8]),
}

impl Resource<'_> {
    /// As MQTT spells it (as AMQP does what MQTT cannot); a queue or an exchange by its name. Empty for a name that is
    /// too long to be spelled.
    pub fn spelled(&self) -> Vec<u8> {
        let mut spelled = Vec::new();
        // What could not be written leaves nothing behind.
        let _ = match self {
            Resource::Name(name) => mqtt::encode_name(name, &mut spelled),
            Resource::Pattern(pattern) => {
                mqtt::encode_pattern(pattern, &mut spelled).or_else(|_| amqp::encode_pattern(pattern, &mut spelled))
            }
            Resource::Queue(name) | Resource::Exchange(name) => {
                spelled.extend_from_slice(name);
                Ok(())
            }
        };
        spelled
    }
}

/// As it is spelled, cut after 200 characters: for people.
impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::Name(_) | Resource::Pattern(_) => "",
            Resource::Queue(_) => "queue ",
            Resource::Exchange(_) => "exchange ",
        })?;
        let spelled = self.spelled();
        let text = String::from_utf8_lossy(&spelled);
        text.chars().take(200).try_for_each(|character| write!(f, "{}", character.escape_debug()))
    }
}

/// Who or what decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The rule of this number.
    Rule(u32),
    /// The rule of this number in the peer's token.
    OwnRule(u32),
    /// The peer's token allows only what it says, and does not say this.
    OwnDefault,
    /// The user's permissions.
    Permission,
    /// The authority that is asked where no rule decides.
    Authority,
    /// No rule fits.
    Default,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Rule(number) => write!(f, "access.rule {number}"),
            Reason::OwnRule(number) => write!(f, "rule {number} of the token"),
            Reason::OwnDefault => f.write_str("no rule of the token allows it"),
            Reason::Permission => f.write_str("the user's permissions"),
            Reason::Authority => f.write_str("the access hook"),
            Reason::Default => f.write_str("no rule fits: access.default"),
        }
    }
}

/// The decision and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// They may.
    pub allowed: bool,
    /// Who says so.
    pub reason: Reason,
}

/// An access list: rules in order, then permissions, then the default.
#[derive(Debug, Clone)]
pub struct AccessRules {
    rules: Arc<[Rule]>,
    permissions: Arc<Permissions>,
    vhost: Arc<str>,
    default_allow: bool,
}

impl Default for AccessRules {
    /// Everything is allowed: the state of a server that only listens on loopback.
    fn default() -> Self {
        AccessRules::new(Vec::new(), true)
    }
}

impl AccessRules {
    /// Rules in order of precedence; `default_allow` decides where none does.
    pub fn new(rules: Vec<Rule>, default_allow: bool) -> Self {
        AccessRules { rules: rules.into(), permissions: Arc::default(), vhost: Arc::from("/"), default_allow }
    }

    /// The same, with permissions for some users.
    #[must_use]
    pub fn with_permissions(self, permissions: Arc<Permissions>) -> Self {
        AccessRules { permissions, ..self }
    }

    /// The rules that hold in a vhost.
    #[must_use]
    pub fn within(&self, vhost: &str) -> Self {
        let here = |rule: &&Rule| rule.vhosts.is_empty() || rule.vhosts.iter().any(|name| **name == *vhost);
        let rules = self.rules.iter().filter(here).cloned().collect();
        AccessRules { rules, vhost: vhost.into(), ..self.clone() }
    }

    /// The permissions in force.
    pub fn permissions(&self) -> &Arc<Permissions> {
        &self.permissions
    }

    /// The rules in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What holds where nothing decides.
    pub fn default_allow(&self) -> bool {
        self.default_allow
    }

    /// May `who` do `action` with exactly this name?
    pub fn check(&self, who: &Principal, action: Action, name: &Name) -> Verdict {
        self.decide(who, action, Resource::Name(name))
    }

    /// May `who` do `action` with this? The whole list is walked at most once.
    pub fn decide(&self, who: &Principal, action: Action, resource: Resource<'_>) -> Verdict {
        let (action, place, asked) = trees::resolve(action, resource);
        let first = |rules: &[Rule]| {
            rules.iter().find(|rule| rule.decides(who, action, place, &asked)).map(|rule| (rule.allow, rule.number))
        };
        if let Some(own) = who.rules() {
            if let Some((allowed, number)) = first(&own.rules) {
                return Verdict { allowed, reason: Reason::OwnRule(number) };
            }
            if own.only {
                return Verdict { allowed: false, reason: Reason::OwnDefault };
            }
        }
        if let Some((allowed, number)) = first(&self.rules) {
            return Verdict { allowed, reason: Reason::Rule(number) };
        }
        if let Some(allowed) = self.permissions.decide(who, &self.vhost, action, place, &asked) {
            return Verdict { allowed, reason: Reason::Permission };
        }
        Verdict { allowed: self.default_allow, reason: Reason::Default }
    }
}

#[cfg(test)]
mod tests;
