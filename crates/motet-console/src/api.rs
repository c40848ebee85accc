//! From a request to its answer.

use crate::asker::Needs;
use crate::call::Call;
use crate::define::{NoRoster, Roster};
use crate::figures::{Looks, Spans};
use crate::resource;
use crate::route::Route;
use crate::{Asker, Method, Node, Refusal, Request, Response};
use motet_auth::Tags;
use motet_core::core::Core;
use motet_core::engine::Engine;
use motet_core::principal::Principal;
use parking_lot::Mutex;
use std::sync::Arc;

/// The management API over one core and one node.
pub struct Api<E: Engine> {
    pub(crate) core: Arc<Core<E>>,
    pub(crate) node: Arc<dyn Node>,
    pub(crate) roster: Arc<dyn Roster>,
    pub(crate) looks: Looks,
    /// The node's name.
    name: Box<str>,
    routes: Vec<Route<E>>,
    /// Logins that an operator does not want to see any more.
    forgotten_logins: Mutex<Logins>,
}

/// By the carrier's word: accepted, refused.
type Logins = Vec<(&'static str, [u64; 2])>;

impl<E: Engine> std::fmt::Debug for Api<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("routes", &self.routes.len()).finish_non_exhaustive()
    }
}

impl<E: Engine> Api<E> {
    /// Over this core and this node.
    pub fn new(core: Arc<Core<E>>, node: Arc<dyn Node>) -> Self {
        let name = node.figures().name.into();
        let roster = Arc::new(NoRoster);
        Api {
            core,
            node,
            roster,
            looks: Looks::default(),
            name,
            routes: resource::routes(),
            forgotten_logins: Mutex::default(),
        }
    }

    /// The same with accounts to list and to change; without them there are none.
    #[must_use]
    pub fn with_roster(self, roster: Arc<dyn Roster>) -> Self {
        Api { roster, ..self }
    }

    /// Looks at figures, for rates: to be called every few seconds.
    pub fn look(&self) {
        self.looks.look(&self.core, &*self.node, self.node.now());
    }

    /// Every path with what can be asked there.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.routes.iter().map(|route| (route.pattern(), route.allowed()))
    }

    /// What [`Api::forget_logins`] was last told.
    pub(crate) fn forgotten_logins(&self) -> Logins {
        self.forgotten_logins.lock().clone()
    }

    /// From now on these are not counted.
    pub(crate) fn forget_logins(&self, logins: Logins) {
        *self.forgotten_logins.lock() = logins;
    }

    /// The node's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether this can be asked without a login. Whoever serves asks for one otherwise.
    pub fn is_public(&self, request: &Request) -> bool {
        let found = self.routes.iter().find(|route| route.fits(&request.path).is_some());
        request.method == Method::Options
            || found.and_then(|route| route.way(request.method)).is_some_and(|way| way.needs == Needs::Nothing)
    }

    /// Answers a request; `asker` is None for what is public alone. May block for a moment, see the crate's page.
    pub fn answer(&self, request: &Request, asker: Option<&Asker>) -> Response {
        self.respond(request, asker).unwrap_or_else(|refusal| refusal.response())
    }

    fn respond(&self, request: &Request, asker: Option<&Asker>) -> Result<Response, Refusal> {
        let found = self.routes.iter().find_map(|route| Some((route, route.fits(&request.path)?)));
        let (route, segments) = found.ok_or_else(Refusal::not_found)?;
        let Some(way) = route.way(request.method) else {
            let status = if request.method == Method::Options { 200 } else { 405 };
            return Ok(Response::empty(status).with("allow", route.allowed()));
        };
        let nobody = Asker { principal: Principal::anonymous(), tags: Tags::NONE };
        let asker = asker.unwrap_or(&nobody);
        asker.meets(way.needs)?;
        (way.handler)(&Call { api: self, request, asker, segments, spans: Spans::read(request) })
    }
}
