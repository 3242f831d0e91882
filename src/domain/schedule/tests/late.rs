//! What becomes of runs that were missed, and of pauses.

use proptest::prelude::*;

use super::*;
use crate::domain::schedule::missed::{COUNT_MAX, Decision, IN_TIME, Missed, Run};

fn with_policy(fields: ScheduleFields, policy: &str, grace_seconds: i64) -> Schedule {
    let fields = ScheduleFields { missed_run_policy: policy.into(), grace_seconds, ..fields };
    Schedule::parse(&fields, "id", at("2026-01-01T00:00:00Z")).unwrap()
}

fn hourly(policy: &str, grace_seconds: i64) -> Schedule {
    with_policy(ScheduleFields { interval_seconds: Some(3600), ..ScheduleFields::default() }, policy, grace_seconds)
}

#[test]
fn what_is_not_due_is_left_alone() {
    let due = at("2026-05-01T03:00:00Z");
    let decision = hourly("skip", 0).decide(due, at("2026-05-01T02:59:59.999999Z"));
    assert_eq!(decision, Decision { run: None, missed: None, next_fire_at: Some(due) });
}

#[test]
fn what_is_in_time_runs_under_each_policy() {
    let due = at("2026-05-01T03:00:00Z");
    for schedule in [hourly("skip", 0), hourly("run_once", 0), hourly("run_once", 60)] {
        for late_by in [Duration::ZERO, IN_TIME] {
            let decision = schedule.decide(due, due.plus(late_by));
            assert_eq!(decision.run, Some(Run { fire_at: due, late_by }));
            assert_eq!((decision.missed, decision.next_fire_at), (None, Some(at("2026-05-01T04:00:00Z"))));
        }
    }
}

#[test]
fn after_three_days_one_late_run_or_none() {
    let (due, now) = (at("2026-05-01T03:00:00Z"), at("2026-05-04T03:30:00Z"));
    let next_fire_at = Some(at("2026-05-04T04:00:00Z"));
    let (last, last_but_one) = (at("2026-05-04T03:00:00Z"), at("2026-05-04T02:00:00Z"));
    let run = Run { fire_at: last, late_by: Duration::from_secs(1800) };
    let made_up = Decision { run: Some(run), missed: Some(Missed { count: 72, first: due, last: last_but_one }), next_fire_at };
    let left_out = Decision { run: None, missed: Some(Missed { count: 73, first: due, last }), next_fire_at };
    assert_eq!(hourly("run_once", 0).decide(due, now), made_up);
    assert_eq!(hourly("run_once", 1800).decide(due, now), made_up);
    assert_eq!(hourly("run_once", 1799).decide(due, now), left_out, "later than its grace");
    assert_eq!(hourly("skip", 0).decide(due, now), left_out);
    // The server is back just when the next one is due: that one is no late run.
    let decision = hourly("skip", 0).decide(due, at("2026-05-04T03:00:05Z"));
    assert_eq!(decision.run, Some(Run { fire_at: last, late_by: Duration::from_secs(5) }));
    assert_eq!(decision.missed, Some(Missed { count: 72, first: due, last: last_but_one }));
}

#[test]
fn decades_of_minutes_are_not_counted_one_by_one() {
    let fields = ScheduleFields { cron: Some("* * * * *".into()), time_zone: "Europe/Berlin".into(), ..ScheduleFields::default() };
    let schedule = with_policy(fields, "run_once", 0);
    let (due, now) = (at("1990-01-01T00:00:00Z"), at("2026-05-01T00:00:30Z"));
    let decision = schedule.decide(due, now);
    assert_eq!(decision.run, Some(Run { fire_at: at("2026-05-01T00:00:00Z"), late_by: Duration::from_secs(30) }));
    assert_eq!(decision.missed, Some(Missed { count: COUNT_MAX, first: due, last: at("2026-04-30T23:59:00Z") }));
}

#[test]
fn what_fell_into_a_pause_was_not_missed() {
    let schedule = hourly("run_once", 0);
    let resumed_at = at("2026-05-04T03:30:00Z");
    let next = schedule.next_after(resumed_at).unwrap();
    assert_eq!(next, at("2026-05-04T04:00:00Z"));
    assert_eq!(schedule.decide(next, resumed_at), Decision { run: None, missed: None, next_fire_at: Some(next) });
}

proptest! {
    #[test]
    fn the_decision_is_that_of_whoever_counts_each_firing(
        text in prop::sample::select(vec!["* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0,10 1-4 * * *", "0 3 * * 1,4", "15 6 L * *"]),
        (policy, grace_seconds) in prop::sample::select(vec![("skip", 0), ("run_once", 0), ("run_once", 7200)]),
        jitter_seconds in 0i64..60,
        start in 0i64..365 * 86_400,
        down in prop_oneof![0i64..200, 0i64..50_000, 0i64..4 * 86_400],
    ) {
        let fields = ScheduleFields { cron: Some(text.into()), time_zone: "Europe/Berlin".into(), jitter_seconds, ..ScheduleFields::default() };
        let schedule = with_policy(fields, policy, grace_seconds);
        let first = schedule.next_after(at("2026-01-01T00:00:00Z").plus(Duration::from_secs(start.unsigned_abs()))).unwrap();
        let now = first.plus(Duration::from_secs(down.unsigned_abs()));
        let mut due = vec![first];
        while let Some(next) = schedule.next_after(due[due.len() - 1]).filter(|next| *next <= now) {
            due.push(next);
        }
        let last = due[due.len() - 1];
        let decision = schedule.decide(first, now);
        let late_by = now.since(last);
        let runs = late_by <= IN_TIME || policy == "run_once" && (grace_seconds == 0 || late_by <= Duration::from_secs(7200));
        prop_assert_eq!(decision.run, runs.then_some(Run { fire_at: last, late_by }));
        let missed = if runs { &due[..due.len() - 1] } else { &due[..] };
        let count = u32::try_from(missed.len()).unwrap().min(COUNT_MAX);
        let expected = missed.last().map(|last| Missed { count, first, last: *last });
        prop_assert_eq!(decision.missed, expected);
        prop_assert_eq!(decision.next_fire_at, schedule.next_after(last));
        prop_assert!(decision.next_fire_at.is_some_and(|next| next > now));
        // Whoever decides again, with what was recorded, has nothing to do.
        let again = schedule.decide(decision.next_fire_at.unwrap(), now);
        prop_assert_eq!((again.run, again.missed), (None, None));
    }
}
