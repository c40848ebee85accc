//! The bindings of one exchange: a list in order, to name them, and an index for the exchange's kind, to match them.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::hash::{Rendezvous, WEIGHT_MAX, hash_value};
use super::pick::Pick;
use super::route::Publication;
use super::{Arguments, BindError, ExchangeKind, HashOn, HashProperty, HeadersMatch, Target};
use crate::message::Value;
use crate::name::Name;
use crate::pattern::{Pattern, Token};
use crate::spelling::{SpellingError, amqp};
use crate::tree::Tree;

/// What makes a binding of one exchange itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BindingId {
    pub(super) target: Target,
    pub(super) key: Bytes,
    pub(super) arguments: Arguments,
}

/// How many bindings of a target stand behind one place of an index.
type Counts = BTreeMap<Target, u32>;

#[derive(Debug)]
enum Index {
    Direct(HashMap<Bytes, Counts, RandomState>),
    Fanout(Counts),
    Topic(Box<Tree<Target, u32, ()>>),
    Headers(BTreeMap<BindingId, HeadersMatch>),
    Hash(HashOn, Rendezvous),
    Modulus(Pick),
    Random(Pick),
    /// The vhost's topic tree holds them; how many keys of a target mean one pattern.
    Elsewhere(BTreeMap<(Target, Pattern), u32>),
}

#[derive(Debug)]
pub(super) struct Table {
    ids: BTreeMap<BindingId, ()>,
    index: Index,
}

