//! Patterns: lists of tokens that names are matched against, never characters.

use std::fmt;
use std::sync::Arc;

use crate::name::{Name, NameError, Readable, Segments, read_varint, spelled_after, write_varint};

/// One step of a [`Pattern`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Token<'a> {
    /// Exactly this segment.
    Literal(&'a [u8]),
    /// Any one segment: MQTT `+`, AMQP and NATS `*`.
    One,
    /// Any segments to the end, also none: MQTT `#`, and an AMQP `#` in last place. Only ever last.
    Rest,
    /// Any segments, also none, with more of the pattern to come: an AMQP `#` before the last place.
    AnyMiddle,
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Literal(segment) => Readable(segment).fmt(f),
            Token::One => f.write_str("One"),
            Token::Rest => f.write_str("Rest"),
            Token::AnyMiddle => f.write_str("AnyMiddle"),
        }
    }
}

/// What a subscription or binding asks for: a list of one or more [`Token`]s.
///
/// A clone shares the buffer; equality and hash are those of the flat form. A name in a reserved tree (its first segment
/// begins with `$`) is matched only by a pattern whose first token is that very segment.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern {
    flat: Arc<[u8]>,
}

// In the flat form a token is one varint: a wildcard's number, or 3 plus the length of the literal that follows.
const ONE: usize = 0;
const REST: usize = 1;
const ANY_MIDDLE: usize = 2;
const LITERAL: usize = 3;

impl Pattern {
    /// Collects `tokens`; none at all is the pattern of the empty name.
    pub fn from_tokens<'a>(tokens: impl IntoIterator<Item = Token<'a>>) -> Result<Self, NameError> {
        let mut builder = PatternBuilder::new();
        for token in tokens {
            builder.push(token)?;
        }
        Ok(builder.finish())
    }

    /// The pattern that matches `name` and nothing else.
    pub fn from_name(name: &Name) -> Self {
        Self::from_tokens(name.segments().map(Token::Literal)).expect("a name within its bound is a pattern within it")
    }

    /// Takes back what [`Pattern::as_flat`] gave, checking every token and the bound.
    pub fn from_flat(flat: &[u8]) -> Result<Self, NameError> {
        let mut rest = flat;
        let mut builder = PatternBuilder::new();
        while !rest.is_empty() {
            let (token, after) = read_token(rest).ok_or(NameError::Malformed)?;
            builder.push(token)?;
            rest = after;
        }
        // A trailing AnyMiddle is always written as Rest, so any other form is none of ours.
        let pattern = builder.finish();
        if *pattern.flat == *flat { Ok(pattern) } else { Err(NameError::Malformed) }
    }

    /// The flat form, fit for storing.
    pub fn as_flat(&self) -> &[u8] {
        &self.flat
    }

    /// The tokens from the first to the last.
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens { rest: &self.flat }
    }

    /// The name this pattern stands for when it has no wildcard.
    pub fn to_name(&self) -> Option<Name> {
        let mut builder = crate::name::NameBuilder::with_capacity(self.flat.len());
        for token in self.tokens() {
            let Token::Literal(segment) = token else { return None };
            builder.push(segment).expect("a pattern within its bound is a name within it");
        }
        Some(builder.finish())
    }

    /// Whether `name` is among what this pattern asks for. Every other matcher must agree with this one.
    ///
    /// At most (tokens x segments) steps and no memory: on a mismatch only the latest `AnyMiddle` takes one more
    /// segment, since what an earlier one could gain the latest can gain too.
    pub fn matches(&self, name: &Name) -> bool {
        let mut tokens = self.tokens();
        let mut segments = name.segments();
        if name.is_reserved() && !matches!(tokens.clone().next(), Some(Token::Literal(_))) {
            return false;
        }
        let mut retry: Option<(Tokens<'_>, Segments<'_>)> = None;
        loop {
            let advances = match tokens.next() {
                Some(Token::Rest) => return true,
                Some(Token::AnyMiddle) => {
                    retry = Some((tokens.clone(), segments.clone()));
                    true
                }
                Some(Token::One) => segments.next().is_some(),
                Some(Token::Literal(literal)) => segments.next() == Some(literal),
                None if segments.next().is_none() => return true,
                None => false,
            };
            if !advances {
                let Some((after, from)) = &mut retry else { return false };
                if from.next().is_none() {
                    return false;
                }
                (tokens, segments) = (after.clone(), from.clone());
            }
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pattern")?;
        f.debug_list().entries(self.tokens()).finish()
    }
}

/// Iterates over the tokens of a [`Pattern`]; a clone is a bookmark.
#[derive(Clone)]
pub struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    #[inline]
    fn next(&mut self) -> Option<Token<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (token, rest) = read_token(self.rest).expect("a pattern's flat form is well-formed");
        self.rest = rest;
        Some(token)
    }
}

impl fmt::Debug for Tokens<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

fn read_token(bytes: &[u8]) -> Option<(Token<'_>, &[u8])> {
    let (number, rest) = read_varint(bytes)?;
    match number {
        ONE => Some((Token::One, rest)),
        REST => Some((Token::Rest, rest)),
        ANY_MIDDLE => Some((Token::AnyMiddle, rest)),
        _ => rest.split_at_checked(number - LITERAL).map(|(literal, rest)| (Token::Literal(literal), rest)),
    }
}

/// Builds a [`Pattern`] token by token.
#[derive(Debug, Default, Clone)]
pub struct PatternBuilder {
    flat: Vec<u8>,
    /// Bytes a face would need without escapes, a wildcard counting one; bounded like a name.
    spelled: usize,
    ending: Ending,
}

