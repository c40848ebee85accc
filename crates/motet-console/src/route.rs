//! The table of paths: each resource brings its lines, and a request finds the first that fits.

use crate::asker::Needs;
use crate::call::Call;
use crate::{Method, Refusal, Response};
use motet_core::engine::Engine;

/// Answers one kind of request.
pub(crate) type Handler<E> = fn(&Call<'_, E>) -> Result<Response, Refusal>;

/// What one path is good for.
pub(crate) struct Route<E: Engine> {
    /// Segments with `/` between them; `{name}` stands for any.
    pattern: &'static str,
    ways: Vec<Way<E>>,
}

/// One method of a route.
pub(crate) struct Way<E: Engine> {
    pub(crate) method: Method,
    pub(crate) needs: Needs,
    pub(crate) handler: Handler<E>,
}

impl<E: Engine> Route<E> {
    /// A path nothing can be asked at yet.
    pub(crate) fn at(pattern: &'static str) -> Self {
        Route { pattern, ways: Vec::new() }
    }

    /// The same with one more method.
    pub(crate) fn on(mut self, method: Method, needs: Needs, handler: Handler<E>) -> Self {
        self.ways.push(Way { method, needs, handler });
        self
    }

    /// The same, told to whoever has `needs`.
    pub(crate) fn get(self, needs: Needs, handler: Handler<E>) -> Self {
        self.on(Method::Get, needs, handler)
    }

    /// The way of this method.
    pub(crate) fn way(&self, method: Method) -> Option<&Way<E>> {
        self.ways.iter().find(|way| way.method == method)
    }

    /// The path, with its names.
    pub(crate) fn pattern(&self) -> &'static str {
        self.pattern
    }

    /// What can be asked here, as RabbitMQ lists it.
    pub(crate) fn allowed(&self) -> String {
        let mut names = Vec::new();
        for way in &self.ways {
            names.extend((way.method == Method::Get).then_some("HEAD"));
            names.push(way.method.name());
        }
        names.push("OPTIONS");
        names.join(", ")
    }

    /// The values of the named segments, in their order, when the path fits.
    pub(crate) fn fits<'a>(&self, path: &'a [String]) -> Option<Vec<(&'static str, &'a str)>> {
        if self.pattern.is_empty() {
            return path.is_empty().then(Vec::new);
        }
        let mut found = Vec::new();
        let mut given = path.iter();
        for part in self.pattern.split('/') {
            let segment = given.next()?;
            match part.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => found.push((name, &**segment)),
                None if part == segment => {}
                None => return None,
            }
        }
        given.next().is_none().then_some(found)
    }
}
