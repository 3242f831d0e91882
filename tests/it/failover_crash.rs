//! `kill -9` at each step of a failover and of a rollback: after a restart all graphs are the old ones or all the new, the report says
//! which, and a rollback gives back the former bytes.

use std::fs;
use std::path::PathBuf;

use lightkeep::proto::v1;
use lightkeep::proto::v1::recovery_service_client::RecoveryServiceClient;
use tonic::transport::Channel;

use crate::crash::crash_tests;
use crate::support::files;
use crate::support::process::{Process, run};
use crate::trouble::reason;

/// Three graphs, a checkpoint of them, and what they have become since.
struct Scene {
    directory: tempfile::TempDir,
    sources: Vec<PathBuf>,
    checkpoint_id: String,
    saved: Vec<Vec<String>>,
    changed: Vec<Vec<String>>,
}

impl Scene {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().canonicalize().unwrap();
        let sources = vec![data.join("a"), data.join("b"), data.join("c")];
        // One holds another workspace's directory, so its entries are exchanged one by one.
        files::copy_tree(&files::sample(), &sources[0]);
        files::copy_tree(&files::sample(), &sources[1]);
        fs::remove_dir_all(sources[1].join("tenant_b")).unwrap();
        files::small(&sources[2]);
        let saved = sources.iter().map(|source| files::describe(source)).collect();
        let server = Process::start(directory.path(), &[]);
        let (mut backup, graph_ids) = (server.backup().await, vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]);
        for (graph_id, source) in graph_ids.iter().zip(&sources) {
            let (graph_id, source_dir) = (graph_id.clone(), source.to_str().unwrap().to_owned());
            backup.register_graph(v1::RegisterGraphRequest { graph_id, source_dir, ..Default::default() }).await.unwrap();
        }
        let request = v1::CreateCheckpointRequest { graph_ids, ..Default::default() };
        let checkpoint_id = server.recovery().await.create_checkpoint(request).await.unwrap().into_inner().checkpoint_id;
        for source in &sources {
            fs::write(source.join("changed"), "since the checkpoint").unwrap();
        }
        fs::remove_file(sources[1].join("kv_store_full_docs.json")).unwrap();
        let changed = sources.iter().map(|source| files::describe(source)).collect();
        Self { directory, sources, checkpoint_id, saved, changed }
    }

    fn start(&self, failpoint: &str) -> Process {
        Process::start(self.directory.path(), &[("LIGHTKEEP_FAILPOINT", failpoint)])
    }

    fn now(&self) -> Vec<Vec<String>> {
        self.sources.iter().map(|source| files::describe(source)).collect()
    }

    async fn begin(&self, server: &Process) -> v1::Failover {
        let request = v1::RunFailoverRequest { checkpoint_id: self.checkpoint_id.clone(), wait: Some(false), ..Default::default() };
        server.recovery().await.run_failover(request).await.unwrap().into_inner().failover.unwrap()
    }

    fn check_nothing_staged(&self) {
        assert_eq!(files::staged(self.directory.path()), Vec::<PathBuf>::new());
    }
}

/// Looks again and again until it has ended.
async fn ended(recovery: &mut RecoveryServiceClient<Channel>, failover_id: &str) -> v1::Failover {
    loop {
        let request = v1::GetFailoverRequest { failover_id: failover_id.to_owned() };
        let failover = recovery.get_failover(request).await.unwrap().into_inner();
        if failover.ended_at.is_some() {
            return failover;
        }
        tokio::task::yield_now().await;
    }
}

async fn roll_back(recovery: &mut RecoveryServiceClient<Channel>, failover_id: &str) -> Result<v1::Failover, tonic::Status> {
    let request = v1::RollBackFailoverRequest { failover_id: failover_id.to_owned(), ..Default::default() };
    Ok(recovery.roll_back_failover(request).await?.into_inner())
}

