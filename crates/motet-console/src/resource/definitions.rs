//! `/definitions`: everything as one document, told and taken.

use crate::asker::Needs;
use crate::call::Call;
use crate::define::{Imported, export, export_vhost, import, import_vhost};
use crate::route::Route;
use crate::{Method, Refusal, Response};
use motet_core::engine::Engine;
use serde_json::{Map, Value};

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("definitions").get(Needs::Administrator, tell).on(Method::Post, Needs::Administrator, take),
        Route::at("definitions/{vhost}")
            .get(Needs::Administrator, tell_vhost)
            .on(Method::Post, Needs::Administrator, take_vhost)
            .on(Method::Put, Needs::Administrator, take_vhost),
        Route::at("all-configuration").get(Needs::Administrator, tell).on(Method::Post, Needs::Administrator, take),
    ]
}

fn tell<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    attached(call, &export(call.place(), &call.node().figures().version))
}

fn tell_vhost<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    attached(call, &export_vhost(call.place(), &call.vhost()?, &call.node().figures().version))
}

/// A browser saves it under the name it is asked for with.
fn attached<E: Engine>(call: &Call<'_, E>, document: &Value) -> Result<Response, Refusal> {
    let answer = call.one(document.clone())?;
    let name = call.request.parameter("download").filter(|name| !name.contains(['"', '\r', '\n']));
    Ok(match name {
        Some(name) => answer.with("content-disposition", format!("attachment; filename=\"{name}\"")),
        None => answer,
    })
}

fn take<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let document = document(call)?;
    answer(call, import(call.place(), &document, &call.asker.principal.name))
}

fn take_vhost<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let document = document(call)?;
    answer(call, import_vhost(call.place(), &call.vhost_to_fill()?, &document))
}

fn document<E: Engine>(call: &Call<'_, E>) -> Result<Map<String, Value>, Refusal> {
    let document = serde_json::from_slice(&call.request.body);
    document.map_err(|_| Refusal::bad_request("not_json"))
}

/// What could be taken was; the answer names what could not.
fn answer<E: Engine>(call: &Call<'_, E>, imported: Imported) -> Result<Response, Refusal> {
    call.durable(Some(imported.position))?;
    if call.request.says("report") {
        return Ok(Response::ok(&imported.told()));
    }
    match imported.refused.into_iter().next() {
        None => Ok(Response::done()),
        Some((what, refusal)) => {
            let why = refusal.reason.as_str().map_or_else(|| refusal.reason.to_string(), ToOwned::to_owned);
            Err(Refusal::bad_request(format!("{what}: {why}")))
        }
    }
}
