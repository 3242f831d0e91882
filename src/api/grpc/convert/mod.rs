//! Between proto and domain. All checks of single fields are here; a request's violations come all at once.

pub(super) mod alert;
pub(super) mod checkpoint;
pub(super) mod difference;
pub(super) mod drill;
pub(super) mod event;
pub(super) mod failover;
pub(super) mod graph;
pub(super) mod health;
mod json;
pub(super) mod looking;
pub(super) mod monitoring;
pub(super) mod operation;
pub(super) mod policy;
pub(super) mod probe;
pub(super) mod replica;
pub(super) mod replication;
pub(super) mod repository;
pub(super) mod restore;
pub(super) mod retention;
pub(super) mod schedule;
pub(super) mod schedule_run;
pub(super) mod snapshot;
pub(super) mod verification;

use json::{json_to_struct, struct_to_json};
use uuid::Uuid;

use crate::base::timestamp::Timestamp;
use crate::domain::page::{PageKey, PageRequest};
use crate::domain::validate::Violations;
use crate::service::Error;

/// A caller's name for a request: a UUID, or nothing.
pub(super) fn parse_request_id(text: &str) -> Result<Option<String>, Error> {
    let mut violations = Violations::default();
    let parsed = request_id(&mut violations, text);
    violations.finish()?;
    Ok(parsed)
}

fn request_id(violations: &mut Violations, text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let parsed = Uuid::try_parse(text).map_err(|_| format!("must be a UUID: {text}"));
    violations.take("request_id", parsed).map(|id| id.to_string())
}

fn page<K: PageKey>(violations: &mut Violations, page_size: i32, page_token: &str) -> Option<PageRequest<K>> {
    match PageRequest::parse(page_size, page_token) {
        Ok(page) => Some(page),
        Err((field, description)) => {
            violations.add(field, description);
            None
        }
    }
}

pub(super) fn timestamp(instant: Timestamp) -> prost_types::Timestamp {
    let (seconds, micros) = (instant.micros().div_euclid(1_000_000), instant.micros().rem_euclid(1_000_000));
    prost_types::Timestamp { seconds, nanos: i32::try_from(micros * 1000).unwrap_or(0) }
}

/// An instant that a caller named; microseconds count.
fn instant(violations: &mut Violations, field: &str, value: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    let value = value?;
    let nanos = i64::from(value.nanos);
    let micros = value.seconds.checked_mul(1_000_000).and_then(|micros| micros.checked_add(nanos / 1000));
    match micros.filter(|_| (0..1_000_000_000).contains(&nanos)) {
        Some(micros) => Some(Timestamp::from_micros(micros)),
        None => {
            violations.add(field, "is no instant that a calendar has");
            None
        }
    }
}

/// What all fields together made, now that there are no violations.
fn all_there<T>(violations: Violations, value: Option<T>) -> Result<T, Error> {
    violations.finish()?;
    value.ok_or_else(|| Error::internal("read a request", "a field is missing without a violation"))
}
