//! Which snapshots may go when their time is over, and why the others stay.
//!
//! # What counts as good
//!
//! A snapshot is good if a graph can be brought back from it as it should be: it can be restored, lacks no content, its last verification
//! found nothing wrong, and its audit did not call it inconsistent. There are three kinds of good ones: consistent graphs, plain
//! directories, and those that nobody has audited. Each kind is judged by itself, so an emptied source does not push out the last whole
//! graphs.
//!
//! # What stays
//!
//! - What is pinned, held or in a checkpoint stays, whatever else holds. So does what a restore or a verification waits for, or was
//!   restored lately.
//! - What is dated later than now stays, as a clock that ran ahead leaves it behind, and takes no place from the others.
//! - As many good ones as the policy's minimum stay, at least one: the newest, consistent ones before plain ones before those not audited.
//! - Where the best good ones are plain directories, the newest of the others stay too: one that nobody has audited, and a whole one that
//!   was called inconsistent, or with neither the newest of all. The plain ones may show the emptied source of what these were graphs of.
//! - A graph without a good snapshot loses none that can be restored: nobody knows which of them is the least bad.
//! - Under a policy, good ones stay by its counted rules, as with `restic forget`: the newest of each of the last so many days that have
//!   any, and so on, each rule by itself. Others are not counted, so they never take a place from a good one. One that is damaged stays
//!   where it would have stayed as a good one: a repair may heal it.
//! - Under a policy, whatever can be restored stays by its tags, and by its time span. That is counted back from the newest good one, not
//!   from now, so it does not run out while no new ones come.
//! - Without a policy all snapshots stay until their own retention is over. Under a policy that rule is left for what is not good, and
//!   for the rows of those that failed.

mod policy;
mod rules;
#[cfg(test)]
mod tests;
mod verdict;

use std::cmp::Reverse;

pub use policy::{COUNT_MAX, PolicyFields, RetentionPolicy, WITHIN_SECONDS_MAX};
pub use rules::Rule;
pub use verdict::{Reason, RetentionVerdict, Verdict};

use super::finding::Consistency;
use super::snapshot::SnapshotStatus;
use crate::base::timestamp::Timestamp;

/// What retention asks about a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where it stands.
    pub status: SnapshotStatus,
    /// What its audit said; none for one that has not got so far.
    pub consistency: Option<Consistency>,
    /// A repair found that it lacks content.
    pub has_losses: bool,
    /// Its last verification found something wrong.
    pub failed_verification: bool,
    /// Which state of the graph it is: the time of its record.
    pub taken_at: Timestamp,
    /// When its own retention is over.
    pub expires_at: Timestamp,
    /// Words that a policy can ask for.
    pub tags: Vec<String>,
    /// A restore or a verification of it waits or works, or it was restored lately.
    pub in_use: bool,
    /// A checkpoint keeps it.
    pub in_checkpoint: bool,
    /// It is pinned, or was.
    pub pin: Option<Hold>,
    /// It is under a legal hold, or was.
    pub legal_hold: Option<Hold>,
}

/// What keeps a snapshot from each deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub reason: String,
    /// When it ends by itself; none for one that lasts until it is taken back.
    pub until: Option<Timestamp>,
}

