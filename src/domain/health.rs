//! Whether a graph could be recovered: what was found out about its source and its backup, and how bad that is. Each message says what to
//! do.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::finding::Consistency;
use super::words::words;

words! {
    /// How a component is, from the best to the worst.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum HealthStatus {
        /// All that was looked at is well.
        Healthy = "healthy",
        /// Nothing was looked at yet.
        Unknown = "unknown",
        /// It works, and something should be mended.
        Degraded = "degraded",
        /// It cannot be reached.
        Offline = "offline",
        /// It does not protect, or is damaged.
        Critical = "critical",
    }
}

words! {
    /// What a component is.
    pub enum ComponentType {
        /// A graph's source and its LightRAG server.
        Graph = "graph",
        /// A graph's snapshots and their repository.
        Backup = "backup",
        /// A target of replication.
        Target = "target",
    }
}

impl HealthStatus {
    /// The worst of all; unknown for none.
    pub fn worst(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().max().unwrap_or(Self::Unknown)
    }
}

/// How a component is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The worst of what was found.
    pub status: HealthStatus,
    /// All that was found, on one line.
    pub message: String,
    /// What was measured, by its name.
    pub details: BTreeMap<&'static str, String>,
}

/// What was found out about a graph's source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceFacts {
    /// Why its files cannot be listed.
    pub unreadable: Option<String>,
    /// Regular files in it, and the sum of their sizes, bytes.
    pub files: u64,
    /// Sum of their sizes, bytes.
    pub size_bytes: u64,
    /// Its store files were compared with those of its newest good snapshot.
    pub is_compared: bool,
    /// Store files that its newest good snapshot has and it has not.
    pub missing_stores: Vec<String>,
    /// The size of its newest good snapshot, bytes.
    pub snapshot_size_bytes: Option<u64>,
    /// What the audit of its newest snapshot said.
    pub last_consistency: Option<Consistency>,
    /// The failover that holds it, and whether that has left it neither old nor new.
    pub failover: Option<(String, bool)>,
    /// Its LightRAG server: what keeps it from answering, or nothing; none where there is no server.
    pub server: Option<Option<String>>,
}

/// What was found out about a graph's snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackupFacts {
    /// The newest good snapshot, and how long ago its capture began, seconds.
    pub newest_good: Option<(String, u64)>,
    /// How old that may be, seconds; none where nobody says.
    pub objective_seconds: Option<u64>,
    /// Why the newest snapshot that was asked for has failed.
    pub last_failure: Option<String>,
    /// What is known to be wrong with the newest snapshot that could be restored.
    pub damaged: Option<String>,
    /// A checkpoint with this graph that is not valid: the newest.
    pub invalid_checkpoint: Option<String>,
    /// Why the newest good snapshot cannot be read from the repository.
    pub unreadable: Option<String>,
    /// The repository is being pruned or repaired, so that nobody else reads it.
    pub is_busy: bool,
    /// Free in the storage, bytes.
    pub free_bytes: Option<u64>,
    /// The size of the newest good snapshot, bytes.
    pub size_bytes: u64,
    /// How long ago a checkpoint with this graph passed its validation, seconds; none where none ever has.
    pub validated_seconds: Option<u64>,
    /// How long ago the newest checkpoint with this graph was made, where none was ever validated, seconds.
    pub unvalidated_seconds: Option<u64>,
    /// How long a validation counts, seconds.
    pub validation_counts_seconds: Option<u64>,
    /// How long the graph's recovery took in its last drill that has passed.
    pub rto: Option<Duration>,
    /// How long it may take, seconds; none where nobody says.
    pub rto_objective_seconds: Option<u64>,
    /// Why the last drill has failed, and whether that says that the newest good snapshot does not recover the graph.
    pub failed_drill: Option<(String, bool)>,
    /// It is a copy with another password: only whoever brings it knows what it holds.
    pub is_sealed: bool,
    /// It is a copy of a graph that is elsewhere.
    pub is_copy: bool,
    /// How many copies its newest good snapshot has that had time to get some; none where nobody says how many it must have.
    pub copies: Option<Copies>,
}

