//! `/consumers`: who takes messages out of queues, as AMQP's channels know them.

use super::channels;
use crate::asker::Needs::Management;
use crate::call::Call;
use crate::node::ConnectionSeen;
use crate::route::Route;
use crate::{Refusal, Response, json};
use motet_core::conversation::{ChannelBooks, ConsumerBooks, Conversation};
use motet_core::core::broker::NamedQueue;
use motet_core::engine::Engine;
use serde_json::{Value, json};

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![Route::at("consumers").get(Management, list), Route::at("consumers/{vhost}").get(Management, list)]
}

fn list<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhosts = call.vhosts()?;
    let mut found = Vec::new();
    channels::each(call, |connection, conversation, books| {
        if vhosts.iter().any(|vhost| **vhost.name() == *conversation.vhost) {
            let held = books.consumers();
            found.extend(held.iter().map(|consumer| view(call, connection, conversation, books, consumer)));
        }
    });
    call.whole_list(found)
}

/// Those of one queue.
pub(super) fn of_queue<E: Engine>(call: &Call<'_, E>, queue: &NamedQueue) -> Vec<Value> {
    let mut found = Vec::new();
    channels::each(call, |connection, conversation, books| {
        let held = books.consumers();
        let ours = held.iter().filter(|consumer| std::ptr::eq(consumer.queue.as_ptr(), queue));
        found.extend(ours.map(|consumer| view(call, connection, conversation, books, consumer)));
    });
    found
}

/// The tag of a queue's single active consumer.
pub(super) fn active_tag<E: Engine>(call: &Call<'_, E>, queue: &NamedQueue) -> Option<String> {
    let active = queue.active_consumer()?;
    let mut tag = None;
    channels::each(call, |_, _, books| {
        let held = books.consumers();
        tag = tag.take().or_else(|| held.iter().find(|held| held.id == active).map(|held| held.tag.to_string()));
    });
    tag
}

/// One consumer.
pub(super) fn view<E: Engine>(
    call: &Call<'_, E>,
    connection: &ConnectionSeen,
    conversation: &Conversation,
    books: &ChannelBooks,
    consumer: &ConsumerBooks,
) -> Value {
    let queue = consumer.queue.upgrade();
    let waits = queue.as_ref().is_some_and(|queue| queue.config().single_active_consumer)
        && queue.as_ref().and_then(|queue| queue.active_consumer()) != Some(consumer.id);
    let single = queue.as_ref().is_some_and(|queue| queue.config().single_active_consumer);
    json!({
        "ack_required": consumer.acknowledges,
        "active": !waits,
        "activity_status": match (single, waits) {
            (false, _) => "up",
            (true, false) => "single_active",
            (true, true) => "waiting",
        },
        "arguments": json::object(&consumer.arguments),
        "channel_details": {
            "connection_name": connection.name(),
            "name": channels::name(connection, books),
            "node": call.api.name(),
            "number": books.number,
            "peer_host": connection.peer.map(|peer| peer.ip().to_string()),
            "peer_port": connection.peer.map(|peer| peer.port()),
            "user": &*conversation.user,
        },
        "consumer_tag": &*consumer.tag,
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch,
        "queue": {
            "name": queue.map(|queue| json::text(queue.name())),
            "vhost": &*conversation.vhost,
        },
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, connection};
    use motet_core::conversation::ConsumerBooks;
    use motet_core::queue::ConsumerId;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn a_consumer_is_listed_with_its_queue_and_channel() {
        let bench = Bench::new();
        bench.ask("PUT", "/queues/%2F/q", "{}");
        let queue = bench.core.find_queue(bench.core.vhost(), b"q").unwrap();
        let seen = connection(1, "ann");
        seen.conversation.as_ref().unwrap().channels()[0].enter(ConsumerBooks {
            id: ConsumerId(7),
            tag: "ct".into(),
            queue: Arc::downgrade(&queue),
            acknowledges: true,
            exclusive: false,
            prefetch: 10,
            arguments: Vec::new(),
        });
        bench.node.connections.lock().push(seen);
        let consumer = &bench.get("/consumers/%2F")[0];
        assert_eq!((&consumer["consumer_tag"], &consumer["prefetch_count"]), (&json!("ct"), &json!(10)));
        assert_eq!(consumer["queue"], json!({"name": "q", "vhost": "/"}));
        assert_eq!(consumer["activity_status"], "up");
        assert_eq!(bench.get("/queues/%2F/q")["consumer_details"][0], *consumer);
    }
}
