//! What holds for all snapshots and all policies.

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000_000;

fn hold() -> impl Strategy<Value = Option<Hold>> {
    let until = prop::option::of((0i64..800).prop_map(|hours| Timestamp::from_micros(hours * HOUR)));
    prop::option::weighted(0.1, until.prop_map(|until| Hold { reason: "case 7".into(), until }))
}

fn kept() -> impl Strategy<Value = Kept> {
    use SnapshotStatus::*;
    let status = prop::sample::select(vec![Pending, InProgress, Completed, Completed, Completed, Failed, Restored, Archived]);
    let consistency = prop::sample::select(vec![
        None,
        Some(Consistency::Consistent),
        Some(Consistency::Consistent),
        Some(Consistency::Inconsistent),
        Some(Consistency::NotApplicable),
    ]);
    let damage = (prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    let tags = prop::collection::vec(prop::sample::select(vec!["a".to_owned(), "b".to_owned()]), 0..2);
    (status, consistency, damage, 0i64..600, 0i64..800, tags, hold(), hold()).prop_map(
        |(status, consistency, (has_losses, failed_verification), taken, expires, tags, pin, legal_hold)| Kept {
            status,
            consistency,
            has_losses,
            failed_verification,
            taken_at: Timestamp::from_micros(taken * HOUR),
            expires_at: Timestamp::from_micros(expires * HOUR),
            tags,
            pin,
            legal_hold,
            in_use: false,
            in_checkpoint: false,
        },
    )
}

fn snapshots() -> impl Strategy<Value = Vec<Kept>> {
    prop::collection::vec(kept(), 0..24)
}

fn fields() -> impl Strategy<Value = PolicyFields> {
    let count = || prop_oneof![2 => Just(0i64), 1 => 1i64..6];
    let tags = prop::sample::select(vec![vec![], vec!["a".to_owned()]]);
    let zone = prop::sample::select(vec!["", "Europe/Berlin", "Pacific/Kiritimati"]);
    let counts = (count(), count(), count(), count(), count(), count(), count());
    (counts, prop_oneof![Just(0i64), 1i64..1_000_000], tags, zone, 1i64..4).prop_map(|(counts, within, keep_tags, zone, minimum)| {
        let (keep_last, keep_minutely, keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly) = counts;
        PolicyFields {
            // Never empty, and never below the minimum.
            keep_last: keep_last.max(minimum),
            keep_minutely,
            keep_hourly,
            keep_daily,
            keep_weekly,
            keep_monthly,
            keep_yearly,
            keep_within_seconds: within,
            keep_tags,
            time_zone: zone.into(),
            minimum_good: Some(minimum),
        }
    })
}

/// A policy or the rule of age.
fn any_policy() -> impl Strategy<Value = Option<RetentionPolicy>> {
    prop::option::weighted(0.8, fields().prop_map(policy))
}

fn now() -> impl Strategy<Value = Timestamp> {
    (0i64..1000).prop_map(|hours| Timestamp::from_micros(hours * HOUR))
}

fn stays(snapshots: &[Kept], policy: Option<&RetentionPolicy>, now: Timestamp) -> Vec<bool> {
    judge(snapshots, policy, now).iter().map(|verdict| !verdict.is_expired()).collect()
}

fn is_good(snapshot: &Kept) -> bool {
    GOOD.into_iter().any(|kind| snapshot.is_good(kind))
}

proptest! {
    #[test]
    fn the_last_good_ones_stay(snapshots in snapshots(), policy in any_policy(), now in now()) {
        let left: Vec<&Kept> = snapshots.iter().zip(stays(&snapshots, policy.as_ref(), now)).filter(|(_, stays)| *stays).map(|(one, _)| one).collect();
        let minimum = policy.as_ref().map_or(1, RetentionPolicy::minimum_good) as usize;
        let count = |test: &dyn Fn(&Kept) -> bool| (snapshots.iter().filter(|one| test(one)).count(), left.iter().filter(|one| test(one)).count());
        let (good, good_left) = count(&is_good);
        prop_assert!(good_left >= good.min(minimum));
        // The best of them first.
        let (consistent, consistent_left) = count(&|one| one.is_good(Some(Consistency::Consistent)));
        prop_assert!(consistent_left >= consistent.min(minimum));
        let (restorable, restorable_left) = count(&|one| one.status.is_restorable());
        prop_assert!(good > 0 || restorable_left == restorable, "a graph without a good one loses none");
        // The very newest good one.
        let newest = snapshots.iter().filter(|one| one.is_good(Some(Consistency::Consistent))).map(|one| one.taken_at).max();
        prop_assert!(newest.is_none_or(|newest| left.iter().any(|one| one.is_good(Some(Consistency::Consistent)) && one.taken_at == newest)));
    }

    #[test]
    fn what_is_dated_ahead_takes_no_place(snapshots in snapshots(), policy in any_policy(), now in now()) {
        let past: Vec<Kept> = snapshots.iter().filter(|one| one.taken_at <= now).cloned().collect();
        // That there was a plain directory, whenever, keeps others.
        prop_assume!(past.len() == snapshots.len() || !snapshots.iter().any(|one| one.is_good(Some(Consistency::NotApplicable))));
        let of_past: Vec<Verdict> = snapshots.iter().zip(judge(&snapshots, policy.as_ref(), now)).filter(|(one, _)| one.taken_at <= now).map(|(_, verdict)| verdict).collect();
        prop_assert_eq!(of_past, judge(&past, policy.as_ref(), now));
    }

    #[test]
    fn what_is_damaged_stays_where_it_would_stay_whole(snapshots in snapshots(), policy in fields().prop_map(policy), now in now()) {
        let healed: Vec<Kept> = snapshots.iter().cloned().map(|one| Kept { has_losses: false, failed_verification: false, ..one }).collect();
        let counted = |snapshots: &[Kept]| judge(snapshots, Some(&policy), now).iter().map(|verdict| verdict.reasons().iter().any(|reason| matches!(reason, Reason::Counted { .. }))).collect::<Vec<bool>>();
        prop_assert!(counted(&snapshots).iter().zip(counted(&healed)).all(|(damaged, healed)| *damaged || !healed));
    }

    #[test]
    fn what_is_held_or_not_settled_stays(snapshots in snapshots(), policy in any_policy(), now in now()) {
        for (snapshot, stays) in snapshots.iter().zip(stays(&snapshots, policy.as_ref(), now)) {
            let held = [&snapshot.pin, &snapshot.legal_hold].into_iter().flatten().any(|hold| hold.until.is_none_or(|until| until > now));
            prop_assert!(stays || !held && snapshot.status.is_settled());
        }
    }

    #[test]
    fn without_a_policy_only_age_counts(snapshots in snapshots(), now in now()) {
        for (snapshot, stays) in snapshots.iter().zip(stays(&snapshots, None, now)) {
            prop_assert!(stays || snapshot.expires_at <= now);
        }
    }

    #[test]
    fn a_larger_policy_keeps_all_that_a_smaller_keeps(snapshots in snapshots(), fields in fields(), more in fields(), now in now()) {
        let larger = PolicyFields {
            keep_last: fields.keep_last + more.keep_last,
            keep_minutely: fields.keep_minutely + more.keep_minutely,
            keep_hourly: fields.keep_hourly + more.keep_hourly,
            keep_daily: fields.keep_daily + more.keep_daily,
            keep_weekly: fields.keep_weekly + more.keep_weekly,
            keep_monthly: fields.keep_monthly + more.keep_monthly,
            keep_yearly: fields.keep_yearly + more.keep_yearly,
            keep_within_seconds: fields.keep_within_seconds + more.keep_within_seconds,
            keep_tags: [fields.keep_tags.clone(), more.keep_tags].concat(),
            minimum_good: fields.minimum_good.max(more.minimum_good),
            time_zone: fields.time_zone.clone(),
        };
        let (smaller, larger) = (stays(&snapshots, Some(&policy(fields)), now), stays(&snapshots, Some(&policy(larger)), now));
        prop_assert!(smaller.iter().zip(&larger).all(|(smaller, larger)| !smaller || *larger));
    }

    #[test]
    fn what_goes_now_goes_later_too(snapshots in snapshots(), policy in any_policy(), now in now(), more in 0i64..400) {
        let later = Timestamp::from_micros(now.micros() + more * HOUR);
        let (sooner, later) = (stays(&snapshots, policy.as_ref(), now), stays(&snapshots, policy.as_ref(), later));
        prop_assert!(sooner.iter().zip(&later).all(|(sooner, later)| *sooner || !later));
    }

    #[test]
    fn what_is_left_is_left_alone(snapshots in snapshots(), policy in any_policy(), now in now()) {
        let stays_at_all = stays(&snapshots, policy.as_ref(), now);
        let left: Vec<Kept> = snapshots.into_iter().zip(stays_at_all).filter(|(_, stays)| *stays).map(|(one, _)| one).collect();
        prop_assert!(stays(&left, policy.as_ref(), now).into_iter().all(|stays| stays));
    }

    #[test]
    fn those_that_are_not_good_change_nothing_for_the_good(snapshots in snapshots(), policy in any_policy(), now in now()) {
        let of_good = |snapshots: &[Kept]| {
            let verdicts = judge(snapshots, policy.as_ref(), now);
            snapshots.iter().zip(verdicts).filter(|(one, _)| is_good(one)).map(|(_, verdict)| verdict).collect::<Vec<Verdict>>()
        };
        let good: Vec<Kept> = snapshots.iter().filter(|one| is_good(one)).cloned().collect();
        prop_assert_eq!(of_good(&snapshots), of_good(&good));
    }

    #[test]
    fn the_order_in_which_they_are_given_does_not_matter(mut snapshots in snapshots(), policy in any_policy(), now in now()) {
        snapshots.sort_by_key(|one| one.taken_at);
        snapshots.dedup_by_key(|one| one.taken_at);
        let mut oldest_first = judge(&snapshots, policy.as_ref(), now);
        snapshots.reverse();
        oldest_first.reverse();
        prop_assert_eq!(judge(&snapshots, policy.as_ref(), now), oldest_first);
    }
}
