//! `/channels`: the channels of AMQP connections.

use super::{connections, consumers, queue};
use crate::asker::Needs::Management;
use crate::call::Call;
use crate::figures::{self, channel};
use crate::node::ConnectionSeen;
use crate::route::Route;
use crate::{Refusal, Response, json};
use motet_core::conversation::{ChannelBooks, Conversation};
use motet_core::engine::Engine;
use motet_core::time::WallMillis;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("channels").get(Management, list),
        Route::at("channels/{name}").get(Management, one),
        Route::at("vhosts/{vhost}/channels").get(Management, list),
    ]
}

/// As RabbitMQ names a channel.
pub(super) fn name(connection: &ConnectionSeen, books: &ChannelBooks) -> String {
    format!("{} ({})", connection.name(), books.number)
}

/// The connection of this number, as RabbitMQ names the owner of a queue; empty when it is gone.
pub(super) fn owner<E: Engine>(call: &Call<'_, E>, id: u64) -> Value {
    let mut found = json!({});
    call.node().connections(&mut |connection| {
        if connection.id == id {
            found = json!({
                "name": connection.name(),
                "peer_host": connection.peer.map(|peer| peer.ip().to_string()),
                "peer_port": connection.peer.map(|peer| peer.port()),
            });
        }
    });
    found
}

/// Every channel that the asker may see.
pub(super) fn each<E: Engine>(
    call: &Call<'_, E>,
    mut visit: impl FnMut(&ConnectionSeen, &Arc<Conversation>, &Arc<ChannelBooks>),
) {
    let mut found = Vec::new();
    connections::seen(call, |connection, conversation| found.push((connection, conversation)));
    found.sort_by_key(|(connection, _)| connection.id);
    for (connection, conversation) in &found {
        conversation.channels().iter().for_each(|books| visit(connection, conversation, books));
    }
}

fn list<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhost = call.segment("vhost");
    if !vhost.is_empty() {
        call.vhost()?;
    }
    let mut found = Vec::new();
    each(call, |connection, conversation, books| {
        if vhost.is_empty() || *conversation.vhost == *vhost {
            found.push(view(call, connection, conversation, books));
        }
    });
    call.list(found)
}

fn one<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (wanted, mut found) = (call.segment("name"), None);
    call.node().connections(&mut |connection| {
        let Some(conversation) = connection.conversation.clone().filter(|_| wanted.starts_with(&connection.name()))
        else {
            return;
        };
        let books = conversation.channels().into_iter().find(|books| name(&connection, books) == wanted);
        if let Some(books) = books {
            found = Some((connection, conversation, books));
        }
    });
    let (connection, conversation, books) = found.ok_or_else(Refusal::not_found)?;
    call.may_look(&conversation)?;
    let mut view = view(call, &connection, &conversation, &books);
    let held = books.consumers();
    let details = held.iter().map(|consumer| consumers::view(call, &connection, &conversation, &books, consumer));
    view["consumer_details"] = details.collect();
    // Which exchange and which queue how many went through is not counted, as in RabbitMQ's rates mode `basic`.
    (view["deliveries"], view["publishes"]) = (json!([]), json!([]));
    call.one(view)
}

/// A channel as it is in a list.
pub(super) fn view<E: Engine>(
    call: &Call<'_, E>,
    connection: &ConnectionSeen,
    conversation: &Conversation,
    books: &ChannelBooks,
) -> Value {
    let active = books.active_ms.load(Relaxed);
    let idle_since = (active > 0).then(|| json::time(WallMillis(active)));
    let mut view = json!({
        "acks_uncommitted": books.acks_uncommitted.load(Relaxed),
        "confirm": books.confirm.load(Relaxed),
        "connection_details": {
            "name": connection.name(),
            "peer_host": connection.peer.map(|peer| peer.ip().to_string()),
            "peer_port": connection.peer.map(|peer| peer.port()),
        },
        "consumer_count": books.consumers().len(),
        "garbage_collection": queue::no_garbage(),
        "global_prefetch_count": books.prefetch_global.load(Relaxed),
        "message_stats": message_stats(call, connection, books),
        "messages_unacknowledged": books.unacked.load(Relaxed),
        "messages_uncommitted": books.uncommitted.load(Relaxed),
        "messages_unconfirmed": books.unconfirmed.load(Relaxed),
        "name": name(connection, books),
        "node": call.api.name(),
        "number": books.number,
        "pending_raft_commands": 0,
        "prefetch_count": books.prefetch.load(Relaxed),
        "reductions": 0,
        "reductions_details": { "rate": 0.0 },
        "state": "running",
        "transactional": books.transactional.load(Relaxed),
        "user": &*conversation.user,
        "user_who_performed_action": &*conversation.user,
        "vhost": &*conversation.vhost,
    });
    if let Some(since) = idle_since {
        view["idle_since"] = json!(since);
    }
    view
}

fn message_stats<E: Engine>(call: &Call<'_, E>, connection: &ConnectionSeen, books: &ChannelBooks) -> Value {
    let details = call.api.looks.channel(connection.id, books.number);
    let mut stats = Map::new();
    figures::write(&mut stats, &channel::NAMES, &channel::of(books), &details);
    stats.into()
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, connection};
    use motet_core::conversation::add;
    use serde_json::json;

    #[test]
    fn a_channel_tells_its_books() {
        let bench = Bench::new();
        let seen = connection(1, "ann");
        add(&seen.conversation.as_ref().unwrap().channels()[0].totals.published, 3);
        bench.node.connections.lock().push(seen);
        let name = "127.0.0.1:40001%20-%3E%20127.0.0.1:5672%20(1)";
        let channel = bench.get(&format!("/channels/{name}"));
        for (key, value) in [
            ("number", json!(1)),
            ("name", json!("127.0.0.1:40001 -> 127.0.0.1:5672 (1)")),
            ("user", json!("ann")),
            ("vhost", json!("/")),
            ("consumer_count", json!(0)),
            ("confirm", json!(false)),
        ] {
            assert_eq!(channel[key], value, "{key}");
        }
        assert_eq!(channel["message_stats"]["publish"], 3);
        for path in
            ["/channels", "/vhosts/%2F/channels", "/connections/127.0.0.1:40001%20-%3E%20127.0.0.1:5672/channels"]
        {
            assert_eq!(bench.get(path)[0]["name"], channel["name"], "{path}");
        }
        assert_eq!(bench.status("GET", "/channels/nope", ""), 404);
    }
}
