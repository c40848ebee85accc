//! The users, by name, each with its credential.

use crate::password::{Decoy, StoredPassword};
use crate::sasl::scram::ScramHash;
use crate::tags::Tags;
use motet_core::principal::Principal;
use std::collections::HashMap;
use std::sync::Arc;

/// The longest user name, in bytes. A longer one cannot be an account, so it is refused unread.
pub const USER_BYTES_MAX: usize = 1024;

/// Whose account it is to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The configuration's: it changes with the file.
    Configured,
    /// Made while the server runs.
    Made,
}

/// One user.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) principal: Principal,
    pub(crate) stored: StoredPassword,
    pub(crate) tags: Tags,
    pub(crate) origin: Origin,
}

/// An account as an operator may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The user.
    pub name: Arc<str>,
    /// What is stored: see [`StoredPassword::kind`].
    pub kind: String,
    /// What it may do beyond its messages.
    pub tags: Tags,
    /// Whose it is to change.
    pub origin: Origin,
}

/// The users who may log in. Built once, then handed to a [`Directory`](crate::Directory).
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    by_name: HashMap<Arc<str>, Arc<Account>>,
    /// What is verified where there is no account: as costly as the costliest. None while no account is slow.
    decoy: Option<Decoy>,
    /// Lives on loopback as long as there is nobody else, or for longer when it was told so.
    guest: Option<Arc<Account>>,
    keeps_guest: bool,
}

impl Accounts {
    /// No users.
    pub fn new() -> Self {
        Accounts::default()
    }

    /// Adds a user of the configuration, an ordinary one.
    pub fn add(&mut self, name: &str, stored: StoredPassword) -> Result<(), AccountError> {
        self.add_with(name, stored, Tags::NONE, Origin::Configured)
    }

