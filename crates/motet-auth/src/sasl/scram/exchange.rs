//! The two messages of each side. [RFC 5802 §5, §7]

use super::error::ScramError;
use super::hash::{ScramHash, Tag};
use super::keys::ScramKeys;
use crate::accounts::USER_BYTES_MAX;
use crate::sasl::prepare;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A message is at most this long: a name of 1024 bytes, each escaped, and what is around it.
const MESSAGE_BYTES_MAX: usize = 8192;
/// A client's nonce is at most this long; clients use 18 to 64 characters.
const NONCE_BYTES_MAX: usize = 1024;

/// SCRAM with one of its hashes, bound to the channel or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mechanism {
    /// Which hash.
    pub hash: ScramHash,
    /// `-PLUS`: the client proves that it talks over our TLS connection and not through somebody between.
    pub plus: bool,
}

impl Mechanism {
    /// By its registered name, such as `SCRAM-SHA-256-PLUS`.
    pub fn named(name: &str) -> Option<Self> {
        let (hash, plus) = name.strip_suffix("-PLUS").map_or((name, false), |hash| (hash, true));
        ScramHash::named(hash).map(|hash| Mechanism { hash, plus })
    }
}

/// What both ends of a TLS connection know and nobody between can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// `tls-exporter`: 32 bytes, for TLS 1.3. [RFC 9266]
    pub tls_exporter: Option<&'a [u8]>,
    /// `tls-server-end-point`: the hash of our certificate. [RFC 5929 §4]
    pub tls_server_end_point: Option<&'a [u8]>,
}

impl<'a> Binding<'a> {
    fn named(self, name: &str) -> Option<&'a [u8]> {
        match name {
            "tls-exporter" => self.tls_exporter,
            "tls-server-end-point" => self.tls_server_end_point,
            // tls-unique is unsafe with resumption and does not exist in TLS 1.3. [RFC 9266 §1]
            _ => None,
        }
    }
}

/// What a client said first, read.
#[derive(Debug)]
pub struct ClientFirst {
    mechanism: Mechanism,
    /// The GS2 header as it came: the client repeats it in its second message.
    header: Box<str>,
    /// The name of the binding, when the client binds.
    binding: Option<Box<str>>,
    bare: Box<str>,
    user: Box<str>,
    nonce: Box<str>,
}

impl ClientFirst {
    /// Reads the first message. `plus_offered`: this client was told that `-PLUS` can be had on this connection; a
    /// client that says then that we can't was lied to.
    ///
    /// # Errors
    /// Anything but [`ScramError::Proof`] and [`ScramError::OtherChannel`].
    pub fn read(mechanism: Mechanism, message: &[u8], plus_offered: bool) -> Result<Self, ScramError> {
        let text = text(message)?;
        let (flag, rest) = text.split_once(',').ok_or(ScramError::Malformed)?;
        let (acts_as, bare) = rest.split_once(',').ok_or(ScramError::Malformed)?;
        let binding = read_flag(flag, mechanism, plus_offered)?;
        if bare.starts_with("m=") {
            return Err(ScramError::Extension);
        }
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|user| user.strip_prefix("n=")).ok_or(ScramError::Malformed)?;
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r=")).ok_or(ScramError::Malformed)?;
        // Further attributes are optional extensions, and none is known. [RFC 5802 §5.1]
        if nonce.is_empty() || nonce.len() > NONCE_BYTES_MAX || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ScramError::Malformed);
        }
        let user = name(user)?;
        if !acts_as.is_empty() && name(acts_as.strip_prefix("a=").ok_or(ScramError::Malformed)?)? != user {
            return Err(ScramError::OtherUser);
        }
        Ok(ClientFirst {
            mechanism,
            header: text[..text.len() - bare.len()].into(),
            binding: binding.map(Into::into),
            bare: bare.into(),
            user,
            nonce: nonce.into(),
        })
    }

    /// Who wants in, after SASLprep.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Which hash the keys must be for.
    pub fn hash(&self) -> ScramHash {
        self.mechanism.hash
    }

    /// Our first message. `keys` are those of the account, or decoy keys where there is none; `nonce` is unpredictable
    /// and printable ASCII without commas.
    pub fn challenge(self, keys: ScramKeys, nonce: &str) -> (String, Exchange) {
        debug_assert_eq!(keys.hash(), self.mechanism.hash, "the keys are asked for by hash");
        let nonce = format!("{}{nonce}", self.nonce);
        let server_first = format!("r={nonce},s={},i={}", STANDARD.encode(keys.salt()), keys.iterations());
        let exchange = Exchange {
            auth_message: format!("{},{server_first},", self.bare),
            header: self.header,
            binding: self.binding,
            nonce,
            keys,
        };
        (server_first, exchange)
    }
}

