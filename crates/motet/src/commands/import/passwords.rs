//! Mosquitto's password file: `name:$7$iterations$salt$hash` (PBKDF2), `name:$6$salt$hash` (one round of SHA-512).

use std::fmt::Write as _;
use std::path::Path;

use motet_server::accepts_password_hash;

use super::report::{Fate, Place, Report};
use super::{Failure, quoted};

/// A `[[user]]` for each line.
pub(super) fn toml(file: &Path, report: &mut Report) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut toml = String::new();
    for (at, line) in text.lines().enumerate() {
        let place = Place { file: file.into(), line: at + 1 };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, hash)) = line.split_once(':').filter(|(name, _)| !name.is_empty()) else {
            report.add(&place, "...", Fate::Missing, "expected name:hash");
            continue;
        };
        match accepts_password_hash(hash) {
            Ok(()) => {
                let _ = write!(toml, "\n[[user]]\nname = {}\npassword_hash = {}\n", quoted(name), quoted(hash));
                report.add(&place, format!("{name}:..."), Fate::Kept, "the password stays as it is");
            }
            Err(_) if !hash.starts_with('$') && !hash.is_empty() => {
                let _ = write!(toml, "\n[[user]]\nname = {}\npassword = {}\n", quoted(name), quoted(hash));
                let note =
                    "the file holds this password in clear text, and so does motet.toml now: better make a hash of it";
                report.add(&place, format!("{name}:..."), Fate::Differs, note);
            }
            Err(why) => report.add(
                &place,
                format!("{name}:..."),
                Fate::Missing,
                format!("the password is to be set anew: {why}"),
            ),
        }
    }
    Ok(toml)
}
