//! Recovery health: each component is really looked at. Nothing is healthy because nobody complained.

use std::path::PathBuf;
use std::time::Duration;

use super::Services;
use super::error::Error;
use super::looking::Opened;
use super::manifest::Manifest;
use super::operations::to_json;
use crate::base::control::Control;
use crate::base::ids::HealthCheckId;
use crate::base::timestamp::Timestamp;
use crate::domain::finding::Consistency;
use crate::domain::health::{BackupFacts, ComponentType, Health, HealthStatus, SourceFacts};
use crate::lightrag::apply::free_bytes;
use crate::lightrag::server::Server;
use crate::lightrag::watch::look;
use crate::repository::{SnapshotDepth, VerifyRequest};
use crate::store::entity::health_check::Model;
use crate::store::entity::{graph, snapshot};
use crate::store::{checkpoints, graphs, health_checks, snapshots};

/// How long what was found is kept.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// How everything is that recovery needs.
#[derive(Debug, Clone)]
pub struct RecoveryHealth {
    /// The worst of all.
    pub overall: HealthStatus,
    /// When the last of them was looked at; none before the first.
    pub checked_at: Option<Timestamp>,
    /// The newest finding of each component that is there, by type and id.
    pub components: Vec<Model>,
}

impl Services {
    /// What was found last.
    ///
    /// # Errors
    /// The database's.
    pub async fn recovery_health(&self) -> Result<RecoveryHealth, Error> {
        let known = graphs::list_ids(self.store().read()).await?;
        let is_there = |check: &Model| known.iter().any(|graph_id| graph_id.as_str() == check.component_id);
        let components: Vec<Model> = health_checks::list_newest(self.store().read()).await?.into_iter().filter(is_there).collect();
        // Nobody has looked at those yet that have no finding.
        let unseen = known.len().saturating_mul(2) > components.len();
        let statuses = components.iter().map(|check| check.status).chain(unseen.then_some(HealthStatus::Unknown));
        let checked_at = components.iter().map(|check| check.checked_at).max();
        Ok(RecoveryHealth { overall: HealthStatus::worst(statuses), checked_at, components })
    }

    /// Looks at every graph's source, server, snapshots and repository, and records what was found.
    ///
    /// # Errors
    /// The database's. What is wrong with a component is what is found.
    pub async fn check_recovery_health(&self) -> Result<RecoveryHealth, Error> {
        for graph in graphs::list_all(self.store().read()).await? {
            let newest_good = self.newest_good(&graph).await?;
            let (backup, manifest) = self.look_at_backup(&graph, newest_good.as_ref()).await?;
            let source = self.look_at_source(&graph, newest_good.as_ref(), manifest.as_ref()).await?;
            let found = [(ComponentType::Graph, source.judge()), (ComponentType::Backup, backup.judge())];
            let rows: Result<Vec<Model>, Error> = found.into_iter().map(|(kind, health)| self.health_row(&graph, kind, &health)).collect();
            health_checks::insert(self.store().read(), rows?).await?;
        }
        health_checks::delete_before(self.store().read(), self.now().minus(KEPT)).await?;
        self.recovery_health().await
    }

    fn health_row(&self, graph: &graph::Model, component_type: ComponentType, health: &Health) -> Result<Model, Error> {
        let now = self.now();
        if health.status >= HealthStatus::Offline {
            let (graph_id, component) = (graph.graph_id.as_str(), component_type.as_str());
            tracing::warn!(graph_id, component, status = health.status.as_str(), message = health.message, "a component is not healthy");
        }
        Ok(Model {
            health_check_id: HealthCheckId::new(self.ids(), now),
            component_type,
            component_id: graph.graph_id.to_string(),
            status: health.status,
            message: health.message.clone(),
            details: to_json(&health.details)?,
            checked_at: now,
        })
    }

    /// The newest snapshot that a graph can be brought back from as it should be.
    async fn newest_good(&self, graph: &graph::Model) -> Result<Option<snapshot::Model>, Error> {
        let rows = snapshots::list_all(self.store().read(), &graph.graph_id).await?;
        let is_good = |row: &snapshot::Model| {
            let consistency = row.consistency.as_deref().and_then(Consistency::parse);
            let is_whole = row.status.is_restorable() && row.losses.is_none() && row.verified_passed != Some(false);
            is_whole && consistency != Some(Consistency::Inconsistent) && row.created_at <= self.now()
        };
        Ok(rows.into_iter().find(is_good))
    }

