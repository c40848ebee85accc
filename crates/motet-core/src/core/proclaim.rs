//! What the server itself says: figures as last values below a reserved segment, in memory only.

use super::Core;
use super::publish::Refusals;
use crate::engine::Engine;
use crate::message::{BatchBuilder, FaceId, MessageParts, MessageRef, PublisherId};
use crate::name::Name;
use crate::route::Route;
use crate::time::Now;
use crate::topics::Retained;

impl<E: Engine> Core<E> {
    /// Makes `value` the last value of `name` and tells who subscribes. Nothing of it is written to disk, and bounds on
    /// last values don't hold for it: how many there are is the server's own decision.
    pub fn proclaim(&self, now: Now, name: &Name, value: &[u8]) {
        let batch = || {
            let mut builder = BatchBuilder::new();
            builder.push(MessageParts { payload: value, ..MessageParts::default() });
            builder.finish(name.clone(), PublisherId::default(), FaceId::NONE)
        };
        let message = MessageRef::new(batch(), 0);
        self.vhost.topics.set_retained(name, Retained { message, locator: None });
        let route = Route::compute(&self.vhost, name);
        if !route.is_empty() {
            self.publish_along(now, &self.vhost, 0, &route, batch(), None, Refusals::Impossible);
        }
    }
}
