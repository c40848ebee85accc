//! `motet limits`, `motet parameters`, `motet bans`: a running server is asked, with the token in its data directory.

use std::process::ExitCode;

use motet_server::BANS_PATH;
use serde_json::{Value, json};

use super::Failure;
use super::broker::{Column, done, table};
use super::operator::{ask, percent_encoded, put};
use crate::cli::Configuration;
use crate::cli::limits::{BansCommand, LimitsCommand, Of, Parameter, ParametersCommand};
use crate::print;

const LIMITS: &[Column] = &[("of", &["of"], 6), ("name", &["name"], 24), ("limits", &["value"], 1)];
const PARAMETERS: &[Column] =
    &[("component", &["component"], 20), ("vhost", &["vhost"], 12), ("name", &["name"], 24), ("value", &["value"], 1)];
const BANS: &[Column] = &[
    ("address", &["address"], 40),
    ("banned", &["banned"], 6),
    ("failures", &["failures"], 8),
    ("seconds left", &["seconds_left"], 1),
];

pub(crate) fn limits(command: &LimitsCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let get = |asked, path: &str| -> Result<Value, Failure> {
        Ok(serde_json::from_str(&ask(configuration, asked, "GET", path)?)?)
    };
    match command {
        LimitsCommand::List { of, asked } => {
            let vhosts = match (&of.vhost, &of.user) {
                (None, Some(_)) => json!([]),
                (vhost, _) => get(asked, &below("vhost-limits", vhost.as_deref()))?,
            };
            let users = match (&of.vhost, &of.user) {
                (Some(_), None) => json!([]),
                (_, user) => get(asked, &below("user-limits", user.as_deref()))?,
            };
            let answer = json!({ "vhosts": vhosts, "users": users });
            print::answer(if asked.json { format!("{answer}\n") } else { table(&all_limits(&answer), LIMITS) });
            Ok(ExitCode::SUCCESS)
        }
        LimitsCommand::Set { name, value, of, asked } => {
            put(configuration, asked, &limit(of, name)?, &json!({ "value": value }))?;
            done(asked, format!("{name} is {value}\n"))
        }
        LimitsCommand::Clear { name, of, asked } => {
            ask(configuration, asked, "DELETE", &limit(of, name)?)?;
            done(asked, format!("{name} is no limit any more\n"))
        }
    }
}

fn below(what: &str, name: Option<&str>) -> String {
    name.map_or(format!("/api/{what}"), |name| format!("/api/{what}/{}", percent_encoded(name)))
}

/// The path of one limit. Whose it is must be said.
fn limit(of: &Of, name: &str) -> Result<String, Failure> {
    let whose = match (&of.vhost, &of.user) {
        (Some(vhost), _) => below("vhost-limits", Some(vhost)),
        (None, Some(user)) => below("user-limits", Some(user)),
        (None, None) => return Err("whose limit is it?\n  to do: give --vhost VHOST or --user USER".into()),
    };
    Ok(format!("{whose}/{}", percent_encoded(name)))
}

/// Both lists as one table.
fn all_limits(answer: &Value) -> Value {
    let rows = |list: &str, key: &str, of: &str| {
        let items = answer[list].as_array().map(Vec::as_slice).unwrap_or_default();
        let row = |one: &Value| json!({ "of": of, "name": one[key], "value": one["value"] });
        items.iter().map(row).collect::<Vec<_>>()
    };
    let mut items = rows("vhosts", "vhost", "vhost");
    items.extend(rows("users", "user", "user"));
    json!({ "items": items })
}

pub(crate) fn parameters(command: &ParametersCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    match command {
        ParametersCommand::List { component, asked } => {
            let get = |path: &str| -> Result<Vec<Value>, Failure> {
                Ok(serde_json::from_str(&ask(configuration, asked, "GET", path)?)?)
            };
            let mut items = get(&below("parameters", component.as_deref()))?;
            if component.is_none() {
                items.extend(get("/api/global-parameters")?);
            }
            let answer = json!({ "items": items });
            let text = if asked.json { format!("{}\n", answer["items"]) } else { table(&answer, PARAMETERS) };
            print::answer(text);
            Ok(ExitCode::SUCCESS)
        }
        ParametersCommand::Set { parameter: one, value, asked } => {
            let value: Value =
                serde_json::from_str(value).map_err(|error| format!("the value {value:?} is not JSON: {error}"))?;
            let mut body = json!({ "name": one.name, "value": value });
            if let Some(component) = &one.component {
                body["component"] = component.as_str().into();
                body["vhost"] = one.vhost.as_str().into();
            }
            put(configuration, asked, &parameter(one), &body)?;
            done(asked, format!("the parameter {} is set\n", one.name))
        }
        ParametersCommand::Clear { parameter: one, asked } => {
            ask(configuration, asked, "DELETE", &parameter(one))?;
            done(asked, format!("the parameter {} is gone\n", one.name))
        }
    }
}

fn parameter(one: &Parameter) -> String {
    let name = percent_encoded(&one.name);
    match &one.component {
        Some(component) => {
            format!("/api/parameters/{}/{}/{name}", percent_encoded(component), percent_encoded(&one.vhost))
        }
        None => format!("/api/global-parameters/{name}"),
    }
}

pub(crate) fn bans(command: &BansCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    match command {
        BansCommand::List { asked } => {
            let body = ask(configuration, asked, "GET", BANS_PATH)?;
            let answer: Value = serde_json::from_str(&body)?;
            let items = json!({ "items": answer["bans"] });
            print::answer(if asked.json { body } else { table(&items, BANS) });
            Ok(ExitCode::SUCCESS)
        }
        BansCommand::Lift { address, asked } => {
            ask(configuration, asked, "DELETE", &format!("{BANS_PATH}/{}", percent_encoded(address)))?;
            done(asked, format!("{address} may try again\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_somebodys() {
        let of =
            |vhost: Option<&str>, user: Option<&str>| Of { vhost: vhost.map(Into::into), user: user.map(Into::into) };
        assert_eq!(limit(&of(Some("/"), None), "max-queues").unwrap(), "/api/vhost-limits/%2F/max-queues");
        assert_eq!(limit(&of(None, Some("a b")), "max-channels").unwrap(), "/api/user-limits/a%20b/max-channels");
        assert!(limit(&of(None, None), "max-queues").unwrap_err().to_string().contains("--vhost"));
    }

    #[test]
    fn limits_of_both_kinds_are_one_table() {
        let answer = json!({ "vhosts": [{ "vhost": "/", "value": { "max-disk-bytes": 7 } }],
            "users": [{ "user": "ann", "value": { "max-channels": 1 } }] });
        let text = table(&all_limits(&answer), LIMITS);
        assert!(text.contains("vhost  /                        {\"max-disk-bytes\":7}\n"), "{text}");
        assert!(text.contains("user   ann "), "{text}");
    }

    #[test]
    fn a_parameter_without_a_component_is_global() {
        let one = |component: Option<&str>| Parameter {
            name: "n/1".into(),
            component: component.map(Into::into),
            vhost: "/".into(),
        };
        assert_eq!(parameter(&one(Some("shovel"))), "/api/parameters/shovel/%2F/n%2F1");
        assert_eq!(parameter(&one(None)), "/api/global-parameters/n%2F1");
    }
}
