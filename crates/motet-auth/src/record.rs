//! An account as bytes: what a store keeps of it. Its name is the record's key.
//!
//! ```text
//! 1\n                       the format
//! administrator,management\n  tags, possibly none
//! SCRAM-SHA-256$10000:...    what is kept instead of the password
//! ```

use crate::password::StoredPassword;
use crate::tags::Tags;

/// The format that is written.
const FORMAT: &str = "1";

/// None for a password in plain text, which is never written.
pub fn encode(stored: &StoredPassword, tags: Tags) -> Option<Vec<u8>> {
    Some(format!("{FORMAT}\n{tags}\n{}", stored.to_text()?).into_bytes())
}

/// The account, or what is wrong with the bytes; no text contains a hash.
///
/// # Errors
/// Bytes that [`encode`] has not made.
pub fn decode(record: &[u8]) -> Result<(StoredPassword, Tags), String> {
    let text = std::str::from_utf8(record).map_err(|_| "the record is not UTF-8")?;
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().ok_or("the record is cut off");
    let (format, tags, stored) = (line()?, line()?, line()?);
    if format != FORMAT {
        return Err(format!("the record has the format {format:?}, which a later version wrote"));
    }
    let stored = StoredPassword::from_text(stored).map_err(|error| error.to_string())?;
    Ok((stored, Tags::read(tags).map_err(|error| error.to_string())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::Make;
    use crate::sasl::scram::ScramHash;
    use crate::tags::Tag;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let scram = Make::Scram(vec![ScramHash::Sha256, ScramHash::Sha1], 4096);
        for (how, tags) in [(scram, Tags::NONE.with(Tag::Management)), (Make::Argon2id, Tags::NONE)] {
            let stored = StoredPassword::make("swordfish", &how).unwrap();
            let record = encode(&stored, tags).unwrap();
            assert_eq!(decode(&record).unwrap(), (stored, tags));
            assert!(decode(&record[..record.len() - 30]).is_err());
        }
        assert_eq!(encode(&StoredPassword::from_plain(b"swordfish").unwrap(), Tags::NONE), None);
        for wrong in [&b""[..], b"1", b"1\n", b"1\n\n", b"2\n\n$argon2id$", b"1\nroot\n$argon2id$", b"\xff"] {
            assert!(decode(wrong).is_err(), "{wrong:?}");
        }
    }
}
