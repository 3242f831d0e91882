//! What is put right at start, and what is tidied up from time to time.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::base::timestamp::Timestamp;
use crate::domain::metric::fact::{Fact, FactKind};
use crate::domain::page::{MAX_PAGE_SIZE, PageRequest};
use crate::lightrag::capture::sweep_staging;
use crate::repository::sweep_temporary_files;
use crate::service::graphs::Graph;
use crate::service::idempotency::REMEMBERED;
use crate::service::{Error, Services};
use crate::store::graphs::GraphFilter;
use crate::store::{drills, facts, idempotency_keys, leases, operations, schedule_runs};

/// How often is looked what there is to do.
const TICK: Duration = Duration::from_secs(60);

/// How long another instance waits when this one has ended without a word.
const LEASE: Duration = Duration::from_secs(5 * 60);

/// How often is tidied up.
const PERIOD: Duration = Duration::from_secs(3600);

/// How often records are compared with rows.
const RECORDS_PERIOD: Duration = Duration::from_secs(24 * 3600);

/// How long temporary files are spared that another computer may be writing.
const FOREIGN: Duration = Duration::from_secs(24 * 3600);

/// How long runs of schedules are listed.
const RUNS_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// How long drills are listed.
const DRILLS_KEPT: Duration = Duration::from_secs(366 * 24 * 3600);

/// The lease of the instance that tidies up.
const LEASE_NAME: &str = "housekeeping";

/// Puts right what a process that ended without warning has left: its operations can be claimed at once where only one process
/// uses the database, and what it had staged is removed.
///
/// # Errors
/// The database's.
pub async fn recover(services: &Services) -> Result<(), Error> {
    if services.store().is_sqlite() {
        leases::delete_all(services.store().read()).await?;
        let count = operations::expire_leases(services.store().read(), services.now()).await?;
        if count > 0 {
            tracing::info!(count, "operations of an earlier process are taken up again");
        }
    }
    if let Err(error) = services.sweep_drills().await {
        tracing::warn!(error = error.chain(), "cannot sweep the place for drills");
    }
    let mut page = PageRequest::<String> { size: MAX_PAGE_SIZE, after: None };
    loop {
        let graphs = services.list_graphs(&GraphFilter::default(), &page).await?;
        for graph in &graphs.items {
            if let Err(error) = sweep(services, graph).await {
                tracing::warn!(graph_id = graph.row.graph_id.as_str(), error = error.chain(), "cannot sweep what an earlier process left");
            }
        }
        let Some(last) = graphs.items.last().filter(|_| graphs.next_page_token.is_some()) else { return Ok(()) };
        page.after = Some(last.row.graph_id.to_string());
    }
}

/// Removes what operations that are over have staged beside a graph's source and inputs, and temporary files in its repository.
async fn sweep(services: &Services, graph: &Graph) -> Result<(), Error> {
    let root = services.repository_root(&graph.row.graph_id);
    let own = [&graph.row.source_dir].into_iter().chain(&graph.row.inputs_dir).filter(|directory| !directory.is_empty());
    let sources: Vec<PathBuf> = own.map(PathBuf::from).collect();
    let now = SystemTime::UNIX_EPOCH + services.now().since(Timestamp::default());
    let unchanged_since = (!services.store().is_sqlite()).then(|| now - FOREIGN);
    let (bag, runtime) = (services.clone(), Handle::current());
    services
        .blocking(move || {
            // Asked when the staging is found: its operation was there first, so none that lives is taken for one that is over.
            let is_over = |id: &str| runtime.block_on(bag.get_operation(id)).is_ok_and(|operation| operation.row.state.is_ended());
            sources.iter().try_for_each(|source| sweep_staging(source, &is_over))?;
            sweep_temporary_files(&root, unchanged_since)?;
            Ok::<_, Error>(())
        })
        .await
}

/// Tidies up on one instance, until the process is asked to stop. Each minute: the next prune, and the next checkpoint and drill by
/// themselves. Every hour: what was remembered long enough is forgotten, and what retention no longer keeps is deleted. Neither expiry nor
/// prunes begin in the first hour. At first and then once a day: rows and records are compared.
pub async fn housekeep(services: Services, backup_enabled: bool, recovery_enabled: bool) {
    let stopping = services.stopping().clone();
    let mut done = Done { started: Instant::now(), hourly: None, compared: None };
    loop {
        if let Err(error) = tidy_up(&services, backup_enabled, recovery_enabled, &mut done).await {
            tracing::warn!(error = error.chain(), "cannot tidy up");
        }
        if stopping.run_until_cancelled(tokio::time::sleep(TICK)).await.is_none() {
            return;
        }
    }
}

/// When something was done last, by this process.
struct Done {
    started: Instant,
    hourly: Option<Instant>,
    compared: Option<Instant>,
}

async fn tidy_up(services: &Services, backup_enabled: bool, recovery_enabled: bool, done: &mut Done) -> Result<(), Error> {
    let (store, now) = (services.store(), services.now());
    if !leases::take(store.read(), LEASE_NAME, services.instance_id(), now, LEASE).await? {
        return Ok(());
    }
    let is_due = |last: Option<Instant>, period| last.is_none_or(|last| last.elapsed() >= period);
    if is_due(done.hourly, PERIOD) {
        idempotency_keys::delete_before(store.read(), now.minus(REMEMBERED)).await?;
        services.forget_events().await?;
        schedule_runs::delete_before(store.read(), now.minus(RUNS_KEPT)).await?;
        drills::delete_before(store.read(), now.minus(DRILLS_KEPT)).await?;
        services.forget_alerts().await?;
        // Before anything is queued: graphs that are worked on are left out.
        if is_due(done.compared, RECORDS_PERIOD) {
            services.sweep_records().await?;
            told(services.sweep_statistics().await.map(|_| ()), "compare statistics");
            done.compared = Some(Instant::now());
        }
        // Where nothing new is taken, nothing old is deleted. Nor by the hour in the first one: an operator who has started with another
        // database, or other settings, than he meant has time to see it.
        if backup_enabled && done.hourly.is_some() {
            told(services.expire_checkpoints().await, "remove checkpoints");
            services.expire_all().await?;
            facts::insert(store.read(), Fact::new(FactKind::Retention, now)).await?;
        }
        done.hourly = Some(Instant::now());
    }
    if recovery_enabled {
        told(services.make_due_checkpoint().await, "make a checkpoint");
        told(services.drill_next().await, "drill a graph");
    }
    if backup_enabled && done.started.elapsed() >= PERIOD {
        services.prune_next().await?;
    }
    Ok(())
}

/// Logs what could not be done; the rest is done all the same.
fn told(done: Result<(), Error>, what: &str) {
    if let Err(error) = done {
        tracing::warn!(error = error.chain(), "cannot {what}");
    }
}