impl Table {
    pub(super) fn new(kind: &ExchangeKind, is_topic_tree: bool) -> Self {
        let index = match kind {
            _ if is_topic_tree => Index::Elsewhere(BTreeMap::new()),
            ExchangeKind::Direct => Index::Direct(HashMap::default()),
            ExchangeKind::Fanout => Index::Fanout(Counts::new()),
            ExchangeKind::Topic => Index::Topic(Box::default()),
            ExchangeKind::Headers => Index::Headers(BTreeMap::new()),
            ExchangeKind::ModulusHash => Index::Modulus(Pick::default()),
            ExchangeKind::Random => Index::Random(Pick::default()),
            ExchangeKind::ConsistentHash(on) => Index::Hash(on.clone(), Rendezvous::default()),
        };
        Self { ids: BTreeMap::new(), index }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn contains(&self, id: &BindingId) -> bool {
        self.ids.contains_key(id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &BindingId> {
        self.ids.keys()
    }

    /// The bindings to `target`, without a walk over the others.
    pub(super) fn ids_to(&self, target: Target) -> impl Iterator<Item = &BindingId> {
        let first = BindingId { target, key: Bytes::new(), arguments: Arguments::default() };
        self.ids.range(first..).map(|(id, ())| id).take_while(move |id| id.target == target)
    }

    /// Adds a binding that is not there; `name` is its target's.
    pub(super) fn insert(&mut self, id: BindingId, name: &[u8]) -> Result<(), BindError> {
        match &mut self.index {
            Index::Direct(keys) => *keys.entry(id.key.clone()).or_default().entry(id.target).or_default() += 1,
            Index::Fanout(all) => *all.entry(id.target).or_default() += 1,
            Index::Topic(tree) => {
                let pattern = own_pattern(&id.key)?;
                let count = tree.get(&pattern, &id.target).copied().unwrap_or_default();
                tree.insert(&pattern, id.target, count + 1);
            }
            Index::Headers(all) => drop(all.insert(id.clone(), HeadersMatch::from_arguments(&id.arguments)?)),
            Index::Modulus(members) | Index::Random(members) => members.add(id.target, name),
            Index::Hash(_, members) => members.add(id.target, name, weight(&id.key)?),
            Index::Elsewhere(counts) => {
                *counts.entry((id.target, amqp::decode_pattern(&id.key)?)).or_default() += 1;
            }
        }
        self.ids.insert(id, ());
        Ok(())
    }

    /// Takes a binding out that is there. The answer is the topic tree's pattern that no key of the target means any more.
    pub(super) fn remove(&mut self, id: &BindingId) -> Option<Pattern> {
        self.ids.remove(id)?;
        match &mut self.index {
            Index::Direct(keys) => {
                let counts = keys.get_mut(&id.key).expect("a binding is indexed by its key");
                count_down(counts, id.target);
                if counts.is_empty() {
                    keys.remove(&id.key);
                }
            }
            Index::Fanout(all) => count_down(all, id.target),
            Index::Topic(tree) => {
                let pattern = own_pattern(&id.key).expect("the key was read when it was bound");
                match tree.remove(&pattern, &id.target).expect("a binding is in the tree") {
                    1 => {}
                    count => drop(tree.insert(&pattern, id.target, count - 1)),
                }
            }
            Index::Headers(all) => drop(all.remove(id)),
            Index::Modulus(members) | Index::Random(members) => members.remove(id.target),
            Index::Hash(_, members) => {
                members.remove(id.target, weight(&id.key).expect("the key was read when it was bound"));
            }
            Index::Elsewhere(counts) => {
                let place = (id.target, amqp::decode_pattern(&id.key).expect("the key was read when it was bound"));
                let count = counts.get_mut(&place).expect("a binding is counted");
                *count -= 1;
                if *count == 0 {
                    counts.remove(&place);
                    return Some(place.1);
                }
            }
        }
        None
    }

    /// Shows `visit` the targets of the bindings that match; a target perhaps more than once.
    pub(super) fn for_each_match(&self, publication: &Publication<'_>, mut visit: impl FnMut(Target)) {
        match &self.index {
            Index::Direct(bound) => {
                let counts = publication.keys().filter_map(|key| bound.get(key));
                counts.flat_map(Counts::keys).for_each(|target| visit(*target));
            }
            Index::Fanout(all) => all.keys().for_each(|target| visit(*target)),
            Index::Topic(tree) => {
                // A key too long to be a name matches nothing; faces refuse it long before.
                for name in publication.keys().filter_map(own_name) {
                    tree.for_each_match(&name, |target, _| visit(*target));
                }
            }
            Index::Headers(all) => {
                let headers = publication.headers();
                let matching = all.iter().filter(|(id, how)| how.matches(&id.arguments, headers));
                matching.for_each(|(id, _)| visit(id.target));
            }
            Index::Modulus(members) => members.by_hash(hash_value(publication.key)).into_iter().for_each(visit),
            Index::Random(members) => members.by_chance().into_iter().for_each(visit),
            Index::Hash(on, members) => members.winner(hashed(on, publication)).into_iter().for_each(visit),
            Index::Elsewhere(_) => {}
        }
    }
}

/// What every name and pattern of an exchange's own tree begins with: no word is reserved there, and no word at all is a
/// name, too.
const OWN: &[u8] = b"";

fn own_name(key: &[u8]) -> Option<Name> {
    let name = amqp::decode_name(key).ok()?;
    let words = name.segments().filter(|_| !key.is_empty());
    Name::from_segments(std::iter::once(OWN).chain(words)).ok()
}

fn own_pattern(key: &[u8]) -> Result<Pattern, BindError> {
    let pattern = amqp::decode_pattern(key)?;
    let words = pattern.tokens().filter(|_| !key.is_empty());
    let tokens = std::iter::once(Token::Literal(OWN)).chain(words);
    Ok(Pattern::from_tokens(tokens).map_err(SpellingError::from)?)
}

fn count_down(counts: &mut Counts, target: Target) {
    let count = counts.get_mut(&target).expect("a binding is counted");
    *count -= 1;
    if *count == 0 {
        counts.remove(&target);
    }
}

fn weight(key: &[u8]) -> Result<u32, BindError> {
    let weight = std::str::from_utf8(key).ok().and_then(|text| text.parse().ok());
    weight.filter(|weight| (1..=WEIGHT_MAX).contains(weight)).ok_or(BindError::Weight)
}

fn hashed(on: &HashOn, publication: &Publication<'_>) -> u64 {
    let properties = publication.properties;
    match on {
        HashOn::Key => hash_value(publication.key),
        HashOn::Header(name) => {
            let value = publication.headers().iter().find(|(known, _)| known == name).map(|(_, value)| value);
            match value {
                Some(Value::Text(text)) => hash_value(text.as_bytes()),
                Some(Value::Bytes(bytes)) => hash_value(bytes),
                Some(Value::Int(number)) => hash_value(number.to_string().as_bytes()),
                Some(Value::UInt(number) | Value::Timestamp(number)) => hash_value(number.to_string().as_bytes()),
                Some(Value::Bool(truth)) => hash_value(&[u8::from(*truth)]),
                Some(Value::Float(number)) => hash_value(&number.to_bits().to_le_bytes()),
                Some(Value::Null | Value::List(_) | Value::Table(_)) | None => hash_value(b""),
            }
        }
        HashOn::Property(HashProperty::MessageId) => {
            hash_value(properties.and_then(|p| p.message_id.as_deref()).unwrap_or_default().as_bytes())
        }
        HashOn::Property(HashProperty::CorrelationId) => {
            hash_value(properties.and_then(|p| p.correlation.as_deref()).unwrap_or_default())
        }
        HashOn::Property(HashProperty::Timestamp) => {
            hash_value(&properties.and_then(|p| p.timestamp).unwrap_or_default().to_le_bytes())
        }
    }
}
