//! Who asks: a principal, and the tags of its account, which say what RabbitMQ's API shows it.

use crate::Refusal;
use motet_auth::{Tag, Tags};
use motet_core::core::Vhost;
use motet_core::principal::Principal;

/// Whoever sent a request, logged in.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Who it is, to the core's rules.
    pub principal: Principal,
    /// What it may do here.
    pub tags: Tags,
}

/// What a route asks of whoever wants something there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing, not even a login.
    Nothing,
    /// Any tag.
    Management,
    /// A look at everything.
    Monitoring,
    /// Policies and parameters.
    Policymaker,
    /// Everything.
    Administrator,
}

impl Asker {
    /// Any of `tags`, or the one that stands above all.
    fn has_any(&self, tags: &[Tag]) -> bool {
        self.tags.has(Tag::Administrator) || tags.iter().any(|tag| self.tags.has(*tag))
    }

    /// It sees everything: all connections, all nodes.
    pub(crate) fn is_monitor(&self) -> bool {
        self.has_any(&[Tag::Monitoring])
    }

    /// It may do everything.
    pub(crate) fn is_administrator(&self) -> bool {
        self.has_any(&[])
    }

    /// # Errors
    /// A tag is missing.
    pub(crate) fn meets(&self, needs: Needs) -> Result<(), Refusal> {
        let tagged = self.has_any(&[Tag::Management, Tag::Policymaker, Tag::Monitoring]);
        let (met, otherwise) = match needs {
            Needs::Nothing => (true, ""),
            // Whoever has no tag is told that first.
            _ if !tagged => (false, "Not management user"),
            Needs::Management => (true, ""),
            Needs::Monitoring => (self.is_monitor(), "Not monitor user"),
            Needs::Policymaker => (self.has_any(&[Tag::Policymaker]), "User not authorised to access object"),
            Needs::Administrator => (self.is_administrator(), "Not administrator user"),
        };
        if met { Ok(()) } else { Err(Refusal::not_authorised(otherwise)) }
    }

    /// Whether it may enter the vhost: whoever has permissions somewhere needs some here.
    pub(crate) fn may_enter(&self, vhost: &Vhost) -> bool {
        vhost.access().permissions().may_enter(&self.principal.name, vhost.name()) != Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_lets_in_to_what_it_is_for() {
        let asker = |words: &str| Asker { principal: Principal::named("ann"), tags: Tags::read(words).unwrap() };
        for (words, management, monitoring, administrator) in [
            ("", false, false, false),
            ("management", true, false, false),
            ("policymaker", true, false, false),
            ("monitoring", true, true, false),
            ("administrator", true, true, true),
        ] {
            let meets = |needs| asker(words).meets(needs).is_ok();
            let met = (meets(Needs::Management), meets(Needs::Monitoring), meets(Needs::Administrator));
            assert_eq!(met, (management, monitoring, administrator), "{words}");
        }
        assert_eq!(asker("").meets(Needs::Management).unwrap_err().reason, "Not management user");
    }
}
