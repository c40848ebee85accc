//! The fields of a line, taken one by one; what nobody takes is a misspelling.

use super::parse::Token;
use super::value::Value;
use std::cell::Cell;

pub(super) struct Args<'a> {
    tokens: Vec<(&'a Token, Cell<bool>)>,
}

impl<'a> Args<'a> {
    pub(super) fn new(tokens: &'a [Token]) -> Self {
        Args { tokens: tokens.iter().map(|token| (token, Cell::new(false))).collect() }
    }

    fn find(&self, name: &str) -> Option<&'a Value> {
        self.tokens.iter().find_map(|(token, used)| match token {
            Token::Field(field, value) if field == name => {
                used.set(true);
                Some(value)
            }
            _ => None,
        })
    }

    /// The value of a field, whatever it is.
    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.find(name)
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, String> {
        self.number::<u8>(name).map(|number| number.is_some_and(|number| number != 0))
    }

    pub(super) fn number<N: TryFrom<u64>>(&self, name: &str) -> Result<Option<N>, String> {
        self.find(name).map(|value| number(name, value)).transpose()
    }

    pub(super) fn bytes(&self, name: &str) -> Result<Option<&'a [u8]>, String> {
        self.find(name).map(|value| bytes(name, value)).transpose()
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        self.find(name).map(|value| text(name, value)).transpose()
    }

    /// Every field not taken yet whose name `pick` knows, in order.
    pub(super) fn take_each(
        &self,
        mut pick: impl FnMut(&'a str, &'a Value) -> Option<Result<(), String>>,
    ) -> Result<(), String> {
        for (token, used) in self.tokens.iter().filter(|(_, used)| !used.get()) {
            if let Token::Field(name, value) = token
                && let Some(taken) = pick(name, value)
            {
                used.set(true);
                taken?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(&self) -> Result<(), String> {
        match self.tokens.iter().find(|(_, used)| !used.get()) {
            Some((token, _)) => Err(format!("this packet has no {token:?}")),
            None => Ok(()),
        }
    }
}

pub(super) fn number<N: TryFrom<u64>>(name: &str, value: &Value) -> Result<N, String> {
    match value {
        Value::Number(number) => N::try_from(*number).map_err(|_| format!("`{name}` is out of range")),
        _ => Err(format!("`{name}` is a number")),
    }
}

pub(super) fn bytes<'a>(name: &str, value: &'a Value) -> Result<&'a [u8], String> {
    match value {
        Value::Text(bytes) => Ok(bytes),
        _ => Err(format!("`{name}` is a string")),
    }
}

pub(super) fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, String> {
    std::str::from_utf8(bytes(name, value)?).map_err(|_| format!("`{name}` is not UTF-8: write the packet as hex"))
}
