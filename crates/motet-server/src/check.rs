//! What a start would refuse, found without one: nothing is opened, bound or written.

use crate::access::{access_rules, signatures};
use crate::config::Config;
use crate::definitions;
use crate::doors;
use crate::error::ServerError;
use crate::server::tls_of;
use crate::tls;
use crate::users;

/// Reads the files that `config` names, and what else a start takes from it.
///
/// # Errors
/// Everything that a start would not take, each with its key. Ports and the data directory are not tried.
pub fn check(config: &Config) -> Result<(), Vec<ServerError>> {
    let mut wrong: Vec<ServerError> = Vec::new();
    wrong.extend(users::configured(config).err());
    wrong.extend(access_rules(config).err());
    wrong.extend(signatures(config).err());
    wrong.extend(doors::check(config).err());
    wrong.extend(definitions::check(config).err());
    let mut seen = Vec::new();
    for (at, listener) in config.listener.iter().enumerate() {
        let (table, key) = tls_of(config, at);
        if listener.protocol.may_speak_tls() && !seen.contains(&key) {
            wrong.extend(tls::check(table, &config.data_dir, &key).err());
            seen.push(key);
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}
