//! Retention keeps what `restic forget` keeps.

use std::collections::BTreeSet;
use std::process::Command;

use lightkeep::base::timestamp::Timestamp;
use lightkeep::domain::finding::Consistency;
use lightkeep::domain::retention::{Kept, PolicyFields, RetentionPolicy, judge};
use lightkeep::domain::snapshot::SnapshotStatus;
use lightkeep::repository::*;
use serde_json::Value;

use super::support::*;

/// A policy and the same in restic's words. The time spans are hours, which are as long for restic as for us.
fn policies() -> Vec<(PolicyFields, Vec<&'static str>)> {
    let none = PolicyFields::default;
    let tags = || vec!["release".to_owned(), "monthly".to_owned()];
    vec![
        (PolicyFields { keep_last: 1, ..none() }, vec!["--keep-last=1"]),
        (PolicyFields { keep_last: 9, ..none() }, vec!["--keep-last=9"]),
        (PolicyFields { keep_last: 200, ..none() }, vec!["--keep-last=200"]),
        (PolicyFields { keep_hourly: 10, ..none() }, vec!["--keep-hourly=10"]),
        (PolicyFields { keep_hourly: 200, ..none() }, vec!["--keep-hourly=200"]),
        (PolicyFields { keep_daily: 7, ..none() }, vec!["--keep-daily=7"]),
        (PolicyFields { keep_daily: 40, ..none() }, vec!["--keep-daily=40"]),
        (PolicyFields { keep_weekly: 12, ..none() }, vec!["--keep-weekly=12"]),
        (PolicyFields { keep_weekly: 200, ..none() }, vec!["--keep-weekly=200"]),
        (PolicyFields { keep_monthly: 12, ..none() }, vec!["--keep-monthly=12"]),
        (PolicyFields { keep_monthly: 200, ..none() }, vec!["--keep-monthly=200"]),
        (PolicyFields { keep_yearly: 2, ..none() }, vec!["--keep-yearly=2"]),
        (PolicyFields { keep_yearly: 20, ..none() }, vec!["--keep-yearly=20"]),
        (PolicyFields { keep_within_seconds: 2000 * 3600, ..none() }, vec!["--keep-within=2000h"]),
        (PolicyFields { keep_tags: tags(), ..none() }, vec!["--keep-tag=release", "--keep-tag=monthly"]),
        (
            PolicyFields { keep_last: 3, keep_daily: 5, keep_weekly: 4, keep_monthly: 6, keep_yearly: 2, ..none() },
            vec!["--keep-last=3", "--keep-daily=5", "--keep-weekly=4", "--keep-monthly=6", "--keep-yearly=2"],
        ),
        (
            PolicyFields { keep_hourly: 30, keep_yearly: 9, keep_within_seconds: 500 * 3600, keep_tags: tags(), ..none() },
            vec!["--keep-hourly=30", "--keep-yearly=9", "--keep-within=500h", "--keep-tag=release", "--keep-tag=monthly"],
        ),
        (PolicyFields { keep_daily: 60, keep_weekly: 60, ..none() }, vec!["--keep-daily=60", "--keep-weekly=60"]),
    ]
}

/// Sixty times of four years, seconds since the epoch: some alone, some in the same hour, day or week, some where years or clocks change.
fn times() -> Vec<i64> {
    let random: Vec<i64> =
        noise(11, 8 * 48).chunks(8).map(|bytes| (u64::from_le_bytes(bytes.try_into().unwrap()) % (3 * 365 * 86_400)) as i64).collect();
    let begin = 1_685_577_600; // 2023-06-01
    let single = random[..28].iter().map(|seconds| begin + seconds);
    let near = random[28..33].iter().flat_map(|seconds| [0, 600, 3000, 70_000, 400_000].map(|later| begin + seconds + later));
    // The oldest is alone in its year, since from 0.16 on restic keeps it also if it is not.
    let notable = [
        "2022-12-15T12:00:00Z",
        "2024-02-29T12:00:00Z",
        "2024-12-29T12:00:00Z",
        "2024-12-30T03:00:00Z",
        "2025-01-01T04:30:00Z",
        "2025-01-01T05:30:00Z",
    ];
    let changed = ["2025-11-02T05:20:00Z", "2025-11-02T06:40:00Z", "2026-03-08T06:59:00Z", "2026-03-08T07:01:00Z"];
    let named = notable.into_iter().chain(changed).map(|text| text.parse::<jiff::Timestamp>().unwrap().as_second());
    let times: BTreeSet<i64> = single.chain(near).chain(named).collect();
    times.into_iter().collect()
}

