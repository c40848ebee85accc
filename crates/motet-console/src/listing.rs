//! Lists: columns, filter by name, order, pages.

use crate::call::Call;
use crate::{Refusal, Request, Response};
use motet_core::engine::Engine;
use regex::bytes::RegexBuilder;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;

/// Items of a page: what nobody asks for, and what nobody gets more of.
const PAGE_SIZE_DEFAULT: u64 = 100;
const PAGE_SIZE_MAX: u64 = 500;
/// What a page is refused with when its number or its pattern is none.
const INVALID: &str = "Pagination parameters are invalid";
/// Bytes of a compiled pattern at most.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// The list that the query asks for: an array, or an object with a page of it.
///
/// # Errors
/// The page is not there, its numbers are no such, or the pattern is none.
pub(crate) fn listed(request: &Request, items: Vec<Value>) -> Result<Value, Refusal> {
    let total = items.len();
    // Names are looked at for pages only.
    let Some(page) = Page::read(request)? else { return Ok(whole(request, items)) };
    let mut items = filtered(request, items)?;
    let count = items.len();
    sort(request, &mut items);
    let columns = |items: Vec<Value>| items.into_iter().map(|item| columns(request, item)).collect::<Vec<_>>();
    let pages = count.div_ceil(page.size);
    if page.number > pages.max(1) {
        let reason = format!("Page out of range, page: {} page size: {}, len: {count}", page.number, page.size);
        return Err(Refusal::malformed("page_out_of_range", reason));
    }
    let items = columns(items.into_iter().skip((page.number - 1) * page.size).take(page.size).collect());
    Ok(json!({
        "filtered_count": count,
        "item_count": items.len(),
        "items": items,
        "page": page.number,
        "page_count": pages,
        "page_size": page.size,
        "total_count": total,
    }))
}

/// The list in the order and with the columns that the query asks for.
pub(crate) fn whole(request: &Request, mut items: Vec<Value>) -> Value {
    sort(request, &mut items);
    items.into_iter().map(|item| columns(request, item)).collect::<Vec<_>>().into()
}

fn sort(request: &Request, items: &mut [Value]) {
    let Some(by) = request.parameter("sort").filter(|by| !by.is_empty()) else { return };
    let path: Vec<_> = by.split('.').collect();
    items.sort_by(|a, b| order(at(a, &path), at(b, &path)));
    if request.says("sort_reverse") {
        items.reverse();
    }
}

/// A list of which only the part that is asked for is looked at closely: by name alone it is filtered and paged.
///
/// # Errors
/// As [`listed`].
pub(crate) fn names_first<E: Engine, T>(
    call: &Call<'_, E>,
    items: impl Iterator<Item = T>,
    name: impl Fn(&T) -> String,
    view: impl Fn(T) -> Value,
) -> Result<Response, Refusal> {
    let request = call.request;
    let ordered = request.parameter("sort").is_some_and(|by| !by.is_empty() && by != "name");
    if ordered || Page::read(request)?.is_none() {
        return call.list(items.map(view).collect());
    }
    let mut items: Vec<Option<T>> = items.map(Some).collect();
    let named = items.iter().enumerate().map(|(at, item)| {
        let name = item.as_ref().map(&name).unwrap_or_default();
        json!({ "name": name, "at": at })
    });
    let bare = Request {
        query: request.query.iter().filter(|(key, _)| key != "columns").cloned().collect(),
        ..request.clone()
    };
    let mut page = listed(&bare, named.collect())?;
    let picked = page["items"].as_array().into_iter().flatten().filter_map(|item| item["at"].as_u64());
    let picked: Vec<Value> = picked
        .filter_map(|at| items.get_mut(usize::try_from(at).ok()?)?.take())
        .map(|item| columns(request, view(item)))
        .collect();
    page["items"] = picked.into();
    Ok(Response::ok(&page))
}

/// One object, with the columns that the query asks for.
pub(crate) fn columns(request: &Request, item: Value) -> Value {
    let wanted = match request.parameter("columns") {
        Some(columns) if !columns.is_empty() && item.is_object() => columns,
        _ => return item,
    };
    let mut picked = Map::new();
    for column in wanted.split(',') {
        let path: Vec<_> = column.split('.').collect();
        if let Some(value) = at(&item, &path) {
            put(&mut picked, &path, value.clone());
        } else if let (Some(whole), [first, _, ..]) = (item.get(path[0]), &*path)
            && whole.is_object()
        {
            // What could have had it is there and has it not.
            picked.entry((*first).to_owned()).or_insert_with(|| json!({}));
        }
    }
    picked.into()
}

struct Page {
    number: usize,
    size: usize,
}

