//! `/definitions`: everything as one document, told and taken.

use super::form;
use crate::asker::Needs;
use crate::call::Call;
use crate::define::{Imported, export, export_vhost, import, import_vhost};
use crate::route::Route;
use crate::{Method, Refusal, Response};
use motet_core::core::Vhost;
use motet_core::engine::Engine;
use serde_json::{Map, Value};
use std::sync::Arc;

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("definitions").get(Needs::Administrator, tell).on(Method::Post, Needs::Administrator, take),
        Route::at("definitions/{vhost}")
            .get(Needs::Administrator, tell_vhost)
            .on(Method::Post, Needs::Administrator, take_vhost)
            .on(Method::Put, Needs::Administrator, take_vhost),
        Route::at("all-configuration/{vhost}").get(Needs::Administrator, tell_vhost).on(
            Method::Post,
            Needs::Administrator,
            take_vhost,
        ),
        Route::at("all-configuration").get(Needs::Administrator, tell).on(Method::Post, Needs::Administrator, take),
    ]
}

fn tell<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    attached(call, &export(call.place(), &call.node().figures().version))
}

fn tell_vhost<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    attached(call, &export_vhost(call.place(), &vhost(call)?, &call.node().figures().version))
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
    let (document, redirect) = document(call)?;
    answer(call, import(call.place(), &document, &call.asker.principal.name), redirect)
}

fn take_vhost<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhost = call.vhost_to_fill()?;
    let (document, redirect) = document(call)?;
    answer(call, import_vhost(call.place(), &vhost, &document), redirect)
}

/// The vhost of the path, to be told. One that is missing is the request's fault here, as in RabbitMQ.
fn vhost<E: Engine>(call: &Call<'_, E>) -> Result<Arc<Vhost>, Refusal> {
    call.core().find_vhost(call.segment("vhost")).ok_or_else(|| Refusal::bad_request("vhost_not_found"))
}

/// What was sent, as it is or in a form, and where a browser wants to go then.
fn document<E: Engine>(call: &Call<'_, E>) -> Result<(Map<String, Value>, Option<String>), Refusal> {
    let (kind, body) = (call.request.content_type.as_deref().unwrap_or_default(), &call.request.body[..]);
    let read = |body: &[u8]| serde_json::from_slice(body).map_err(|_| Refusal::bad_request("failed_to_parse_json"));
    let Some(form) = form::read(kind, body) else { return Ok((read(body)?, None)) };
    let part = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, content)| *content);
    let redirect = part("redirect").and_then(|text| std::str::from_utf8(text).ok());
    // What would end a header has no place in one.
    let redirect = redirect.filter(|to| !to.contains(char::is_control)).map(str::to_owned);
    Ok((read(part("file").unwrap_or_default())?, redirect))
}

/// What could be taken was; the answer names what could not.
fn answer<E: Engine>(call: &Call<'_, E>, imported: Imported, redirect: Option<String>) -> Result<Response, Refusal> {
    call.durable(Some(imported.position))?;
    if call.request.says("report") {
        return Ok(Response::ok(&imported.told()));
    }
    match imported.refused.into_iter().next() {
        None => Ok(redirect.map_or_else(Response::done, |to| Response::empty(303).with("location", to))),
        Some((what, refusal)) => {
            let why = refusal.reason.as_str().map_or_else(|| refusal.reason.to_string(), ToOwned::to_owned);
            Err(Refusal::bad_request(format!("{what}: {why}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use crate::{Asker, Method, Request};
    use motet_auth::Tags;
    use motet_core::principal::Principal;

    #[test]
    fn a_browser_sends_a_file_and_goes_on() {
        let bench = Bench::new();
        let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"d.json\"\r\n\
                    Content-Type: application/json\r\n\r\n\
                    {\"queues\":[{\"name\":\"q\",\"vhost\":\"/\",\"durable\":true}]}\r\n\
                    --b\r\nContent-Disposition: form-data; name=\"redirect\"\r\n\r\n../#/import-succeeded\r\n--b--\r\n";
        let mut request = Request::read(Method::Post, "/definitions", "", body.into()).unwrap();
        request.content_type = Some("multipart/form-data; boundary=b".into());
        let asker = Asker { principal: Principal::named("guest"), tags: Tags::read("administrator").unwrap() };
        let answer = bench.api.answer(&request, Some(&asker));
        assert_eq!((answer.status, answer.header("location")), (303, Some("../#/import-succeeded")));
        assert_eq!(bench.get("/queues/%2F/q")["durable"], true);
        request.body = body.replace("\"file\"", "\"other\"").into();
        assert_eq!(bench.api.answer(&request, Some(&asker)).told()["reason"], "failed_to_parse_json");
        assert_eq!(bench.status("POST", "/definitions", "{"), 400);
        assert_eq!(bench.ask("GET", "/definitions/nope", "").told()["reason"], "vhost_not_found");
    }
}
