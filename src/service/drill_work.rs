//! A drill: restored into a scratch place, audited, started, asked. The graph's own place is looked at, never touched.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Services;
use super::drill_place::Scratch;
use super::error::{Error, ErrorKind};
use super::operations::to_json;
use super::repository_lock::HeldLock;
use super::retrievals::probes_of;
use super::snapshots::check_restorable;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::domain::drill::{DrillReport, DrillState, ProbeResult};
use crate::domain::finding::Consistency;
use crate::domain::probe::{Index, Probe, Retrieved, compare};
use crate::domain::report::DrillOutcome;
use crate::lightrag::apply::preflight_target;
use crate::lightrag::audit::audit_directory;
use crate::lightrag::files::Directory;
use crate::lightrag::probes::retrieve;
use crate::lightrag::watch::look;
use crate::repository::{LockKind, RecordId, Repository, RestoreRequest};
use crate::store::entity::{operation, snapshot};
use crate::store::operations::Ending;
use crate::store::{self, drills, operations, probes};

/// How long a graph's source has to answer.
const LOOK_LIMIT: Duration = Duration::from_secs(60);

/// What probes retrieved when the snapshot was taken.
type Asked = (Vec<Probe>, Vec<Retrieved>);

impl Services {
    /// Does the drill of an operation. What is wrong with the snapshot is recorded, not an error.
    ///
    /// # Errors
    /// It could not be done: no room, or the repository or the scratch place cannot be used.
    pub async fn run_drill(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let row = drills::find_by_operation(self.store().read(), operation.operation_id).await?;
        let mut row = row.ok_or_else(|| Error::internal("do a drill", "its operation has no drill"))?;
        let snapshot = self.snapshot_of_operation(operation).await?;
        check_restorable(&snapshot)?;
        self.check_apart_from_graphs().await?;
        let (directory, attempt) = (self.settings().drill.directory.clone(), operation.clone());
        let scratch = self.blocking(move || Scratch::make(&directory, &attempt)).await?;
        let drilled = self.drill(operation, &snapshot, &scratch, control).await;
        self.blocking(move || {
            drop(scratch);
            Ok::<_, Error>(())
        })
        .await?;
        let report = drilled?;
        let failures = report.failures(self.settings().drill.minimum_recall);
        if !failures.is_empty() {
            let (graph_id, snapshot_id) = (row.graph_id.as_str(), snapshot.snapshot_id);
            // Not what has failed: probes are people's questions.
            let (drill_id, failures) = (row.drill_id, failures.len());
            tracing::error!(graph_id, %snapshot_id, %drill_id, failures, "a drill has failed: the graph cannot be recovered as it was");
        }
        row.state = if failures.is_empty() { DrillState::Passed } else { DrillState::Failed };
        (row.reasons, row.report, row.ended_at) = (to_json(&failures)?, Some(to_json(&report)?), Some(self.now()));
        let outcome = DrillOutcome { drill_id: row.drill_id.to_string(), passed: failures.is_empty() };
        let ending = Ending { result: Some(to_json(&outcome)?), ..Ending::succeeded() };
        let transaction = self.store().begin().await?;
        operations::finish(&*transaction, operation, ending, control.progress(), self.now()).await?;
        drills::update(&*transaction, row).await?;
        Ok(store::commit(transaction).await?)
    }

    async fn drill(
        &self,
        operation: &operation::Model,
        snapshot: &snapshot::Model,
        scratch: &Scratch,
        control: &Arc<Control>,
    ) -> Result<DrillReport, Error> {
        let mut report = DrillReport::default();
        self.measure_loss(snapshot, &mut report, control).await?;
        match self.restore_into(snapshot, scratch, &mut report, control).await {
            Err(error) if is_damage(&error) => {
                report.damage = Some(error.to_string());
                return Ok(report);
            }
            result => result?,
        }
        failpoint::reach("drill.restored");
        let (graph, watched, begun) = (scratch.graph(), Arc::clone(control), Instant::now());
        control.begin_stage("audit", 0);
        let verdict = self.blocking(move || audit_directory(&graph, &watched)).await?;
        report.stages.audit = Some(begun.elapsed().as_secs_f64());
        let is_workspace = verdict.consistency != Consistency::NotApplicable;
        report.verdict = Some(verdict);
        match &self.settings().drill.command {
            Some(command) if is_workspace => {
                control.begin_stage("start", 0);
                let (unhealthy, took) = self.start_over(command, scratch, operation, control).await?;
                report.stages.start = unhealthy.is_none().then_some(took.as_secs_f64());
                report.unhealthy = unhealthy;
            }
            Some(_) => report.remarks.push("the command was not started: it is a plain directory".to_owned()),
            None => report.remarks.push("nothing was started over it: `LIGHTKEEP_DRILL_COMMAND` is not set".to_owned()),
        }
        self.ask_restored(snapshot, &scratch.graph(), &mut report, control).await?;
        failpoint::reach("drill.probed");
        Ok(report)
    }