/// Waits for the client's proof.
#[derive(Debug)]
pub struct Exchange {
    /// client-first-bare and server-first, each with the comma that follows.
    auth_message: String,
    header: Box<str>,
    binding: Option<Box<str>>,
    /// The client's and ours.
    nonce: String,
    keys: ScramKeys,
}

impl Exchange {
    /// Checks the proof and answers with our own: the server-final message.
    ///
    /// # Errors
    /// [`ScramError::Proof`] when the password is wrong; everything else is a client that breaks the rules or is not
    /// at the other end of this channel.
    pub fn finish(self, message: &[u8], channel: Option<Binding<'_>>) -> Result<String, ScramError> {
        let text = text(message)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let bound = attributes.next().and_then(|bound| bound.strip_prefix("c=")).ok_or(ScramError::Malformed)?;
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r=")).ok_or(ScramError::Malformed)?;
        let bound = STANDARD.decode(bound).map_err(|_| ScramError::Malformed)?;
        if bound != self.expected_binding(channel)? {
            return Err(ScramError::OtherChannel);
        }
        let hash = self.keys.hash();
        let proof = STANDARD.decode(proof).ok().filter(|proof| proof.len() == hash.bytes());
        let proof = proof.ok_or(ScramError::Malformed)?;
        let auth_message = [self.auth_message.as_bytes(), without_proof.as_bytes()].concat();
        let signature = hash.hmac(self.keys.stored().as_slice(), &auth_message);
        let client_key: Tag = signature.xor(&proof);
        // Another nonce is another exchange, and a proof for it is none for ours.
        if nonce != self.nonce || !hash.hash(client_key.as_slice()).is(self.keys.stored()) {
            return Err(ScramError::Proof);
        }
        let server = hash.hmac(self.keys.server().as_slice(), &auth_message);
        Ok(format!("v={}", STANDARD.encode(server.as_slice())))
    }

    /// The GS2 header, and what the channel is when the client binds to it. [RFC 5802 §7, cbind-input]
    fn expected_binding(&self, channel: Option<Binding<'_>>) -> Result<Vec<u8>, ScramError> {
        let mut expected = self.header.as_bytes().to_vec();
        if let Some(name) = &self.binding {
            let data = channel.and_then(|channel| channel.named(name)).ok_or(ScramError::BindingType)?;
            expected.extend_from_slice(data);
        }
        Ok(expected)
    }
}

/// The name of the binding, when the client binds. [RFC 5802 §6]
fn read_flag(flag: &str, mechanism: Mechanism, plus_offered: bool) -> Result<Option<&str>, ScramError> {
    match (flag.strip_prefix("p="), mechanism.plus) {
        (Some("tls-exporter" | "tls-server-end-point"), true) => Ok(flag.strip_prefix("p=")),
        (Some(_), true) => Err(ScramError::BindingType),
        (Some(_), false) => Err(ScramError::BindingNotSupported),
        (None, plus) => match flag {
            "n" | "y" if plus => Err(ScramError::BindingNotSupported),
            "y" if plus_offered => Err(ScramError::Downgrade),
            "n" | "y" => Ok(None),
            _ => Err(ScramError::Malformed),
        },
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MESSAGE_BYTES_MAX || message.contains(&0) {
        return Err(ScramError::Malformed);
    }
    std::str::from_utf8(message).map_err(|_| ScramError::Malformed)
}

/// A saslname: `=2C` is a comma, `=3D` an equals sign, and nothing else begins with one. [RFC 5802 §5.1]
fn name(escaped: &str) -> Result<Box<str>, ScramError> {
    let mut pieces = escaped.split('=');
    let mut plain = String::from(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (character, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(ScramError::UserName),
        };
        plain.push(character);
        plain.push_str(rest);
    }
    if plain.len() > USER_BYTES_MAX {
        return Err(ScramError::UserName);
    }
    Ok(prepare(&plain)?.into())
}
