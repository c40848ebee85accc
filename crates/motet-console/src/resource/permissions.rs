//! `/permissions` and `/topic-permissions`.

use crate::asker::Needs;
use crate::call::Call;
use crate::define::permission;
use crate::route::Route;
use crate::{Method, Refusal, Response};
use motet_core::engine::Engine;

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("permissions").get(Needs::Administrator, list),
        Route::at("permissions/{vhost}/{user}")
            .get(Needs::Administrator, one)
            .on(Method::Put, Needs::Administrator, put)
            .on(Method::Delete, Needs::Administrator, remove),
        Route::at("topic-permissions").get(Needs::Administrator, list_topics),
        Route::at("topic-permissions/{vhost}/{user}")
            .get(Needs::Administrator, topics)
            .on(Method::Put, Needs::Administrator, put_topic)
            .on(Method::Delete, Needs::Administrator, remove_topics),
        Route::at("topic-permissions/{vhost}/{user}/{exchange}").on(Method::Delete, Needs::Administrator, remove_topic),
    ]
}

/// User and vhost of the path; whether both are there.
fn both<'a, E: Engine>(call: &Call<'a, E>) -> (&'a str, &'a str, bool) {
    let (user, vhost) = (call.segment("user"), call.segment("vhost"));
    let is_there =
        call.core().find_vhost(vhost).is_some() && call.place().roster.users().iter().any(|known| known.name == user);
    (user, vhost, is_there)
}

fn to_give<'a, E: Engine>(call: &Call<'a, E>) -> Result<(&'a str, &'a str), Refusal> {
    match both(call) {
        (user, vhost, true) => Ok((user, vhost)),
        _ => Err(Refusal::bad_request("vhost_or_user_not_found")),
    }
}

fn to_look_at<'a, E: Engine>(call: &Call<'a, E>) -> Result<(&'a str, &'a str), Refusal> {
    match both(call) {
        (user, vhost, true) => Ok((user, vhost)),
        _ => Err(Refusal::not_found()),
    }
}

fn list<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.whole_list(permission::list(call.place()).iter().map(permission::told).collect())
}

fn one<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (user, vhost) = to_look_at(call)?;
    let found = permission::list(call.place()).into_iter().find(|one| one.user == user && one.vhost == vhost);
    call.one(permission::told(&found.ok_or_else(Refusal::not_found)?))
}

fn put<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let body = call.request.object()?;
    let (user, vhost) = to_give(call)?;
    let was_open = permission::list(call.place()).iter().any(|one| one.user == user && one.vhost == vhost);
    let made = permission::put(call.place(), user, vhost, &body)?;
    call.durable(made.position)?;
    Ok(Response::made(!was_open))
}

fn remove<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (user, vhost) = to_look_at(call)?;
    call.durable(permission::clear(call.place(), user, vhost)?.position)?;
    Ok(Response::done())
}

fn list_topics<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.whole_list(call.core().topic_permissions().iter().map(permission::topic_told).collect())
}

fn topics<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (user, vhost) = to_look_at(call)?;
    let all = call.core().topic_permissions().into_iter();
    let theirs: Vec<_> = all.filter(|one| one.user == user && one.vhost == vhost).collect();
    if theirs.is_empty() {
        return Err(Refusal::not_found());
    }
    call.whole_list(theirs.iter().map(permission::topic_told).collect())
}

fn put_topic<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let body = call.request.object()?;
    let (user, vhost) = to_give(call)?;
    // What is made is what a user may in a vhost, of whichever exchange.
    let had_some = call.core().topic_permissions().iter().any(|one| one.user == user && one.vhost == vhost);
    let made = permission::put_topic(call.place(), user, vhost, &body)?;
    call.durable(made.position)?;
    Ok(Response::made(!had_some))
}

fn remove_topics<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (user, vhost) = to_look_at(call)?;
    let position = call.core().clear_topic_permissions(user, vhost, None).ok_or_else(Refusal::not_found)?;
    call.durable(Some(position))?;
    Ok(Response::done())
}

/// What is not there is removed already, as in RabbitMQ.
fn remove_topic<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (user, vhost) = to_look_at(call)?;
    let cleared = call.core().clear_topic_permissions(user, vhost, Some(call.segment("exchange")));
    call.durable(cleared)?;
    Ok(Response::done())
}