    /// How much of the graph a recovery from this snapshot would lose now, by the time of its source's newest change.
    async fn measure_loss(&self, snapshot: &snapshot::Model, report: &mut DrillReport, control: &Arc<Control>) -> Result<(), Error> {
        control.begin_stage("look", 0);
        let source = PathBuf::from(self.find_graph(self.store().read(), &snapshot.graph_id).await?.source_dir);
        if source.as_os_str().is_empty() {
            report.remarks.push("how much it would lose is not known here: it is a copy, whose source is elsewhere".to_owned());
            return Ok(());
        }
        let watched = Arc::clone(control);
        // The source may be what was lost.
        match timeout(LOOK_LIMIT, self.blocking(move || look(&source, &watched))).await {
            Ok(Ok(seen)) => match seen.modified_micros {
                Some(modified) => {
                    let newer = modified.saturating_sub(snapshot.captured_at.unwrap_or(snapshot.created_at).micros());
                    report.rpo_seconds = Some(Duration::from_micros(u64::try_from(newer).unwrap_or(0)).as_secs_f64());
                }
                None => report.remarks.push("the graph's source is empty: is it mounted?".to_owned()),
            },
            Ok(Err(error)) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Ok(Err(error)) => report.remarks.push(format!("the graph's source cannot be looked at: {error}")),
            Err(_) => report.remarks.push("the graph's source does not answer: does a mount hang?".to_owned()),
        }
        Ok(())
    }

    async fn restore_into(
        &self,
        snapshot: &snapshot::Model,
        scratch: &Scratch,
        report: &mut DrillReport,
        control: &Arc<Control>,
    ) -> Result<(), Error> {
        let (services, root, begun) = (self.clone(), self.repository_root(&snapshot.graph_id), Instant::now());
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        // A recovery opens the repository too; waiting for whoever has it is none of its time.
        let opened = begun.elapsed();
        let lock = HeldLock::take(self, &repository, LockKind::Shared, control).await?;
        let work = RestoreScratch {
            repository,
            lock: lock.clone(),
            row: snapshot.clone(),
            graph: scratch.graph(),
            inputs: scratch.inputs(),
            sync: self.settings().restore_sync,
            control: Arc::clone(control),
        };
        let begun = Instant::now();
        (report.files, report.size_bytes) = self.blocking(move || work.run()).await?;
        report.stages.restore = Some((opened + begun.elapsed()).as_secs_f64());
        lock.release(self).await;
        Ok(())
    }

    /// Asks the restored graph what the snapshot was asked when it was taken.
    pub(super) async fn ask_restored(
        &self,
        snapshot: &snapshot::Model,
        graph: &Path,
        report: &mut DrillReport,
        control: &Arc<Control>,
    ) -> Result<(), Error> {
        let (probes, before) = match self.asked_of(snapshot).await? {
            Ok(asked) => asked,
            Err(remark) => {
                report.remarks.push(remark);
                return Ok(());
            }
        };
        let (files, asked, watched, begun) = (Directory(graph.to_path_buf()), probes.clone(), Arc::clone(control), Instant::now());
        match self.blocking(move || retrieve(&files, &asked, &watched)).await {
            Ok(after) => {
                let compared = probes.into_iter().zip(before.iter().zip(&after));
                let result = |(probe, (before, after)): (Probe, _)| ProbeResult { name: probe.name, comparison: compare(before, after) };
                report.probes = compared.map(result).collect();
                report.stages.probes = Some(begun.elapsed().as_secs_f64());
                let empty = report
                    .probes
                    .iter()
                    .zip(&before)
                    .filter(|(_, before)| Index::ALL.iter().all(|index| before.of(*index).is_empty()))
                    .map(|(probe, _)| &probe.name);
                let remark = |name| format!("probe `{name}` proves nothing: the snapshot retrieved nothing for it");
                report.remarks.extend(empty.map(remark));
            }
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(error) => report.not_asked = Some(error.record().message),
        }
        Ok(())
    }

