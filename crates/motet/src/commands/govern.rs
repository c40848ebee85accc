//! `motet vhosts`, `motet permissions`, `motet policies`: the management API of a running server is asked, with the token
//! in its data directory.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::Failure;
use super::broker::{Column, done, list, table};
use super::operator::{ask, percent_encoded, put};
use crate::cli::Configuration;
use crate::cli::govern::{PermissionsCommand, PoliciesCommand, VhostsCommand, Which, Whose};
use crate::print;

const VHOSTS: &[Column] = &[
    ("vhost", &["name"], 24),
    ("ready", &["messages_ready"], 10),
    ("unacked", &["messages_unacknowledged"], 8),
    ("description", &["description"], 1),
];
const PERMISSIONS: &[Column] = &[
    ("vhost", &["vhost"], 12),
    ("user", &["user"], 16),
    ("configure", &["configure"], 16),
    ("write", &["write"], 16),
    ("read", &["read"], 1),
];
const POLICIES: &[Column] = &[
    ("vhost", &["vhost"], 12),
    ("policy", &["name"], 16),
    ("priority", &["priority"], 8),
    ("applies to", &["apply-to"], 14),
    ("pattern", &["pattern"], 16),
    ("definition", &["definition"], 1),
];

pub(crate) fn vhosts(command: &VhostsCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let at = |name: &str| format!("/api/vhosts/{}", percent_encoded(name));
    match command {
        VhostsCommand::List { page, asked } => list(configuration, asked, "vhosts", page, VHOSTS),
        VhostsCommand::Set { name, description, asked } => {
            put(configuration, asked, &at(name), &json!({ "description": description }))?;
            done(asked, format!("the vhost {name} is there\n"))
        }
        VhostsCommand::Remove { name, asked } => {
            ask(configuration, asked, "DELETE", &at(name))?;
            done(asked, format!("the vhost {name} is gone\n"))
        }
    }
}

pub(crate) fn permissions(command: &PermissionsCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let at = |of: &Whose| format!("/api/permissions/{}/{}", percent_encoded(&of.vhost), percent_encoded(&of.user));
    match command {
        PermissionsCommand::List { asked } => {
            let body = ask(configuration, asked, "GET", "/api/permissions")?;
            let items: Value = serde_json::from_str(&body)?;
            let page = json!({ "items": items });
            print::answer(if asked.json { format!("{body}\n") } else { table(&page, PERMISSIONS) });
            Ok(ExitCode::SUCCESS)
        }
        PermissionsCommand::Set { whose, configure, write, read, asked } => {
            let body = json!({ "configure": configure, "write": write, "read": read });
            put(configuration, asked, &at(whose), &body)?;
            done(asked, format!("{} may so in the vhost {}\n", whose.user, whose.vhost))
        }
        PermissionsCommand::Remove { whose, asked } => {
            ask(configuration, asked, "DELETE", &at(whose))?;
            done(asked, format!("{} may nothing in the vhost {} any more\n", whose.user, whose.vhost))
        }
    }
}

pub(crate) fn policies(command: &PoliciesCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let table = |operator: bool| if operator { "operator-policies" } else { "policies" };
    let at = |which: &Which| {
        let (vhost, name) = (percent_encoded(&which.vhost), percent_encoded(&which.name));
        format!("/api/{}/{vhost}/{name}", table(which.operator))
    };
    match command {
        PoliciesCommand::List { page, operator, asked } => list(configuration, asked, table(*operator), page, POLICIES),
        PoliciesCommand::Set { which, pattern, definition, priority, apply_to, asked } => {
            let definition: Value = serde_json::from_str(definition)
                .map_err(|error| format!("the definition {definition:?} is not JSON: {error}"))?;
            let body =
                json!({ "pattern": pattern, "definition": definition, "priority": priority, "apply-to": apply_to });
            put(configuration, asked, &at(which), &body)?;
            done(asked, format!("the policy {} is in force\n", which.name))
        }
        PoliciesCommand::Remove { which, asked } => {
            ask(configuration, asked, "DELETE", &at(which))?;
            done(asked, format!("the policy {} is gone\n", which.name))
        }
    }
}