/// The copies of a snapshot, and those that it must have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copies {
    /// The snapshot.
    pub snapshot_id: String,
    /// Enabled targets that hold it.
    pub there: i32,
    /// Targets that must hold it.
    pub wanted: i32,
    /// Those of the former that are off site.
    pub off_site: i32,
    /// How many of them must be.
    pub off_site_wanted: i32,
}

/// A source that has shrunk below this share of its newest good snapshot has lost something.
const SHRUNK: f64 = 0.7;

impl SourceFacts {
    /// How the source is.
    pub fn judge(self) -> Health {
        let mut found = Found::default();
        if let Some(why) = &self.unreadable {
            found.add(HealthStatus::Critical, format!("the source cannot be read, mount or restore it: {why}"));
        }
        match &self.failover {
            Some((id, true)) => {
                found.add(HealthStatus::Critical, format!("failover `{id}` is incomplete, mend what it says and roll it back"));
            }
            Some((id, false)) => found.add(HealthStatus::Degraded, format!("failover `{id}` is being done, wait for its end")),
            None => {}
        }
        if !self.missing_stores.is_empty() {
            let names = self.missing_stores.join(", ");
            found.add(HealthStatus::Critical, format!("stores of the last good snapshot are missing in the source, restore them: {names}"));
        }
        let before = self.snapshot_size_bytes.unwrap_or_default();
        if self.unreadable.is_none() && self.files == 0 && before > 0 {
            found.add(HealthStatus::Critical, "the source is empty, mount or restore it".to_owned());
        }
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
        if self.unreadable.is_none() && self.files > 0 && (self.size_bytes as f64) < before as f64 * SHRUNK {
            found.add(
                HealthStatus::Degraded,
                format!("the source has shrunk from {before} to {} bytes, compare it with the last good snapshot", self.size_bytes),
            );
        }
        if self.last_consistency == Some(Consistency::Inconsistent) {
            found.add(HealthStatus::Degraded, "the newest snapshot contradicts itself, see its findings".to_owned());
        }
        if let Some(Some(why)) = &self.server {
            found.add(HealthStatus::Degraded, format!("the LightRAG server does not answer, is it running? {why}"));
        }
        found.details.insert("files", self.files.to_string());
        found.details.insert("size_bytes", self.size_bytes.to_string());
        if let Some(answer) = self.server {
            found.details.insert("lightrag_server", answer.map_or("answers", |_| "does not answer").to_owned());
        }
        let well = if self.is_compared { "the source is complete" } else { "the source can be listed" };
        found.health(well)
    }
}

