//! What is put right at start, and what is tidied up from time to time.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::page::{MAX_PAGE_SIZE, PageRequest};
use crate::lightrag::capture::sweep_staging;
use crate::repository::sweep_temporary_files;
use crate::service::idempotency::REMEMBERED;
use crate::service::{Error, Services};
use crate::store::{idempotency_keys, leases, operations};

/// How often is tidied up.
const PERIOD: Duration = Duration::from_secs(3600);

/// The lease of the instance that tidies up.
const LEASE_NAME: &str = "housekeeping";

/// Puts right what a process that ended without warning has left: its operations can be claimed at once where only one process
/// uses the database, and what it had staged is removed.
///
/// # Errors
/// The database's.
pub async fn recover(services: &Services) -> Result<(), Error> {
    if services.store().is_sqlite() {
        let count = operations::expire_leases(services.store().read(), services.now()).await?;
        if count > 0 {
            tracing::info!(count, "operations of an earlier process are taken up again");
        }
    }
    let unfinished = operations::list_unfinished(services.store().read()).await?;
    let unfinished: Vec<String> = unfinished.iter().map(ToString::to_string).collect();
    let mut page = PageRequest::<String> { size: MAX_PAGE_SIZE, after: None };
    loop {
        let graphs = services.list_graphs(&page).await?;
        for graph in &graphs.items {
            let root = services.repository_root(&graph.row.graph_id);
            let (source, unfinished) = (PathBuf::from(&graph.row.source_dir), unfinished.clone());
            let swept = services.blocking(move || {
                // A source that is not there any more has nothing staged.
                let staging = sweep_staging(&source, &|operation| !unfinished.iter().any(|id| id == operation));
                let temporary = sweep_temporary_files(&root);
                staging.map_err(Error::from).and(temporary.map_err(Error::from))
            });
            if let Err(error) = swept.await {
                tracing::warn!(graph_id = graph.row.graph_id.as_str(), error = error.chain(), "cannot sweep what an earlier process left");
            }
        }
        let Some(last) = graphs.items.last().filter(|_| graphs.next_page_token.is_some()) else { return Ok(()) };
        page.after = Some(last.row.graph_id.to_string());
    }
}

/// Tidies up every hour, on one instance, until the process is asked to stop.
pub async fn housekeep(services: Services) {
    let stopping = services.stopping().clone();
    loop {
        if let Err(error) = tidy_up(&services).await {
            tracing::warn!(error = error.chain(), "cannot tidy up");
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = stopping.cancelled() => return,
        }
    }
}

async fn tidy_up(services: &Services) -> Result<(), Error> {
    let (store, now) = (services.store(), services.now());
    if !leases::take(store.read(), LEASE_NAME, services.instance_id(), now, PERIOD * 2).await? {
        return Ok(());
    }
    let micros = i64::try_from(REMEMBERED.as_micros()).unwrap_or(i64::MAX);
    let before = crate::base::timestamp::Timestamp::from_micros(now.micros().saturating_sub(micros));
    idempotency_keys::delete_before(store.read(), before).await?;
    Ok(())
}
