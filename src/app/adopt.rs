//! `lightkeep adopt`: rebuilds what the database knows from what the repositories hold.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::config::Config;
use super::server;
use crate::base::clock::SystemClock;
use crate::base::ids::IdSource;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::report::ReconcileReport;
use crate::jobs::Worker;
use crate::service::Services;
use crate::service::operations::report;

/// Adopts the repositories of these graphs, or of all in the storage, and says what was found.
///
/// # Errors
/// A server uses the storage; a repository cannot be opened or read. The others are adopted all the same.
pub(super) async fn run(config: Config, only: &[String]) -> anyhow::Result<()> {
    let storage = config.storage.display();
    // Before anything is made: a wrong directory must not become a storage.
    if !config.storage.is_dir() {
        bail!("there is no storage, name it by `--storage` or load the server's settings: {storage}");
    }
    let slots = config.max_parallel_operations;
    let (services, _locks) = server::services(&config, Arc::new(SystemClock), IdSource::Random).await?;
    let worker = services.tasks().spawn(Worker::new(services.clone(), slots).run());
    let graphs = match only {
        [] => services.find_repositories().await?,
        named => named.iter().map(|id| GraphId::parse(id).with_context(|| format!("no graph id: {id}"))).collect::<Result<_, _>>()?,
    };
    let mut failed = 0;
    for graph_id in &graphs {
        match adopt(&services, graph_id).await {
            Ok(report) => say(graph_id, &report),
            Err(error) => {
                failed += 1;
                eprintln!("graph `{graph_id}`: {error:#}");
            }
        }
    }
    services.stopping().cancel();
    worker.await.context("the worker died")?;
    services.store().clone().close().await?;
    if graphs.is_empty() {
        bail!("no repository in the storage, put each into a directory there, named as its graph: {storage}");
    }
    if failed > 0 {
        bail!("{failed} of {} repositories could not be adopted", graphs.len());
    }
    Ok(())
}

async fn adopt(services: &Services, graph_id: &GraphId) -> anyhow::Result<ReconcileReport> {
    let caller = Caller { name: "adopt", request_id: None };
    let queued = services.adopt_repository(&caller, graph_id).await?;
    let ended = services.wait_for(queued.operation_id).await?;
    report(&ended).context("the comparison has left no report")
}

fn say(graph_id: &GraphId, report: &ReconcileReport) {
    println!("graph `{graph_id}`: {} snapshots in its repository, {} adopted", report.records, report.adopted_snapshot_ids.len());
    for (what, ids) in
        [("its record is gone", &report.lost_snapshot_ids), ("its record has another name now", &report.renamed_snapshot_ids)]
    {
        for id in ids {
            println!("  snapshot {id}: {what}");
        }
    }
    for id in &report.unreadable_record_ids {
        println!("  record {id}: it cannot be read, repair the repository");
    }
    if !report.adopted_snapshot_ids.is_empty() {
        println!("  pins, policies and the LightRAG server are not kept in a repository: set them again");
    }
}
