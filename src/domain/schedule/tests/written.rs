//! What is taken and what is refused, and with which words.

use proptest::prelude::*;

use super::*;
use crate::domain::schedule::missed::MissedRunPolicy;

fn refusal(fields: &ScheduleFields) -> String {
    Schedule::parse(fields, "id", Timestamp::from_micros(0)).unwrap_err().to_string()
}

fn cron_refusal(text: &str) -> String {
    refusal(&ScheduleFields { cron: Some(text.into()), ..ScheduleFields::default() })
}

fn interval(seconds: i64) -> ScheduleFields {
    ScheduleFields { interval_seconds: Some(seconds), ..ScheduleFields::default() }
}

#[test]
fn a_bad_item_is_named_with_its_field_and_column() {
    assert_eq!(
        cron_refusal("61 3 * * *"),
        "`cron` has no valid item in field 1 (minute) at column 1, which takes 0 to 59, `*`, ranges `10-20` and steps `*/5`: `61`"
    );
    // The field, the column and the item.
    for (text, number, column, item) in [
        ("* 24 * * *", 2, 3, "24"),
        ("0,15,x,30  3 * * *", 1, 6, "x"),
        ("  0   25 * * *", 2, 7, "25"),
        ("0 3 32 * *", 3, 5, "32"),
        ("0 3 0 * *", 3, 5, "0"),
        ("0 3 * 13 *", 4, 7, "13"),
        ("0 3 * * 8", 5, 9, "8"),
        ("0 3 * * MON-FOO", 5, 9, "MON-FOO"),
        ("0 3 * * FRI-MON", 5, 9, "FRI-MON"),
        ("*/0 3 * * *", 1, 1, "*/0"),
        ("*/60 3 * * *", 1, 1, "*/60"),
        ("5/10 3 * * *", 1, 1, "5/10"),
        ("30-10 3 * * *", 1, 1, "30-10"),
        ("1,,2 3 * * *", 1, 3, ""),
        ("ä 3 * * *", 1, 1, "ä"),
        ("0 3 * ä,1 *", 4, 7, "ä"),
        // Wide spaces.
        ("0\u{a0}3\u{3000}* * ä", 5, 9, "ä"),
        ("0 3 * * MON#6", 5, 9, "MON#6"),
        ("0 3 * * MON#0", 5, 9, "MON#0"),
        ("0 3 * * 1-7/8", 5, 9, "1-7/8"),
        ("0 3 32W * *", 3, 5, "32W"),
        ("0 3 * 99999 *", 4, 7, "99999"),
        // What `croner` would take.
        ("MON 3 * * *", 1, 1, "MON"),
        ("0 3 1JAN * *", 3, 5, "1JAN"),
        ("0 3 * 1JAN *", 4, 7, "1JAN"),
        ("0 3 15W9 * *", 3, 5, "15W9"),
        ("0 3 LW5 * *", 3, 5, "LW5"),
        ("0 3 * * L", 5, 9, "L"),
        ("0 3 * * +MON", 5, 9, "+MON"),
        ("0 3 ? * MON", 3, 5, "?"),
        ("0 L * * *", 2, 3, "L"),
    ] {
        let refusal = cron_refusal(text);
        let place = format!("`cron` has no valid item in field {number} (");
        assert!(refusal.starts_with(&place) && refusal.contains(&format!(" at column {column},")), "{text}: {refusal}");
        assert!(refusal.ends_with(&format!(": `{item}`")), "{text}: {refusal}");
    }
    assert_eq!(cron_refusal("61 24 * * 9").matches("no valid item").count(), 3, "all at once");
}

proptest! {
    #[test]
    fn no_text_brings_it_down(text in "[\\PC\\s]{0,40}|([0-9*/,LW#a-z -]{0,6}[ \u{a0}]){5}") {
        let fields = ScheduleFields { cron: Some(text), ..ScheduleFields::default() };
        if let Ok(schedule) = Schedule::parse(&fields, "id", Timestamp::from_micros(0)) {
            prop_assert!(schedule.next_after(Timestamp::from_micros(0)).is_some());
        }
    }
}

