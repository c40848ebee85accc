//! `/connections`: who is connected, in whatever protocol.

use super::{channels, queue};
use crate::asker::Needs::Management;
use crate::call::Call;
use crate::node::ConnectionSeen;
use crate::route::Route;
use crate::{Method, Refusal, Response, json};
use motet_core::conversation::Conversation;
use motet_core::engine::Engine;
use serde_json::{Value, json};
use std::sync::Arc;

/// What a peer is told where the operator says nothing; RabbitMQ's words.
const CLOSED: &str = "Closed via management plugin";
/// Bytes of an operator's reason at most: a short string of AMQP holds it with what stands before it.
const REASON_BYTES_MAX: usize = 200;

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("connections").get(Management, list),
        Route::at("connections/username/{user}").get(Management, list).on(Method::Delete, Management, close_of_user),
        Route::at("connections/{name}").get(Management, one).on(Method::Delete, Management, close),
        Route::at("connections/{name}/channels").get(Management, channels_of),
        Route::at("vhosts/{vhost}/connections").get(Management, list),
    ]
}

/// Connections that the asker may see, with what their machines tell: its own, or all for a monitor.
pub(super) fn seen<E: Engine>(call: &Call<'_, E>, mut visit: impl FnMut(ConnectionSeen, Arc<Conversation>)) {
    let (all, user) = (call.asker.is_monitor(), &call.asker.principal.name);
    call.node().connections(&mut |seen| {
        if let Some(conversation) = seen.conversation.clone()
            && (all || conversation.user == *user)
        {
            visit(seen, conversation);
        }
    });
}

/// The connection of the path.
fn named<E: Engine>(call: &Call<'_, E>) -> Result<(ConnectionSeen, Arc<Conversation>), Refusal> {
    let (wanted, mut found) = (call.segment("name"), None);
    call.node().connections(&mut |connection| {
        if let (None, Some(conversation)) = (&found, &connection.conversation)
            && connection.name() == wanted
        {
            let conversation = conversation.clone();
            found = Some((connection, conversation));
        }
    });
    let (connection, conversation) = found.ok_or_else(Refusal::not_found)?;
    call.may_look(&conversation)?;
    Ok((connection, conversation))
}

fn list<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhost = call.segment("vhost");
    if !vhost.is_empty() {
        call.vhost()?;
    }
    let (user, mut found) = (call.segment("user"), Vec::new());
    seen(call, |connection, conversation| {
        let fits = |wanted: &str, has: &str| wanted.is_empty() || wanted == has;
        if fits(vhost, &conversation.vhost) && fits(user, &conversation.user) {
            found.push((connection, conversation));
        }
    });
    found.sort_by_key(|(connection, _)| connection.id);
    call.list(found.iter().map(|(connection, conversation)| view(call, connection, conversation)).collect())
}

fn one<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (connection, conversation) = named(call)?;
    call.one(view(call, &connection, &conversation))
}

fn channels_of<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (connection, conversation) = named(call)?;
    let books = conversation.channels();
    call.whole_list(books.iter().map(|books| channels::view(call, &connection, &conversation, books)).collect())
}

fn close<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (connection, _) = named(call)?;
    end(call, connection.id);
    Ok(Response::done())
}

fn close_of_user<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (user, mut found) = (call.segment("user"), Vec::new());
    seen(call, |connection, conversation| found.extend((*conversation.user == *user).then_some(connection.id)));
    found.into_iter().for_each(|id| end(call, id));
    Ok(Response::done())
}

fn end<E: Engine>(call: &Call<'_, E>, id: u64) {
    let reason = call.request.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or(CLOSED);
    let cut = reason.floor_char_boundary(REASON_BYTES_MAX);
    call.node().close(id, &reason[..cut]);
}