impl BackupFacts {
    /// How the backup is.
    pub fn judge(self) -> Health {
        let mut found = Found::default();
        if self.is_sealed {
            let message = "it is a copy with another password: its files are verified by whoever brings it, and nothing else is known here";
            found.add(HealthStatus::Unknown, message.to_owned());
            return found.health("");
        }
        match (&self.newest_good, self.objective_seconds) {
            (None, _) if self.is_copy => {
                found.add(HealthStatus::Critical, "no good snapshot has come yet: does the other side send?".to_owned());
            }
            (None, _) => found.add(HealthStatus::Critical, "there is no good snapshot, take one".to_owned()),
            (Some((id, age)), Some(objective)) if *age > objective => {
                found
                    .add(HealthStatus::Critical, format!("the newest good snapshot `{id}` is {age} s old, the objective is {objective} s"));
            }
            (Some(_), _) => {}
        }
        if let Some(why) = &self.damaged {
            found.add(HealthStatus::Critical, format!("the newest snapshot is damaged, repair the repository or take another one: {why}"));
        }
        if let Some(id) = &self.invalid_checkpoint {
            found.add(HealthStatus::Degraded, format!("checkpoint `{id}` is not valid, its validations say why: make another one"));
        }
        if let Some(why) = &self.unreadable {
            found.add(HealthStatus::Critical, format!("the newest good snapshot cannot be read, check and repair the repository: {why}"));
        }
        if let Some(why) = &self.last_failure {
            found.add(HealthStatus::Degraded, format!("the last snapshot has failed: {why}"));
        }
        if self.free_bytes.is_none() {
            found.add(HealthStatus::Degraded, "nobody knows how much room the storage has: is it mounted?".to_owned());
        }
        if let Some(free) = self.free_bytes.filter(|free| *free < self.size_bytes) {
            let message = format!("the storage has {free} bytes free, less than the {} of one snapshot: make room", self.size_bytes);
            found.add(HealthStatus::Degraded, message);
        }
        let since = self.validated_seconds.or(self.unvalidated_seconds);
        if let Some((age, counts)) = since.zip(self.validation_counts_seconds).filter(|(age, counts)| age > counts) {
            found.add(
                HealthStatus::Degraded,
                format!("no checkpoint was validated for {age} s, which is more than {counts} s: validate one"),
            );
        }
        match (self.rto, self.rto_objective_seconds) {
            (Some(rto), Some(objective)) if rto > Duration::from_secs(objective) => found.add(
                HealthStatus::Degraded,
                format!("the last recovery took {:.3} s in its drill, the objective is {objective} s: see its stages", rto.as_secs_f64()),
            ),
            (None, Some(objective)) => found.add(
                HealthStatus::Degraded,
                format!("nobody knows whether a recovery takes at most {objective} s, as is the objective: drill the graph"),
            ),
            (_, _) => {}
        }
        match &self.failed_drill {
            Some((why, true)) => found.add(HealthStatus::Critical, format!("the newest good snapshot does not recover the graph: {why}")),
            Some((why, false)) => found.add(HealthStatus::Degraded, format!("the last drill has failed, drill the newest snapshot: {why}")),
            None => {}
        }
        if let Some(Copies { snapshot_id, there, wanted, off_site, off_site_wanted }) = &self.copies {
            if there < wanted || off_site < off_site_wanted {
                let status = if *there == 0 { HealthStatus::Critical } else { HealthStatus::Degraded };
                let message = format!(
                    "snapshot `{snapshot_id}` is on {there} targets ({off_site} off site) and has to be on {wanted} ({off_site_wanted} off \
                     site): see why its targets are behind"
                );
                found.add(status, message);
            }
            found.details.insert("copies", there.to_string());
            found.details.insert("off_site_copies", off_site.to_string());
        }
        if let Some((id, age)) = self.newest_good {
            found.details.insert("newest_good_snapshot", id);
            found.details.insert("age_seconds", age.to_string());
        }
        let numbers = [
            ("objective_seconds", self.objective_seconds),
            ("free_bytes", self.free_bytes),
            ("validated_seconds_ago", self.validated_seconds),
            ("rto_objective_seconds", self.rto_objective_seconds),
        ];
        if let Some(rto) = self.rto {
            found.details.insert("rto_seconds", format!("{:.3}", rto.as_secs_f64()));
        }
        found.details.extend(numbers.into_iter().filter_map(|(name, number)| Some((name, number?.to_string()))));
        let well = if self.is_busy {
            "there is a good snapshot; its repository is being worked on"
        } else {
            "the newest good snapshot can be read"
        };
        found.health(well)
    }
}

/// What is found one after the other.
#[derive(Default)]
struct Found {
    messages: Vec<String>,
    worst: Option<HealthStatus>,
    details: BTreeMap<&'static str, String>,
}

impl Found {
    fn add(&mut self, status: HealthStatus, message: String) {
        self.worst = self.worst.max(Some(status));
        self.messages.push(message);
    }