fn tags(at: usize) -> Vec<String> {
    [("release", 7), ("monthly", 11), ("other", 3)]
        .into_iter()
        .filter(|(_, nth)| at.is_multiple_of(*nth))
        .map(|(tag, _)| tag.to_owned())
        .collect()
}

/// Runs restic where a zone's clocks are.
fn restic_in(zone: &str, scratch: &Scratch, arguments: &[&str]) -> String {
    let mut command = Command::new("restic");
    command.args(arguments).args(["--no-cache", "--quiet"]).env("TZ", zone);
    command.env("RESTIC_REPOSITORY", scratch.root()).env("RESTIC_PASSWORD", secret().expose());
    let output = command.output().unwrap();
    assert!(output.status.success(), "restic {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Does some work for each item, two at a time.
fn two_at_a_time<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let (left, right) = items.split_at(items.len() / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| left.iter().for_each(&work));
        right.iter().for_each(&work);
    });
}

fn names(snapshots: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    snapshots.as_array().into_iter().flatten().map(|one| (text(&one["time"]), text(&one["id"]))).collect()
}

/// Asks restic and us what stays of a repository's snapshots under each policy.
fn compare(scratch: &Scratch, zone: &str) {
    let listed: Value = serde_json::from_str(&restic_in(zone, scratch, &["snapshots", "--json"])).unwrap();
    let mut listed = listed.as_array().unwrap().clone();
    assert_eq!(listed.len(), times().len());
    let instant = |one: &Value| one["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    listed.sort_by_key(|one| std::cmp::Reverse(instant(one)));
    let kept = |one: &Value| Kept {
        status: SnapshotStatus::Completed,
        consistency: Some(Consistency::Consistent),
        has_losses: false,
        failed_verification: false,
        taken_at: Timestamp::from_micros(instant(one).as_microsecond()),
        expires_at: Timestamp::from_micros(0),
        tags: one["tags"].as_array().into_iter().flatten().map(|tag| tag.as_str().unwrap().to_owned()).collect(),
        pin: None,
        legal_hold: None,
        in_use: false,
        in_checkpoint: false,
    };
    let snapshots: Vec<Kept> = listed.iter().map(kept).collect();
    two_at_a_time(&policies(), |(fields, arguments)| {
        let arguments = [&["forget", "--dry-run", "--no-lock", "--json", "--group-by="], &arguments[..]].concat();
        let answer: Value = serde_json::from_str(&restic_in(zone, scratch, &arguments)).unwrap();
        let mut theirs = names(&answer[0]["keep"]);
        // The newest good one stays whatever a policy says, and restic knows no such rule.
        theirs.extend(names(&Value::Array(listed[..1].to_vec())));
        let policy = RetentionPolicy::parse(PolicyFields { time_zone: zone.into(), ..fields.clone() }).unwrap();
        let verdicts = judge(&snapshots, Some(&policy), now());
        let stay = listed.iter().zip(verdicts).filter(|(_, verdict)| !verdict.is_expired()).map(|(one, _)| one.clone()).collect();
        assert_eq!(names(&Value::Array(stay)), theirs, "{zone}: {arguments:?}");
    });
}

#[test]
fn what_restic_keeps_of_our_snapshots_stays() {
    let scratch = Scratch::new();
    std::fs::write(scratch.source().join("file"), b"the same in all of them").unwrap();
    let repository = scratch.init();
    let (stored, first) = scratch.save(&repository, None);
    let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
    for (at, seconds) in times().into_iter().enumerate() {
        let time = Timestamp::from_micros(seconds * 1_000_000);
        let record = NewRecord { time, tags: tags(at), ..scratch.new_record(None) };
        repository.write_record(&stored, &record, &lock).unwrap();
    }
    repository.remove_record(&first, &lock).unwrap();
    drop(lock);
    compare(&scratch, "UTC");
}

#[test]
fn what_restic_keeps_of_its_own_snapshots_in_another_zone_stays() {
    const ZONE: &str = "America/New_York";
    let scratch = Scratch::new();
    std::fs::write(scratch.source().join("file"), b"the same in all of them").unwrap();
    drop(scratch.init());
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(ZONE).unwrap();
    let source = scratch.source();
    let wanted: Vec<(usize, i64)> = times().into_iter().enumerate().collect();
    two_at_a_time(&wanted, |(at, seconds)| {
        let wall = zone.to_datetime(jiff::Timestamp::from_second(*seconds).unwrap());
        let (time, tags) = (wall.strftime("%Y-%m-%d %H:%M:%S").to_string(), tags(*at).join(","));
        restic_in(ZONE, &scratch, &["backup", "--time", &time, "--tag", &tags, source.to_str().unwrap()]);
    });
    compare(&scratch, ZONE);
}