impl Page {
    /// None where the query asks for no page.
    fn read(request: &Request) -> Result<Option<Self>, Refusal> {
        let Some(number) = request.parameter("page").filter(|number| !number.is_empty()) else { return Ok(None) };
        let size = request.parameter("page_size").filter(|size| !size.is_empty());
        let wrong = || {
            let size = size.unwrap_or("undefined");
            let reason = format!("Invalid pagination parameters: page number {number}, page size {size}");
            Refusal::malformed("invalid_pagination_parameters", reason)
        };
        let read = |text: &str| text.parse::<i64>().map_err(|_| Refusal::bad_request(INVALID));
        let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
        let number = positive(read(number)?).ok_or_else(wrong)?;
        let size = match size {
            Some(size) => positive(read(size)?).filter(|size| *size <= PAGE_SIZE_MAX).ok_or_else(wrong)?,
            None => PAGE_SIZE_DEFAULT,
        };
        let (number, size) = (usize::try_from(number).map_err(|_| wrong())?, size as usize);
        Ok(Some(Page { number, size }))
    }
}

/// Those whose name has what is asked for: as text in any case, or as a pattern.
fn filtered(request: &Request, mut items: Vec<Value>) -> Result<Vec<Value>, Refusal> {
    let Some(name) = request.parameter("name").filter(|name| !name.is_empty()) else { return Ok(items) };
    let name_of = |item: &Value| item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if request.says("use_regex") {
        let pattern = RegexBuilder::new(name).unicode(false).case_insensitive(true).size_limit(REGEX_BYTES_MAX).build();
        let pattern = pattern.map_err(|_| Refusal::bad_request(INVALID))?;
        items.retain(|item| pattern.is_match(name_of(item).as_bytes()));
    } else {
        let wanted = name.to_lowercase();
        items.retain(|item| name_of(item).to_lowercase().contains(&wanted));
    }
    Ok(items)
}

fn at<'a>(item: &'a Value, path: &[&str]) -> Option<&'a Value> {
    // A header or an argument may have a dot in its name.
    if let (Some(found), true) = (item.get(path.join(".")), path.len() > 1) {
        return Some(found);
    }
    match path {
        [] => Some(item),
        [first, rest @ ..] => at(item.get(first)?, rest),
    }
}

fn put(into: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => drop(into.insert((*last).to_owned(), value)),
        [first, rest @ ..] => {
            let below = into.entry((*first).to_owned()).or_insert_with(|| json!({}));
            if let Value::Object(below) = below {
                put(below, rest, value);
            }
        }
    }
}

/// Numbers by size, text by letters, and what is missing first.
fn order(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let rank = |value: Option<&Value>| match value {
        None | Some(Value::Null) => 0,
        Some(Value::Number(_)) => 1,
        Some(Value::Bool(_)) => 2,
        Some(Value::String(_)) => 3,
        Some(_) => 4,
    };
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default())
        }
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Method;

    fn list(query: &str) -> Result<Value, Refusal> {
        let items = [("b", 2), ("a", 10), ("ab", 1)].map(|(name, n)| json!({"name": name, "n": {"m": n}, "x": {}}));
        let request = Request::read(Method::Get, "/queues", query, bytes::Bytes::new()).unwrap();
        listed(&request, items.into())
    }

    fn names(list: &Value) -> Vec<&str> {
        list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_list_is_ordered_by_a_column() {
        assert_eq!(names(&list("sort=name").unwrap()), ["a", "ab", "b"]);
        assert_eq!(names(&list("sort=n.m").unwrap()), ["ab", "b", "a"]);
        assert_eq!(names(&list("sort=n.m&sort_reverse=true").unwrap()), ["a", "b", "ab"]);
    }

    #[test]
    fn a_page_says_how_many_there_are() {
        let page = list("page=2&page_size=1&name=A&sort=name").unwrap();
        assert_eq!(names(&page["items"]), ["ab"]);
        for (key, value) in [("page", 2), ("page_size", 1), ("page_count", 2), ("item_count", 1), ("filtered_count", 2)]
        {
            assert_eq!(page[key], value, "{key}");
        }
        assert_eq!(page["total_count"], 3);
        let nothing = list("page=1&name=nothing").unwrap();
        assert_eq!((&nothing["items"], &nothing["page_count"]), (&json!([]), &json!(0)));
    }

    #[test]
    fn a_page_that_is_not_there_is_refused() {
        assert_eq!(list("page=9&page_size=10").unwrap_err().reason, "Page out of range, page: 9 page size: 10, len: 3");
        for wrong in ["page=0", "page=1&page_size=0", "page=1&page_size=501"] {
            assert_eq!(list(wrong).unwrap_err().error, "invalid_pagination_parameters", "{wrong}");
        }
        for wrong in ["page=x", "page=1&page_size=x", "page=1&use_regex=true&name=("] {
            assert_eq!(list(wrong).unwrap_err().reason, "Pagination parameters are invalid", "{wrong}");
        }
        let reason = "Invalid pagination parameters: page number 0, page size undefined";
        assert_eq!(list("page=0").unwrap_err().reason, reason);
    }

    #[test]
    fn a_pattern_picks_by_name() {
        assert_eq!(names(&list("page=1&name=^a.%24&use_regex=true").unwrap()["items"]), ["ab"]);
        assert_eq!(names(&list("name=ab").unwrap()), ["b", "a", "ab"], "without a page a name means nothing");
    }

    #[test]
    fn columns_are_picked_with_what_they_are_in() {
        let list = list("columns=name,n.m,x.y,nothing").unwrap();
        assert_eq!(list[0], json!({"name": "b", "n": {"m": 2}, "x": {}}));
    }
}