    fn health(self, well: &str) -> Health {
        let message = if self.messages.is_empty() { well.to_owned() } else { self.messages.join("; ") };
        Health { status: self.worst.unwrap_or(HealthStatus::Healthy), message, details: self.details }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts_and_nothing_is_unknown() {
        use HealthStatus::*;
        assert_eq!(HealthStatus::worst([Healthy, Degraded, Healthy]), Degraded);
        assert_eq!(HealthStatus::worst([Healthy, Critical, Offline]), Critical);
        assert_eq!(HealthStatus::worst([]), Unknown);
    }

    #[test]
    fn a_source_is_judged_by_all_that_was_found() {
        let whole = SourceFacts { files: 3, size_bytes: 100, snapshot_size_bytes: Some(140), ..SourceFacts::default() };
        assert_eq!(whole.clone().judge().status, HealthStatus::Healthy);
        let shrunk = SourceFacts { size_bytes: 97, ..whole.clone() };
        assert_eq!(shrunk.judge().status, HealthStatus::Degraded);
        let empty = SourceFacts { files: 0, size_bytes: 0, ..whole.clone() };
        assert_eq!(empty.judge().status, HealthStatus::Critical);
        let broken = SourceFacts {
            missing_stores: vec!["kv_store_full_docs.json".into()],
            server: Some(Some("connection refused".into())),
            ..whole
        };
        let health = broken.judge();
        assert_eq!(health.status, HealthStatus::Critical);
        assert!(health.message.contains("kv_store_full_docs.json") && health.message.contains("connection refused"), "{}", health.message);
        assert_eq!(health.details["lightrag_server"], "does not answer");
    }

    #[test]
    fn a_backup_is_judged_by_all_that_was_found() {
        assert_eq!(BackupFacts::default().judge().status, HealthStatus::Critical);
        let (newest_good, free_bytes) = (Some(("s".into(), 60)), Some(100));
        let fresh = BackupFacts { newest_good, free_bytes, objective_seconds: Some(60), ..BackupFacts::default() };
        assert_eq!(fresh.clone().judge().status, HealthStatus::Healthy);
        let later = Duration::from_millis(5001);
        let copies =
            |there, wanted, off_site, off_site_wanted| Copies { snapshot_id: "s".into(), there, wanted, off_site, off_site_wanted };
        for (status, worse) in [
            (HealthStatus::Critical, BackupFacts { objective_seconds: Some(59), ..fresh.clone() }),
            (HealthStatus::Critical, BackupFacts { unreadable: Some("damaged".into()), ..fresh.clone() }),
            (HealthStatus::Critical, BackupFacts { damaged: Some("it lacks content".into()), ..fresh.clone() }),
            (HealthStatus::Degraded, BackupFacts { invalid_checkpoint: Some("c".into()), ..fresh.clone() }),
            (HealthStatus::Healthy, BackupFacts { is_busy: true, ..fresh.clone() }),
            (HealthStatus::Degraded, BackupFacts { last_failure: Some("no source".into()), ..fresh.clone() }),
            (HealthStatus::Degraded, BackupFacts { free_bytes: None, ..fresh.clone() }),
            (HealthStatus::Degraded, BackupFacts { unvalidated_seconds: Some(2), validation_counts_seconds: Some(1), ..fresh.clone() }),
            (HealthStatus::Healthy, BackupFacts { unvalidated_seconds: Some(1), validation_counts_seconds: Some(1), ..fresh.clone() }),
            (HealthStatus::Degraded, BackupFacts { free_bytes: Some(9), size_bytes: 10, ..fresh.clone() }),
            (HealthStatus::Degraded, BackupFacts { validated_seconds: Some(2), validation_counts_seconds: Some(1), ..fresh.clone() }),
            (HealthStatus::Degraded, BackupFacts { rto_objective_seconds: Some(5), ..fresh.clone() }),
            (HealthStatus::Degraded, BackupFacts { rto: Some(later), rto_objective_seconds: Some(5), ..fresh.clone() }),
            (HealthStatus::Healthy, BackupFacts { rto: Some(later), rto_objective_seconds: Some(6), ..fresh.clone() }),
            (HealthStatus::Healthy, BackupFacts { rto: Some(later), ..fresh.clone() }),
            (HealthStatus::Critical, BackupFacts { failed_drill: Some(("recall".into(), true)), ..fresh.clone() }),
            (HealthStatus::Degraded, BackupFacts { failed_drill: Some(("recall".into(), false)), ..fresh.clone() }),
            (HealthStatus::Unknown, BackupFacts { is_sealed: true, newest_good: None, ..fresh.clone() }),
            (HealthStatus::Healthy, BackupFacts { copies: Some(copies(2, 2, 1, 1)), ..fresh.clone() }),
            (HealthStatus::Degraded, BackupFacts { copies: Some(copies(1, 2, 1, 1)), ..fresh.clone() }),
            (HealthStatus::Degraded, BackupFacts { copies: Some(copies(2, 2, 0, 1)), ..fresh.clone() }),
            (HealthStatus::Critical, BackupFacts { copies: Some(copies(0, 1, 0, 0)), ..fresh.clone() }),
        ] {
            assert_eq!(worse.judge().status, status);
        }
    }
}
