//! The days of 2026 on which clocks are changed, as the module's documentation promises.

use super::*;

/// A zone and one of its days: from local midnight to local midnight, and how long that is.
struct Day {
    zone: &'static str,
    from: &'static str,
    until: &'static str,
    minutes: usize,
}

const DAYS: [Day; 8] = [
    Day { zone: "Europe/Berlin", from: "2026-03-28T23:00:00Z", until: "2026-03-29T22:00:00Z", minutes: 23 * 60 },
    Day { zone: "Europe/Berlin", from: "2026-10-24T22:00:00Z", until: "2026-10-25T23:00:00Z", minutes: 25 * 60 },
    Day { zone: "America/New_York", from: "2026-03-08T05:00:00Z", until: "2026-03-09T04:00:00Z", minutes: 23 * 60 },
    Day { zone: "America/New_York", from: "2026-11-01T04:00:00Z", until: "2026-11-02T05:00:00Z", minutes: 25 * 60 },
    // Half an hour.
    Day { zone: "Australia/Lord_Howe", from: "2026-10-03T13:30:00Z", until: "2026-10-04T13:00:00Z", minutes: 23 * 60 + 30 },
    Day { zone: "Australia/Lord_Howe", from: "2026-04-04T13:00:00Z", until: "2026-04-05T13:30:00Z", minutes: 24 * 60 + 30 },
    // At midnight: the day begins at 01:00; the day before ends twice.
    Day { zone: "America/Santiago", from: "2026-09-06T04:00:00Z", until: "2026-09-07T03:00:00Z", minutes: 23 * 60 },
    Day { zone: "America/Santiago", from: "2026-04-04T03:00:00Z", until: "2026-04-05T04:00:00Z", minutes: 25 * 60 },
];

#[test]
fn every_five_minutes_is_every_five_minutes_of_each_day() {
    for day in DAYS {
        let runs = firings(&cron("*/5 * * * *", day.zone), day.from, day.until);
        assert_eq!(runs.len(), day.minutes / 5, "{} {}", day.zone, day.from);
        assert_eq!(runs.first(), Some(&at(day.from)));
        assert!(runs.windows(2).all(|pair| pair[1].since(pair[0]) == Duration::from_secs(300)), "{} {}", day.zone, day.from);
    }
}

#[test]
fn berlin_has_276_and_300_runs_where_other_days_have_288() {
    let schedule = cron("*/5 * * * *", "Europe/Berlin");
    assert_eq!(firings(&schedule, "2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z").len(), 288);
    assert_eq!(firings(&schedule, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z").len(), 276);
    assert_eq!(firings(&schedule, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z").len(), 300);
    assert_eq!(firings(&schedule, "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z").len(), 288);
}

#[test]
fn a_time_of_the_day_comes_once_a_day() {
    let three = |text: &str, zone: &str, from: &str, until: &str| texts(&firings(&cron(text, zone), from, until));
    let berlin = |from: &str, until: &str| three("30 2 * * *", "Europe/Berlin", from, until);
    // 02:30 is left out: 03:00 summer time.
    let spring = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
    assert_eq!(berlin("2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z"), spring);
    // 02:30 comes twice: the first one, still summer time.
    let autumn = ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
    assert_eq!(berlin("2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z"), autumn);
    let york = |from: &str, until: &str| three("30 2 * * *", "America/New_York", from, until);
    assert_eq!(york("2026-03-07T12:00:00Z", "2026-03-10T00:00:00Z"), ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]);
    let york = |from: &str, until: &str| three("30 1 * * *", "America/New_York", from, until);
    assert_eq!(york("2026-10-31T12:00:00Z", "2026-11-03T00:00:00Z"), ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]);
    let howe = |text: &str, from: &str, until: &str| three(text, "Australia/Lord_Howe", from, until);
    assert_eq!(howe("15 2 * * *", "2026-10-03T00:00:00Z", "2026-10-05T00:00:00Z"), ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]);
    assert_eq!(howe("45 1 * * *", "2026-04-04T00:00:00Z", "2026-04-06T00:00:00Z"), ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"]);
    // The gap is at midnight.
    let chile = |text: &str, from: &str, until: &str| three(text, "America/Santiago", from, until);
    assert_eq!(chile("0 0 * * *", "2026-09-05T12:00:00Z", "2026-09-08T00:00:00Z"), ["2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"]);
    // The whole day is left out.
    assert_eq!(three("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2012-02-01T00:00:00Z"), ["2011-12-30T10:00:00Z"]);
}

#[test]
fn several_times_in_a_gap_come_once_together() {
    let schedule = cron("0,15,30,45 2,3 * * *", "Europe/Berlin");
    let spring = ["2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z", "2026-03-29T01:30:00Z", "2026-03-29T01:45:00Z"];
    assert_eq!(texts(&firings(&schedule, "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z")), spring);
    let autumn = firings(&schedule, "2026-10-24T23:00:00Z", "2026-10-25T12:00:00Z");
    let expected = ["2026-10-25T00:00:00Z", "2026-10-25T00:15:00Z", "2026-10-25T00:30:00Z", "2026-10-25T00:45:00Z"];
    assert_eq!(texts(&autumn[..4]), expected);
    assert_eq!(texts(&autumn[4..5]), ["2026-10-25T02:00:00Z"]);
    assert_eq!(autumn.len(), 8);
}

#[test]
fn a_rhythm_of_one_hour_only_follows_that_hour() {
    let schedule = cron("*/5 2 * * *", "Europe/Berlin");
    assert_eq!(firings(&schedule, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z").len(), 0);
    assert_eq!(firings(&schedule, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z").len(), 24);
    let every_two_hours = cron("0 */2 * * *", "Europe/Berlin");
    let spring = firings(&every_two_hours, "2026-03-28T23:00:00Z", "2026-03-29T05:00:00Z");
    assert_eq!(texts(&spring), ["2026-03-28T23:00:00Z", "2026-03-29T02:00:00Z", "2026-03-29T04:00:00Z"]);
}

#[test]
fn intervals_know_no_wall_clock() {
    let fields = ScheduleFields { interval_seconds: Some(86_400), time_zone: "Europe/Berlin".into(), ..ScheduleFields::default() };
    let schedule = Schedule::parse(&fields, "id", at("2026-03-28T01:30:00Z")).unwrap();
    assert_eq!(schedule.next_after(at("2020-01-01T00:00:00Z")), Some(at("2026-03-29T01:30:00Z")), "one interval after the anchor");
    assert_eq!(schedule.next_after(at("2026-03-29T01:30:00Z")), Some(at("2026-03-30T01:30:00Z")));
    assert_eq!(schedule.next_after(at("2026-10-25T01:29:59.999999Z")), Some(at("2026-10-25T01:30:00Z")));
    assert_eq!(schedule.next_after(Timestamp::from_micros(i64::MAX)), None);
    assert_eq!(schedule.next_after(Timestamp::from_micros(i64::MIN)), Some(at("2026-03-29T01:30:00Z")));
}
