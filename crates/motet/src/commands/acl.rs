//! `motet acl explain`: which rule decides, by the configuration or by a running server.

use std::fmt::Write as _;
use std::process::ExitCode;

use motet_server::{ACL_PATH, Wish, access_rules};
use serde_json::{Value, json};

use super::{Failure, operator};
use crate::cli::Configuration;
use crate::cli::acl::{AclCommand, Explain};
use crate::print;

pub(crate) fn acl(command: &AclCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let AclCommand::Explain(explain) = command;
    let (allowed, reason) = match explain.online {
        true => ask(explain, configuration)?,
        false => wish(explain).explain(&access_rules(&configuration.load()?.config)?)?,
    };
    print::answer(match explain.asked.json {
        true => format!("{}\n", json!({ "allowed": allowed, "reason": reason })),
        false => format!("{reason}\n"),
    });
    Ok(if allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn wish(explain: &Explain) -> Wish {
    Wish {
        user: explain.user.clone(),
        client: explain.client.clone(),
        groups: explain.group.clone(),
        tags: explain.tag.clone(),
        action: explain.action.clone(),
        what: explain.what.clone(),
        kind: explain.kind.word().into(),
    }
}

fn ask(explain: &Explain, configuration: &Configuration) -> Result<(bool, String), Failure> {
    let mut path =
        format!("{ACL_PATH}?action={}&kind={}", operator::percent_encoded(&explain.action), explain.kind.word());
    let user = explain.user.iter().map(|user| ("user", user));
    let rest = explain.group.iter().map(|one| ("group", one)).chain(explain.tag.iter().map(|one| ("tag", one)));
    let all = user.chain(explain.client.iter().map(|one| ("client", one))).chain(rest).chain([("what", &explain.what)]);
    for (key, value) in all {
        let _ = write!(path, "&{key}={}", operator::percent_encoded(value));
    }
    let answer: Value = serde_json::from_str(&operator::ask(configuration, &explain.asked, "GET", &path)?)?;
    let reason = answer["reason"].as_str().unwrap_or_default().to_owned();
    Ok((answer["allowed"].as_bool().ok_or("the server's answer does not say whether it is allowed")?, reason))
}