fn view<E: Engine>(call: &Call<'_, E>, connection: &ConnectionSeen, conversation: &Conversation) -> Value {
    let host = |address: Option<std::net::SocketAddr>| address.map(|address| address.ip().to_string());
    let port = |address: Option<std::net::SocketAddr>| address.map(|address| address.port());
    let ssl = |word: &str| if connection.encrypted { word.to_owned() } else { String::new() };
    let properties = client_properties(conversation);
    let (received, sent) = connection.bytes;
    let [received_details, sent_details] = call.api.looks.connection(connection.id);
    let mut view = json!({
        "auth_mechanism": conversation.mechanism,
        "channel_max": conversation.channels_max,
        "channels": conversation.channel_count(),
        "connected_at": connection.since.0,
        "frame_max": conversation.frame_bytes_max,
        "garbage_collection": queue::no_garbage(),
        "host": host(connection.local),
        "name": connection.name(),
        "node": call.api.name(),
        "peer_cert_issuer": "",
        "peer_cert_subject": "",
        "peer_cert_validity": "",
        "peer_host": host(connection.peer),
        "peer_port": port(connection.peer),
        "port": port(connection.local),
        "protocol": conversation.protocol,
        "recv_cnt": 0,
        "recv_oct": received,
        "recv_oct_details": received_details,
        "reductions": 0,
        "reductions_details": { "rate": 0.0 },
        "send_cnt": 0,
        "send_oct": sent,
        "send_oct_details": sent_details,
        "send_pend": 0,
        "ssl": connection.encrypted,
        "ssl_cipher": ssl(""),
        "ssl_hash": ssl(""),
        "ssl_key_exchange": ssl(""),
        "ssl_protocol": ssl("tls"),
        "state": conversation.held().word(),
        "timeout": conversation.heartbeat_secs,
        "type": "network",
        "user": &*conversation.user,
        "user_who_performed_action": &*conversation.user,
        "vhost": &*conversation.vhost,
    });
    match properties.get("connection_name").cloned() {
        Some(name) => view["user_provided_name"] = name,
        None if !conversation.client.is_empty() => view["user_provided_name"] = json!(&*conversation.client),
        None => {}
    }
    if !conversation.client.is_empty() {
        view["variable_map"] = json!({ "client_id": &*conversation.client });
    }
    view["client_properties"] = properties;
    view
}

fn client_properties(conversation: &Conversation) -> Value {
    let mut properties = json::object(&conversation.client_properties);
    if !conversation.client.is_empty() {
        properties["client_id"] = json!(&*conversation.client);
    }
    properties
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, connection};
    use motet_core::conversation::Held;
    use serde_json::json;

    const NAME: &str = "127.0.0.1:40001%20-%3E%20127.0.0.1:5672";

    #[test]
    fn a_connection_says_whether_an_alarm_holds_it() {
        let bench = Bench::new();
        let connection = connection(1, "ann");
        let conversation = connection.conversation.clone().unwrap();
        bench.node.connections.lock().push(connection);
        for held in [Held::Blocking, Held::Blocked, Held::Running] {
            conversation.note_held(held);
            assert_eq!(bench.get(&format!("/connections/{NAME}"))["state"], held.word());
        }
    }

    #[test]
    fn a_connection_is_listed_with_what_its_machine_tells() {
        let bench = Bench::new();
        bench.node.connections.lock().push(connection(1, "ann"));
        let seen = bench.get(&format!("/connections/{NAME}"));
        for (key, value) in [
            ("name", json!("127.0.0.1:40001 -> 127.0.0.1:5672")),
            ("user", json!("ann")),
            ("vhost", json!("/")),
            ("protocol", json!("AMQP 0-9-1")),
            ("peer_host", json!("127.0.0.1")),
            ("peer_port", json!(40_001)),
            ("state", json!("running")),
            ("channels", json!(1)),
            ("user_provided_name", json!("me")),
        ] {
            assert_eq!(seen[key], value, "{key}");
        }
        assert_eq!(bench.get("/connections")[0], seen);
        assert_eq!(bench.get("/vhosts/%2F/connections")[0], seen);
        assert_eq!(bench.get("/connections/username/ann")[0], seen);
        assert_eq!(bench.get("/connections/username/bob"), json!([]));
    }

    #[test]
    fn a_user_sees_its_own_connections_and_a_monitor_all() {
        let bench = Bench::new();
        bench.node.connections.lock().extend([connection(1, "ann"), connection(2, "bob")]);
        let count = |user: &str, tags: &str| {
            let answer = bench.ask_as(user, tags, "GET", "/connections", "");
            answer.told().as_array().unwrap().len()
        };
        assert_eq!((count("ann", "management"), count("eve", "management"), count("eve", "monitoring")), (1, 0, 2));
    }

    #[test]
    fn an_operator_ends_a_connection_and_says_why() {
        let bench = Bench::new();
        bench.node.connections.lock().push(connection(1, "ann"));
        assert_eq!(bench.status("DELETE", &format!("/connections/{NAME}"), ""), 204);
        assert_eq!(bench.status("DELETE", "/connections/nope", ""), 404);
        assert_eq!(*bench.node.closed.lock(), [(1, "Closed via management plugin".to_owned())]);
    }
}
