//! `GET /api/motet/acl?user=&client=&group=&tag=&action=&kind=&what=`: which rule of the running server decides. `group` and `tag`
//! may come several times. The answer is `{"allowed": bool, "reason": text}`.

use crate::access::Wish;
use crate::house::House;
use crate::http::{Answer, text, with_type};
use hyper::{StatusCode, Uri};
use motet_console::percent_decoded;
use motet_core::engine::Engine;
use serde_json::json;

/// Where it is asked.
pub const ACL_PATH: &str = "/api/motet/acl";

pub(super) fn answer<E: Engine>(house: &House<E>, uri: &Uri) -> Answer {
    let said = wish(uri.query().unwrap_or_default()).and_then(|wish| wish.explain(&house.core.vhost().access()));
    match said {
        Ok((allowed, reason)) => {
            let json = json!({ "allowed": allowed, "reason": reason });
            with_type(StatusCode::OK, "application/json", format!("{json}\n"))
        }
        Err(what) => text(StatusCode::BAD_REQUEST, &format!("{what}\n")),
    }
}

fn wish(query: &str) -> Result<Wish, String> {
    let mut wish = Wish::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} has no value"))?;
        let value = percent_decoded(value).ok_or_else(|| format!("{key} is not UTF-8"))?;
        match key {
            "user" => wish.user = Some(value),
            "client" => wish.client = Some(value),
            "group" => wish.groups.push(value),
            "tag" => wish.tags.push(value),
            "action" => wish.action = value,
            "kind" => wish.kind = value,
            "what" => wish.what = value,
            other => return Err(format!("{other:?} cannot be asked")),
        }
    }
    Ok(wish)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_wish() {
        let wish = wish("user=ann&group=a&group=b&action=publish&what=a%2Fb").unwrap();
        assert_eq!((wish.user.as_deref(), wish.groups.len(), &*wish.what), (Some("ann"), 2, "a/b"));
        assert!(super::wish("fly=1").is_err());
        assert!(super::wish("user").is_err());
    }
}
