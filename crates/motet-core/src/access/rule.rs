//! One line of the access list: who, what, where.

use super::template::{Asked, Template};
use super::{Action, Place};
use crate::principal::Principal;
use std::fmt;

/// Whom a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Every peer.
    Everyone,
    /// Peers without credentials.
    Anonymous,
    /// Peers with credentials, whoever they are.
    Known,
    /// One account.
    User(Box<str>),
    /// Everybody in a group of the account, the certificate or the token.
    Group(Box<str>),
    /// Every account with a tag.
    Tag(Box<str>),
}

impl Who {
    fn fits(&self, who: &Principal) -> bool {
        match self {
            Who::Everyone => true,
            Who::Anonymous => who.is_anonymous(),
            Who::Known => !who.is_anonymous(),
            Who::User(name) => **name == *who.name,
            Who::Group(group) => who.groups().contains(group),
            Who::Tag(tag) => who.tags().contains(tag),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Everyone => f.write_str("everyone"),
            Who::Anonymous => f.write_str("anonymous"),
            Who::Known => f.write_str("users"),
            Who::User(name) => write!(f, "user:{name}"),
            Who::Group(name) => write!(f, "group:{name}"),
            Who::Tag(name) => write!(f, "tag:{name}"),
        }
    }
}

/// A set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions(u8);

impl Actions {
    /// All there are.
    pub const ALL: Actions = Actions(0b1111);

    /// Whether `action` is in it.
    pub fn contains(self, action: Action) -> bool {
        self.0 & 1 << action as u8 != 0
    }

    /// None is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<T: IntoIterator<Item = Action>>(actions: T) -> Self {
        Actions(actions.into_iter().fold(0, |set, action| set | 1 << action as u8))
    }
}

/// Where a rule holds. With no list at all it holds everywhere, in reserved trees too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// Addresses of messages.
    pub names: Vec<Template>,
    /// Queues, their names read as words between dots.
    pub queues: Vec<Template>,
    /// Exchanges, likewise.
    pub exchanges: Vec<Template>,
}

impl Places {
    fn is_everywhere(&self) -> bool {
        self.names.is_empty() && self.queues.is_empty() && self.exchanges.is_empty()
    }

    fn of(&self, place: Place) -> &[Template] {
        match place {
            Place::Names => &self.names,
            Place::Queues => &self.queues,
            Place::Exchanges => &self.exchanges,
        }
    }
}

/// One line of the access list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its number, as the operator counts.
    pub number: u32,
    /// Whom it speaks of: any of these.
    pub who: Vec<Who>,
    /// Which actions.
    pub actions: Actions,
    /// Where.
    pub places: Places,
    /// In which vhosts; empty for all.
    pub vhosts: Vec<Box<str>>,
    /// Allowed or refused.
    pub allow: bool,
}

impl Rule {
    /// Whether it decides: an allowing rule when it allows all of what is asked, a refusing one when it refuses some.
    pub(super) fn decides(&self, who: &Principal, action: Action, place: Place, asked: &Asked<'_>) -> bool {
        if !self.actions.contains(action) || !self.who.iter().any(|w| w.fits(who)) {
            return false;
        }
        let fits = |template: &Template| match self.allow {
            true => template.covers(who, asked),
            false => template.intersects(who, asked),
        };
        self.places.is_everywhere() || self.places.of(place).iter().any(fits)
    }
}

/// Rules that a peer brought along in its token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnRules {
    /// In order of precedence, before the server's own.
    pub rules: Vec<Rule>,
    /// The server's own rules are not asked: what these do not allow is refused.
    pub only: bool,
}
