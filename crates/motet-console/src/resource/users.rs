//! `/users`: made, changed, removed.

use crate::asker::Needs;
use crate::call::Call;
use crate::define::{UserSeen, permission, user};
use crate::route::Route;
use crate::{Method, Refusal, Response};
use motet_core::engine::Engine;
use serde_json::{Value, json};

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("users").get(Needs::Administrator, list),
        Route::at("users/without-permissions").get(Needs::Administrator, without_permissions),
        Route::at("users/bulk-delete").on(Method::Post, Needs::Administrator, remove_many),
        Route::at("users/{user}").get(Needs::Administrator, one).on(Method::Put, Needs::Administrator, put).on(
            Method::Delete,
            Needs::Administrator,
            remove,
        ),
        Route::at("users/{user}/permissions").get(Needs::Administrator, permissions),
        Route::at("users/{user}/topic-permissions").get(Needs::Administrator, topic_permissions),
    ]
}

fn known<E: Engine>(call: &Call<'_, E>) -> Result<UserSeen, Refusal> {
    let name = call.segment("user");
    call.place().roster.users().into_iter().find(|user| user.name == name).ok_or_else(Refusal::not_found)
}

fn list<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let mut users = call.place().roster.users();
    users.sort_by(|a, b| a.name.cmp(&b.name));
    call.whole_list(users.iter().map(|one| user::told(call.place(), one)).collect())
}

fn one<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.one(user::told(call.place(), &known(call)?))
}

fn without_permissions<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let permitted = permission::list(call.place());
    let mut users = call.place().roster.users();
    users.retain(|user| !permitted.iter().any(|one| one.user == user.name));
    call.whole_list(users.iter().map(|one| user::told(call.place(), one)).collect())
}

fn put<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (name, by) = (call.segment("user"), &*call.asker.principal.name);
    user::put(call.place(), name, &call.request.object()?, by).map(Response::made)
}

fn remove<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    known(call)?;
    call.place().roster.remove(call.segment("user"))?;
    Ok(Response::done())
}

/// Those that are there go, whether all of them are or not.
fn remove_many<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let body = call.request.object()?;
    crate::define::erlang::need(&body, &["users"])?;
    let names = body["users"].as_array().ok_or_else(|| Refusal::bad_request("users_not_a_list"))?;
    let mut missing = None;
    for name in names.iter().filter_map(Value::as_str) {
        if !call.place().roster.remove(name)? {
            missing.get_or_insert(name);
        }
    }
    match missing {
        Some(name) => Err(Refusal::bad_request(json!(["no_such_user", name]))),
        None => Ok(Response::done()),
    }
}

fn permissions<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let user = known(call)?;
    let theirs = permission::list(call.place()).into_iter().filter(|one| one.user == user.name);
    call.whole_list(theirs.map(|one| permission::told(&one)).collect())
}

fn topic_permissions<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let user = known(call)?;
    let theirs = call.core().topic_permissions().into_iter().filter(|one| one.user == user.name);
    call.whole_list(theirs.map(|one| permission::topic_told(&one)).collect())
}