    async fn look_at_source(
        &self,
        graph: &graph::Model,
        newest_good: Option<&snapshot::Model>,
        manifest: Option<&Manifest>,
    ) -> Result<SourceFacts, Error> {
        let newest = snapshots::find_newest(self.store().read(), &graph.graph_id).await?;
        let same_source = newest_good.filter(|snapshot| snapshot.source_dir == graph.source_dir);
        let mut facts = SourceFacts {
            snapshot_size_bytes: same_source.and_then(|snapshot| u64::try_from(snapshot.size_bytes).ok()),
            last_consistency: newest.and_then(|row| row.consistency).as_deref().and_then(Consistency::parse),
            server: self.ask_server(graph).await,
            ..SourceFacts::default()
        };
        let source = PathBuf::from(&graph.source_dir);
        let stores = manifest.filter(|_| same_source.is_some()).map(|manifest| manifest.storages.clone()).unwrap_or_default();
        let looked = self.blocking(move || {
            let seen = look(&source, &Control::default())?;
            let missing = stores.into_iter().filter(|store| !source.join(store).exists()).collect::<Vec<String>>();
            Ok::<_, Error>((seen, missing))
        });
        match looked.await {
            Ok((seen, missing)) => (facts.files, facts.size_bytes, facts.missing_stores) = (seen.files, seen.size_bytes, missing),
            Err(error) => facts.unreadable = Some(error.record().message),
        }
        Ok(facts)
    }

    /// Whether the graph's LightRAG server answers, where it has one.
    async fn ask_server(&self, graph: &graph::Model) -> Option<Option<String>> {
        let url = graph.server_url.as_deref()?;
        let asked = async {
            let server = Server::new(url, self.server_api_key(graph).await?)?;
            Ok::<_, Error>(server.quiescence().await?)
        };
        Some(asked.await.err().map(|error| error.record().message))
    }

    async fn look_at_backup(
        &self,
        graph: &graph::Model,
        newest_good: Option<&snapshot::Model>,
    ) -> Result<(BackupFacts, Option<Manifest>), Error> {
        let (now, recovery) = (self.now(), self.settings().recovery);
        let newest = snapshots::find_newest(self.store().read(), &graph.graph_id).await?;
        let age = |row: &snapshot::Model| now.since(row.captured_at.unwrap_or(row.created_at)).as_secs();
        let validated_at = checkpoints::find_last_validated(self.store().read(), &graph.graph_id).await?;
        let mut facts = BackupFacts {
            newest_good: newest_good.map(|row| (row.snapshot_id.to_string(), age(row))),
            objective_seconds: Some(recovery.rpo_objective.as_secs()).filter(|seconds| *seconds > 0),
            last_failure: newest.and_then(|row| row.error_message),
            free_bytes: free_bytes(&self.settings().places.storage).ok(),
            size_bytes: newest_good.and_then(|row| u64::try_from(row.size_bytes).ok()).unwrap_or_default(),
            validated_seconds: validated_at.map(|at| now.since(at).as_secs()),
            validation_counts_seconds: Some(recovery.validation_max_age.as_secs()),
            ..BackupFacts::default()
        };
        let Some(row) = newest_good else { return Ok((facts, None)) };
        let (manifest, problem) = self.read_some(row).await.unwrap_or_else(|error| (None, Some(error.record().message)));
        facts.unreadable = problem;
        Ok((facts, manifest))
    }

    /// Reads a snapshot's record, all its directories and its manifest, which is content like any other; and looks for the packs of all
    /// else. Tells the first thing that is wrong.
    async fn read_some(&self, row: &snapshot::Model) -> Result<(Option<Manifest>, Option<String>), Error> {
        let Opened { repository, root, lock } = self.open_snapshot(row).await?;
        self.blocking(move || {
            let control = Control::default();
            let request = VerifyRequest { root: &root, depth: SnapshotDepth::Record, control: &control };
            let verified = repository.verify_snapshot(&request, lock.lock())?;
            let manifest = repository.read_manifest(&root.record, lock.lock());
            let problem = verified.problems.first().map(ToString::to_string);
            match manifest {
                Ok(bytes) => Ok((bytes.and_then(|bytes| Manifest::parse(&bytes)), problem)),
                Err(error) => Ok::<_, Error>((None, problem.or(Some(error.to_string())))),
            }
        })
        .await
    }
}