async fn crash_in_failover(step: &str) {
    let scene = Scene::new().await;
    let mut server = scene.start(step);
    let begun = scene.begin(&server).await;
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    let server = scene.start("none");
    let mut recovery = server.recovery().await;
    let failover = ended(&mut recovery, &begun.failover_id).await;
    assert_eq!(failover.state(), v1::FailoverState::Succeeded, "{failover:?}");
    assert!(scene.now() == scene.saved, "all graphs are the new ones");
    let interrupted = failover.steps.iter().filter(|step| step.outcome() == v1::FailoverStepOutcome::Interrupted).count();
    let others = failover.steps.iter().all(|step| step.ended_at.is_some() || step.outcome() == v1::FailoverStepOutcome::Interrupted);
    assert!(interrupted <= 1 && others, "{:?}", failover.steps);
    scene.check_nothing_staged();
    let rolled_back = roll_back(&mut recovery, &begun.failover_id).await.unwrap();
    assert_eq!(rolled_back.state(), v1::FailoverState::RolledBack, "{rolled_back:?}");
    assert!(scene.now() == scene.changed, "the former bytes");
    scene.check_nothing_staged();
}

crash_tests! {
    crash_in_failover:
    after_validation = "failover.validated",
    when_it_is_fenced = "failover.fenced",
    after_a_restore = "failover.restored",
    after_the_audit = "failover.audited",
    when_all_is_ready = "failover.prepared",
    after_a_journal = "apply.journal_written",
    after_an_exchange = "apply.exchanged",
    between_two_entries = "apply.file_moved",
    when_the_former_is_kept = "apply.kept",
    between_two_graphs = "failover.graph_switched",
    when_all_are_switched = "failover.switched",
}

async fn crash_in_rollback(step: &str) {
    let scene = Scene::new().await;
    let server = scene.start("none");
    let begun = scene.begin(&server).await;
    ended(&mut server.recovery().await, &begun.failover_id).await;
    assert!(scene.now() == scene.saved);
    drop(server);
    let mut server = scene.start(step);
    roll_back(&mut server.recovery().await, &begun.failover_id).await.unwrap_err();
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    let server = scene.start("none");
    let failover = ended(&mut server.recovery().await, &begun.failover_id).await;
    assert_eq!(failover.state(), v1::FailoverState::RolledBack, "{failover:?}");
    assert!(scene.now() == scene.changed, "the former bytes");
    scene.check_nothing_staged();
}

crash_tests! {
    crash_in_rollback:
    rollback_when_it_is_fenced = "failover.fenced",
    rollback_when_it_is_decided = "rollback.begun",
    rollback_after_a_journal = "apply.journal_written",
    rollback_after_an_exchange = "apply.exchanged",
    rollback_between_two_entries = "apply.file_moved",
    rollback_when_the_new_is_kept = "apply.kept",
    rollback_between_two_graphs = "failover.graph_put_back",
    rollback_when_all_are_put_back = "failover.put_back",
}

/// A switch that cannot be finished: something stands where the last graph's former state is to be kept.
async fn crash_while_putting_back(step: &str) {
    let scene = Scene::new().await;
    let mut server = scene.start("failover.graph_switched");
    let begun = scene.begin(&server).await;
    assert!(!server.wait().success());
    let in_the_way = PathBuf::from(&begun.graphs[2].source.as_ref().unwrap().kept_as);
    fs::create_dir(&in_the_way).unwrap();
    fs::write(in_the_way.join("mine"), "x").unwrap();
    // It may end before it has said that it is ready.
    let output = run(scene.directory.path(), &["serve"], &[("LIGHTKEEP_FAILPOINT", step)]);
    assert!(!output.status.success(), "the step `{step}` was not reached");
    let server = scene.start("none");
    let mut recovery = server.recovery().await;
    let failover = ended(&mut recovery, &begun.failover_id).await;
    assert_eq!(failover.state(), v1::FailoverState::Failed, "{failover:?}");
    assert!(failover.error_message().contains(in_the_way.to_str().unwrap()), "{failover:?}");
    assert!(scene.now() == scene.changed, "all graphs are the old ones");
    assert_eq!(fs::read_dir(&in_the_way).unwrap().count(), 1, "what is in the way is somebody's");
    scene.check_nothing_staged();
    fs::remove_dir_all(in_the_way).unwrap();
    let again = scene.begin(&server).await;
    assert_eq!(ended(&mut recovery, &again.failover_id).await.state(), v1::FailoverState::Succeeded);
    assert!(scene.now() == scene.saved);
}

