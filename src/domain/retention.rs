//! Which snapshots may go when their time is over.

use super::finding::Consistency;
use super::snapshot::SnapshotStatus;
use super::words::words;
use crate::base::timestamp::Timestamp;

/// What retention asks about a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Where it stands.
    pub status: SnapshotStatus,
    /// What its audit said; none for one that has not got so far.
    pub consistency: Option<Consistency>,
    /// A repair found that it lacks content.
    pub has_losses: bool,
    /// Its last verification found something wrong.
    pub failed_verification: bool,
    /// It is pinned now.
    pub pinned: bool,
    /// Kept at least until then.
    pub expires_at: Timestamp,
}

words! {
    /// What becomes of a snapshot, and why.
    pub enum RetentionVerdict {
        /// Kept: its retention is not over.
        NotExpired = "not_expired",
        /// Kept: the newest good one of its graph.
        NewestGood = "newest_good",
        /// Kept: pinned.
        Pinned = "pinned",
        /// Kept: it is still being taken.
        InProgress = "in_progress",
        /// Deleted: its retention is over.
        Expired = "expired",
    }
}

impl RetentionVerdict {
    /// The verdict in words.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::NotExpired => "its retention is not over",
            Self::NewestGood => "it is the newest good snapshot of its graph, which is never deleted by itself",
            Self::Pinned => "it is pinned",
            Self::InProgress => "it is still being taken",
            Self::Expired => "its retention is over",
        }
    }
}

impl Kept {
    /// Whether nothing is known to be wrong with what is stored of it.
    fn is_whole(&self) -> bool {
        self.status.is_restorable() && !self.has_losses && !self.failed_verification
    }

    /// Whether a graph could be brought back from it as it should be.
    fn is_good(&self, wanted: Option<Consistency>) -> bool {
        self.is_whole() && self.consistency == wanted
    }
}

/// The newest good one of a graph's snapshots, which are given newest first: a consistent one if there is any. Only where a graph has
/// none is a plain directory, or one that nobody has audited, good; so an emptied source never takes the place of the last whole graph.
pub fn newest_good(snapshots: &[Kept]) -> Option<usize> {
    let first = |wanted| snapshots.iter().position(|snapshot| snapshot.is_good(wanted));
    // With nothing better, an inconsistent one is all that is left of the graph.
    first(Some(Consistency::Consistent))
        .or_else(|| first(Some(Consistency::NotApplicable)))
        .or_else(|| first(None))
        .or_else(|| first(Some(Consistency::Inconsistent)))
        .or_else(|| snapshots.iter().position(|snapshot| snapshot.status.is_restorable()))
}

/// Where the newest good one is a plain directory: the newest of the others. The plain one may be the emptied source of a graph that
/// nobody has audited, or that contradicts itself, and then this is all that is left of it.
fn newest_not_plain(snapshots: &[Kept], newest_good: Option<usize>) -> Option<usize> {
    let is_plain = |snapshot: &Kept| snapshot.consistency == Some(Consistency::NotApplicable);
    newest_good.filter(|at| is_plain(&snapshots[*at]))?;
    let others = || snapshots.iter().enumerate().filter(|(_, snapshot)| snapshot.status.is_restorable() && !is_plain(snapshot));
    others().find(|(_, snapshot)| snapshot.is_whole()).or_else(|| others().next()).map(|(at, _)| at)
}

