//! The second kind of rule: regular expressions per user and vhost, as RabbitMQ has them. What is administered over its
//! management interface is kept as such, and means here what it means there.
//!
//! | asked | expression |
//! |---|---|
//! | make, change, remove a queue or exchange | configure, on its name |
//! | publish to an exchange, bind a queue | write, on its name |
//! | consume from a queue, bind to an exchange | read, on its name |
//! | publish to a name of the topic tree | write, on `amq.topic`; then the topic permission, on the key with dots |
//! | subscribe to such names | read, on `amq.topic`; then the topic permission, on the binding key |
//!
//! An expression fits anywhere in a name unless it is anchored; the empty one fits only the empty name; the default
//! exchange is called `amq.default`. Who has permissions in some vhost has none in the others. What differs: expressions
//! without look-around and back references only, so that none takes more than linear time, and a user or client name
//! in a topic permission is taken literally whatever it contains.

use super::template::Asked;
use super::{Action, Place};
use crate::pattern::Token;
use crate::principal::Principal;
use regex::bytes::{Regex, RegexBuilder};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Bytes of one expression as it is written.
pub const REGEX_BYTES_MAX: usize = 1024;
/// Bytes of one expression as it is compiled.
const COMPILED_BYTES_MAX: usize = 1 << 18;
/// Topic permissions of one user in one vhost: one per exchange.
const TOPIC_PERMISSIONS_MAX: usize = 256;
/// The exchange that is the topic tree.
const TOPIC_TREE: &[u8] = b"amq.topic";

/// What one user may in one vhost.
#[derive(Debug, Clone)]
pub struct Permission {
    configure: Regex,
    write: Regex,
    read: Regex,
}

/// What one user may publish to and hear from a topic exchange, beside its [`Permission`].
#[derive(Debug, Clone)]
pub struct TopicPermission {
    exchange: Box<[u8]>,
    write: Expression,
    read: Expression,
}

/// Why a permission cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PermissionError {
    /// Longer than [`REGEX_BYTES_MAX`].
    #[error("the expression is longer than {REGEX_BYTES_MAX} bytes")]
    TooLong,
    /// It is no expression of ours, or too large when compiled; the text says why.
    #[error("not a regular expression: {0}")]
    Malformed(String),
    /// The user has topic permissions for 256 exchanges already.
    #[error("too many topic permissions")]
    TooMany,
}

impl Permission {
    /// Compiles the three expressions.
    ///
    /// # Errors
    /// One of them is none.
    pub fn new(configure: &str, write: &str, read: &str) -> Result<Self, PermissionError> {
        Ok(Permission { configure: compile(configure)?, write: compile(write)?, read: compile(read)? })
    }
}

impl TopicPermission {
    /// For the topic exchange of this name; `{username}`, `{vhost}` and `{client_id}` in the expressions stand for what
    /// the peer has there.
    ///
    /// # Errors
    /// One of the expressions is none.
    pub fn new(exchange: &str, write: &str, read: &str) -> Result<Self, PermissionError> {
        let exchange = real_name(exchange.as_bytes()).into();
        Ok(TopicPermission { exchange, write: Expression::new(write)?, read: Expression::new(read)? })
    }
}

/// The permissions of all users.
#[derive(Debug, Clone, Default)]
pub struct Permissions {
    /// By user, then by vhost. Shared, so that a change copies one user.
    users: HashMap<Arc<str>, Arc<HashMap<Box<str>, Held>>>,
    /// Users who have what is here and nothing else, were it nothing at all.
    confined: HashSet<Arc<str>>,
}

#[derive(Debug, Clone, Default)]
struct Held {
    permission: Option<Permission>,
    topics: Vec<TopicPermission>,
}

impl Permissions {
    /// Gives, replaces or, with `None`, takes away a user's permission in a vhost.
    pub fn set(&mut self, user: &str, vhost: &str, permission: Option<Permission>) {
        self.held(user, vhost).permission = permission;
        self.forget_empty(user, vhost);
    }

    /// Gives or replaces a user's permission on a topic exchange.
    ///
    /// # Errors
    /// There are too many.
    pub fn set_topic(&mut self, user: &str, vhost: &str, topic: TopicPermission) -> Result<(), PermissionError> {
        let topics = &mut self.held(user, vhost).topics;
        topics.retain(|known| known.exchange != topic.exchange);
        if topics.len() == TOPIC_PERMISSIONS_MAX {
            return Err(PermissionError::TooMany);
        }
        topics.push(topic);
        Ok(())
    }

    /// Takes away a user's permissions on the topic exchange of this name, or on all of them.
    pub fn clear_topics(&mut self, user: &str, vhost: &str, exchange: Option<&str>) {
        let gone = exchange.map(|name| real_name(name.as_bytes()).to_vec());
        self.held(user, vhost).topics.retain(|known| gone.as_ref().is_some_and(|gone| **gone != *known.exchange));
        self.forget_empty(user, vhost);
    }