/// What the last token pushed was, as far as the next one or the end cares.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Ending {
    #[default]
    Open,
    Rest,
    AnyMiddle,
}

impl PatternBuilder {
    /// Starts with no tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `token`; on an error the pattern stays as it was. Nothing may follow a `Rest`.
    pub fn push(&mut self, token: Token<'_>) -> Result<(), NameError> {
        if self.ending == Ending::Rest {
            return Err(NameError::AfterRest);
        }
        let (number, literal) = match token {
            Token::One => (ONE, None),
            Token::Rest => (REST, None),
            Token::AnyMiddle => (ANY_MIDDLE, None),
            Token::Literal(literal) => (LITERAL + literal.len(), Some(literal)),
        };
        self.spelled = spelled_after(self.spelled, self.flat.is_empty(), literal.map_or(1, <[u8]>::len))?;
        write_varint(number, &mut self.flat);
        self.flat.extend_from_slice(literal.unwrap_or_default());
        self.ending = match token {
            Token::Rest => Ending::Rest,
            Token::AnyMiddle => Ending::AnyMiddle,
            Token::One | Token::Literal(_) => Ending::Open,
        };
        Ok(())
    }

    /// The pattern built; with no token pushed it is the pattern of the empty name. An `AnyMiddle` in last place means
    /// the same as `Rest` and becomes it, so that one meaning has one form.
    pub fn finish(mut self) -> Pattern {
        if self.flat.is_empty() {
            write_varint(LITERAL, &mut self.flat);
        }
        if self.ending == Ending::AnyMiddle {
            *self.flat.last_mut().expect("a token was pushed") = REST as u8;
        }
        Pattern { flat: self.flat.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::Token::{AnyMiddle, Literal, One, Rest};
    use super::*;

    /// Dots separate; `*` is One, `#` is AnyMiddle or Rest.
    fn pattern(text: &str) -> Pattern {
        Pattern::from_tokens(text.split('.').map(|word| match word {
            "*" => One,
            "#" => AnyMiddle,
            word => Literal(word.as_bytes()),
        }))
        .unwrap()
    }

    fn name(text: &str) -> Name {
        Name::from_segments(text.split('.')).unwrap()
    }

    fn check(text: &str, yes: &[&str], no: &[&str]) {
        for matched in yes {
            assert!(pattern(text).matches(&name(matched)), "{text} should match {matched:?}");
        }
        for missed in no {
            assert!(!pattern(text).matches(&name(missed)), "{text} should not match {missed:?}");
        }
    }

    #[test]
    fn one_stands_for_exactly_one_segment() {
        check("a.*.c", &["a.b.c", "a..c"], &["a.c", "a.b.b.c", "a.b.d"]);
        check("*", &["a", ""], &["a.b", "."]);
    }

    #[test]
    fn rest_includes_the_parent() {
        check("a.#", &["a", "a.", "a.b.c"], &["", "b", "b.a"]);
        check("#", &["", "a", "a.b", "."], &[]);
    }

    #[test]
    fn any_middle_stands_for_none_or_more() {
        check("a.#.b", &["a.b", "a.x.b", "a.b.b", "a.x.y.b"], &["a", "a.x", "a.b.x"]);
        check("#.b.#", &["b", "a.b", "b.c", "a.b.c.b.d"], &["", "a.c"]);
        check("#.a.b.#.c", &["a.a.b.c", "a.b.a.b.x.c"], &["a.x.b.c", "a.b"]);
        check("#.*", &["a", "a.b", ""], &[]);
        check("*.#.*", &["a.b", "a.b.c"], &["a"]);
    }

    #[test]
    fn reserved_trees_are_matched_only_by_their_name() {
        check("$SYS.#", &["$SYS", "$SYS.a"], &["$sys.a"]);
        for wild in ["#", "*.a", "#.a", "*.#", "#.$SYS.a"] {
            check(wild, &[], &["$SYS.a", "$SYS"]);
        }
        check("a.*", &["a.$b"], &[]);
    }

    #[test]
    fn many_wildcards_stay_within_tokens_times_segments() {
        let never =
            Pattern::from_tokens((0..60).flat_map(|_| [AnyMiddle, Literal(b"a")]).chain([Literal(b"b")])).unwrap();
        assert!(!never.matches(&name(&"a.".repeat(5_000))));
    }

    #[test]
    fn any_middle_in_last_place_is_rest() {
        assert_eq!(pattern("a.#"), Pattern::from_tokens([Literal(b"a"), Rest]).unwrap());
        assert_eq!(pattern("#.#").tokens().collect::<Vec<_>>(), [AnyMiddle, Rest]);
    }

    #[test]
    fn nothing_follows_rest() {
        assert_eq!(Pattern::from_tokens([Rest, One]), Err(NameError::AfterRest));
    }

    #[test]
    fn flat_forms_come_back_and_malformed_ones_are_refused() {
        for text in ["a.*.#.b", "#", "", "a.#", &format!("{}.*", "x".repeat(200))] {
            let pattern = pattern(text);
            assert_eq!(Pattern::from_flat(pattern.as_flat()), Ok(pattern));
        }
        for flat in [&b""[..], b"\x02", b"\x05a", b"\x80\x00"] {
            assert_eq!(Pattern::from_flat(flat), Err(NameError::Malformed), "{flat:?}");
        }
        assert_eq!(Pattern::from_flat(b"\x01\x00"), Err(NameError::AfterRest));
    }

    #[test]
    fn a_pattern_without_wildcards_is_a_name() {
        assert_eq!(pattern("a..b").to_name(), Some(name("a..b")));
        assert_eq!(Pattern::from_name(&name("a..b")), pattern("a..b"));
        assert_eq!(pattern("a.*").to_name(), None);
    }
}
