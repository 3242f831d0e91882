mod laws;
mod written;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

/// A consistent snapshot, whose own retention is over since 1970.
fn taken(taken_at: &str) -> Kept {
    Kept {
        status: SnapshotStatus::Completed,
        consistency: Some(Consistency::Consistent),
        has_losses: false,
        failed_verification: false,
        taken_at: at(taken_at),
        expires_at: Timestamp::from_micros(0),
        tags: Vec::new(),
        pin: None,
        legal_hold: None,
        in_use: false,
        in_checkpoint: false,
    }
}

fn policy(fields: PolicyFields) -> RetentionPolicy {
    RetentionPolicy::parse(fields).unwrap()
}

fn verdicts(snapshots: &[Kept], policy: Option<&RetentionPolicy>) -> Vec<String> {
    judge(snapshots, policy, at("2026-06-30T00:00:00Z")).iter().map(ToString::to_string).collect()
}

const OVER: &str = "its retention is over";

#[test]
fn rules_count_the_newest_of_each_span() {
    let times = [
        "2026-06-02T23:30:00Z",
        "2026-06-02T08:00:30Z",
        "2026-06-02T08:00:00Z",
        "2026-06-01T12:00:00Z",
        // A Sunday, and the Saturday before.
        "2026-05-31T12:00:00Z",
        "2026-05-30T12:00:00Z",
        "2025-12-31T12:00:00Z",
        "2025-03-01T12:00:00Z",
    ];
    let snapshots = times.map(taken);
    let by = |fields: PolicyFields| verdicts(&snapshots, Some(&policy(fields)));
    let two = |rule: &str, second: usize| {
        let mut expected = [OVER; 8].map(str::to_owned);
        expected[0] = format!("newest good; {rule} 1 of 2");
        expected[second] = format!("{rule} 2 of 2");
        expected
    };
    assert_eq!(by(PolicyFields { keep_last: 2, ..PolicyFields::default() }), two("last", 1));
    assert_eq!(by(PolicyFields { keep_minutely: 2, ..PolicyFields::default() }), two("minutely", 1));
    assert_eq!(by(PolicyFields { keep_hourly: 2, ..PolicyFields::default() }), two("hourly", 1));
    assert_eq!(by(PolicyFields { keep_daily: 2, ..PolicyFields::default() }), two("daily", 3));
    assert_eq!(by(PolicyFields { keep_weekly: 2, ..PolicyFields::default() }), two("weekly", 4));
    assert_eq!(by(PolicyFields { keep_monthly: 2, ..PolicyFields::default() }), two("monthly", 4));
    assert_eq!(by(PolicyFields { keep_yearly: 2, ..PolicyFields::default() }), two("yearly", 6));
    // There are two years only; that the oldest has no place of its own is no reason to keep it.
    let three_years = by(PolicyFields { keep_yearly: 3, ..PolicyFields::default() });
    assert_eq!(three_years[6..], ["yearly 2 of 3", OVER]);
    // In Sydney the first one is of the next day.
    let sydney = PolicyFields { keep_daily: 2, time_zone: "Australia/Sydney".into(), ..PolicyFields::default() };
    assert_eq!(by(sydney), two("daily", 1));
    let minutes = by(PolicyFields { keep_minutely: 3, ..PolicyFields::default() });
    assert_eq!(minutes[1..4], ["minutely 2 of 3", OVER, "minutely 3 of 3"]);
}

#[test]
fn a_verdict_has_all_its_reasons() {
    let hold = |reason: &str, until: Option<&str>| Some(Hold { reason: reason.into(), until: until.map(at) });
    let snapshots = [
        Kept { pin: hold("before the upgrade", None), ..taken("2026-06-29T00:00:00Z") },
        Kept { legal_hold: hold("case 7", Some("2030-01-01T00:00:00Z")), ..taken("2026-06-28T00:00:00Z") },
        Kept { legal_hold: hold("case 8", None), pin: hold("over", Some("2026-06-30T00:00:00Z")), ..taken("2026-06-27T00:00:00Z") },
        Kept { tags: vec!["release".into()], ..taken("2026-05-30T00:00:00Z") },
        Kept { status: SnapshotStatus::InProgress, consistency: None, ..taken("2026-06-29T12:00:00Z") },
        Kept { status: SnapshotStatus::Failed, expires_at: at("2026-07-01T00:00:00Z"), ..taken("2026-06-01T00:00:00Z") },
        Kept { status: SnapshotStatus::Failed, ..taken("2026-06-01T00:00:00Z") },
        Kept { expires_at: at("2026-07-01T00:00:00Z"), ..taken("2026-05-01T00:00:00Z") },
    ];
    let rules = PolicyFields {
        keep_daily: 2,
        keep_tags: vec!["release".into()],
        keep_within_seconds: 30 * 86_400,
        minimum_good: Some(2),
        ..PolicyFields::default()
    };
    assert_eq!(
        verdicts(&snapshots, Some(&policy(rules))),
        [
            "pinned: before the upgrade; newest good; daily 1 of 2; within 30 days of the newest",
            "held until 2030-01-01T00:00:00Z: case 7; good 2 of at least 2; daily 2 of 2; within 30 days of the newest",
            "held until released: case 8; within 30 days of the newest",
            "tag release",
            "still being taken",
            "its retention lasts until 2026-07-01T00:00:00Z",
            OVER,
            // Its own retention is not asked for: it is good, so the policy decides.
            OVER,
        ]
    );
    let words: Vec<RetentionVerdict> = judge(&snapshots, None, at("2026-06-30T00:00:00Z")).iter().map(Verdict::word).collect();
    use RetentionVerdict::*;
    assert_eq!(words, [Pinned, Held, Held, Expired, InProgress, NotExpired, Expired, NotExpired]);
}

