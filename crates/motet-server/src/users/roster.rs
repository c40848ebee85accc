//! The accounts as the management API and definitions see them.

use super::{AccountControl as _, Change, UserError, Users};
use motet_auth::{AccountError, Origin, RabbitAlgorithm, RabbitHash, StoredPassword, Tag, Tags};
use motet_console::define::{OWN_HASHING, Roster, RosterError, Secret, UserSeen};
use motet_core::core::RegistryKind;
use motet_core::engine::Engine;

/// The user that is there until somebody else is, and longer when it makes the others itself.
const GUEST: &str = "guest";

impl From<UserError> for RosterError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Account(AccountError::Configured { .. }) => RosterError::Configured,
            UserError::NotDurable => RosterError::NotDurable,
            other => RosterError::Unusable(other.to_string()),
        }
    }
}

/// What RabbitMQ's listings show of what is kept instead of a password.
fn shown(stored: Option<StoredPassword>) -> (String, String) {
    match stored {
        Some(StoredPassword::Rabbit(hash)) => {
            let (algorithm, hash) = hash.parts();
            (hash, algorithm.module().into())
        }
        Some(other) => (other.to_text().unwrap_or_default(), OWN_HASHING.into()),
        None => (String::new(), OWN_HASHING.into()),
    }
}

impl<E: Engine> Users<E> {
    /// All words of a user: those that mean something here, and others it was given.
    fn words(&self, name: &str, tags: Tags) -> Vec<String> {
        let kept = self.core.registry_get(RegistryKind::ACCOUNT_ABOUT, name.as_bytes());
        let kept = kept.and_then(|kept| String::from_utf8(kept.to_vec()).ok()).unwrap_or_default();
        let other = kept.lines().filter(|word| Tag::ALL.iter().all(|tag| tag.word() != *word));
        tags.words().map(String::from).chain(other.map(String::from)).collect()
    }

    fn stored_of(&self, secret: &Secret<'_>) -> Result<StoredPassword, UserError> {
        Ok(match secret {
            Secret::Password(password) => self.make(password, None)?,
            Secret::Hash { hash, algorithm } if *algorithm == OWN_HASHING => StoredPassword::from_text(hash)?,
            Secret::Hash { hash, algorithm } => {
                let known = RabbitAlgorithm::from_module(algorithm);
                let known = known.ok_or(motet_auth::PasswordError::MalformedRabbit)?;
                StoredPassword::Rabbit(RabbitHash::new(known, hash)?)
            }
            Secret::Nothing => StoredPassword::Rabbit(RabbitHash::new(RabbitAlgorithm::Sha256, "")?),
        })
    }
}

impl<E: Engine> Roster for Users<E> {
    fn users(&self) -> Vec<UserSeen> {
        let seen = |user: motet_auth::Listed| {
            let is_configured = user.origin == Origin::Configured;
            let (password_hash, hashing_algorithm) =
                if is_configured { shown(None) } else { shown(self.directory.stored(&user.name)) };
            let tags = self.words(&user.name, user.tags);
            UserSeen { name: user.name.to_string(), password_hash, hashing_algorithm, tags, is_configured }
        };
        let mut users: Vec<_> = self.directory.list().into_iter().map(seen).collect();
        let tags = self.directory.tags(GUEST, true);
        if !tags.words().eq([""; 0]) && users.iter().all(|user| user.name != GUEST) {
            let (password_hash, hashing_algorithm) = shown(None);
            let tags = tags.words().map(Into::into).collect();
            users.push(UserSeen { name: GUEST.into(), password_hash, hashing_algorithm, tags, is_configured: true });
        }
        users
    }

    fn put(&self, name: &str, secret: &Secret<'_>, tags: &[String], by: &str) -> Result<bool, RosterError> {
        let stored = self.stored_of(secret)?;
        let turn = self.turn.lock();
        let is_new = self.directory.stored(name).is_none();
        let known = tags.iter().filter_map(|word| Tag::ALL.into_iter().find(|tag| tag.word() == word));
        let wanted = (stored, known.fold(Tags::NONE, Tags::with));
        if by == GUEST && name != GUEST && self.directory.count() == 0 {
            // Whoever makes the first account here goes on making others.
            self.core
                .registry_put(RegistryKind::ACCOUNT_ABOUT, GUEST.as_bytes(), b"")
                .map_err(|_| UserError::TooBig)?;
            self.directory
                .change(|accounts| {
                    accounts.keep_guest(true);
                    Ok(())
                })
                .map_err(UserError::from)?;
        }
        let apply = |accounts: &mut motet_auth::Accounts| accounts.set(name, wanted.0.clone(), wanted.1);
        self.directory.try_change(apply).map_err(UserError::from)?;
        let words = tags.join("\n");
        self.core
            .registry_put(RegistryKind::ACCOUNT_ABOUT, name.as_bytes(), words.as_bytes())
            .map_err(|_| UserError::TooBig)?;
        self.keep(name, Some(&wanted))?;
        // As RabbitMQ: who is in stays in, also with a password that holds no longer.
        self.directory.change_and_stay(name, apply).map_err(UserError::from)?;
        drop(turn);
        Ok(is_new)
    }

    fn remove(&self, name: &str) -> Result<bool, RosterError> {
        if name == GUEST && self.directory.stored(GUEST).is_none() {
            let kept = self.core.registry_delete(RegistryKind::ACCOUNT_ABOUT, GUEST.as_bytes()).is_some();
            let turn = self.turn.lock();
            self.directory
                .change(|accounts| {
                    accounts.keep_guest(false);
                    Ok(())
                })
                .map_err(UserError::from)?;
            drop(turn);
            return Ok(kept);
        }
        match self.change(&Change::Remove { name: name.into() }) {
            Ok(()) => Ok(true),
            Err(UserError::Account(AccountError::Unknown { .. })) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
