//! What an account may do beyond its messages: the words that RabbitMQ's management API knows.

use std::fmt;

/// One word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// Everything: users, permissions, policies, every connection.
    Administrator,
    /// What `Management` has, and a look at all connections and nodes.
    Monitoring,
    /// What `Management` has, and policies and parameters.
    Policymaker,
    /// The management API, for one's own connections.
    Management,
}

impl Tag {
    /// All of them, the mightiest first.
    pub const ALL: [Tag; 4] = [Tag::Administrator, Tag::Monitoring, Tag::Policymaker, Tag::Management];

    /// As operators write it.
    pub fn word(self) -> &'static str {
        match self {
            Tag::Administrator => "administrator",
            Tag::Monitoring => "monitoring",
            Tag::Policymaker => "policymaker",
            Tag::Management => "management",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The words of one account; none is an ordinary user, who has no business in the management API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tags(u8);

impl Tags {
    /// No words.
    pub const NONE: Tags = Tags(0);

    /// Words with commas or spaces between them; none at all is [`Tags::NONE`].
    ///
    /// # Errors
    /// [`UnknownTag`] for any other word.
    pub fn read(words: &str) -> Result<Self, UnknownTag> {
        let mut words = words.split([',', ' ']).filter(|word| !word.is_empty());
        words.try_fold(Tags::NONE, |tags, word| {
            let tag = Tag::ALL.into_iter().find(|tag| tag.word() == word);
            tag.map(|tag| tags.with(tag)).ok_or_else(|| UnknownTag(word.into()))
        })
    }

    /// These and one more.
    pub fn with(self, tag: Tag) -> Self {
        Tags(self.0 | tag.bit())
    }

    /// Whether this word is among them.
    pub fn has(self, tag: Tag) -> bool {
        self.0 & tag.bit() != 0
    }

    /// The words, the mightiest first.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Tag::ALL.into_iter().filter(move |tag| self.has(*tag)).map(Tag::word)
    }
}

/// With commas between them, as [`Tags::read`] takes them.
impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().collect::<Vec<_>>().join(","))
    }
}

/// A word that no tag is called by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no tag; there are administrator, monitoring, policymaker and management")]
pub struct UnknownTag(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_written_as_they_were_read() {
        for (words, written) in [
            ("", ""),
            ("management", "management"),
            ("management, administrator", "administrator,management"),
            ("policymaker monitoring management administrator", "administrator,monitoring,policymaker,management"),
        ] {
            assert_eq!(Tags::read(words).unwrap().to_string(), written);
        }
        assert!(Tags::read("management,root").unwrap_err().to_string().contains("\"root\""));
        let tags = Tags::read("monitoring").unwrap();
        assert!(tags.has(Tag::Monitoring) && !tags.has(Tag::Administrator));
    }
}
