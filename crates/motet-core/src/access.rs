//! May they: the first rule that fits decides, and the verdict says which one it was.

use crate::name::Name;
use crate::pattern::Pattern;
use crate::principal::Principal;

/// What somebody wants to do with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send a message to it.
    Publish,
    /// Hear what is sent to it.
    Subscribe,
}

/// Whom a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Every peer.
    Everyone,
    /// Peers without credentials.
    Anonymous,
    /// One account.
    User(Box<str>),
}

/// One line of the access list.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Whom it speaks of.
    pub who: Who,
    /// Which action; `None` for all of them.
    pub action: Option<Action>,
    /// Which names.
    pub names: Pattern,
    /// Allowed or refused.
    pub allow: bool,
}

/// The decision and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// They may.
    pub allowed: bool,
    /// Index of the rule that decided, or `None` when the default did.
    pub rule: Option<usize>,
}

/// An access list: rules in order, then the default.
#[derive(Debug, Clone)]
pub struct AccessRules {
    rules: Vec<Rule>,
    default_allow: bool,
}

impl Default for AccessRules {
    /// Everything is allowed: the state of a server that only listens on loopback.
    fn default() -> Self {
        AccessRules { rules: Vec::new(), default_allow: true }
    }
}

impl AccessRules {
    /// Rules in order of precedence; `default_allow` decides where none fits.
    pub fn new(rules: Vec<Rule>, default_allow: bool) -> Self {
        AccessRules { rules, default_allow }
    }

    /// May `who` do `action` with exactly this name?
    pub fn check(&self, who: &Principal, action: Action, name: &Name) -> Verdict {
        self.decide(who, action, |rule| rule.matches(name))
    }

    fn decide(&self, who: &Principal, action: Action, fits: impl Fn(&Pattern) -> bool) -> Verdict {
        let rule = self.rules.iter().position(|rule| {
            let peer = match &rule.who {
                Who::Everyone => true,
                Who::Anonymous => who.is_anonymous(),
                Who::User(name) => **name == *who.name,
            };
            peer && rule.action.is_none_or(|a| a == action) && fits(&rule.names)
        });
        Verdict { allowed: rule.map_or(self.default_allow, |at| self.rules[at].allow), rule }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spelling::mqtt;

    fn rule(who: Who, filter: &str, allow: bool) -> Rule {
        Rule { who, action: None, names: mqtt::decode_pattern(filter).expect("a filter"), allow }
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_is_named() {
        let rules = AccessRules::new(
            vec![rule(Who::User("ann".into()), "home/#", true), rule(Who::Everyone, "home/#", false)],
            true,
        );
        let name = mqtt::decode_name("home/door").expect("a topic");
        let ann = rules.check(&Principal::named("ann"), Action::Publish, &name);
        assert_eq!(ann, Verdict { allowed: true, rule: Some(0) });
        let bob = rules.check(&Principal::named("bob"), Action::Publish, &name);
        assert_eq!(bob, Verdict { allowed: false, rule: Some(1) });
        let other = mqtt::decode_name("street").expect("a topic");
        assert_eq!(
            rules.check(&Principal::anonymous(), Action::Publish, &other),
            Verdict { allowed: true, rule: None }
        );
    }
}
