//! `/vhost-limits` and `/user-limits`.

use crate::asker::Needs;
use crate::call::Call;
use crate::define::{erlang, limit};
use crate::route::Route;
use crate::{Method, Refusal, Response};
use motet_core::core::govern::LimitOf;
use motet_core::engine::Engine;
use serde_json::{Value, json};

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("vhost-limits").get(Needs::Management, of_vhosts),
        Route::at("vhost-limits/{vhost}").get(Needs::Management, of_vhosts),
        Route::at("vhost-limits/{vhost}/{limit}").on(Method::Put, Needs::Administrator, put_of_vhost).on(
            Method::Delete,
            Needs::Administrator,
            clear_of_vhost,
        ),
        Route::at("user-limits").get(Needs::Administrator, of_users),
        Route::at("user-limits/{user}").get(Needs::Administrator, of_users),
        Route::at("user-limits/{user}/{limit}").on(Method::Put, Needs::Administrator, put_of_user).on(
            Method::Delete,
            Needs::Administrator,
            clear_of_user,
        ),
    ]
}

fn said(limits: &Value) -> bool {
    limits.as_object().is_some_and(|limits| !limits.is_empty())
}

fn of_vhosts<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let told = |name: &str| json!({ "vhost": name, "value": limit::told(call.place(), LimitOf::Vhost(name)) });
    let all = call.vhosts()?.iter().map(|vhost| told(vhost.name())).collect::<Vec<_>>();
    call.whole_list(all.into_iter().filter(|one| said(&one["value"])).collect())
}

fn put_of_vhost<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhost = call.core().find_vhost(call.segment("vhost")).ok_or_else(|| Refusal::missing("vhost_not_found"))?;
    put(call, LimitOf::Vhost(vhost.name()))
}

fn clear_of_vhost<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhost = call.core().find_vhost(call.segment("vhost")).ok_or_else(Refusal::not_found)?;
    clear(call, LimitOf::Vhost(vhost.name()))
}

fn of_users<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let mut names: Vec<_> = call.place().roster.users().into_iter().map(|user| user.name).collect();
    if call.segments.iter().any(|(name, _)| *name == "user") {
        names.retain(|name| name == call.segment("user"));
        names.first().ok_or_else(Refusal::not_found)?;
    }
    let told = |name: &String| json!({ "user": name, "value": limit::told(call.place(), LimitOf::User(name)) });
    call.whole_list(names.iter().map(told).filter(|one| said(&one["value"])).collect())
}

fn put_of_user<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let name = call.segment("user");
    if !call.place().roster.users().iter().any(|user| user.name == name) {
        return Err(Refusal::bad_request(json!(["no_such_user", name])));
    }
    put(call, LimitOf::User(name))
}

fn clear_of_user<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    clear(call, LimitOf::User(call.segment("user")))
}

fn put<E: Engine>(call: &Call<'_, E>, of: LimitOf<'_>) -> Result<Response, Refusal> {
    let body = call.request.object()?;
    erlang::need(&body, &["value"])?;
    call.durable(limit::put(call.place(), of, call.segment("limit"), &body["value"])?.position)?;
    Ok(Response::done())
}

fn clear<E: Engine>(call: &Call<'_, E>, of: LimitOf<'_>) -> Result<Response, Refusal> {
    call.durable(limit::clear(call.place(), of, call.segment("limit"))?.position)?;
    Ok(Response::done())
}