crash_tests! {
    crash_while_putting_back:
    putting_back_after_one = "failover.graph_put_back",
    putting_back_when_all_are = "failover.put_back",
}

/// What stands in the way when a graph is put back: its name is that of the former state, a microsecond later.
fn in_the_way_of_putting_back(kept_as: &str) -> PathBuf {
    let (start, micros) = kept_as.strip_suffix('Z').unwrap().rsplit_once('.').unwrap();
    PathBuf::from(format!("{start}.{:06}Z", micros.parse::<u32>().unwrap() + 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graphs_that_cannot_be_put_back_stay_fenced_until_they_are() {
    let scene = Scene::new().await;
    let mut server = scene.start("failover.graph_switched");
    let begun = scene.begin(&server).await;
    assert!(!server.wait().success());
    let kept_as = |number: usize| begun.graphs[number].source.as_ref().unwrap().kept_as.clone();
    let (ours, theirs) = (in_the_way_of_putting_back(&kept_as(0)), PathBuf::from(kept_as(2)));
    for place in [&ours, &theirs] {
        fs::create_dir(place).unwrap();
    }
    let server = scene.start("none");
    let mut recovery = server.recovery().await;
    let failover = ended(&mut recovery, &begun.failover_id).await;
    assert_eq!(failover.state(), v1::FailoverState::Incomplete, "{failover:?}");
    let now = scene.now();
    assert!(now[0] == scene.saved[0] && now[1..] == scene.changed[1..], "one is new and two are old");
    let health = recovery.check_recovery_health(v1::CheckRecoveryHealthRequest {}).await.unwrap().into_inner();
    let told = &health.graphs["a"];
    assert!(told.status() == v1::HealthStatus::Critical && told.message.contains("is incomplete"), "{told:?}");
    // Nothing else works on them.
    let request = v1::CreateSnapshotRequest { graph_id: "b".to_owned(), wait: Some(false), ..Default::default() };
    let waits = server.backup().await.create_snapshot(request).await.unwrap().into_inner();
    // A graph that came later is worked on; this one waits.
    let source_dir = files::small(&scene.directory.path().canonicalize().unwrap().join("d")).to_str().unwrap().to_owned();
    let request = v1::CreateSnapshotRequest { graph_id: "d".to_owned(), source_dir, ..Default::default() };
    server.backup().await.create_snapshot(request).await.unwrap();
    let request = v1::GetSnapshotRequest { graph_id: "b".to_owned(), snapshot_id: waits.backup_id.clone() };
    assert_eq!(server.backup().await.get_snapshot(request).await.unwrap().into_inner().status(), v1::SnapshotStatus::Pending);
    let again = v1::RunFailoverRequest { checkpoint_id: scene.checkpoint_id.clone(), ..Default::default() };
    let refused = recovery.run_failover(again).await.unwrap_err();
    assert_eq!(reason(&refused), "FAILOVER_IN_PROGRESS");
    let still = roll_back(&mut recovery, &begun.failover_id).await.unwrap();
    assert_eq!(still.state(), v1::FailoverState::RolledBack, "a rollback keeps what it replaces under another name: {still:?}");
    assert!(scene.now() == scene.changed, "the former bytes");
    let request = v1::GetSnapshotRequest { graph_id: "b".to_owned(), snapshot_id: waits.backup_id };
    while server.backup().await.get_snapshot(request.clone()).await.unwrap().into_inner().status() != v1::SnapshotStatus::Completed {
        tokio::task::yield_now().await;
    }
    assert!(ours.read_dir().unwrap().next().is_none() && theirs.read_dir().unwrap().next().is_none(), "what is somebody's stays");
}
