//! `/parameters` and `/global-parameters`.

use crate::asker::Needs;
use crate::call::Call;
use crate::define::parameter;
use crate::route::Route;
use crate::{Method, Refusal, Response};
use motet_core::engine::Engine;
use serde_json::Value;

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("parameters").get(Needs::Policymaker, list),
        Route::at("parameters/{component}").get(Needs::Policymaker, list),
        Route::at("parameters/{component}/{vhost}").get(Needs::Policymaker, list),
        Route::at("parameters/{component}/{vhost}/{name}")
            .get(Needs::Policymaker, one)
            .on(Method::Put, Needs::Policymaker, put)
            .on(Method::Delete, Needs::Policymaker, remove),
        Route::at("global-parameters").get(Needs::Policymaker, list_global),
        Route::at("global-parameters/{name}")
            .get(Needs::Policymaker, one_global)
            .on(Method::Put, Needs::Policymaker, put_global)
            .on(Method::Delete, Needs::Policymaker, remove_global),
    ]
}

fn found<E: Engine>(call: &Call<'_, E>) -> Result<Vec<Value>, Refusal> {
    let component = call.segment("component");
    let mut all: Vec<_> = call.vhosts()?.iter().flat_map(|vhost| parameter::list(call.place(), vhost)).collect();
    all.retain(|one| component.is_empty() || one["component"] == component);
    Ok(all)
}

fn list<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.whole_list(found(call)?)
}

fn one<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let name = call.segment("name");
    call.one(found(call)?.into_iter().find(|one| one["name"] == name).ok_or_else(Refusal::not_found)?)
}

fn put<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhost = call.vhost_to_fill()?;
    let (component, name) = (call.segment("component"), call.segment("name"));
    let is_new = !found(call)?.iter().any(|one| one["name"] == name);
    let made = parameter::put(call.place(), &vhost, component, name, &call.request.object()?)?;
    call.durable(made.position)?;
    Ok(Response::made(is_new))
}

fn remove<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (vhost, component, name) = (call.vhost()?, call.segment("component"), call.segment("name"));
    found(call)?.iter().find(|one| one["name"] == name).ok_or_else(Refusal::not_found)?;
    call.durable(parameter::clear(call.place(), &vhost, component, name)?.position)?;
    Ok(Response::done())
}

fn list_global<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.whole_list(parameter::list_global(call.place()))
}

fn one_global<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let name = call.segment("name");
    let all = parameter::list_global(call.place());
    call.one(all.into_iter().find(|one| one["name"] == name).ok_or_else(Refusal::not_found)?)
}

fn put_global<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let made = parameter::put_global(call.place(), call.segment("name"), &call.request.object()?)?;
    call.durable(made.position)?;
    Ok(Response::made(made.is_new))
}

fn remove_global<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let position = call.core().clear_parameter(None, "", call.segment("name"));
    call.durable(Some(position.ok_or_else(Refusal::not_found)?))?;
    Ok(Response::done())
}
