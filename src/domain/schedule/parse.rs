//! Schedules as callers write them, checked.

use std::ops::RangeInclusive;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::Schedule;
use super::cadence::Cadence;
use super::change::OnChange;
use super::cron::Cron;
use super::missed::{IN_TIME, MissedRunPolicy, MissedRuns};
use super::overlap::OverlapPolicy;
use crate::base::timestamp::Timestamp;
use crate::domain::time_zone::TimeZone;
use crate::domain::validate::Violations;

const DAY_SECONDS: i64 = 24 * 3600;
/// From a minute to a year.
const INTERVAL_SECONDS: RangeInclusive<i64> = 60..=366 * DAY_SECONDS;
/// From a second to a day.
const DEBOUNCE_SECONDS: RangeInclusive<i64> = 1..=DAY_SECONDS;
/// From nothing to a year.
const MINIMUM_INTERVAL_SECONDS: RangeInclusive<i64> = 0..=366 * DAY_SECONDS;
/// From nothing to a day.
const JITTER_SECONDS: RangeInclusive<i64> = 0..=DAY_SECONDS;
/// From what is in time anyway to a year.
const GRACE_SECONDS: RangeInclusive<i64> = IN_TIME.as_secs().cast_signed()..=366 * DAY_SECONDS;

/// A schedule as a caller writes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScheduleFields {
    /// A cron expression of five fields. Just one of this, `interval_seconds` and `on_change` must be there.
    pub cron: Option<String>,
    /// The IANA name of the time zone of the cron expression; empty for UTC.
    pub time_zone: String,
    /// An interval, seconds.
    pub interval_seconds: Option<i64>,
    /// After changes.
    pub on_change: Option<OnChangeFields>,
    /// The most that firings are moved, seconds; 0 for not at all.
    pub jitter_seconds: i64,
    /// The word of a [`MissedRunPolicy`]; empty for `run_once`.
    pub missed_run_policy: String,
    /// How late a run that was missed may be made up, seconds; 0 for any time.
    pub grace_seconds: i64,
    /// The word of an [`OverlapPolicy`]; empty for `wait`.
    pub overlap_policy: String,
}

/// The part of a schedule that follows changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OnChangeFields {
    /// How long nothing must have changed, seconds.
    pub debounce_seconds: i64,
    /// The least time between the beginnings of two captures, seconds.
    pub minimum_interval_seconds: i64,
}

impl Schedule {
    /// Checks a schedule. Its part of the jitter follows from `schedule_id`; intervals are counted from `anchored_at`.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(fields: &ScheduleFields, schedule_id: &str, anchored_at: Timestamp) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let cadence = parse_cadence(&mut violations, fields, anchored_at);
        let jitter = parse_jitter(&mut violations, fields.jitter_seconds, cadence.as_ref());
        let missed_runs = parse_missed_runs(&mut violations, fields);
        let overlap = match fields.overlap_policy.as_str() {
            "" => Some(OverlapPolicy::Wait),
            word => violations.take("overlap_policy", OverlapPolicy::parse_wanted(word)),
        };
        let (Some(cadence), Some(jitter), Some(missed_runs), Some(overlap)) = (cadence, jitter, missed_runs, overlap) else {
            return Err(violations);
        };
        violations.finish()?;
        Ok(Self { cadence, delay: part_of(jitter, schedule_id), missed_runs, overlap })
    }
}

fn parse_cadence(violations: &mut Violations, fields: &ScheduleFields, anchored_at: Timestamp) -> Option<Cadence> {
    let time_zone = match fields.time_zone.as_str() {
        "" => Some(TimeZone::UTC),
        name => violations.take("time_zone", TimeZone::parse(name)),
    };
    match (&fields.cron, fields.interval_seconds, fields.on_change) {
        (Some(text), None, None) => {
            let cron = Cron::parse(text).map_err(|errors| errors.iter().for_each(|error| violations.add("cron", error))).ok();
            cron.zip(time_zone).map(|(cron, time_zone)| Cadence::Cron { cron: Box::new(cron), time_zone })
        }
        (None, Some(every), None) => {
            let every = seconds(violations, "interval_seconds", every, &INTERVAL_SECONDS);
            every.map(|every| Cadence::Interval { every, anchored_at })
        }
        (None, None, Some(OnChangeFields { debounce_seconds, minimum_interval_seconds })) => {
            let debounce = seconds(violations, "on_change.debounce_seconds", debounce_seconds, &DEBOUNCE_SECONDS);
            let least = seconds(violations, "on_change.minimum_interval_seconds", minimum_interval_seconds, &MINIMUM_INTERVAL_SECONDS);
            debounce.zip(least).map(|(debounce, minimum_interval)| Cadence::OnChange(OnChange { debounce, minimum_interval }))
        }
        _ => {
            violations.add("cron", "must be given, or `interval_seconds`, or `on_change`: just one of them");
            None
        }
    }
}

fn parse_jitter(violations: &mut Violations, jitter_seconds: i64, cadence: Option<&Cadence>) -> Option<Duration> {
    let jitter = seconds(violations, "jitter_seconds", jitter_seconds, &JITTER_SECONDS)?;
    match cadence {
        Some(Cadence::OnChange(_)) if !jitter.is_zero() => {
            violations.add("jitter_seconds", "must be 0: a schedule that follows changes has no times that could be moved");
            None
        }
        // No two firings are closer than a minute.
        Some(cadence) if jitter.as_secs() >= 60 && cadence.shortest_gap().is_some_and(|gap| jitter >= gap) => {
            let gap = cadence.shortest_gap().unwrap_or_default().as_secs();
            violations.add(
                "jitter_seconds",
                format_args!("must be less than the shortest time between two runs, {gap} seconds: {jitter_seconds}"),
            );
            None
        }
        _ => Some(jitter),
    }
}

fn parse_missed_runs(violations: &mut Violations, fields: &ScheduleFields) -> Option<MissedRuns> {
    let policy = match fields.missed_run_policy.as_str() {
        "" => Some(MissedRunPolicy::RunOnce),
        word => violations.take("missed_run_policy", MissedRunPolicy::parse(word).ok_or("must be `skip` or `run_once`")),
    };
    let grace = match fields.grace_seconds {
        0 => Some(None),
        grace => seconds(violations, "grace_seconds", grace, &GRACE_SECONDS).map(Some),
    };
    if policy == Some(MissedRunPolicy::Skip) && fields.grace_seconds != 0 {
        violations.add("grace_seconds", "must be 0 where missed runs are skipped: there is nothing to make up");
    }
    policy.zip(grace).map(|(policy, grace)| MissedRuns { policy, grace })
}

fn seconds(violations: &mut Violations, field: &str, value: i64, range: &RangeInclusive<i64>) -> Option<Duration> {
    let duration = u64::try_from(value).ok().filter(|_| range.contains(&value)).map(Duration::from_secs);
    duration.or_else(|| {
        violations.add(field, format_args!("must be from {} to {} seconds: {value}", range.start(), range.end()));
        None
    })
}

/// The part of a jitter that belongs to an id, in whole seconds from 0 to all of it: the same on each computer and in each version.
fn part_of(jitter: Duration, id: &str) -> Duration {
    let digest = Sha256::digest(id.as_bytes());
    let number = digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    Duration::from_secs(number % (jitter.as_secs() + 1))
}
