//! Policies that are taken and those that are refused.

use super::*;

fn refusal(fields: PolicyFields) -> String {
    RetentionPolicy::parse(fields).unwrap_err().to_string()
}

#[test]
fn an_empty_policy_is_refused() {
    let refused = "`keep_last` must be more than 0, or another rule must: with no rule, all but the minimum would be deleted";
    assert_eq!(refusal(PolicyFields::default()), refused);
    assert_eq!(refusal(PolicyFields { minimum_good: Some(5), ..PolicyFields::default() }), refused);
    let tag = PolicyFields { keep_tags: vec!["release".into()], ..PolicyFields::default() };
    assert!(RetentionPolicy::parse(tag).is_ok(), "what has the tag, and the newest good one");
}

#[test]
fn a_minimum_above_all_counts_is_a_contradiction() {
    let fields = |minimum| PolicyFields { keep_last: 2, keep_daily: 3, minimum_good: Some(minimum), ..PolicyFields::default() };
    assert!(RetentionPolicy::parse(fields(5)).is_ok());
    assert_eq!(refusal(fields(6)), "`minimum_good` must not be more than all that the rules count together, 5: 6");
    let with_span = PolicyFields { keep_within_seconds: 60, ..fields(6) };
    assert!(RetentionPolicy::parse(with_span).is_ok());
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let refusal = refusal(PolicyFields {
        keep_last: -1,
        keep_hourly: 10_001,
        keep_yearly: i64::MAX,
        keep_within_seconds: -5,
        keep_tags: vec!["a,b".into()],
        time_zone: "Mars/Olympus".into(),
        minimum_good: Some(0),
        ..PolicyFields::default()
    });
    for part in [
        "`keep_last` must be from 0 to 10000: -1",
        "`keep_hourly` must be from 0 to 10000: 10001",
        "`keep_yearly` must be from 0 to 10000: 9223372036854775807",
        "`keep_within_seconds` must be from 0 to 3155760000: -5",
        "`keep_tags` must have 1 to 200 bytes each, without commas, line ends and spaces around: `a,b`",
        "`time_zone` is no time zone",
        "`minimum_good` must be from 1 to 10000: 0",
    ] {
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
    assert_eq!(refusal.matches("; ").count(), 6, "{refusal}");
}

#[test]
fn a_recorded_policy_is_read_as_it_was() {
    let fields = PolicyFields {
        keep_daily: 7,
        keep_within_seconds: 3600,
        keep_tags: vec!["release".into()],
        time_zone: "Europe/Berlin".into(),
        minimum_good: Some(3),
        ..PolicyFields::default()
    };
    let policy = policy(fields.clone());
    let recorded = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<RetentionPolicy>(&recorded).unwrap(), policy);
    assert_eq!(PolicyFields::from(policy), fields);
    // Nothing is read as if it were no rule.
    for wrong in [r#"{}"#, r#"{"keep_daily": -1}"#, r#"{"keep_daily": 7, "keep_lunar": 2}"#] {
        assert!(serde_json::from_str::<RetentionPolicy>(wrong).is_err(), "{wrong}");
    }
}
