//! `/whoami`, `/auth`: who asks, and how one logs in.

use crate::asker::Needs;
use crate::call::Call;
use crate::route::Route;
use crate::{Refusal, Response};
use motet_core::engine::Engine;
use serde_json::json;

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![Route::at("whoami").get(Needs::Management, whoami), Route::at("auth").get(Needs::Nothing, auth)]
}

fn whoami<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let tags: Vec<_> = call.asker.tags.words().collect();
    call.one(json!({ "name": &*call.asker.principal.name, "tags": tags }))
}

/// Nobody is sent elsewhere to log in.
fn auth<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.one(json!({ "enable_uaa": false, "uaa_client_id": "", "uaa_location": "", "oauth_enabled": false }))
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

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
