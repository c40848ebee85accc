//! The users, by name, each with its credential.

use crate::password::{Argon2idHash, StoredPassword};
use motet_core::principal::Principal;
use std::collections::HashMap;
use std::sync::Arc;

/// The longest user name, in bytes. A longer one cannot be an account, so it is refused unread.
pub const USER_BYTES_MAX: usize = 1024;

/// One user.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) principal: Principal,
    pub(crate) stored: StoredPassword,
}

/// The users who may log in. Built once, then handed to a [`Directory`](crate::Directory).
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    by_name: HashMap<Arc<str>, Arc<Account>>,
    /// What is verified where there is no account: as costly as the costliest. None while no account is slow.
    decoy: Option<Argon2idHash>,
}

impl Accounts {
    /// No users.
    pub fn new() -> Self {
        Accounts::default()
    }

    /// Adds a user.
    pub fn add(&mut self, name: &str, stored: StoredPassword) -> Result<(), AccountError> {
        if name.is_empty() {
            return Err(AccountError::NoName);
        }
        if name.len() > USER_BYTES_MAX {
            return Err(AccountError::NameTooLong);
        }
        if self.by_name.contains_key(name) {
            return Err(AccountError::Twice { name: name.into() });
        }
        if let StoredPassword::Argon2id(hash) = &stored
            && self.decoy.as_ref().is_none_or(|decoy| decoy.work_kib() < hash.work_kib())
        {
            self.decoy = Some(hash.decoy());
        }
        let principal = Principal::named(name);
        self.by_name.insert(principal.name.clone(), Arc::new(Account { principal, stored }));
        Ok(())
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// There is no user.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Account>> {
        self.by_name.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(|name| &**name)
    }

    /// Some account's verification is slow, so every failure has to be.
    pub(crate) fn is_slow(&self) -> bool {
        self.decoy.is_some()
    }

    /// Whether `account` (one of ours, or none) has this password. A "no" takes the same time whether there is an
    /// account and of whichever kind, provided that all hashes have the same parameters.
    pub(crate) fn verify(&self, account: Option<&Account>, password: &[u8]) -> bool {
        match account.map(|account| &account.stored) {
            Some(StoredPassword::Argon2id(hash)) => hash.verify(password),
            Some(StoredPassword::Keyed(hash)) if hash.verify(password) => true,
            _ => self.decoy.as_ref().is_some_and(|decoy| decoy.verify(password)),
        }
    }

    /// The accounts that did not change stay the very same ones, which is how a check in progress and the cache
    /// recognise them.
    pub(crate) fn adopt_unchanged(&mut self, former: &Accounts) {
        for (name, account) in &mut self.by_name {
            if let Some(known) = former.by_name.get(name)
                && known.stored == account.stored
            {
                *account = known.clone();
            }
        }
    }
}

/// Why a user cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The empty name is that of the anonymous.
    #[error("a user needs a name")]
    NoName,
    /// The name is longer than [`USER_BYTES_MAX`].
    #[error("the user's name is longer than 1024 bytes")]
    NameTooLong,
    /// There is one of this name already.
    #[error("the user {name:?} is there twice")]
    Twice {
        /// The name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_needs_a_name_of_its_own_of_bounded_length() {
        let plain = || StoredPassword::from_plain(b"swordfish").unwrap();
        let mut accounts = Accounts::new();
        assert_eq!(accounts.add("alice", plain()), Ok(()));
        assert_eq!(accounts.add("alice", plain()), Err(AccountError::Twice { name: "alice".into() }));
        assert_eq!(accounts.add("", plain()), Err(AccountError::NoName));
        assert_eq!(accounts.add(&"a".repeat(1025), plain()), Err(AccountError::NameTooLong));
        assert_eq!(accounts.len(), 1);
    }

    #[test]
    fn the_decoy_is_as_costly_as_the_costliest_account_in_whatever_order() {
        let phc =
            |m: u32| format!("$argon2id$v=19$m={m},t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4");
        for order in [[8, 64, 16], [64, 16, 8], [8, 16, 64]] {
            let mut accounts = Accounts::new();
            assert!(!accounts.is_slow());
            for m in order {
                accounts.add(&m.to_string(), StoredPassword::from_phc(&phc(m)).unwrap()).unwrap();
            }
            assert_eq!(accounts.decoy.as_ref().unwrap().work_kib(), 64);
        }
    }
}
