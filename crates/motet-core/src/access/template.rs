//! The names a rule speaks of: a pattern in which `%u` stands for the user and `%c` for the client.
//!
//! A placeholder stands for bytes within one segment. Whatever the value is, it is compared with a whole segment, so
//! separators and wildcards in it are ordinary bytes and never widen a rule; an empty value fits nothing. A reserved tree
//! (`$SYS`) is reached only by a rule that writes the `$` itself.

use crate::pattern::{Pattern, Token};
use crate::principal::Principal;
use smallvec::SmallVec;

/// Steps of a template; a longer pattern is refused. More levels than a topic may have by default.
pub const TEMPLATE_STEPS_MAX: usize = 256;

/// A pattern with placeholders. `AnyMiddle` and `Rest` mean the same here: any segments, also none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    steps: Box<[Step]>,
    /// The first segment is written with a `$`.
    reserved: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Text(Box<[u8]>),
    /// Text and placeholders within one segment.
    Filled(Box<[Part]>),
    One,
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<[u8]>),
    User,
    Client,
}

/// A name, or what a subscription asks for, as tokens.
pub(super) type Asked<'a> = SmallVec<[Token<'a>; 16]>;

/// The pattern has more than [`TEMPLATE_STEPS_MAX`] steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {TEMPLATE_STEPS_MAX} levels")]
pub struct TooManySteps;

impl Template {
    /// Reads placeholders out of the literals of a pattern. `%%` is a `%` where it would begin a placeholder.
    ///
    /// # Errors
    /// The pattern is longer than any rule needs.
    pub fn new(pattern: &Pattern) -> Result<Self, TooManySteps> {
        let mut steps = Vec::new();
        for token in pattern.tokens() {
            if steps.len() == TEMPLATE_STEPS_MAX {
                return Err(TooManySteps);
            }
            match token {
                Token::Literal(segment) => steps.push(filled(segment)),
                // Any number and then one is one and then any number: one form for one meaning, so that `covers` finds it.
                Token::One if steps.last() == Some(&Step::Any) => steps.insert(steps.len() - 1, Step::One),
                Token::One => steps.push(Step::One),
                Token::Rest | Token::AnyMiddle if steps.last() == Some(&Step::Any) => {}
                Token::Rest | Token::AnyMiddle => steps.push(Step::Any),
            }
        }
        let reserved = match steps.first() {
            Some(Step::Text(text)) => text.starts_with(b"$"),
            Some(Step::Filled(parts)) => matches!(parts.first(), Some(Part::Text(text)) if text.starts_with(b"$")),
            _ => false,
        };
        Ok(Template { steps: steps.into(), reserved })
    }

    /// Everything that `asked` stands for is among what this stands for. Never says yes wrongly; of patterns with several
    /// wildcards for any number of segments it may say no where a proof would be long.
    pub(super) fn covers(&self, who: &Principal, asked: &[Token<'_>]) -> bool {
        if is_reserved(asked) && !self.reserved {
            return false;
        }
        self.walk(asked, |step, token, _, diagonal| match token {
            Token::Literal(segment) => diagonal && step.fits(who, segment),
            Token::One => diagonal && *step == Step::One,
            Token::Rest | Token::AnyMiddle => false,
        })
    }

    /// Some name is among both. May say yes wrongly, never no.
    pub(super) fn intersects(&self, who: &Principal, asked: &[Token<'_>]) -> bool {
        if is_reserved(asked) != self.reserved {
            return false;
        }
        self.walk(asked, |step, token, aside, diagonal| match token {
            Token::Literal(segment) => diagonal && step.fits(who, segment),
            Token::One => diagonal,
            Token::Rest | Token::AnyMiddle => aside,
        })
    }

    /// Fills the table of (steps left, tokens left) from its end, one row at a time: steps x tokens, no recursion.
    /// `single` decides for a step that takes one segment; it is told whether the rest of the table agrees when the token
    /// takes none or more than one (`aside`), and when both are done with (`diagonal`).
    fn walk(&self, asked: &[Token<'_>], single: impl Fn(&Step, &Token<'_>, bool, bool) -> bool) -> bool {
        let last = asked.len();
        let is_any = |token: &Token<'_>| matches!(token, Token::Rest | Token::AnyMiddle);
        let mut below: SmallVec<[bool; 32]> = SmallVec::from_elem(false, last + 1);
        below[last] = true;
        // With no step left only what may stand for nothing may remain, and only for `intersects`.
        for at in (0..last).rev() {
            below[at] = is_any(&asked[at]) && single(&Step::One, &asked[at], below[at + 1], false);
        }
        let mut row = below.clone();
        for step in self.steps.iter().rev() {
            row[last] = *step == Step::Any && below[last];
            for at in (0..last).rev() {
                row[at] = match step {
                    Step::Any => below[at] || row[at + 1],
                    step => single(step, &asked[at], row[at + 1] || below[at], below[at + 1]),
                };
            }
            std::mem::swap(&mut row, &mut below);
        }
        below[0]
    }
}

fn is_reserved(asked: &[Token<'_>]) -> bool {
    matches!(asked.first(), Some(Token::Literal(segment)) if segment.starts_with(b"$"))
}

impl Step {
    fn fits(&self, who: &Principal, segment: &[u8]) -> bool {
        match self {
            Step::Text(text) => **text == *segment,
            Step::One | Step::Any => true,
            Step::Filled(parts) => {
                let mut rest = segment;
                parts.iter().all(|part| {
                    let value = match part {
                        Part::Text(text) => &**text,
                        Part::User => who.name.as_bytes(),
                        Part::Client => who.client().as_bytes(),
                    };
                    let after = (!value.is_empty()).then(|| rest.strip_prefix(value)).flatten();
                    rest = after.unwrap_or_default();
                    after.is_some()
                }) && rest.is_empty()
            }
        }
    }
}

fn filled(segment: &[u8]) -> Step {
    let (mut parts, mut text, mut rest) = (Vec::new(), Vec::new(), segment);
    while let Some((&byte, after)) = rest.split_first() {
        let part = match (byte, after.first()) {
            (b'%', Some(b'u')) => Some(Part::User),
            (b'%', Some(b'c')) => Some(Part::Client),
            _ => None,
        };
        let pair = part.is_some() || (byte == b'%' && after.first() == Some(&b'%'));
        rest = if pair { &after[1..] } else { after };
        match part {
            None => text.push(byte),
            Some(part) => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text).into()));
                }
                parts.push(part);
            }
        }
    }
    if parts.is_empty() {
        return Step::Text(text.into());
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
    Step::Filled(parts.into())
}

#[cfg(test)]
mod tests;
