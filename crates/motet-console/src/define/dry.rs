//! What would become of a document, without a server: it is taken into a core that forgets it.

use super::{Imported, Place, Roster, RosterError, Secret, UserSeen, import};
use motet_auth::{RabbitAlgorithm, RabbitHash};
use motet_core::core::{Core, CoreLimits};
use motet_core::fake::FakeEngine;
use motet_core::time::Now;
use serde_json::{Map, Value};

/// What would become of a document on an empty server.
pub fn try_out(document: &Map<String, Value>) -> Imported {
    let core = Core::new(FakeEngine::default(), CoreLimits::default());
    import(Place { core: &core, roster: &Nobody, now: Now::default() }, document, "")
}

/// Takes everybody who could be taken and keeps nobody.
struct Nobody;

impl Roster for Nobody {
    fn users(&self) -> Vec<UserSeen> {
        Vec::new()
    }

    fn put(&self, _: &str, secret: &Secret<'_>, _: &[String], _: &str) -> Result<bool, RosterError> {
        if let Secret::Hash { hash, algorithm } = secret
            && let Some(algorithm) = RabbitAlgorithm::from_module(algorithm)
        {
            RabbitHash::new(algorithm, hash).map_err(|error| RosterError::Unusable(error.to_string()))?;
        }
        Ok(true)
    }

    fn remove(&self, _: &str) -> Result<bool, RosterError> {
        Ok(false)
    }
}
