//! Definitions as RabbitMQ's tools export them.

use motet_console::define::{Place, Roster, RosterError, Secret, UserSeen, export, import};
use motet_core::core::{Core, CoreLimits};
use motet_core::fake::FakeEngine;
use motet_core::time::Now;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

/// Takes everybody, and knows their names only.
#[derive(Default)]
struct Names(Mutex<BTreeSet<String>>);

impl Names {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl Roster for Names {
    fn users(&self) -> Vec<UserSeen> {
        self.lock().iter().map(|name| UserSeen { name: name.clone(), ..UserSeen::default() }).collect()
    }

    fn put(&self, name: &str, _: &Secret<'_>, _: &[String], _: &str) -> Result<bool, RosterError> {
        Ok(self.lock().insert(name.to_owned()))
    }

    fn remove(&self, name: &str) -> Result<bool, RosterError> {
        Ok(self.lock().remove(name))
    }
}

/// Definitions are taken as far as they can be; what is told of them afterwards is taken by another server whole, and
/// told by it in the same words.
///
/// # Panics
/// If not.
pub fn definitions(data: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Map<String, Value>>(data) else { return };
    let first = told(&document);
    let second = told(first.as_object().expect("an export is an object"));
    assert_eq!(first, second, "what is exported is imported whole");
}

fn told(document: &Map<String, Value>) -> Value {
    let core = Core::new(FakeEngine::default(), CoreLimits::default());
    let names = Names::default();
    let place = Place { core: &core, roster: &names, now: Now::default() };
    let imported = import(place, document, "");
    assert!(imported.refused.iter().all(|(what, _)| !what.is_empty()), "what is refused is named");
    export(place, "1.2.3")
}
