//! `/policies` and `/operator-policies`.

use crate::asker::Needs;
use crate::call::Call;
use crate::define::policy;
use crate::route::Route;
use crate::{Method, Refusal, Response};
use motet_core::core::govern::PolicyKind;
use motet_core::engine::Engine;
use serde_json::Value;

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("policies").get(Needs::Management, list::<E>),
        Route::at("policies/{vhost}").get(Needs::Management, list::<E>),
        Route::at("policies/{vhost}/{name}")
            .get(Needs::Policymaker, one::<E>)
            .on(Method::Put, Needs::Policymaker, put::<E>)
            .on(Method::Delete, Needs::Policymaker, remove::<E>),
        Route::at("operator-policies").get(Needs::Management, list::<E>),
        Route::at("operator-policies/{vhost}").get(Needs::Management, list::<E>),
        Route::at("operator-policies/{vhost}/{name}")
            .get(Needs::Administrator, one::<E>)
            .on(Method::Put, Needs::Administrator, put::<E>)
            .on(Method::Delete, Needs::Administrator, remove::<E>),
    ]
}

/// Which of the two tables is asked.
fn kind<E: Engine>(call: &Call<'_, E>) -> PolicyKind {
    match call.request.path.first().map(String::as_str) {
        Some("operator-policies") => PolicyKind::Operator,
        _ => PolicyKind::Ordinary,
    }
}

fn list<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let kind = kind(call);
    call.whole_list(call.vhosts()?.iter().flat_map(|vhost| policy::list(vhost, kind)).collect())
}

fn one<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (vhost, name) = (call.vhost()?, call.segment("name"));
    let found = policy::list(&vhost, kind(call)).into_iter().find(|policy| policy["name"] == name);
    call.one(found.ok_or_else(Refusal::not_found)?)
}

fn put<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (kind, vhost) = (kind(call), call.vhost_to_fill()?);
    let made = policy::put(call.place(), &vhost, kind, call.segment("name"), &call.request.object()?);
    let made = made.map_err(|refusal| if kind == PolicyKind::Ordinary { escaped(refusal) } else { refusal })?;
    call.durable(made.position)?;
    Ok(Response::made(made.is_new))
}

/// RabbitMQ escapes these reasons, and only these, for pages that show them.
fn escaped(refusal: Refusal) -> Refusal {
    let reason = match refusal.reason {
        Value::String(text) => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").into(),
        other => other,
    };
    Refusal { reason, ..refusal }
}

fn remove<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhost = call.vhost()?;
    let position = call.core().clear_policy(call.now(), &vhost, kind(call), call.segment("name"));
    call.durable(Some(position.ok_or_else(Refusal::not_found)?))?;
    Ok(Response::done())
}