    /// Takes away everything that a user has.
    pub fn forget_user(&mut self, user: &str) {
        self.users.remove(user);
        self.confined.remove(user);
    }

    /// Takes away what everybody has in a vhost.
    pub fn forget_vhost(&mut self, vhost: &str) {
        let here = self.users.iter().filter(|(_, vhosts)| vhosts.contains_key(vhost));
        let users: Vec<_> = here.map(|(user, _)| user.clone()).collect();
        for user in users {
            self.set(&user, vhost, None);
            self.clear_topics(&user, vhost, None);
        }
    }

    /// From now on the user has what its permissions say and nothing else, even when that is nothing at all.
    pub fn confine(&mut self, user: &str) {
        self.confined.insert(user.into());
    }

    /// Whether [`Permissions::confine`] was called for the user.
    pub fn is_confined(&self, user: &str) -> bool {
        self.confined.contains(user)
    }

    /// Whether the user may enter the vhost; `None` when it has no permissions anywhere, and need not have.
    pub fn may_enter(&self, user: &str, vhost: &str) -> Option<bool> {
        let Some(vhosts) = self.users.get(user) else { return self.is_confined(user).then_some(false) };
        Some(vhosts.get(vhost).is_some_and(|held| held.permission.is_some()))
    }

    /// Whether a topic permission allows this key of this exchange: yes where there is none.
    pub fn allows_key(&self, who: &Principal, vhost: &str, action: Action, exchange: &[u8], key: &[u8]) -> bool {
        let held = self.users.get(&*who.name).and_then(|vhosts| vhosts.get(vhost));
        let exchange = real_name(exchange);
        let topic = held.and_then(|held| held.topics.iter().find(|topic| *topic.exchange == *exchange));
        topic.is_none_or(|topic| match action {
            Action::Publish => topic.write.fits(who, vhost, key),
            _ => topic.read.fits(who, vhost, key),
        })
    }

    /// The answer for a user that has permissions somewhere.
    pub(super) fn decide(
        &self,
        who: &Principal,
        vhost: &str,
        action: Action,
        place: Place,
        asked: &Asked<'_>,
    ) -> Option<bool> {
        let Some(vhosts) = self.users.get(&*who.name) else {
            return self.is_confined(&who.name).then_some(false);
        };
        let Some(permission) = vhosts.get(vhost).and_then(|held| held.permission.as_ref()) else { return Some(false) };
        let key = spelled(asked);
        let name = match place {
            Place::Names => TOPIC_TREE,
            Place::Queues => &key,
            Place::Exchanges => real_name(&key),
        };
        let regex = match action {
            Action::Publish => &permission.write,
            Action::Subscribe | Action::Consume => &permission.read,
            Action::Configure => &permission.configure,
        };
        let topic = place == Place::Names;
        Some(regex.is_match(name) && (!topic || self.allows_key(who, vhost, action, TOPIC_TREE, &key)))
    }

    fn held(&mut self, user: &str, vhost: &str) -> &mut Held {
        let vhosts = self.users.entry(user.into()).or_default();
        Arc::make_mut(vhosts).entry(vhost.into()).or_default()
    }

    fn forget_empty(&mut self, user: &str, vhost: &str) {
        let Some(vhosts) = self.users.get_mut(user).map(Arc::make_mut) else { return };
        if vhosts.get(vhost).is_some_and(|held| held.permission.is_none() && held.topics.is_empty()) {
            vhosts.remove(vhost);
        }
        if vhosts.is_empty() {
            self.users.remove(user);
        }
    }
}

/// An expression that may have placeholders.
#[derive(Debug, Clone)]
enum Expression {
    Fixed(Regex),
    /// Compiled anew for each who asks: a publisher remembers the answer.
    Filled(Box<str>),
}

const USER: &str = "{username}";
const VHOST: &str = "{vhost}";
const CLIENT: &str = "{client_id}";

impl Expression {
    fn new(text: &str) -> Result<Self, PermissionError> {
        if ![USER, VHOST, CLIENT].iter().any(|place| text.contains(place)) {
            return compile(text).map(Expression::Fixed);
        }
        // Whether it is an expression does not depend on what stands there.
        compile(&text.replace(USER, "u").replace(VHOST, "v").replace(CLIENT, "c"))?;
        Ok(Expression::Filled(text.into()))
    }

    fn fits(&self, who: &Principal, vhost: &str, key: &[u8]) -> bool {
        match self {
            Expression::Fixed(regex) => regex.is_match(key),
            Expression::Filled(text) => {
                // Braces of a value are escaped too, so a value is never taken for a placeholder.
                let mut filled = text.replace(USER, &regex::escape(&who.name));
                filled = filled.replace(VHOST, &regex::escape(vhost));
                filled = filled.replace(CLIENT, &regex::escape(who.client()));
                // A name may be long enough to burst the bound; then it fits nothing.
                build(&filled).is_ok_and(|regex| regex.is_match(key))
            }
        }
    }
}

