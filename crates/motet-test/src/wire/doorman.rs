//! Who is let in at a bench: anybody without a name, `guest`, and whoever solves a riddle where these are asked.

use bytes::Bytes;
use motet_core::machine::{Attempt, Authenticator, Dialogue, Opening, Step};
use motet_core::mailbox::{Mailbox, Notice};
use motet_core::principal::{Denied, Principal};
use std::sync::Arc;

/// The accounts of a server at its first start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Doorman {
    /// The method `RIDDLE` is offered.
    pub(super) riddles: bool,
}

impl Authenticator for Doorman {
    fn check(&self, attempt: Attempt<'_>, _: u64, _: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        Some(match (attempt.user, attempt.password) {
            (None, None) => Ok(Principal::anonymous()),
            (Some("guest"), Some(b"guest")) => Ok(Principal::named("guest")),
            _ => Err(Denied::BadCredentials),
        })
    }

    fn begin(&self, method: &str, _: Opening<'_>) -> Result<Box<dyn Dialogue>, Denied> {
        match method {
            "RIDDLE" if self.riddles => Ok(Box::new(Riddle { name: None })),
            _ => Err(Denied::UnknownMethod),
        }
    }
}

/// The peer says a name, is asked, and answers `yes`; with `later` it is answered through the mailbox, with `again` it
/// is asked once more.
#[derive(Debug)]
struct Riddle {
    name: Option<String>,
}

impl Dialogue for Riddle {
    fn step(&mut self, response: Option<&[u8]>, ticket: u64, answer_to: &Arc<Mailbox>) -> Option<Step> {
        let response = response.unwrap_or_default();
        let Some(name) = &self.name else {
            self.name = Some(String::from_utf8_lossy(response).into_owned());
            return Some(Step::Challenge(Bytes::from_static(b"are you?")));
        };
        let accepted = Step::Accepted { principal: Principal::named(name), data: Some(Bytes::from_static(b"welcome")) };
        match response {
            b"yes" => Some(accepted),
            b"later" => {
                answer_to.notify(Notice::Stepped(ticket, accepted));
                None
            }
            b"again" => Some(Step::Challenge(Bytes::new())),
            _ => Some(Step::Denied(Denied::BadCredentials)),
        }
    }
}