impl Hold {
    /// Whether it has not ended by itself.
    pub fn lasts(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// The kinds of good snapshots by what their audits said, the best first.
const GOOD: [Option<Consistency>; 3] = [Some(Consistency::Consistent), Some(Consistency::NotApplicable), None];

impl Kept {
    fn is_good(&self, kind: Option<Consistency>) -> bool {
        self.is_whole() && self.consistency == kind
    }

    /// Whether nothing is known to be wrong with what is stored of it.
    fn is_whole(&self) -> bool {
        self.status.is_restorable() && !self.has_losses && !self.failed_verification
    }

    /// Whether it can be restored, but not as it should be.
    fn is_doubtful(&self) -> bool {
        self.status.is_restorable() && !GOOD.into_iter().any(|kind| self.is_good(kind))
    }

    /// Whether it is of a good kind, damaged or not.
    fn is_of(&self, kind: Option<Consistency>) -> bool {
        self.status.is_restorable() && self.consistency == kind
    }
}

/// What becomes of each of a graph's snapshots, in their order. Without a `policy` they stay until their own retention is over. Of those
/// that were taken in the same moment, the one that is given first counts as the newest.
pub fn judge(snapshots: &[Kept], policy: Option<&RetentionPolicy>, now: Timestamp) -> Vec<Verdict> {
    let mut newest_first: Vec<usize> = (0..snapshots.len()).filter(|at| snapshots[*at].taken_at <= now).collect();
    newest_first.sort_by_key(|at| Reverse(snapshots[*at].taken_at));
    let has_plain = snapshots.iter().any(|snapshot| snapshot.is_good(Some(Consistency::NotApplicable)));
    let those = |test: &dyn Fn(&Kept) -> bool| newest_first.iter().copied().filter(|at| test(&snapshots[*at])).collect::<Vec<usize>>();
    let kinds = GOOD.map(|kind| those(&|snapshot| snapshot.is_good(kind)));
    let (good, doubtful) = (kinds.concat(), those(&Kept::is_doubtful));

    let mut reasons: Vec<Vec<Reason>> = snapshots.iter().map(|snapshot| reasons_of_its_own(snapshot, policy, now)).collect();
    let minimum = policy.map_or(1, RetentionPolicy::minimum_good);
    for (nth, at) in (1..=minimum).zip(&good) {
        reasons[*at].push(Reason::Good { nth, of: minimum });
    }
    for at in doubtful.iter().filter(|_| good.is_empty()) {
        reasons[*at].push(Reason::NoGood);
    }
    for at in newest_not_plain(snapshots, &kinds, &doubtful).into_iter().filter(|_| has_plain) {
        reasons[at].push(Reason::NotPlain);
    }
    let Some(policy) = policy else { return reasons.into_iter().map(Verdict::of).collect() };
    let times = |ats: &[usize]| ats.iter().map(|at| snapshots[*at].taken_at).collect::<Vec<Timestamp>>();
    let newest = |ats: &[usize]| times(ats).into_iter().max();
    for kind in &kinds {
        for (at, counted) in kind.iter().zip(policy.count(&times(kind))) {
            reasons[*at].extend(counted);
            reasons[*at].extend(policy.keeps_within(snapshots[*at].taken_at, newest(kind)));
        }
    }
    for kind in GOOD {
        let with_damaged = those(&|snapshot| snapshot.is_of(kind));
        for (at, counted) in with_damaged.iter().zip(policy.count(&times(&with_damaged))) {
            if !snapshots[*at].is_good(kind) {
                reasons[*at].extend(counted);
            }
        }
    }
    for at in doubtful {
        reasons[at].extend(policy.keeps_within(snapshots[at].taken_at, newest(&good)));
    }
    reasons.into_iter().map(Verdict::of).collect()
}

/// Where the best good ones are plain directories: the newest of each kind of others, from lists with the newest first.
fn newest_not_plain(snapshots: &[Kept], [consistent, _, unaudited]: &[Vec<usize>; 3], doubtful: &[usize]) -> Vec<usize> {
    if !consistent.is_empty() {
        return Vec::new();
    }
    let mut doubtful = doubtful.iter().filter(|at| snapshots[**at].consistency != Some(Consistency::NotApplicable));
    let newest = doubtful.clone().next();
    let newest_whole = doubtful.find(|at| snapshots[**at].is_whole());
    let others: Vec<usize> = unaudited.first().into_iter().chain(newest_whole).copied().collect();
    if others.is_empty() { newest.into_iter().copied().collect() } else { others }
}

/// Why it stays without a look at the others.
fn reasons_of_its_own(snapshot: &Kept, policy: Option<&RetentionPolicy>, now: Timestamp) -> Vec<Reason> {
    let status = snapshot.status;
    let in_progress = (!status.is_settled()).then_some(Reason::InProgress);
    let pin = snapshot.pin.clone().filter(|pin| pin.lasts(now)).map(Reason::Pinned);
    let hold = snapshot.legal_hold.clone().filter(|hold| hold.lasts(now)).map(Reason::Held);
    let tags = policy.filter(|_| status.is_restorable()).into_iter().flat_map(RetentionPolicy::tags);
    let tags = tags.filter(|tag| snapshot.tags.contains(tag)).cloned().map(Reason::Tag);
    let goes_by_age = status.is_settled() && (policy.is_none() || !status.is_restorable() || snapshot.is_doubtful());
    let age = (goes_by_age && snapshot.expires_at > now).then_some(Reason::NotExpired { until: snapshot.expires_at });
    let in_use = snapshot.in_use.then_some(Reason::InUse);
    let in_checkpoint = snapshot.in_checkpoint.then_some(Reason::Checkpoint);
    let ahead = (status.is_restorable() && snapshot.taken_at > now).then_some(Reason::Ahead);
    in_progress.into_iter().chain(pin).chain(hold).chain(in_checkpoint).chain(in_use).chain(ahead).chain(tags).chain(age).collect()
}
