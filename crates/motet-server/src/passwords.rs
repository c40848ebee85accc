//! Which hashes of passwords an account can have: for whoever writes a configuration.

use motet_auth::StoredPassword;

/// Whether `[[user]]` takes this as `password_hash`.
///
/// # Errors
/// Why not, in words that do not tell the hash.
pub fn accepts_password_hash(text: &str) -> Result<(), String> {
    StoredPassword::from_text(text).map(|_| ()).map_err(|error| error.to_string())
}
