//! Topic names, topic filters and shared subscriptions: what is well-formed [4.7, 4.8.2].

use super::wire::check_no_nul;
use crate::error::{DecodeError, EncodeError};

/// A topic name as PUBLISH, will and response topic carry it: no wildcard, no U+0000. May be empty (topic alias).
#[inline]
pub(crate) fn check_name_or_empty(name: &str) -> Result<(), DecodeError> {
    match memchr::memchr3(0, b'+', b'#', name.as_bytes()) {
        None => Ok(()),
        Some(at) if name.as_bytes()[at] == 0 => Err(DecodeError::NulInString),
        Some(_) => Err(DecodeError::TopicNameWildcard), // [MQTT-3.3.2-2]
    }
}

/// A topic name that may not be empty [MQTT-4.7.3-1].
pub(crate) fn check_name(name: &str) -> Result<(), DecodeError> {
    if name.is_empty() {
        return Err(DecodeError::TopicNameEmpty);
    }
    check_name_or_empty(name)
}

/// Can this name, made from another protocol's address, be sent as an MQTT topic name?
pub fn check_topic_name(name: &str) -> Result<(), EncodeError> {
    if name.len() > usize::from(u16::MAX) {
        return Err(EncodeError::FieldTooLong { len: name.len() });
    }
    Ok(check_name(name)?)
}

/// Is this a well-formed topic filter, wildcards in their places, no U+0000? `$share/` is not looked into.
pub fn check_topic_filter(filter: &str) -> Result<(), DecodeError> {
    if filter.is_empty() {
        return Err(DecodeError::TopicFilterEmpty); // [MQTT-4.7.3-1]
    }
    check_no_nul(filter)?;
    let bytes = filter.as_bytes();
    for at in memchr::memchr2_iter(b'+', b'#', bytes) {
        let starts_level = at == 0 || bytes[at - 1] == b'/';
        let next = bytes.get(at + 1);
        match bytes[at] {
            b'#' if !starts_level || next.is_some() => return Err(DecodeError::MultiLevelWildcard), // [MQTT-4.7.1-1]
            b'+' if !starts_level || next.is_some_and(|&next| next != b'/') => {
                return Err(DecodeError::SingleLevelWildcard); // [MQTT-4.7.1-2]
            }
            _ => {}
        }
    }
    Ok(())
}

/// The parts of `$share/<name>/<filter>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SharedSubscription<'a> {
    /// ShareName: the group.
    pub share_name: &'a str,
    /// The topic filter its members share.
    pub topic_filter: &'a str,
}

impl<'a> SharedSubscription<'a> {
    /// `None` when `filter` is not a shared subscription at all.
    pub fn parse(filter: &'a str) -> Result<Option<Self>, DecodeError> {
        let Some(rest) = filter.strip_prefix("$share/") else { return Ok(None) };
        let (share_name, topic_filter) = rest.split_once('/').ok_or(DecodeError::ShareNameMissing)?;
        if share_name.is_empty() || topic_filter.is_empty() {
            return Err(DecodeError::ShareNameMissing); // [MQTT-4.8.2-1]
        }
        if share_name.contains(['+', '#']) {
            return Err(DecodeError::ShareNameWildcard); // [MQTT-4.8.2-2]
        }
        check_topic_filter(topic_filter)?;
        Ok(Some(Self { share_name, topic_filter }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_have_wildcards_only_as_whole_levels() {
        for good in ["a", "/", "#", "+", "+/+", "/+", "a/#", "a/+/b", "+/tennis/#", "$SYS/#", "a//b", "a b", "é/+"] {
            assert_eq!(check_topic_filter(good), Ok(()), "{good}");
        }
        for bad in ["a#", "a/#/b", "#/", "##", "a/b#", "+#"] {
            assert!(check_topic_filter(bad).is_err(), "{bad}");
        }
        for bad in ["a+", "+a", "a/+b", "a/b+/c", "++"] {
            assert_eq!(check_topic_filter(bad), Err(DecodeError::SingleLevelWildcard), "{bad}");
        }
        assert_eq!(check_topic_filter(""), Err(DecodeError::TopicFilterEmpty));
        assert_eq!(check_topic_filter("a\0"), Err(DecodeError::NulInString));
    }

    #[test]
    fn shared_subscriptions_have_a_name_and_a_filter() {
        let parsed = SharedSubscription::parse("$share/g/a/+/#").unwrap().unwrap();
        assert_eq!((parsed.share_name, parsed.topic_filter), ("g", "a/+/#"));
        assert_eq!(SharedSubscription::parse("$share"), Ok(None));
        assert_eq!(SharedSubscription::parse("$shared/g/a"), Ok(None));
        for bad in ["$share/", "$share/g", "$share/g/", "$share//a"] {
            assert_eq!(SharedSubscription::parse(bad), Err(DecodeError::ShareNameMissing), "{bad}");
        }
        for bad in ["$share/+/a", "$share/g#/a"] {
            assert_eq!(SharedSubscription::parse(bad), Err(DecodeError::ShareNameWildcard), "{bad}");
        }
        assert_eq!(SharedSubscription::parse("$share/g/a#"), Err(DecodeError::MultiLevelWildcard));
    }

    #[test]
    fn names_from_elsewhere_are_checked_before_they_are_sent() {
        assert_eq!(check_topic_name("a/b"), Ok(()));
        assert_eq!(check_topic_name(""), Err(DecodeError::TopicNameEmpty.into()));
        assert_eq!(check_topic_name("a/+"), Err(DecodeError::TopicNameWildcard.into()));
        assert_eq!(check_topic_name(&"x".repeat(65_536)), Err(EncodeError::FieldTooLong { len: 65_536 }));
    }
}
