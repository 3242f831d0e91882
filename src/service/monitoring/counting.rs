//! Facts are taken away and counted, and what matters of them is told as events: all in one transaction.

use std::collections::HashMap;

use super::super::Services;
use super::super::error::Error;
use super::super::operations::recorded_error;
use super::{Known, target_names};
use crate::base::ids::{EventId, OperationId};
use crate::domain::event::happening_of;
use crate::domain::metric::fact::{Fact, FactKind, Tally, tallies_of};
use crate::domain::metric::{Collected, names};
use crate::store::entity::{event, tally};
use crate::store::{self, Transaction, events, facts, operations, tallies};

/// So many facts are counted in one transaction.
const AT_ONCE: u64 = 2000;

/// What happened longer ago is no news: it was there before anybody counted.
const NEWS: std::time::Duration = std::time::Duration::from_secs(3600);

impl Services {
    /// Counts all that has happened and is not counted yet.
    ///
    /// # Errors
    /// The database's.
    pub async fn count_facts(&self) -> Result<(), Error> {
        while facts::has_any(self.store().read()).await? {
            let transaction = self.store().begin().await?;
            let taken = facts::take(&*transaction, AT_ONCE).await?;
            if taken.is_empty() {
                // Another instance was faster.
                return Ok(());
            }
            let taken: Vec<Fact> = taken.into_iter().map(Fact::from).collect();
            self.count(&transaction, &taken).await?;
            if self.settings().monitoring.events_enabled {
                self.tell_news(&transaction, &taken).await?;
            }
            store::commit(transaction).await?;
        }
        Ok(())
    }

    async fn count(&self, transaction: &Transaction, taken: &[Fact]) -> Result<(), Error> {
        let mut counted: Vec<Tally> = Vec::new();
        for fact in taken {
            let gone = if fact.kind == FactKind::Gone { fact.graph_id.as_ref().or(fact.subject_id.as_ref()) } else { None };
            if let Some(gone) = gone {
                counted.retain(|tally| tally.graph_id.as_ref() != Some(gone) && tally.owner_id.as_ref() != Some(gone));
                tallies::delete_of(&**transaction, gone).await?;
            }
            counted.extend(tallies_of(fact));
        }
        Ok(tallies::count(&**transaction, counted).await?)
    }

    async fn tell_news(&self, transaction: &Transaction, taken: &[Fact]) -> Result<(), Error> {
        let now = self.now();
        let news: Vec<&Fact> = taken.iter().filter(|fact| now.since(fact.at) <= NEWS).collect();
        let errors = errors_of(transaction, &news).await?;
        let told = news.into_iter().filter_map(|fact| {
            let error = fact.subject_id.as_deref().and_then(|id| errors.get(id));
            let happening = happening_of(fact, error.map(String::as_str))?;
            Some(event::Model {
                event_id: EventId::new(self.ids(), now),
                created_at: now,
                kind: happening.topic,
                severity: happening.severity,
                graph_id: fact.graph_id.clone(),
                subject_id: fact.subject_id.clone(),
                message: happening.message,
            })
        });
        let told: Vec<event::Model> = told.collect();
        if !told.is_empty() {
            events::insert(&**transaction, told).await?;
        }
        Ok(())
    }

    /// Adds what was counted, with the names of targets for their ids; and the zeros of what could be counted and was not yet.
    pub(super) fn add_tallies(&self, collected: &mut Collected, known: &Known, rows: Vec<tally::Model>) {
        let targets = target_names(&known.targets);
        for row in rows {
            let Some(metric) = names::find(&row.metric) else { continue };
            let Ok(mut labels) = serde_json::from_str::<Vec<String>>(&row.labels) else { continue };
            if labels.len() != metric.labels.len() {
                continue;
            }
            if let Some(target) = metric.labels.iter().position(|label| *label == "target").map(|place| &mut labels[place]) {
                let Some(name) = targets.get(target) else { continue };
                target.clone_from(name);
            }
            collected.add_tally(metric, labels, row.bucket, (row.value, row.total));
        }
        let schedules = known.schedules.iter().map(|schedule| vec![schedule.schedule_id.to_string()]);
        collected.samples.add_zeros(&names::SCHEDULE_MISSED, schedules);
        collected.samples.add_zeros(&names::REPLICATION_TRANSFERRED, known.targets.iter().map(|target| vec![target.name.clone()]));
    }
}

/// Why the operations have failed that the facts are about, by their ids.
async fn errors_of(transaction: &Transaction, taken: &[&Fact]) -> Result<HashMap<String, String>, Error> {
    let has_failed = |fact: &&&Fact| fact.kind == FactKind::Operation && fact.word.as_deref().is_some_and(|word| word.ends_with("failed"));
    let ids: Vec<OperationId> =
        taken.iter().filter(has_failed).filter_map(|fact| OperationId::parse(fact.subject_id.as_deref()?)).collect();
    let rows = operations::list_by_ids(&**transaction, &ids).await?;
    Ok(rows.iter().filter_map(|row| Some((row.operation_id.to_string(), recorded_error(row)?.message))).collect())
}
