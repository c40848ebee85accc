//! `/vhosts`: made, described, removed, started.

use crate::asker::Needs;
use crate::call::Call;
use crate::define::{permission, vhost};
use crate::figures::totals::{self, Publishing};
use crate::listing::names_first;
use crate::route::Route;
use crate::{Method, Refusal, Response};
use motet_core::core::Vhost;
use motet_core::engine::Engine;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("vhosts").get(Needs::Management, list),
        Route::at("vhosts/{name}").get(Needs::Management, one).on(Method::Put, Needs::Administrator, put).on(
            Method::Delete,
            Needs::Administrator,
            remove,
        ),
        Route::at("vhosts/{vhost}/permissions").get(Needs::Administrator, permissions),
        Route::at("vhosts/{vhost}/topic-permissions").get(Needs::Administrator, topic_permissions),
        Route::at("vhosts/{vhost}/start/{node}").on(Method::Post, Needs::Administrator, start),
    ]
}

fn list<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let publishing = totals::publishing(call.node());
    names_first(call, call.vhosts()?.into_iter(), |one| one.name().to_string(), |one| view(call, &one, &publishing))
}

/// A vhost with its figures.
fn view<E: Engine>(call: &Call<'_, E>, vhost: &Arc<Vhost>, publishing: &Publishing) -> Value {
    let mut view = vhost::told(call.place(), call.api.name(), vhost);
    let mut figures = totals::of_vhost(call.core(), vhost, publishing).figures;
    let (details, bytes) = call.api.looks.vhost(vhost.name(), &call.spans, call.now());
    figures[totals::VHOST_BYTES..].copy_from_slice(&bytes);
    let mut message_stats = Map::new();
    for (at, (name, _)) in totals::VHOST.iter().enumerate() {
        let is_message = (totals::VHOST_MESSAGES..totals::VHOST_BYTES).contains(&at);
        let into = if is_message { &mut message_stats } else { &mut view };
        into.insert((*name).into(), json!(figures[at]));
        into.insert(format!("{name}_details"), details[at].clone());
    }
    view.insert("message_stats".into(), message_stats.into());
    view.into()
}

fn one<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhost = call.core().find_vhost(call.segment("name")).ok_or_else(Refusal::not_found)?;
    if !call.asker.may_enter(&vhost) && !call.asker.is_monitor() {
        return Err(Refusal::not_authorised("User not authorised to access virtual host"));
    }
    call.one(view(call, &vhost, &totals::publishing(call.node())))
}

fn put<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let name = call.segment("name");
    let made = vhost::put(call.place(), name, &call.request.object()?)?;
    if made.is_new {
        permission::of_maker(call.place(), &call.asker.principal.name, name);
    }
    call.durable(made.position)?;
    Ok(Response::made(made.is_new))
}

fn remove<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let made = vhost::remove(call.place(), call.segment("name"))?;
    call.durable(made.position)?;
    Ok(Response::done())
}

/// A vhost runs as long as it is there.
fn start<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.core().find_vhost(call.segment("vhost")).ok_or_else(Refusal::not_found)?;
    let (asked, own) = (call.segment("node"), call.node().figures().name);
    if asked != own {
        return Err(Refusal::bad_request(format!("Request to node {asked} failed with nodedown")));
    }
    Ok(Response::done())
}

fn permissions<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let name = call.segment("vhost");
    call.core().find_vhost(name).ok_or_else(Refusal::not_found)?;
    let here = permission::list(call.place()).into_iter().filter(|one| one.vhost == name);
    call.whole_list(here.map(|one| permission::told(&one)).collect())
}

fn topic_permissions<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let name = call.segment("vhost");
    call.core().find_vhost(name).ok_or_else(Refusal::not_found)?;
    let here = call.core().topic_permissions().into_iter().filter(|one| one.vhost == name);
    call.whole_list(here.map(|one| permission::topic_told(&one)).collect())
}