    /// Adds a user.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn add_with(
        &mut self,
        name: &str,
        stored: StoredPassword,
        tags: Tags,
        origin: Origin,
    ) -> Result<(), AccountError> {
        check_name(name)?;
        if let Some(there) = self.by_name.get(name) {
            let name = name.into();
            return Err(match there.origin {
                Origin::Configured if origin == Origin::Made => AccountError::Configured { name },
                _ => AccountError::Twice { name },
            });
        }
        self.insert(name, stored, tags, origin);
        Ok(())
    }

    /// Adds a user while the server runs, or gives it another password or other tags.
    ///
    /// # Errors
    /// [`AccountError::Configured`]: it is in the configuration, which wins.
    pub fn set(&mut self, name: &str, stored: StoredPassword, tags: Tags) -> Result<(), AccountError> {
        check_name(name)?;
        if self.by_name.get(name).is_some_and(|there| there.origin == Origin::Configured) {
            return Err(AccountError::Configured { name: name.into() });
        }
        self.insert(name, stored, tags, Origin::Made);
        Ok(())
    }

    /// Removes a user that was made while the server ran.
    ///
    /// # Errors
    /// [`AccountError::Unknown`], or [`AccountError::Configured`]: it is in the configuration, which wins.
    pub fn remove(&mut self, name: &str) -> Result<(), AccountError> {
        match self.by_name.get(name) {
            None => Err(AccountError::Unknown { name: name.into() }),
            Some(there) if there.origin == Origin::Configured => Err(AccountError::Configured { name: name.into() }),
            Some(_) => {
                self.by_name.remove(name);
                Ok(())
            }
        }
    }

    fn insert(&mut self, name: &str, stored: StoredPassword, tags: Tags, origin: Origin) {
        if let Some(decoy) = Decoy::of(&stored)
            && self.decoy.as_ref().is_none_or(|known| known.work() < decoy.work())
        {
            self.decoy = Some(decoy);
        }
        let principal = Principal::named(name);
        self.by_name.insert(principal.name.clone(), Arc::new(Account { principal, stored, tags, origin }));
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// There is no user.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// All users, by name.
    pub fn list(&self) -> Vec<Listed> {
        let listed = |account: &Arc<Account>| Listed {
            name: account.principal.name.clone(),
            kind: account.stored.kind(),
            tags: account.tags,
            origin: account.origin,
        };
        let mut list: Vec<_> = self.by_name.values().map(listed).collect();
        list.sort_by(|one, other| one.name.cmp(&other.name));
        list
    }

    /// The user's credential, for whoever writes it down.
    pub fn stored(&self, name: &str) -> Option<&StoredPassword> {
        self.by_name.get(name).map(|account| &account.stored)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Account>> {
        self.by_name.get(name)
    }

    /// The account that `name` stands for; `guest_may` where guest is welcome as long as there is nobody else.
    pub(crate) fn find(&self, name: &str, guest_may: bool) -> Option<&Arc<Account>> {
        match &self.guest {
            Some(guest) if guest_may && self.has_guest() && *guest.principal.name == *name => Some(guest),
            _ => self.get(name),
        }
    }

    /// Lets guest in, with the password guest, where nobody else can come from outside.
    pub(crate) fn with_guest(mut self) -> Self {
        self.guest = StoredPassword::from_plain(b"guest").ok().map(|stored| {
            let tags = Tags::NONE.with(crate::Tag::Administrator);
            Arc::new(Account { principal: Principal::named("guest"), stored, tags, origin: Origin::Configured })
        });
        self
    }

    /// Guest stays beside others: it made them itself. What is on loopback alone stays so.
    pub fn keep_guest(&mut self, keeps: bool) {
        self.keeps_guest = keeps;
    }

    /// Guest may come where it may come at all.
    pub fn has_guest(&self) -> bool {
        self.keeps_guest || self.is_empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(|name| &**name)
    }

    /// Some account's verification is slow, so every failure has to be.
    pub(crate) fn is_slow(&self) -> bool {
        self.decoy.is_some()
    }

    /// Somebody can use SCRAM with this hash. Where nobody can, offering it would only mislead clients that take the
    /// strongest mechanism.
    pub(crate) fn offers(&self, hash: ScramHash, guest_may: bool) -> bool {
        (self.has_guest() && guest_may) || self.by_name.values().any(|account| account.stored.offers(hash))
    }

    /// Whether `account` (one of ours, or none) has this password. A "no" takes the same time whether there is an
    /// account and of whichever kind, provided that all hashes have the same parameters.
    pub(crate) fn verify(&self, account: Option<&Account>, password: &[u8]) -> bool {
        match account.map(|account| &account.stored) {
            Some(StoredPassword::Argon2id(hash)) => hash.verify(password),
            Some(StoredPassword::Scram(keys)) => keys.quickest().verify(password),
            Some(StoredPassword::Mosquitto(hash)) => hash.verify(password),
            Some(StoredPassword::Rabbit(hash)) => hash.verify(password),
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
                && (known.tags, known.origin) == (account.tags, account.origin)
            {
                *account = known.clone();
            }
        }
    }
}

fn check_name(name: &str) -> Result<(), AccountError> {
    match name {
        "" => Err(AccountError::NoName),
        _ if name.len() > USER_BYTES_MAX => Err(AccountError::NameTooLong),
        _ if name.chars().any(char::is_control) => Err(AccountError::Control),
        _ => Ok(()),
    }
}

/// Why a user cannot be added or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The empty name is that of the anonymous.
    #[error("a user needs a name")]
    NoName,
    /// The name is longer than [`USER_BYTES_MAX`].
    #[error("the user's name is longer than 1024 bytes")]
    NameTooLong,
    /// A name that would garble a log or a terminal.
    #[error("the user's name holds control characters")]
    Control,
    /// There is one of this name already.
    #[error("the user {name:?} is there twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// The configuration wins.
    #[error("the user {name:?} is in the configuration, which wins: change it there, or remove it from there first")]
    Configured {
        /// The name.
        name: String,
    },
    /// There is none of this name.
    #[error("there is no user {name:?}")]
    Unknown {
        /// The name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> StoredPassword {
        StoredPassword::from_plain(b"swordfish").unwrap()
    }

    #[test]
    fn a_user_needs_a_name_of_its_own_of_bounded_length() {
        let mut accounts = Accounts::new();
        assert_eq!(accounts.add("alice", plain()), Ok(()));
        assert_eq!(accounts.add("alice", plain()), Err(AccountError::Twice { name: "alice".into() }));
        assert_eq!(accounts.add("", plain()), Err(AccountError::NoName));
        assert_eq!(accounts.add("a\nb", plain()), Err(AccountError::Control));
        assert_eq!(accounts.add(&"a".repeat(1025), plain()), Err(AccountError::NameTooLong));
        assert_eq!(accounts.add(&"a".repeat(1024), plain()), Ok(()));
        assert_eq!(accounts.len(), 2);
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
            assert_eq!(accounts.decoy.as_ref().unwrap().work(), 64);
        }
    }

    #[test]
    fn what_is_configured_wins_over_what_is_made() {
        let mut accounts = Accounts::new();
        accounts.add("alice", plain()).unwrap();
        let configured = Err(AccountError::Configured { name: "alice".into() });
        assert_eq!(accounts.set("alice", plain(), Tags::NONE), configured);
        assert_eq!(accounts.remove("alice"), configured);
        assert_eq!(accounts.add_with("alice", plain(), Tags::NONE, Origin::Made), configured);
        assert_eq!(accounts.set("bob", plain(), Tags::NONE), Ok(()));
        let listed = accounts.list();
        assert_eq!(
            listed.iter().map(|user| (&*user.name, user.origin)).collect::<Vec<_>>(),
            [("alice", Origin::Configured), ("bob", Origin::Made)]
        );
        assert_eq!(accounts.remove("bob"), Ok(()));
        assert_eq!(accounts.remove("bob"), Err(AccountError::Unknown { name: "bob".into() }));
    }

    #[test]
    fn guest_is_there_only_where_it_may_and_as_long_as_nobody_else_is() {
        let mut accounts = Accounts::new().with_guest();
        assert!(accounts.find("guest", true).is_some() && accounts.find("guest", false).is_none());
        assert!(accounts.find("root", true).is_none());
        accounts.add("alice", plain()).unwrap();
        assert!(accounts.find("guest", true).is_none());
    }
}
