//! Addresses that were wrong too often, for operators.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/motet/bans` | `{"bans": [{"address", "banned", "failures", "seconds_left"}, …]}`, longest first |
//! | `DELETE /api/motet/bans/ADDRESS` | it may try again at once; 404 when it need not wait |
//!
//! An IPv6 address stands for its /64, and is told as such.

use super::inspect::beneath;
use crate::house::House;
use crate::http::{Answer, text, with_type};
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use motet_auth::Ban;
use motet_console::percent_decoded;
use motet_core::engine::Engine;
use serde_json::{Value, json};
use std::net::IpAddr;

/// Where bans are asked for.
pub const BANS_PATH: &str = "/api/motet/bans";

pub(super) fn is_ours(path: &str) -> bool {
    beneath(path, BANS_PATH).is_some()
}

pub(super) fn answer<E: Engine>(house: &House<E>, method: &Method, uri: &Uri) -> Answer {
    let name = beneath(uri.path(), BANS_PATH).and_then(percent_decoded).unwrap_or_default();
    match (name.is_empty(), method.as_str()) {
        (true, "GET") => {
            let bans: Vec<_> = house.accounts.bans().iter().map(told).collect();
            with_type(StatusCode::OK, "application/json", format!("{}\n", json!({ "bans": bans })))
        }
        (false, "DELETE") => {
            let Ok(address) = name.strip_suffix("/64").unwrap_or(&name).parse::<IpAddr>() else {
                return text(StatusCode::BAD_REQUEST, "an address is expected, of IPv4 or IPv6\n");
            };
            if !house.accounts.lift(address) {
                return text(StatusCode::NOT_FOUND, "no login from this address waits\n");
            }
            tracing::info!(%address, "an operator lifted a ban");
            with_type(StatusCode::OK, "application/json", format!("{}\n", json!({ "lifted": name })))
        }
        (all, _) => {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "this cannot be asked here; see Allow\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(if all { "GET" } else { "DELETE" }));
            answer
        }
    }
}

fn told(ban: &Ban) -> Value {
    let address = match ban.address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{address}/64"),
    };
    json!({
        "address": address,
        "banned": ban.banned,
        "failures": ban.failures,
        "seconds_left": ban.left.as_secs_f64().ceil() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_ban_is_told_with_what_is_left_of_it() {
        let ban = |address: &str| Ban {
            address: address.parse().unwrap(),
            failures: 20,
            left: Duration::from_millis(1001),
            banned: true,
        };
        let json = json!({ "address": "192.0.2.7", "banned": true, "failures": 20, "seconds_left": 2 });
        assert_eq!(told(&ban("192.0.2.7")), json);
        assert_eq!(told(&ban("2001:db8::"))["address"], "2001:db8::/64");
    }
}
