//! The schedules that graphs have by the settings (`LIGHTRAG_AUTO_BACKUP_INTERVAL`), as long as no other schedule names them.

use std::collections::HashSet;

use sea_orm::ConnectionTrait;

use super::Services;
use super::error::Error;
use super::schedule_rows::{Subject, fill_in, schedule_of};
use crate::domain::graph_id::GraphId;
use crate::domain::schedule::ScheduleFields;
use crate::domain::schedule_run::ScheduleOrigin;
use crate::store::entity::graph;
use crate::store::{self, graphs, schedules};

impl Services {
    /// Adds a graph with its default schedule, whose first run is one interval later.
    ///
    /// # Errors
    /// A unique violation when the id is taken.
    pub(super) async fn insert_graph(&self, connection: &impl ConnectionTrait, row: graph::Model) -> Result<graph::Model, Error> {
        let row = graphs::insert(connection, row).await?;
        self.insert_default_schedule(connection, &row.graph_id).await?;
        Ok(row)
    }

    async fn insert_default_schedule(&self, connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<(), Error> {
        let Some(interval_seconds) = self.default_interval_seconds().filter(|_| !graph_id.is_copy()) else { return Ok(()) };
        let fields = ScheduleFields { interval_seconds: Some(interval_seconds), ..ScheduleFields::default() };
        let row = self.new_schedule_row(ScheduleOrigin::Default, &Subject::Graph(graph_id.clone()), &fields, false)?;
        schedules::insert(connection, row).await?;
        Ok(())
    }

    fn default_interval_seconds(&self) -> Option<i64> {
        let hours = i64::from(self.settings().auto_backup_interval_hours);
        (hours > 0).then_some(hours * 3600)
    }

    /// Brings the default schedules to what the settings say now. A changed interval begins anew.
    ///
    /// # Errors
    /// The database's.
    pub async fn sync_default_schedules(&self) -> Result<(), Error> {
        let (wanted, now) = (self.default_interval_seconds(), self.now());
        for mut row in schedules::list_default(self.store().read()).await? {
            if wanted.is_none() {
                schedules::delete(self.store().read(), row.schedule_id).await?;
            } else if row.interval_seconds != wanted {
                let revision = row.revision;
                (row.interval_seconds, row.anchored_at, row.revision) = (wanted, now, revision + 1);
                let schedule = schedule_of(&row)?;
                let fields = ScheduleFields { interval_seconds: wanted, ..ScheduleFields::default() };
                fill_in(&mut row, &fields, &schedule, now);
                schedules::update(self.store().read(), &row, revision).await?;
            }
        }
        if wanted.is_none() {
            return Ok(());
        }
        let named: HashSet<GraphId> = schedules::list_named_graphs(self.store().read()).await?.into_iter().collect();
        for graph_id in graphs::list_ids(self.store().read()).await?.iter().filter(|graph_id| !named.contains(graph_id)) {
            let transaction = self.store().begin().await?;
            match self.insert_default_schedule(&*transaction, graph_id).await {
                Ok(()) => store::commit(transaction).await?,
                // Another instance that starts beside this one has made it.
                Err(error) if error.is_race() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