#[test]
fn other_expressions_are_refused() {
    for (text, count) in [("", 0), ("@daily", 1), ("0 0 3 * * *", 6), ("* * * *", 4), ("0 0 3 * * * 2026", 7)] {
        let refusal = cron_refusal(text);
        assert!(refusal.contains(&format!("but has {count}: leave out seconds and years")), "{text}: {refusal}");
    }
    for text in ["30 2 30 2 *", "0 0 31 2,4,6,9,11 *"] {
        assert!(cron_refusal(text).starts_with("`cron` never fires"), "{text}");
    }
    assert!(cron_refusal(&format!("{} * * * *", "0,".repeat(300))).contains("at most 400 bytes"));
}

#[test]
fn rare_and_special_days_come() {
    let next = |text: &str, after: &str| cron(text, "").next_after(at(after)).map(|next| next.to_string());
    let is = |text: &str, after: &str, expected: &str| assert_eq!(next(text, after).as_deref(), Some(expected), "{text}");
    is("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z");
    is("0 0 29 2 *", "2097-01-01T00:00:00Z", "2104-02-29T00:00:00Z");
    // The fifth Monday of February.
    is("0 0 * 2 MON#5", "2072-03-01T00:00:00Z", "2112-02-29T00:00:00Z");
    is("0 3 L * *", "2026-02-01T00:00:00Z", "2026-02-28T03:00:00Z");
    is("0 3 LW * *", "2026-02-01T00:00:00Z", "2026-02-27T03:00:00Z");
    is("0 3 15W * *", "2026-02-01T00:00:00Z", "2026-02-16T03:00:00Z");
    is("0 3 * * MON#1", "2026-02-01T00:00:00Z", "2026-02-02T03:00:00Z");
    is("0 3 * * fril", "2026-02-01T00:00:00Z", "2026-02-27T03:00:00Z");
    is("0 3 * * 7", "2026-02-01T00:00:00Z", "2026-02-01T03:00:00Z");
    is("0 3 * * FRI-SUN/2", "2026-02-02T00:00:00Z", "2026-02-06T03:00:00Z");
    is("0 3 * JAN-MAR SAT-SUN", "2026-02-02T00:00:00Z", "2026-02-07T03:00:00Z");
    // Either day is enough.
    is("0 3 13 * FRI", "2026-02-06T04:00:00Z", "2026-02-13T03:00:00Z");
    is("0 3 13 * FRI", "2026-04-11T00:00:00Z", "2026-04-13T03:00:00Z");
    assert_eq!(next("0 3 * * *", "9999-12-30T12:00:00Z"), None, "the end of time");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let refusal = refusal(&ScheduleFields {
        cron: Some("99 3 * * *".into()),
        time_zone: "Mars/Olympus".into(),
        jitter_seconds: -1,
        missed_run_policy: "replay".into(),
        grace_seconds: 59,
        overlap_policy: "start".into(),
        ..ScheduleFields::default()
    });
    for part in [
        "field 1 (minute) at column 1",
        "`time_zone` is no time zone of the IANA database, such as `Europe/Berlin`: Mars/Olympus",
        "`jitter_seconds` must be from 0 to 86400 seconds: -1",
        "`missed_run_policy` must be `skip` or `run_once`",
        "`grace_seconds` must be from 60 to 31622400 seconds: 59",
        "not possible within one graph",
    ] {
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
}

#[test]
fn intervals_and_changes_have_limits() {
    for seconds in [0, 59, -3600, i64::MIN, i64::MAX] {
        assert_eq!(refusal(&interval(seconds)), format!("`interval_seconds` must be from 60 to 31622400 seconds: {seconds}"));
    }
    let change = |debounce_seconds, minimum_interval_seconds| ScheduleFields {
        on_change: Some(OnChangeFields { debounce_seconds, minimum_interval_seconds }),
        ..ScheduleFields::default()
    };
    assert!(refusal(&change(0, -1)).contains("`on_change.debounce_seconds` must be from 1"));
    assert!(refusal(&change(0, -1)).contains("`on_change.minimum_interval_seconds` must be from 0"));
    let schedule = Schedule::parse(&change(5, 0), "id", Timestamp::from_micros(0)).unwrap();
    assert_eq!(schedule.next_after(Timestamp::from_micros(0)), None);
    let both = ScheduleFields { cron: Some("0 3 * * *".into()), ..interval(3600) };
    assert!(refusal(&both).contains("just one of them"));
    assert!(refusal(&ScheduleFields::default()).contains("just one of them"));
    let skip = ScheduleFields { missed_run_policy: "skip".into(), grace_seconds: 3600, ..interval(3600) };
    assert!(refusal(&skip).contains("nothing to make up"));
}

#[test]
fn jitter_is_shorter_than_the_shortest_gap() {
    let jittered = |text: &str, jitter_seconds| {
        let fields = ScheduleFields { cron: Some(text.into()), jitter_seconds, ..ScheduleFields::default() };
        Schedule::parse(&fields, "id", Timestamp::from_micros(0)).map_err(|violations| violations.to_string())
    };
    for (text, gap) in [
        ("* * * * *", 60),
        ("*/5 * * * *", 300),
        ("0,50 * * * *", 600),
        ("0 3 * * *", 86_400),
        ("30 0,23 * * *", 3600),
        // Never on two days in succession.
        ("30 0,23 * * MON", 22 * 3600 + 1800 + 1800),
    ] {
        assert!(jittered(text, gap - 1).is_ok(), "{text}");
        let refusal = jittered(text, gap).unwrap_err();
        assert_eq!(
            refusal,
            format!("`jitter_seconds` must be less than the shortest time between two runs, {gap} seconds: {gap}"),
            "{text}"
        );
    }
    assert!(jittered("0 3 * * MON", 86_400).is_ok());
    assert!(jittered("0 0 29 2 *", 86_400).is_ok());
    assert!(refusal(&ScheduleFields { jitter_seconds: 3600, ..interval(3600) }).contains("3600 seconds: 3600"));
}

#[test]
fn each_schedule_has_its_part_of_the_jitter_for_ever() {
    let delayed = |id: &str, jitter_seconds| {
        let fields = ScheduleFields { cron: Some("0 3 * * *".into()), jitter_seconds, ..ScheduleFields::default() };
        Schedule::parse(&fields, id, Timestamp::from_micros(0)).unwrap()
    };
    // Recorded: another value would move the schedules of all who upgrade.
    assert_eq!(delayed("0191e7a0-1111-7222-8333-444455556666", 3600).delay().as_secs(), 782);
    let delays: Vec<u64> = (0..1000).map(|id| delayed(&id.to_string(), 9).delay().as_secs()).collect();
    for seconds in 0..=9 {
        let count = delays.iter().filter(|delay| **delay == seconds).count();
        assert!((60..=140).contains(&count), "{seconds} seconds: {count} of 1000");
    }
    assert_eq!(delayed("any", 0).delay(), Duration::ZERO);
    let late = (0..).map(|id| delayed(&id.to_string(), 3600)).find(|schedule| schedule.delay().as_secs() > 60).unwrap();
    let due = at("2026-05-01T03:00:00Z").plus(late.delay());
    assert_eq!(late.next_after(at("2026-05-01T03:01:00Z")), Some(due), "between its time and its delayed time");
    assert_eq!(late.next_after(due), Some(due.plus(Duration::from_secs(86_400))));
}

#[test]
fn what_is_not_said_has_a_safe_meaning() {
    let schedule = cron("0  3 * * *", "");
    assert_eq!((schedule.missed_runs().policy, schedule.missed_runs().grace), (MissedRunPolicy::RunOnce, None));
    assert_eq!(schedule.overlap(), OverlapPolicy::Wait);
    let Cadence::Cron { cron, time_zone } = schedule.cadence() else { panic!("{schedule:?}") };
    assert_eq!((cron.as_str(), time_zone.name()), ("0 3 * * *", "UTC"));
}
