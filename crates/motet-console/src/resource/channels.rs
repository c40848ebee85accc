//! `/channels`: the channels of AMQP connections.

use super::{connections, consumers};
use crate::asker::Needs::Management;
use crate::call::Call;
use crate::node::ConnectionSeen;
use crate::route::Route;
use crate::{Refusal, Response};
use motet_core::conversation::{ChannelBooks, Conversation};
use motet_core::engine::Engine;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
    each(call, |connection, conversation, books| {
        if name(connection, books) == wanted {
            let mut view = view(call, connection, conversation, books);
            let held = books.consumers();
            let details = held.iter().map(|consumer| consumers::view(call, connection, conversation, books, consumer));
            view["consumer_details"] = details.collect();
            (view["deliveries"], view["publishes"]) = (json!([]), json!([]));
            found = Some(view);
        }
    });
    call.one(found.ok_or_else(Refusal::not_found)?)
}

/// A channel as it is in a list.
pub(super) fn view<E: Engine>(
    call: &Call<'_, E>,
    connection: &ConnectionSeen,
    conversation: &Conversation,
    books: &ChannelBooks,
) -> Value {
    json!({
        "acks_uncommitted": books.acks_uncommitted.load(Relaxed),
        "confirm": books.confirm.load(Relaxed),
        "connection_details": {
            "name": connection.name(),
            "peer_host": connection.peer.map(|peer| peer.ip().to_string()),
            "peer_port": connection.peer.map(|peer| peer.port()),
        },
        "consumer_count": books.consumers().len(),
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
    })
}

fn message_stats<E: Engine>(call: &Call<'_, E>, connection: &ConnectionSeen, books: &ChannelBooks) -> Value {
    let rates = call.api.rates.of_channel(connection.id, books.number);
    let mut stats = Map::new();
    for ((name, total), rate) in figures(books).into_iter().zip(rates) {
        stats.insert(name.into(), json!(total));
        stats.insert(format!("{name}_details"), json!({ "rate": rate }));
    }
    stats.into()
}

/// How many figures a channel has.
pub(crate) const FIGURES: usize = 9;

/// The messages of a channel by what became of them, under RabbitMQ's names.
pub(crate) fn figures(books: &ChannelBooks) -> [(&'static str, u64); FIGURES] {
    let read = |figure: &AtomicU64| figure.load(Relaxed);
    let (delivered, settled) = (read(&books.delivered_total), read(&books.delivered_settled_total));
    let got = read(&books.got_total);
    [
        ("ack", read(&books.acked_total)),
        ("confirm", read(&books.confirmed_total)),
        ("deliver", delivered),
        ("deliver_get", delivered + settled + got),
        ("deliver_no_ack", settled),
        ("get", got),
        ("publish", read(&books.published_total)),
        ("redeliver", read(&books.redelivered_total)),
        ("return_unroutable", read(&books.returned_total)),
    ]
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
        add(&seen.conversation.as_ref().unwrap().channels()[0].published_total, 3);
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