    /// The probes that a snapshot was asked and what it retrieved; else why that is not known.
    async fn asked_of(&self, snapshot: &snapshot::Model) -> Result<Result<Asked, String>, Error> {
        let Some(asked) = probes::find_retrieval(self.store().read(), snapshot.snapshot_id).await? else {
            return Ok(Err("no probes were asked: the snapshot was asked none when it was taken".to_owned()));
        };
        let set = probes::find(self.store().read(), asked.probe_set_id).await?;
        let (Some(set), Some(json)) = (set, &asked.retrieved) else {
            return Ok(Err(format!("no probes were asked: {}", asked.error_message.as_deref().unwrap_or("they are not known any more"))));
        };
        let retrieved: Vec<Retrieved> =
            serde_json::from_str(json).map_err(|error| Error::internal("read what a snapshot retrieved", error))?;
        let probes = probes_of(&set)?;
        // Compared one by one: none may be left out of it.
        if probes.len() != retrieved.len() {
            return Err(Error::internal("compare what a snapshot retrieved", "it was asked other probes"));
        }
        Ok(Ok((probes, retrieved)))
    }

    /// Removes what attempts at a drill have left that is not tried again.
    pub(super) async fn abandon_drill(&self, operation: &operation::Model) {
        let (directory, attempt, operation_id) = (self.settings().drill.directory.clone(), operation.clone(), operation.operation_id);
        if let Err(error) = self.blocking(move || Scratch::make(&directory, &attempt).map(drop)).await {
            tracing::error!(%operation_id, error = error.chain(), "cannot remove the scratch place of a drill");
        }
    }
}

/// Whether an error says that the snapshot itself is not whole.
fn is_damage(error: &Error) -> bool {
    error.kind() == ErrorKind::DataLoss || error.reason() == "RECORD_NOT_FOUND"
}

/// The blocking part: all of a snapshot, verified, as a restore does it.
struct RestoreScratch {
    repository: Arc<Repository>,
    lock: HeldLock,
    row: snapshot::Model,
    graph: PathBuf,
    inputs: PathBuf,
    sync: bool,
    control: Arc<Control>,
}

impl RestoreScratch {
    /// The number of files, and the sum of their sizes.
    fn run(&self) -> Result<(u64, u64), Error> {
        let needed = self.row.size_bytes.saturating_add(self.row.inputs_size_bytes.unwrap_or(0));
        preflight_target(&self.graph, u64::try_from(needed).unwrap_or(0))?;
        let (mut files, mut size_bytes) = self.restore(&self.row.source_dir, &self.graph, self.row.data_hash.as_ref())?;
        if let Some(recorded) = &self.row.inputs_dir {
            let more = self.restore(recorded, &self.inputs, self.row.inputs_data_hash.as_ref())?;
            (files, size_bytes) = (files + more.0, size_bytes + more.1);
        }
        Ok((files, size_bytes))
    }

    fn restore(&self, recorded: &str, to: &Path, data_hash: Option<&String>) -> Result<(u64, u64), Error> {
        let record = self.row.record_id.as_deref().and_then(RecordId::parse).ok_or_else(|| self.damaged("its row names no record"))?;
        let (recorded_path, sync, control) = (Path::new(recorded), self.sync, &*self.control);
        let request = RestoreRequest { record, recorded_path, only: None, to, sync, control };
        let restored = self.repository.restore(&request, self.lock.lock())?;
        if Some(&hex::encode(restored.data_hash)) != data_hash {
            return Err(self.damaged("what was restored has another hash than what was saved"));
        }
        Ok((restored.files, restored.bytes))
    }

    fn damaged(&self, what: &str) -> Error {
        let message = format!("snapshot `{}` is damaged: {what}", self.row.snapshot_id);
        Error::refused(ErrorKind::DataLoss, "SNAPSHOT_DAMAGED", message)
    }
}
