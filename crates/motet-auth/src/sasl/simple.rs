//! The mechanisms of one message: what the peer says is all there is.

/// A user and a password in clear text, as PLAIN and AMQPLAIN bring them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Login<'a> {
    /// As whom to act, when that is not the user: empty where the mechanism has no such thing or it was not given.
    pub authorization: &'a str,
    /// The user.
    pub user: &'a str,
    /// The password.
    pub password: &'a [u8],
}

impl Login<'_> {
    /// Nobody acts as somebody else here.
    pub fn acts_as_itself(&self) -> bool {
        self.authorization.is_empty() || self.authorization == self.user
    }
}

/// A password never reaches a log.
impl std::fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The message is not what its mechanism says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is not what the mechanism {0} says")]
pub struct Malformed(pub &'static str);

/// PLAIN: `[authzid] NUL authcid NUL passwd`. [RFC 4616 §2]
///
/// # Errors
/// [`Malformed`]: other than two NULs, an empty user or password, or a name that is not UTF-8.
pub fn plain(message: &[u8]) -> Result<Login<'_>, Malformed> {
    let malformed = Malformed("PLAIN");
    let mut parts = message.split(|byte| *byte == 0);
    let mut part = || parts.next().ok_or(malformed);
    let (authorization, user, password) = (part()?, part()?, part()?);
    if parts.next().is_some() || user.is_empty() || password.is_empty() {
        return Err(malformed);
    }
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| malformed);
    Ok(Login { authorization: text(authorization)?, user: text(user)?, password })
}

/// AMQPLAIN: a field table without its length, with the long strings LOGIN and PASSWORD. [AMQP 0-9-1, RabbitMQ]
///
/// # Errors
/// [`Malformed`]: a field that is cut off or no long string, or one of both missing.
pub fn amqplain(message: &[u8]) -> Result<Login<'_>, Malformed> {
    let malformed = Malformed("AMQPLAIN");
    let (mut user, mut password) = (None, None);
    let mut rest = message;
    while let Some((name_len, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked(usize::from(*name_len)).ok_or(malformed)?;
        // Other types have no place here, and their lengths are not ours to know.
        let (len, after) = after.strip_prefix(b"S").and_then(|after| after.split_first_chunk()).ok_or(malformed)?;
        let (value, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or(malformed)?;
        match name {
            b"LOGIN" => user = Some(value),
            b"PASSWORD" => password = Some(value),
            _ => {}
        }
        rest = after;
    }
    let user = user.and_then(|user| std::str::from_utf8(user).ok()).ok_or(malformed)?;
    Ok(Login { authorization: "", user, password: password.ok_or(malformed)? })
}

/// EXTERNAL: as whom to act; empty for the one the certificate names. [RFC 4422 App. A]
///
/// # Errors
/// [`Malformed`]: not UTF-8, or with a NUL.
pub fn external(message: &[u8]) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(message).map_err(|_| Malformed("EXTERNAL"))?;
    if text.contains('\0') { Err(Malformed("EXTERNAL")) } else { Ok(text) }
}

/// ANONYMOUS: something the operator may read in a log; it proves nothing. At most 255 characters. [RFC 4505 §2]
///
/// # Errors
/// [`Malformed`]: not UTF-8, too long, or with control characters.
pub fn anonymous(message: &[u8]) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(message).map_err(|_| Malformed("ANONYMOUS"))?;
    let good = text.chars().count() <= 255 && !text.chars().any(char::is_control);
    if good { Ok(text) } else { Err(Malformed("ANONYMOUS")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_a_user_a_password_and_perhaps_somebody_else() {
        // [RFC 4616 §4]
        let tim = plain(b"\0tim\0tanstaaftanstaaf").unwrap();
        assert_eq!((tim.authorization, tim.user, tim.password), ("", "tim", &b"tanstaaftanstaaf"[..]));
        assert!(tim.acts_as_itself());
        let kurt = plain(b"Ursel\0Kurt\0xipj3plmq").unwrap();
        assert_eq!((kurt.authorization, kurt.user), ("Ursel", "Kurt"));
        assert!(!kurt.acts_as_itself());
        for wrong in [&b""[..], b"tim", b"\0tim", b"\0\0secret", b"\0tim\0", b"\0tim\0a\0b", b"\0\xff\0secret"] {
            assert_eq!(plain(wrong), Err(Malformed("PLAIN")), "{wrong:?}");
        }
        assert!(!format!("{tim:?}").contains("tanstaaf"));
    }

    #[test]
    fn amqplain_is_a_table_of_two_long_strings() {
        let table = b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest";
        let guest = amqplain(table).unwrap();
        assert_eq!((guest.user, guest.password), ("guest", &b"guest"[..]));
        for end in 0..table.len() {
            assert_eq!(amqplain(&table[..end]), Err(Malformed("AMQPLAIN")), "{end}");
        }
        for wrong in [&b"\x05LOGINI\0\0\0\x05\x08PASSWORDS\0\0\0\x01a"[..], b"\x05LOGINS\xff\xff\xff\xffguest", b"\xff"]
        {
            assert_eq!(amqplain(wrong), Err(Malformed("AMQPLAIN")), "{wrong:?}");
        }
    }

    #[test]
    fn external_and_anonymous_carry_one_text() {
        assert_eq!(external(b""), Ok(""));
        assert_eq!(external(b"alice"), Ok("alice"));
        assert!(external(b"al\0ice").is_err() && external(b"\xff").is_err());
        assert_eq!(anonymous(b"sirhc"), Ok("sirhc"));
        assert!(anonymous(b"a\nb").is_err() && anonymous(&[b'a'; 256]).is_err());
    }
}
