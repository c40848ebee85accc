//! `/whoami`, `/auth`: who asks, and how one logs in.

use crate::asker::Needs;
use crate::call::Call;
use crate::route::Route;
use crate::{Method, Refusal, Response};
use motet_core::engine::Engine;
use serde_json::json;

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("").get(Needs::Nothing, index),
        Route::at("whoami").get(Needs::Management, whoami),
        Route::at("auth").get(Needs::Nothing, auth),
        Route::at("auth/attempts/{node}").get(Needs::Monitoring, attempts).on(
            Method::Delete,
            Needs::Monitoring,
            forget_attempts,
        ),
        Route::at("auth/attempts/{node}/source").get(Needs::Monitoring, no_sources).on(
            Method::Delete,
            Needs::Monitoring,
            forget_attempts,
        ),
    ]
}

fn whoami<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let tags: Vec<_> = call.asker.tags.words().collect();
    call.one(json!({ "name": &*call.asker.principal.name, "tags": tags }))
}

/// Nobody is sent elsewhere to log in.
fn auth<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.one(json!({ "enable_uaa": false, "uaa_client_id": "", "uaa_location": "", "oauth_enabled": false }))
}

/// A page for whoever opens this in a browser: what can be asked.
fn index<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let rows = call.api.routes().map(|(path, methods)| format!("<tr><td>{methods}<td>/api/{path}"));
    Ok(Response::page(format!(
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>Motet management API</title>\
         <body style=\"font: 14px/1.4 sans-serif\"><h1>Management API</h1><table>{}</table></body></html>\n",
        rows.collect::<String>()
    )))
}

/// RabbitMQ's word for what a carrier carries.
const SPOKEN: [(&str, &[&str]); 3] =
    [("http", &["http"]), ("amqp091", &["amqp", "amqps"]), ("mqtt", &["mqtt", "mqtts", "ws", "wss"])];

fn attempts<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    this_node(call)?;
    let (process, forgotten) = (call.node().figures(), call.api.forgotten_logins());
    let of = |all: &[(&'static str, [u64; 2])], carriers: &[&str]| {
        let ours = all.iter().filter(|(word, _)| carriers.contains(word));
        ours.fold([0; 2], |sum: [u64; 2], (_, more)| [sum[0] + more[0], sum[1] + more[1]])
    };
    let view = |(word, carriers): (&str, &[&str])| {
        let (all, before) = (of(&process.logins, carriers), of(&forgotten, carriers));
        let [accepted, refused] = [0, 1].map(|at| all[at].saturating_sub(before[at]));
        json!({
            "auth_attempts": accepted + refused,
            "auth_attempts_failed": refused,
            "auth_attempts_succeeded": accepted,
            "protocol": word,
        })
    };
    let seen = SPOKEN.into_iter().map(view).filter(|one| one["auth_attempts"] != 0);
    call.one(seen.collect())
}

/// Where logins came from is in the audit log; here it is not counted, as RabbitMQ does not unless it is told to.
fn no_sources<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    this_node(call)?;
    call.one(json!([]))
}

fn forget_attempts<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    this_node(call)?;
    call.api.forget_logins(call.node().figures().logins);
    Ok(Response::done())
}

fn this_node<E: Engine>(call: &Call<'_, E>) -> Result<(), Refusal> {
    if call.segment("node") == call.api.name() { Ok(()) } else { Err(Refusal::not_found()) }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[test]
    fn logins_are_counted_until_they_are_forgotten() {
        let bench = Bench::new();
        bench.node.figures.lock().logins = vec![("amqp", [3, 1]), ("amqps", [1, 0]), ("http", [2, 0])];
        let told = bench.get("/auth/attempts/motet@here");
        assert_eq!(told[1]["protocol"], "amqp091");
        assert_eq!((&told[1]["auth_attempts"], &told[1]["auth_attempts_failed"]), (&json!(5), &json!(1)));
        assert_eq!(bench.get("/auth/attempts/motet@here/source"), json!([]));
        assert_eq!(bench.status("DELETE", "/auth/attempts/motet@here", ""), 204);
        assert_eq!(bench.get("/auth/attempts/motet@here"), json!([]));
        assert_eq!(bench.ask_as("ann", "management", "GET", "/auth/attempts/motet@here", "").status, 401);
    }

    #[test]
    fn a_browser_is_shown_what_can_be_asked() {
        let page = Bench::new().ask("GET", "/", "");
        assert_eq!((page.status, page.content_type), (200, Some("text/html; charset=utf-8")));
        assert!(page.body.windows(30).any(|text| text == b"/api/queues/{vhost}/{name}/get"));
    }

    #[test]
    fn whoever_asks_is_told_who_it_is() {
        let bench = Bench::new();
        assert_eq!(bench.get("/whoami"), json!({"name": "guest", "tags": ["administrator"]}));
    }

    #[test]
    fn a_user_without_tags_is_no_management_user() {
        let answer = Bench::new().ask_as("ann", "", "GET", "/whoami", "");
        assert_eq!((answer.status, &answer.told()["reason"]), (401, &json!("Not management user")));
    }

    #[test]
    fn what_is_not_there_is_not_found_and_what_cannot_be_done_is_told() {
        let bench = Bench::new();
        let answer = bench.ask("GET", "/nope", "");
        assert_eq!((answer.status, answer.told()), (404, json!({"error": "Object Not Found", "reason": "Not Found"})));
        let answer = bench.ask("DELETE", "/whoami", "");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("HEAD, GET, OPTIONS")));
        assert_eq!(bench.ask("OPTIONS", "/whoami", "").status, 200);
    }
}
