//! What it costs when very many schedules are due at once: `cargo bench --bench scheduler [-- COUNT...]`.
//!
//! Each schedule has a graph of its own; all are due in the same minute, and fire in a fresh SQLite database. The snapshots are queued, not
//! taken. The target: 10,000 runs are there within their minute, and the cost of one does not grow with their number.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lightkeep::base::clock::ManualClock;
use lightkeep::base::ids::IdSource;
use lightkeep::base::secret::Secret;
use lightkeep::base::timestamp::Timestamp;
use lightkeep::domain::caller::Caller;
use lightkeep::domain::graph_id::GraphId;
use lightkeep::domain::policy::{BusyPolicy, InconsistentPolicy};
use lightkeep::domain::schedule::ScheduleFields;
use lightkeep::domain::schedule_run::ScheduleAction;
use lightkeep::domain::tag::Tags;
use lightkeep::service::alerts::AlertSettings;
use lightkeep::service::checkpoint_schedule::RecoverySettings;
use lightkeep::service::drills::DrillSettings;
use lightkeep::service::hooks::FailoverSettings;
use lightkeep::service::paths::Places;
use lightkeep::service::prune_schedule::PruneSettings;
use lightkeep::service::replication::ReplicationSettings;
use lightkeep::service::schedule_rows::{NewSchedule, Subject};
use lightkeep::service::sealed::{SecretKey, SecretKeys};
use lightkeep::service::{Services, Settings};
use lightkeep::store::entity::graph;
use lightkeep::store::{self, Store, graphs, schedules};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let counts: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let counts = if counts.is_empty() { vec![100, 1_000, 10_000, 100_000] } else { counts };
    println!(
        "{:>9} {:>10} {:>14} {:>12} {:>14} {:>10}",
        "schedules", "seconds", "us a schedule", "of the first", "idle tick, us", "peak, MB"
    );
    let mut first = None;
    for count in counts {
        let (fired, idle) = measure(count).await?;
        let each = fired.as_secs_f64() * 1e6 / count as f64;
        let ratio = each / *first.get_or_insert(each);
        let (seconds, idle_us) = (fired.as_secs_f64(), idle.as_secs_f64() * 1e6);
        println!("{count:>9} {seconds:>10.2} {each:>14.0} {ratio:>12.2} {idle_us:>14.0} {:>10}", peak_megabytes());
    }
    Ok(())
}

/// The time in which all fire, and that of a look when nothing is due.
async fn measure(count: u64) -> Result<(Duration, Duration), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let clock = ManualClock::new(Timestamp::from_micros(1_606_046_400_000_000));
    let store = Store::connect(&format!("sqlite://{}/lightkeep.db?mode=rwc", directory.path().display())).await?;
    store.migrate().await?;
    let services = Services::new(settings(directory.path()), store, Arc::new(clock.clone()), IdSource::default());
    fill(&services, count).await?;
    clock.advance(HOUR);
    let started = Instant::now();
    let fired = services.fire_due().await?;
    let took = started.elapsed();
    assert_eq!(fired as u64, count, "each schedule fires once");
    let started = Instant::now();
    assert_eq!(services.fire_due().await?, 0);
    Ok((took, started.elapsed()))
}

async fn fill(services: &Services, count: u64) -> Result<(), Box<dyn Error>> {
    let caller = Caller { name: "bench", request_id: None };
    let fields = ScheduleFields { interval_seconds: Some(3600), ..ScheduleFields::default() };
    let model = GraphId::parse("g")?;
    let transaction = services.store().begin().await?;
    graphs::insert(&*transaction, row(&model, services.now())).await?;
    store::commit(transaction).await?;
    let new = NewSchedule {
        subject: Subject::Graph(model.clone()),
        fields,
        tags: Tags::default(),
        action: ScheduleAction::Snapshot,
        request_id: None,
    };
    let schedule = services.create_schedule(&caller, &new).await?;
    schedules::delete(services.store().read(), schedule.schedule_id).await?;
    let transaction = services.store().begin().await?;
    for number in 0..count {
        let graph_id = GraphId::parse(&format!("g{number}"))?;
        graphs::insert(&*transaction, row(&graph_id, services.now())).await?;
        let schedule_id = lightkeep::base::ids::ScheduleId::new(services.ids(), services.now());
        let schedule = store::entity::schedule::Model { schedule_id, graph_id: Some(graph_id), ..schedule.clone() };
        schedules::insert(&*transaction, schedule).await?;
    }
    Ok(store::commit(transaction).await?)
}

fn row(graph_id: &GraphId, created_at: Timestamp) -> graph::Model {
    graph::Model {
        graph_id: graph_id.clone(),
        source_dir: format!("/srv/lightrag/{graph_id}"),
        server_url: None,
        server_api_key: None,
        quiet_wait_seconds: 30,
        busy_policy: BusyPolicy::Proceed,
        inconsistent_policy: InconsistentPolicy::Keep,
        created_at,
        labels: None,
        inputs_dir: None,
        revision: 1,
        retention_policy: None,
        unpruned_since_at: None,
        rpo_objective_seconds: None,
        rto_objective_seconds: None,
        fence_epoch: 0,
        copies: 0,
        off_site_copies: 0,
    }
}

fn settings(directory: &Path) -> Settings {
    let storage = directory.join("backups");
    Settings {
        places: Places { allowed_roots: Vec::new(), storage, own_files: Vec::new(), working_dir: directory.to_path_buf() },
        retention_days: 30,
        prune: PruneSettings { interval: Duration::ZERO, max_seconds: 600, max_repack_bytes: 1 << 30 },
        recovery: RecoverySettings {
            checkpoint_interval: Duration::ZERO,
            checkpoint_retention_days: 30,
            rpo_objective: HOUR,
            health_check_interval: Duration::ZERO,
            validation_max_age: HOUR,
        },
        drill: DrillSettings {
            directory: directory.join("drills"),
            command: None,
            timeout: HOUR,
            minimum_recall: 1.0,
            interval: Duration::ZERO,
        },
        failover: FailoverSettings::default(),
        auto_backup_interval_hours: 0,
        restore_sync: true,
        instance_name: "bench".to_owned(),
        host_name: "bench".to_owned(),
        repository_password: Secret::new("bench".to_owned()),
        secret_keys: SecretKeys { current: SecretKey::default(), earlier: Vec::new() },
        replication: ReplicationSettings::default(),
        alerts: AlertSettings::default(),
    }
}

/// The most memory that this process has had.
fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
