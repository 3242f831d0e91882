//! Statistics of backups and recovery, from figures that are kept as the rows change: as quick with a million snapshots as with ten.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Services;
use super::super::error::Error;
use crate::base::timestamp::Timestamp;
use crate::domain::metric::fact::statistics::{FAILED, KEPT, KEPT_BY_HOUR, KEPT_BYTES, STORED_BYTES};
use crate::domain::metric::fact::{Fact, Step, Tally, tallies_of};
use crate::domain::metric::names;
use crate::store::statistics::Compared;
use crate::store::{checkpoints, statistics, tallies};

/// What counts as recent.
const RECENT: Duration = Duration::from_secs(7 * 24 * 3600);

const HOUR_MICROS: i64 = 3_600_000_000;

/// Counts over all snapshots.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupStatistics {
    /// Those that can be restored.
    pub total_backups: i64,
    /// The sum of their sizes, bytes.
    pub total_size_bytes: i64,
    /// Those of them that were asked for in the last seven days.
    pub recent_backups: i64,
    /// Those that have failed.
    pub failed_backups: i64,
    /// The mean size, bytes.
    pub average_size_bytes: f64,
    /// When the oldest was asked for.
    pub oldest_backup: Option<Timestamp>,
    /// When the newest was asked for.
    pub newest_backup: Option<Timestamp>,
}

/// Counts over all checkpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveryStatistics {
    /// Those that are complete.
    pub total_checkpoints: u64,
    /// Those of them whose last validation has passed, and counts still.
    pub validated_checkpoints: u64,
    /// Validations that have failed, ever.
    pub failed_validations: u64,
    /// When the oldest was asked for.
    pub oldest_checkpoint: Option<Timestamp>,
    /// When the newest was asked for.
    pub newest_checkpoint: Option<Timestamp>,
    /// Validated checkpoints of all, percent.
    pub validation_success_rate: f64,
}

impl Services {
    /// Counts over all snapshots.
    ///
    /// # Errors
    /// The database's.
    pub async fn backup_statistics(&self) -> Result<BackupStatistics, Error> {
        self.count_facts().await?;
        let (read, now) = (self.store().read(), self.now());
        let (kept, bytes) = (tallies::find(read, KEPT).await?, tallies::find(read, KEPT_BYTES).await?);
        let (oldest_backup, newest_backup) = statistics::ends_of_kept(read).await?;
        Ok(BackupStatistics {
            total_backups: kept as i64,
            total_size_bytes: bytes as i64,
            recent_backups: self.count_recent(now.minus(RECENT)).await?,
            failed_backups: tallies::find(read, FAILED).await? as i64,
            average_size_bytes: if kept > 0.0 { bytes / kept } else { 0.0 },
            oldest_backup,
            newest_backup,
        })
    }

    /// Whole hours are counted already; only those of the first one, of which a part counts, are looked at.
    async fn count_recent(&self, since: Timestamp) -> Result<i64, Error> {
        let first_hour = since.micros().div_euclid(HOUR_MICROS);
        let mut recent = 0.0;
        // Hours have six digits until 2084: as texts they have the order of numbers.
        let first = serde_json::Value::from(vec![first_hour.to_string()]).to_string();
        for row in tallies::list_after(self.store().read(), KEPT_BY_HOUR, &first).await? {
            let hour = serde_json::from_str::<Vec<String>>(&row.labels).ok().and_then(|labels| labels.first()?.parse::<i64>().ok());
            recent += if hour.is_some_and(|hour| hour > first_hour) { row.value } else { 0.0 };
        }
        let hour_end = Timestamp::from_micros((first_hour + 1) * HOUR_MICROS);
        Ok(recent as i64 + statistics::count_kept(self.store().read(), since, hour_end).await?)
    }

    /// Counts over all checkpoints.
    ///
    /// # Errors
    /// The database's.
    pub async fn recovery_statistics(&self) -> Result<RecoveryStatistics, Error> {
        self.count_facts().await?;
        let read = self.store().read();
        let counts_since = self.now().minus(self.settings().recovery.validation_max_age);
        let (total, validated) = checkpoints::count(read, counts_since).await?;
        let (oldest_checkpoint, newest_checkpoint) = statistics::ends_of_checkpoints(read).await?;
        Ok(RecoveryStatistics {
            total_checkpoints: total,
            validated_checkpoints: validated,
            failed_validations: tallies::find(read, names::RECOVERY_VALIDATION_FAILURES.name).await? as u64,
            oldest_checkpoint,
            newest_checkpoint,
            validation_success_rate: if total > 0 { 100.0 * validated as f64 / total as f64 } else { 0.0 },
        })
    }

    /// Compares the figures with the rows, all of them, and puts right what is wrong; says how many figures were.
    ///
    /// # Errors
    /// The database's.
    pub async fn sweep_statistics(&self) -> Result<usize, Error> {
        self.count_facts().await?;
        let compared = statistics::compare(self.store(), &FIGURES).await?;
        let mut missing = figures_of(&compared);
        for ((figure, labels), value) in counted_of(&compared) {
            *missing.entry((figure, labels)).or_default() -= value;
        }
        missing.retain(|_, value| *value != 0.0);
        if missing.is_empty() {
            return Ok(0);
        }
        let wrong = missing.len();
        tracing::error!(figures = wrong, "statistics differed from what they count, and are put right: please report this");
        tallies::count(self.store().read(), missing.into_iter().map(|(key, value)| tally(key, value)).collect()).await?;
        Ok(wrong)
    }
}

const FIGURES: [&str; 5] = [KEPT, KEPT_BYTES, STORED_BYTES, FAILED, KEPT_BY_HOUR];

type Key = (&'static str, Vec<String>);

/// What the rows say.
fn figures_of(compared: &Compared) -> BTreeMap<Key, f64> {
    let mut figures: BTreeMap<Key, f64> = BTreeMap::new();
    let mut add = |figure: &'static str, label: Option<String>, value: i64| {
        *figures.entry((figure, label.into_iter().collect())).or_default() += value as f64;
    };
    for row in &compared.graphs {
        for label in [None, Some(row.graph_id.clone())] {
            add(KEPT, label.clone(), row.kept);
            add(KEPT_BYTES, label.clone(), row.kept_bytes);
            add(STORED_BYTES, label.clone(), row.stored_bytes);
            add(FAILED, label, row.failed);
        }
    }
    for row in &compared.hours {
        add(KEPT_BY_HOUR, Some(row.hour.to_string()), row.kept);
    }
    figures
}

/// What was counted, or will be.
fn counted_of(compared: &Compared) -> Vec<(Key, f64)> {
    let counted = compared.tallies.iter().filter_map(|row| {
        let figure = FIGURES.into_iter().find(|figure| *figure == row.metric)?;
        Some(((figure, serde_json::from_str(&row.labels).ok()?), row.value))
    });
    let to_count = compared.facts.iter().flat_map(|row| tallies_of(&Fact::from(row.clone())));
    counted.chain(to_count.map(|tally| ((tally.metric, tally.labels), tally.value))).collect()
}

fn tally((metric, labels): Key, value: f64) -> Tally {
    let graph_id = if metric == KEPT_BY_HOUR { None } else { labels.first().cloned() };
    Tally { metric, labels, bucket: 0, graph_id, owner_id: None, step: Step::Add, value, total: 0.0 }
}