#[test]
fn what_is_not_good_takes_no_place() {
    let inconsistent = |time| Kept { consistency: Some(Consistency::Inconsistent), ..taken(time) };
    let snapshots = [
        inconsistent("2026-06-03T18:00:00Z"),
        taken("2026-06-03T12:00:00Z"),
        Kept { has_losses: true, ..taken("2026-06-02T12:00:00Z") },
        Kept { failed_verification: true, expires_at: at("2026-07-01T00:00:00Z"), ..taken("2026-06-01T12:00:00Z") },
        taken("2026-05-31T12:00:00Z"),
    ];
    let daily = policy(PolicyFields { keep_daily: 2, ..PolicyFields::default() });
    // The damaged one of the second day stays with it: it may be healed.
    let lasts = "its retention lasts until 2026-07-01T00:00:00Z";
    let expected = [OVER, "newest good; daily 1 of 2", "daily 2 of 2", lasts, "daily 2 of 2"];
    assert_eq!(verdicts(&snapshots, Some(&daily)), expected);
    // Within a time span it stays too, counted from the newest good one.
    let span = policy(PolicyFields { keep_within_seconds: 86_400, ..PolicyFields::default() });
    let expected = ["within 1 day of the newest", "newest good; within 1 day of the newest", OVER];
    assert_eq!(verdicts(&snapshots[..3], Some(&span)), expected);
}

#[test]
fn a_graph_without_a_good_snapshot_loses_none() {
    let snapshots = [
        Kept { consistency: Some(Consistency::Inconsistent), ..taken("2026-06-03T18:00:00Z") },
        Kept { has_losses: true, ..taken("2026-06-02T12:00:00Z") },
        Kept { status: SnapshotStatus::Failed, ..taken("2026-06-01T12:00:00Z") },
    ];
    let last = policy(PolicyFields { keep_last: 1, ..PolicyFields::default() });
    assert_eq!(verdicts(&snapshots, None), ["its graph has no good one", "its graph has no good one", OVER]);
    let expected = ["its graph has no good one", "its graph has no good one; last 1 of 1", OVER];
    assert_eq!(verdicts(&snapshots, Some(&last)), expected);
}

#[test]
fn an_emptied_source_does_not_displace_the_last_whole_graphs() {
    let plain = |time| Kept { consistency: Some(Consistency::NotApplicable), ..taken(time) };
    let snapshots = [
        plain("2026-06-09T00:00:00Z"),
        plain("2026-06-08T00:00:00Z"),
        plain("2026-06-07T00:00:00Z"),
        taken("2026-06-02T00:00:00Z"),
        taken("2026-06-01T00:00:00Z"),
    ];
    assert_eq!(verdicts(&snapshots, None), [OVER, OVER, OVER, "newest good", OVER]);
    let daily = policy(PolicyFields { keep_daily: 2, ..PolicyFields::default() });
    let expected = ["daily 1 of 2", "daily 2 of 2", OVER, "newest good; daily 1 of 2", "daily 2 of 2"];
    assert_eq!(verdicts(&snapshots, Some(&daily)), expected);
}

#[test]
fn plain_directories_do_not_displace_the_last_of_a_graph_that_was_not_good() {
    let plain = |time| Kept { consistency: Some(Consistency::NotApplicable), ..taken(time) };
    const NOT_PLAIN: &str = "newest that is no plain directory";
    // Nobody has audited an adopted graph, and another contradicts itself.
    for consistency in [None, Some(Consistency::Inconsistent)] {
        let real = |time| Kept { consistency, ..taken(time) };
        let lost = |time| Kept { has_losses: true, ..real(time) };
        let (first, second, third) = ("2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z", "2026-06-03T00:00:00Z");
        let snapshots = [plain("2026-06-05T00:00:00Z"), plain("2026-06-04T00:00:00Z"), lost(third), real(second), real(first)];
        assert_eq!(verdicts(&snapshots, None), ["newest good", OVER, OVER, NOT_PLAIN, OVER]);
        let snapshots = [plain(third), lost(second), lost(first)];
        assert_eq!(verdicts(&snapshots, None), ["newest good", NOT_PLAIN, OVER]);
        // With a consistent one, nothing of this is needed.
        let snapshots = [plain(third), real(second), taken(first)];
        assert_eq!(verdicts(&snapshots, None), [OVER, OVER, "newest good"]);
    }
    let both = [
        plain("2026-06-05T00:00:00Z"),
        Kept { consistency: Some(Consistency::Inconsistent), ..taken("2026-06-04T00:00:00Z") },
        Kept { consistency: None, ..taken("2026-06-03T00:00:00Z") },
    ];
    assert_eq!(verdicts(&both, None), ["newest good", NOT_PLAIN, NOT_PLAIN]);
}

#[test]
fn what_a_clock_that_ran_ahead_left_takes_no_place_from_the_others() {
    let snapshots = ["2031-01-01T00:00:00Z", "2026-06-29T00:00:00Z", "2026-06-28T00:00:00Z", "2026-06-01T00:00:00Z"].map(taken);
    let span = policy(PolicyFields { keep_within_seconds: 2 * 86_400, ..PolicyFields::default() });
    let within = "within 2 days of the newest";
    let ahead = "dated later than now";
    assert_eq!(verdicts(&snapshots, Some(&span)), [ahead, &format!("newest good; {within}"), within, OVER]);
    let last = policy(PolicyFields { keep_last: 1, ..PolicyFields::default() });
    assert_eq!(verdicts(&snapshots, Some(&last)), [ahead, "newest good; last 1 of 1", OVER, OVER]);
}