/// What becomes of each of a graph's snapshots, which are given newest first.
pub fn judge(snapshots: &[Kept], now: Timestamp) -> Vec<RetentionVerdict> {
    let newest_good = newest_good(snapshots);
    let newest_not_plain = newest_not_plain(snapshots, newest_good);
    let verdict = |(at, snapshot): (usize, &Kept)| match snapshot {
        _ if !snapshot.status.is_settled() => RetentionVerdict::InProgress,
        _ if snapshot.pinned => RetentionVerdict::Pinned,
        _ if newest_good == Some(at) || newest_not_plain == Some(at) => RetentionVerdict::NewestGood,
        _ if snapshot.expires_at > now => RetentionVerdict::NotExpired,
        _ => RetentionVerdict::Expired,
    };
    snapshots.iter().enumerate().map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept() -> impl Strategy<Value = Kept> {
        let status = prop_oneof![
            Just(SnapshotStatus::Pending),
            Just(SnapshotStatus::InProgress),
            Just(SnapshotStatus::Completed),
            Just(SnapshotStatus::Failed),
            Just(SnapshotStatus::Restored),
        ];
        let consistency = prop_oneof![
            Just(None),
            Just(Some(Consistency::Consistent)),
            Just(Some(Consistency::Inconsistent)),
            Just(Some(Consistency::NotApplicable)),
        ];
        (status, consistency, any::<bool>(), any::<bool>(), any::<bool>(), 0i64..20).prop_map(
            |(status, consistency, has_losses, failed_verification, pinned, expires)| Kept {
                status,
                consistency,
                has_losses,
                failed_verification,
                pinned,
                expires_at: Timestamp::from_micros(expires),
            },
        )
    }

    proptest! {
        #[test]
        fn something_to_restore_is_always_left(snapshots in prop::collection::vec(kept(), 0..12), now in 0i64..40) {
            let verdicts = judge(&snapshots, Timestamp::from_micros(now));
            let left = |test: &dyn Fn(&Kept) -> bool| {
                snapshots.iter().zip(&verdicts).any(|(snapshot, verdict)| test(snapshot) && *verdict != RetentionVerdict::Expired)
            };
            let good = |snapshot: &Kept| snapshot.is_good(Some(Consistency::Consistent));
            let restorable = |snapshot: &Kept| snapshot.status.is_restorable();
            prop_assert_eq!(snapshots.iter().any(good), left(&good));
            prop_assert_eq!(snapshots.iter().any(restorable), left(&restorable));
        }

        #[test]
        fn only_what_is_over_goes_and_never_what_is_pinned(snapshots in prop::collection::vec(kept(), 0..12), now in 0i64..40) {
            let now = Timestamp::from_micros(now);
            for (snapshot, verdict) in snapshots.iter().zip(judge(&snapshots, now)) {
                if verdict == RetentionVerdict::Expired {
                    prop_assert!(!snapshot.pinned && snapshot.status.is_settled() && snapshot.expires_at <= now);
                }
            }
        }

        #[test]
        fn what_goes_now_goes_later_too(snapshots in prop::collection::vec(kept(), 0..12), now in 0i64..40, more in 0i64..40) {
            let sooner = judge(&snapshots, Timestamp::from_micros(now));
            let later = judge(&snapshots, Timestamp::from_micros(now + more));
            for (sooner, later) in sooner.into_iter().zip(later) {
                prop_assert!(sooner != RetentionVerdict::Expired || later == RetentionVerdict::Expired);
            }
        }
    }

    #[test]
    fn an_emptied_source_does_not_displace_the_last_whole_graph() {
        use RetentionVerdict::{Expired, NewestGood};
        let base = Kept {
            status: SnapshotStatus::Completed,
            consistency: Some(Consistency::Consistent),
            has_losses: false,
            failed_verification: false,
            pinned: false,
            expires_at: Timestamp::from_micros(0),
        };
        let plain = Kept { consistency: Some(Consistency::NotApplicable), ..base };
        let lost = Kept { has_losses: true, ..base };
        assert_eq!(newest_good(&[plain, lost, base]), Some(2));
        assert_eq!(judge(&[plain, lost, base], Timestamp::from_micros(1))[2], NewestGood);
        // Nobody has audited an adopted graph, and another contradicts itself: the plain one is good, the newest of them stays beside it.
        for consistency in [None, Some(Consistency::Inconsistent)] {
            let (lost, real) = (Kept { consistency, ..lost }, Kept { consistency, ..base });
            let judged = |snapshots: &[Kept]| judge(snapshots, Timestamp::from_micros(1));
            assert_eq!(judged(&[plain, plain, lost, real, real]), [NewestGood, Expired, Expired, NewestGood, Expired]);
            assert_eq!(judged(&[plain, lost, lost]), [NewestGood, NewestGood, Expired]);
        }
    }
}
