//! A message's deaths as bytes in the journal.
//!
//! ```text
//! first u8 │ [queue │ reason u8 │ exchange] │ records: queue │ reason u8 │ count u64 │ exchange │ first u64 │ last u64 │
//!                                                      [expiry] u8, u64 │ keys u16 │ key …
//! ```

use super::StoredError;
use super::stored::{get_bytes, get_u8, get_u64, put_bytes};
use crate::queue::DeadReason;
use crate::queue::dead_letter::{DEATHS_MAX, Death, Deaths};
use bytes::Bytes;

const WHAT: &str = "deaths";
/// Routing keys kept per death at most.
const KEYS_MAX: usize = 1_024;

fn reason_byte(reason: DeadReason) -> u8 {
    match reason {
        DeadReason::Expired => 1,
        DeadReason::Rejected => 2,
        DeadReason::MaxLen => 3,
        DeadReason::DeliveryLimit => 4,
    }
}

fn get_reason(from: &mut &[u8]) -> Result<DeadReason, StoredError> {
    Ok(match get_u8(from, WHAT)? {
        1 => DeadReason::Expired,
        2 => DeadReason::Rejected,
        3 => DeadReason::MaxLen,
        4 => DeadReason::DeliveryLimit,
        _ => return Err(StoredError::Damaged(WHAT)),
    })
}

pub(super) fn put_deaths(out: &mut Vec<u8>, deaths: &Deaths) {
    out.push(u8::from(deaths.first().is_some()));
    if let Some((queue, reason, exchange)) = deaths.first() {
        put_bytes(out, queue);
        out.push(reason_byte(reason));
        put_bytes(out, exchange);
    }
    for death in deaths.records() {
        put_bytes(out, &death.queue);
        out.push(reason_byte(death.reason));
        out.extend_from_slice(&death.count.to_le_bytes());
        put_bytes(out, &death.exchange);
        out.extend_from_slice(&death.first_time_ms.to_le_bytes());
        out.extend_from_slice(&death.last_time_ms.to_le_bytes());
        out.push(u8::from(death.original_expiration_ms.is_some()));
        out.extend_from_slice(&death.original_expiration_ms.unwrap_or(0).to_le_bytes());
        let keys = &death.routing_keys[..death.routing_keys.len().min(KEYS_MAX)];
        out.extend_from_slice(&(keys.len() as u64).to_le_bytes());
        keys.iter().for_each(|key| put_bytes(out, key));
    }
}

pub(super) fn get_deaths(mut from: &[u8]) -> Result<Deaths, StoredError> {
    let from = &mut from;
    let first = match get_u8(from, WHAT)? {
        0 => None,
        _ => Some((owned(from)?, get_reason(from)?, owned(from)?)),
    };
    let mut records = Vec::new();
    while !from.is_empty() {
        if records.len() == DEATHS_MAX {
            return Err(StoredError::Damaged(WHAT));
        }
        records.push(get_death(from)?);
    }
    Ok(Deaths::restored(records, first))
}

fn get_death(from: &mut &[u8]) -> Result<Death, StoredError> {
    let mut death = Death {
        queue: owned(from)?,
        reason: get_reason(from)?,
        count: get_u64(from, WHAT)?,
        exchange: owned(from)?,
        routing_keys: Vec::new(),
        first_time_ms: get_u64(from, WHAT)?,
        last_time_ms: get_u64(from, WHAT)?,
        original_expiration_ms: None,
    };
    let expired = get_u8(from, WHAT)? != 0;
    death.original_expiration_ms = Some(get_u64(from, WHAT)?).filter(|_| expired);
    let keys = get_u64(from, WHAT)?;
    if keys > KEYS_MAX as u64 {
        return Err(StoredError::Damaged(WHAT));
    }
    for _ in 0..keys {
        death.routing_keys.push(owned(from)?);
    }
    Ok(death)
}

fn owned(from: &mut &[u8]) -> Result<Bytes, StoredError> {
    get_bytes(from, WHAT).map(Bytes::copy_from_slice)
}
