//! What a handler is given: the request, who asks, the core and the node; and what every handler needs.

use crate::asker::Asker;
use crate::define::Place;
use crate::figures::Spans;
use crate::{Api, Node, Refusal, Request, Response, listing};
use motet_core::access::{Action, Resource};
use motet_core::conversation::Conversation;
use motet_core::core::{Core, Decision, Vhost};
use motet_core::engine::{Engine, Position};
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::time::Now;
use serde_json::Value;
use std::sync::Arc;

/// How often an answer that is not there yet is looked for: with [`Node::pause`] between, about ten seconds.
pub(crate) const LOOKS_MAX: usize = 2_000;

/// One request on its way.
pub(crate) struct Call<'a, E: Engine> {
    pub(crate) api: &'a Api<E>,
    pub(crate) request: &'a Request,
    pub(crate) asker: &'a Asker,
    /// The named segments of the path.
    pub(crate) segments: Vec<(&'static str, &'a str)>,
    /// How much history is asked for.
    pub(crate) spans: Spans,
}

impl<'a, E: Engine> Call<'a, E> {
    pub(crate) fn core(&self) -> &Core<E> {
        &self.api.core
    }

    /// Where definitions go.
    pub(crate) fn place(&self) -> Place<'_, E> {
        Place { core: &self.api.core, roster: &*self.api.roster, now: self.now() }
    }

    pub(crate) fn node(&self) -> &dyn Node {
        &*self.api.node
    }

    pub(crate) fn now(&self) -> Now {
        self.node().now()
    }

    /// A named segment of the path; empty where the route has none of that name.
    pub(crate) fn segment(&self, name: &str) -> &'a str {
        self.segments.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// The vhost of the path, when it exists and the asker may enter it.
    ///
    /// # Errors
    /// 404 and 401.
    pub(crate) fn vhost(&self) -> Result<Arc<Vhost>, Refusal> {
        let vhost = self.core().find_vhost(self.segment("vhost")).ok_or_else(Refusal::not_found)?;
        match self.asker.may_enter(&vhost) {
            true => Ok(vhost),
            false => Err(Refusal::not_authorised("User not authorised to access virtual host")),
        }
    }

    /// The vhost of the path, for what is to be made in it.
    ///
    /// # Errors
    /// 404 in other words, and 401.
    pub(crate) fn vhost_to_fill(&self) -> Result<Arc<Vhost>, Refusal> {
        match self.core().find_vhost(self.segment("vhost")) {
            None => Err(Refusal::missing("vhost_not_found")),
            Some(_) => self.vhost(),
        }
    }

    /// The vhost of the path alone, or all that the asker may enter.
    ///
    /// # Errors
    /// As [`Call::vhost`].
    pub(crate) fn vhosts(&self) -> Result<Vec<Arc<Vhost>>, Refusal> {
        if self.segments.iter().any(|(name, _)| *name == "vhost") {
            return Ok(vec![self.vhost()?]);
        }
        let mut vhosts = self.core().vhosts();
        vhosts.retain(|vhost| self.asker.may_enter(vhost));
        vhosts.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(vhosts)
    }

    /// A list that RabbitMQ does not page: order and columns alone are looked at, unless the query has
    /// `pagination=true`, which means nothing there.
    ///
    /// # Errors
    /// As [`Call::list`].
    pub(crate) fn whole_list(&self, items: Vec<Value>) -> Result<Response, Refusal> {
        if self.request.says("pagination") {
            return self.list(items);
        }
        Ok(Response::ok(&listing::whole(self.request, items)))
    }

    /// A list, as much of it as the query asks for.
    ///
    /// # Errors
    /// The query asks for a page that is not there.
    pub(crate) fn list(&self, items: Vec<Value>) -> Result<Response, Refusal> {
        listing::listed(self.request, items).map(|value| Response::ok(&value))
    }

    /// One object, with the columns that the query asks for.
    pub(crate) fn one(&self, item: Value) -> Result<Response, Refusal> {
        Ok(Response::ok(&listing::columns(self.request, item)))
    }

    /// Whether the asker may see what is a connection's.
    ///
    /// # Errors
    /// 401: it is another user's.
    pub(crate) fn may_look(&self, conversation: &Conversation) -> Result<(), Refusal> {
        match self.asker.is_monitor() || conversation.user == self.asker.principal.name {
            true => Ok(()),
            false => Err(Refusal::not_authorised("User not authorised to access object")),
        }
    }

    /// Whether the asker may, by the rules that hold for its messages too.
    ///
    /// # Errors
    /// 401 "Access refused."
    pub(crate) fn may(&self, vhost: &Vhost, action: Action, resource: Resource<'_>) -> Result<(), Refusal> {
        let mailbox = Mailbox::new(0, Overflow::DropNewest);
        for _ in 0..LOOKS_MAX {
            match vhost.permit(&self.asker.principal, action, resource, Some(&mailbox)) {
                Decision::Allowed => return Ok(()),
                Decision::Refused(_) => return Err(Refusal::access_refused()),
                Decision::Later => self.node().pause(),
            }
        }
        Err(Refusal::unavailable("the authority does not answer"))
    }

    /// Waits until what was done is on disk.
    ///
    /// # Errors
    /// The disk takes nothing.
    pub(crate) fn durable(&self, position: Option<Position>) -> Result<(), Refusal> {
        let Some(position) = position else { return Ok(()) };
        for _ in 0..LOOKS_MAX {
            if self.core().durable() >= position {
                return Ok(());
            }
            self.node().pause();
        }
        Err(Refusal::unavailable("the disk takes nothing: whether this holds is known after a restart"))
    }
}
