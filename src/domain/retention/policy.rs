//! Retention policies as callers write them, checked.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::rules::Rule;
use crate::domain::tag;
use crate::domain::time_zone::TimeZone;
use crate::domain::validate::Violations;

/// The most that a rule counts.
pub const COUNT_MAX: u32 = 10_000;

/// The longest time span, seconds: a hundred years.
pub const WITHIN_SECONDS_MAX: u64 = 36_525 * 86_400;

/// A policy as a caller writes it, and as it is recorded. A rule with 0 keeps nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyFields {
    /// So many of the newest.
    pub keep_last: i64,
    /// The newest of each of the last so many minutes that have any.
    pub keep_minutely: i64,
    /// The same by hours.
    pub keep_hourly: i64,
    /// The same by days.
    pub keep_daily: i64,
    /// The same by ISO weeks.
    pub keep_weekly: i64,
    /// The same by months.
    pub keep_monthly: i64,
    /// The same by years.
    pub keep_yearly: i64,
    /// All that were taken within this time before the newest, seconds.
    pub keep_within_seconds: i64,
    /// All that have one of these tags.
    pub keep_tags: Vec<String>,
    /// The IANA name of the time zone in which days begin; empty for UTC.
    pub time_zone: String,
    /// So many good ones stay whatever the rules say; none for 1.
    pub minimum_good: Option<i64>,
}

/// A valid policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PolicyFields", into = "PolicyFields")]
pub struct RetentionPolicy {
    /// In the order of [`Rule::ALL`].
    counts: [u32; Rule::ALL.len()],
    within_seconds: u64,
    tags: Vec<String>,
    time_zone: TimeZone,
    minimum_good: u32,
}

impl RetentionPolicy {
    /// Checks a policy.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(fields: PolicyFields) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let written = fields.counts();
        let counts = written.map(|(field, count)| number(&mut violations, field, count, 0..=COUNT_MAX));
        let within_seconds = number(&mut violations, "keep_within_seconds", fields.keep_within_seconds, 0..=WITHIN_SECONDS_MAX);
        let minimum_good = number(&mut violations, "minimum_good", fields.minimum_good.unwrap_or(1), 1..=COUNT_MAX);
        let time_zone = match fields.time_zone.as_str() {
            "" => Some(TimeZone::UTC),
            name => violations.take("time_zone", TimeZone::parse(name)),
        };
        tag::check(&mut violations, "keep_tags", &fields.keep_tags);
        let counts_only = fields.keep_within_seconds == 0 && fields.keep_tags.is_empty();
        let counted = counts.iter().flatten().sum::<u32>();
        if counts_only && written.iter().all(|(_, count)| *count == 0) {
            violations.add("keep_last", "must be more than 0, or another rule must: with no rule, all but the minimum would be deleted");
        } else if counts_only && minimum_good.is_some_and(|minimum| minimum > counted) {
            let minimum = fields.minimum_good.unwrap_or(1);
            violations.add("minimum_good", format_args!("must not be more than all that the rules count together, {counted}: {minimum}"));
        }
        let (Some(within_seconds), Some(minimum_good), Some(time_zone)) = (within_seconds, minimum_good, time_zone) else {
            return Err(violations);
        };
        violations.finish()?;
        Ok(Self { counts: counts.map(Option::unwrap_or_default), within_seconds, tags: fields.keep_tags, time_zone, minimum_good })
    }

    /// How many a rule keeps.
    pub fn keeps_last(&self, rule: Rule) -> u32 {
        let counts = Rule::ALL.into_iter().zip(self.counts);
        counts.filter(|(one, _)| *one == rule).map(|(_, count)| count).sum()
    }

    /// The time before the newest one in which all stay, seconds; 0 for none.
    pub fn within_seconds(&self) -> u64 {
        self.within_seconds
    }

    /// The tags of those that stay.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The zone in which days begin.
    pub fn time_zone(&self) -> &TimeZone {
        &self.time_zone
    }

    /// How many good ones stay in any case, at least 1.
    pub fn minimum_good(&self) -> u32 {
        self.minimum_good
    }
}

impl PolicyFields {
    /// The rules that count, in the order of [`Rule::ALL`].
    fn counts(&self) -> [(&'static str, i64); Rule::ALL.len()] {
        [
            ("keep_last", self.keep_last),
            ("keep_minutely", self.keep_minutely),
            ("keep_hourly", self.keep_hourly),
            ("keep_daily", self.keep_daily),
            ("keep_weekly", self.keep_weekly),
            ("keep_monthly", self.keep_monthly),
            ("keep_yearly", self.keep_yearly),
        ]
    }
}

impl TryFrom<PolicyFields> for RetentionPolicy {
    type Error = Violations;

    fn try_from(fields: PolicyFields) -> Result<Self, Violations> {
        Self::parse(fields)
    }
}

impl From<RetentionPolicy> for PolicyFields {
    fn from(policy: RetentionPolicy) -> Self {
        let [keep_last, keep_minutely, keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly] = policy.counts.map(i64::from);
        Self {
            keep_last,
            keep_minutely,
            keep_hourly,
            keep_daily,
            keep_weekly,
            keep_monthly,
            keep_yearly,
            keep_within_seconds: policy.within_seconds.cast_signed(),
            time_zone: policy.time_zone.name().to_owned(),
            keep_tags: policy.tags,
            minimum_good: Some(policy.minimum_good.into()),
        }
    }
}

fn number<T>(violations: &mut Violations, field: &str, value: i64, range: RangeInclusive<T>) -> Option<T>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display,
{
    let number = T::try_from(value).ok().filter(|number| range.contains(number));
    if number.is_none() {
        violations.add(field, format_args!("must be from {} to {}: {value}", range.start(), range.end()));
    }
    number
}