fn compile(text: &str) -> Result<Regex, PermissionError> {
    if text.len() > REGEX_BYTES_MAX {
        return Err(PermissionError::TooLong);
    }
    build(text)
}

fn build(text: &str) -> Result<Regex, PermissionError> {
    // The empty expression fits the empty name alone.
    let text = if text.is_empty() { "^$" } else { text };
    RegexBuilder::new(text)
        .size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| PermissionError::Malformed(error.to_string()))
}

fn real_name(exchange: &[u8]) -> &[u8] {
    if exchange.is_empty() { b"amq.default" } else { exchange }
}

/// With dots, as a key.
fn spelled(asked: &Asked<'_>) -> Vec<u8> {
    let mut key = Vec::new();
    for (at, token) in asked.iter().enumerate() {
        if at > 0 {
            key.push(b'.');
        }
        match token {
            Token::Literal(segment) => key.extend_from_slice(segment),
            Token::One => key.push(b'*'),
            Token::Rest | Token::AnyMiddle => key.push(b'#'),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Resource;
    use crate::access::trees::resolve;
    use crate::spelling::mqtt;

    fn may(permissions: &Permissions, who: &Principal, action: Action, resource: Resource<'_>) -> Option<bool> {
        let (action, place, asked) = resolve(action, resource);
        permissions.decide(who, "/", action, place, &asked)
    }

    fn with(configure: &str, write: &str, read: &str) -> Permissions {
        let mut permissions = Permissions::default();
        permissions.set("ann", "/", Some(Permission::new(configure, write, read).unwrap()));
        permissions
    }

    #[test]
    fn each_action_has_its_expression() {
        let permissions = with("^own", "^own|^amq.topic$", "");
        let ann = Principal::named("ann");
        let own = Resource::Queue(b"own.queue");
        assert_eq!(may(&permissions, &ann, Action::Configure, own), Some(true));
        assert_eq!(may(&permissions, &ann, Action::Publish, own), Some(true));
        assert_eq!(may(&permissions, &ann, Action::Consume, own), Some(false));
        assert_eq!(may(&permissions, &ann, Action::Configure, Resource::Queue(b"others")), Some(false));
        let topic = mqtt::decode_name("a/b").unwrap();
        assert_eq!(may(&permissions, &ann, Action::Publish, Resource::Name(&topic)), Some(true));
        assert_eq!(may(&permissions, &ann, Action::Subscribe, Resource::Name(&topic)), Some(false));
        assert_eq!(may(&permissions, &Principal::named("bob"), Action::Publish, own), None);
        assert_eq!(permissions.may_enter("ann", "other"), Some(false));
        assert_eq!(permissions.may_enter("bob", "/"), None);
    }

    #[test]
    fn the_default_exchange_has_a_name_here() {
        let permissions = with("", "^amq\\.default$", "");
        let ann = Principal::named("ann");
        assert_eq!(may(&permissions, &ann, Action::Publish, Resource::Exchange(b"")), Some(true));
        assert_eq!(may(&permissions, &ann, Action::Publish, Resource::Exchange(b"amq.topic")), Some(false));
    }

    #[test]
    fn a_name_in_a_topic_permission_is_literal() {
        let mut permissions = with(".*", ".*", ".*");
        let topic = TopicPermission::new("amq.topic", "^{username}\\.{client_id}$", "^x").unwrap();
        permissions.set_topic("ann", "/", topic.clone()).unwrap();
        permissions.set(".*", "/", Some(Permission::new("", ".*", "").unwrap()));
        permissions.set_topic(".*", "/", topic).unwrap();
        let publish = |who: &Principal, key: &str| {
            let name = mqtt::decode_name(key).unwrap();
            may(&permissions, who, Action::Publish, Resource::Name(&name))
        };
        assert_eq!(publish(&Principal::named("ann").on("c1"), "ann/c1"), Some(true));
        assert_eq!(publish(&Principal::named("ann").on("c1"), "ann/c2"), Some(false));
        assert_eq!(publish(&Principal::named(".*").on("{username}"), "bob/x"), Some(false));
        permissions.clear_topics("ann", "/", Some("amq.topic"));
        let name = mqtt::decode_name("b").unwrap();
        assert_eq!(may(&permissions, &Principal::named("ann"), Action::Publish, Resource::Name(&name)), Some(true));
        permissions.forget_user("ann");
        assert_eq!(permissions.may_enter("ann", "/"), None);
    }

    #[test]
    fn expressions_are_bounded() {
        assert_eq!(Permission::new(&"a".repeat(1025), "", "").err(), Some(PermissionError::TooLong));
        assert!(matches!(Permission::new("(", "", ""), Err(PermissionError::Malformed(_))));
        assert!(matches!(Permission::new("(a{1000}){1000}", "", ""), Err(PermissionError::Malformed(_))));
        assert!(matches!(TopicPermission::new("e", "({username}", ""), Err(PermissionError::Malformed(_))));
    }
}
