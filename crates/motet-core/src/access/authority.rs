//! Who is asked from outside: an authority where no rule decides, and whoever knows the keys of signatures.

use super::{Action, Resource};
use crate::mailbox::Mailbox;
use crate::name::Name;
use crate::principal::Principal;
use std::fmt::Debug;
use std::sync::Arc;

/// A question to an [`Authority`].
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub who: &'a Principal,
    /// What for.
    pub action: Action,
    /// With what.
    pub resource: Resource<'a>,
}

/// Decides where no rule does, and may need time to. It remembers its answers; nothing waits inside a call.
pub trait Authority: Send + Sync + Debug {
    /// The answer where it is known. Else `None`, and `tell` is nudged once it is: then ask again. Without `tell` the
    /// answer is fetched all the same. Every question is answered some time, if only with a no.
    fn ask(&self, question: Question<'_>, tell: Option<&Arc<Mailbox>>) -> Option<bool>;
}

/// What an address asks of the messages sent to it.
pub trait SignatureCheck: Send + Sync + Debug {
    /// What must accompany messages to `name`, if anything must.
    fn is_required(&self, name: &Name) -> bool;

    /// Whether `signature`, as the message carries it, is one over exactly this. None is never right.
    fn verify(&self, name: &Name, payload: &[u8], signature: Option<&[u8]>) -> bool;
}

/// The header or user property that carries a message's signature, in every face that has such.
pub const SIGNATURE_HEADER: &str = "x-signature";
