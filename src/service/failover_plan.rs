//! What a failover would do, and what speaks against it: looked at before anything is queued, and once more before anything is fenced.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Services;
use super::drills::report_of;
use super::error::{Error, ErrorKind};
use super::failover_run::members_of;
use super::operations::payload;
use super::placements::kept_name;
use super::restore_work::RestorePayload;
use super::snapshots::check_restorable;
use crate::base::timestamp::Timestamp;
use crate::domain::checkpoint::CheckpointState;
use crate::domain::drill::{DrillReport, Stages};
use crate::domain::estimate::expected_seconds;
use crate::domain::failover::{Member, Move};
use crate::domain::finding::Consistency;
use crate::domain::graph_id::GraphId;
use crate::domain::hook::HookEvent;
use crate::domain::operation::{OperationKind, OperationState};
use crate::domain::page::PageRequest;
use crate::lightrag::apply::{free_bytes, places_written};
use crate::store::drills::DrillFilter;
use crate::store::entity::{checkpoint, checkpoint_member, graph, snapshot};
use crate::store::{Transaction, checkpoints, drills, failovers, fences, graphs, operations, snapshots};

/// Where graphs go that do not go to their own places, as the caller wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// The directories of their sources.
    pub target_dirs: BTreeMap<GraphId, String>,
    /// The directories of their inputs.
    pub inputs_target_dirs: BTreeMap<GraphId, String>,
}

/// What a failover would do.
#[derive(Debug)]
pub struct FailoverPlan {
    /// The checkpoint.
    pub checkpoint: checkpoint::Model,
    /// The graphs, in the order in which they are put in place.
    pub members: Vec<Member>,
    /// What speaks against it; nothing where it can be done.
    pub refusals: Vec<Error>,
    /// What is left out, and why.
    pub remarks: Vec<String>,
}

impl FailoverPlan {
    /// How long it is expected to take, seconds; none where that is not known of each graph.
    pub fn expected_seconds(&self) -> Option<f64> {
        self.members.iter().map(|member| member.expected_seconds).sum()
    }
}

impl Services {
    /// Plans the failover of a checkpoint that is asked for now.
    ///
    /// # Errors
    /// There is no such checkpoint, or a graph of it is not under our care any more; it is not complete; a directory is not fit.
    pub(super) async fn plan_failover(&self, checkpoint_id: &str, site: &Site, force: bool, now: Timestamp) -> Result<FailoverPlan, Error> {
        let checkpoint = self.find_checkpoint(self.store().read(), checkpoint_id).await?;
        if checkpoint.state != CheckpointState::Completed {
            let message = format!("checkpoint `{checkpoint_id}` cannot be put in place: it is {}", checkpoint.state);
            return Err(Error::refused(ErrorKind::FailedPrecondition, "CHECKPOINT_NOT_COMPLETE", message));
        }
        let joined = checkpoints::list_members(self.store().read(), &[checkpoint.checkpoint_id]).await?;
        check_site(site, &joined)?;
        let mut plan = FailoverPlan { members: Vec::new(), refusals: Vec::new(), remarks: Vec::new(), checkpoint };
        for member in joined {
            let Some(snapshot_id) = member.snapshot_id else {
                let why = member.error_message.unwrap_or_default();
                plan.remarks.push(format!("graph `{}` is left out, it did not join: {why}", member.graph_id));
                continue;
            };
            let graph = self.find_graph(self.store().read(), &member.graph_id).await?;
            let snapshot = snapshots::find(self.store().read(), &member.graph_id, snapshot_id).await?;
            let snapshot = snapshot.ok_or_else(|| Error::NotFound { kind: "Snapshot", id: snapshot_id.to_string() })?;
            plan.refusals.extend(check_restorable(&snapshot).err());
            let planned = self.plan_member(&graph, &snapshot, site, now, &mut plan.remarks).await?;
            plan.members.push(planned);
        }
        if plan.checkpoint.validation_passed == Some(false) {
            let message = format!("checkpoint `{checkpoint_id}` is not valid, its validations say why: choose another");
            plan.refusals.push(Error::refused(ErrorKind::FailedPrecondition, "CHECKPOINT_NOT_VALID", message));
        }
        plan.refusals.extend(self.refusals_of(&plan.members, force).await?);
        Ok(plan)
    }

    async fn plan_member(
        &self,
        graph: &graph::Model,
        snapshot: &snapshot::Model,
        site: &Site,
        now: Timestamp,
        remarks: &mut Vec<String>,
    ) -> Result<Member, Error> {
        let graph_id = &graph.graph_id;
        let text = site.target_dirs.get(graph_id).unwrap_or(&graph.source_dir);
        if text.is_empty() {
            return Err(Error::invalid(
                "target_dirs",
                format_args!("must name a directory for graph `{graph_id}`, which has none of its own"),
            ));
        }
        let (places, wanted) = (self.settings().places.clone(), text.clone());
        let target = self.blocking(move || places.resolve_target("target_dirs", &wanted)).await?;
        let to = |from: &str, target: &Path| {
            let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| Error::invalid("target_dirs", "is not valid UTF-8"));
            Ok::<_, Error>(Move {
                from: from.to_owned(),
                target: text(target)?,
                aside: String::new(),
                kept_as: text(&kept_name(target, now))?,
                size_bytes: 0,
                had_former: false,
                was_left: false,
                replaced_as: None,
            })
        };
        let named = site.inputs_target_dirs.get(graph_id);
        let inputs = match (&graph.inputs_dir, &snapshot.inputs_dir) {
            (Some(own), Some(_)) => {
                let inputs = self.resolve_inputs_target(named.unwrap_or(own), &target, snapshot).await?;
                Some(to(own, &inputs)?)
            }
            (_, _) if named.is_some() => {
                let message = format_args!("names graph `{graph_id}`, which has no `inputs_dir`, or whose snapshot holds no inputs");
                return Err(Error::invalid("inputs_target_dirs", message));
            }
            (None, Some(_)) => {
                remarks.push(format!("the inputs of graph `{graph_id}` stay out: it names no directory for them"));
                None
            }
            (_, None) => None,
        };
        let source = to(&graph.source_dir, &target)?;
        let mut member = Member {
            graph_id: graph_id.to_string(),
            snapshot_id: String::new(),
            source,
            inputs,
            is_workspace: false,
            expected_seconds: None,
        };
        describe(&mut member, snapshot);
        let expected_seconds = self.expected_recovery(graph_id, member.size_bytes()).await?;
        Ok(Member { expected_seconds, ..member })
    }

    /// How long a graph takes to be recovered, without what starts over it: by its last drill that has passed, else by the last restores.
    async fn expected_recovery(&self, graph_id: &GraphId, size_bytes: u64) -> Result<Option<f64>, Error> {
        let filter = DrillFilter { graph_id: Some(graph_id.clone()), checkpoint_id: None, passed: Some(true) };
        let last = drills::list(self.store().read(), &filter, &PageRequest { size: 1, after: None }).await?.items.pop();
        let report = last.as_ref().map(report_of).transpose()?.flatten();
        if let Some(DrillReport { stages: Stages { restore: Some(restore), audit, probes, .. }, size_bytes: drilled, .. }) = report
            && drilled > 0
        {
            let drilled_seconds = restore + audit.unwrap_or(0.0) + probes.unwrap_or(0.0);
            return Ok(Some(drilled_seconds * size_bytes as f64 / drilled as f64));
        }
        Ok(expected_seconds(&self.measured_restores().await?, size_bytes as f64))
    }

    /// What speaks against putting these graphs in place now.
    pub(super) async fn refusals_of(&self, members: &[Member], force: bool) -> Result<Vec<Error>, Error> {
        let mut refusals = self.places_in_use(members).await?;
        refusals.extend(refusal(check_targets_apart(members))?);
        // Where hooks stop them, the servers are asked when that has been done.
        if self.settings().failover.hooks.of(HookEvent::BeforeFence).is_empty() {
            refusals.extend(self.servers_in_the_way(members, force).await?);
        }
        for graph_id in graph_ids_of(members)? {
            if operations::exists(self.store().read(), &graph_id, Some(&[OperationKind::Unregister]), &OperationState::OPEN).await? {
                let message = format!("the care of graph `{graph_id}` is being ended, cancel that or leave the graph out");
                refusals.push(Error::refused(ErrorKind::FailedPrecondition, "RESTORE_IN_PROGRESS", message));
            }
        }
        let members = members.to_vec();
        refusals.extend(self.blocking(move || refusal(check_room(&members))).await?);
        Ok(refusals)
    }

    /// A refusal for each place that is another graph's, and for each restore that would be met there.
    pub(super) async fn places_in_use(&self, members: &[Member]) -> Result<Vec<Error>, Error> {
        let mut refusals = Vec::new();
        let known = graph_ids_of(members)?;
        for (member, graph_id) in members.iter().zip(&known) {
            for one in member.moves() {
                refusals.extend(refusal(self.check_place(graph_id, Path::new(&one.target), &known).await)?);
            }
        }
        refusals.extend(self.restores_in_the_way(members).await?);
        Ok(refusals)
    }

    /// A refusal for each restore that waits or runs and would meet these graphs in their places.
    async fn restores_in_the_way(&self, members: &[Member]) -> Result<Vec<Error>, Error> {
        let mut refusals = Vec::new();
        let targets = places_of(members);
        for restore in operations::list_open_of(self.store().read(), OperationKind::Restore).await? {
            if meet(&targets, &payload::<RestorePayload>(&restore)?.targets()) {
                let (id, graph_id) = (restore.operation_id, &restore.graph_id);
                let message = format!("a restore of graph `{graph_id}` waits or runs, cancel it or wait for it: operation `{id}`");
                refusals.push(Error::refused(ErrorKind::FailedPrecondition, "RESTORE_IN_PROGRESS", message));
            }
        }
        Ok(refusals)
    }

    /// Refuses graphs that another failover holds, and directories that one is at work in; asked under the lock of the fences, so that none
    /// comes before the transaction ends.
    pub(super) async fn check_free(&self, transaction: &Transaction, graph_ids: &[GraphId], members: &[Member]) -> Result<(), Error> {
        self.check_not_held(&**transaction, graph_ids).await?;
        self.check_apart_from_failovers(&**transaction, &places_of(members)).await
    }

    /// Refuses directories that a failover is at work in.
    pub(super) async fn check_apart_from_failovers(
        &self,
        connection: &impl sea_orm::ConnectionTrait,
        targets: &[PathBuf],
    ) -> Result<(), Error> {
        for row in failovers::list_holding(connection).await? {
            if meet(targets, &places_of(&members_of(&row)?)) {
                let message = format!("failover `{}` is at work in the target, wait for its end", row.failover_id);
                return Err(Error::refused(ErrorKind::FailedPrecondition, "FAILOVER_IN_PROGRESS", message));
            }
        }
        Ok(())
    }

    /// A refusal for each target that a running LightRAG server uses: that of another graph, or, unless forced, the graph's own.
    pub(super) async fn servers_in_the_way(&self, members: &[Member], force: bool) -> Result<Vec<Error>, Error> {
        let mut refusals = Vec::new();
        for member in members {
            let (graph_id, target) = (graph_id_of(member)?, Path::new(&member.source.target));
            match self.check_target_unused(&graph_id, target, force).await {
                Err(error) if error.reason() == "TARGET_IN_USE" => refusals.push(error),
                result => result?,
            }
        }
        Ok(refusals)
    }

    /// Refuses graphs that another failover holds.
    pub(super) async fn check_not_held(&self, connection: &impl sea_orm::ConnectionTrait, graph_ids: &[GraphId]) -> Result<(), Error> {
        match fences::list_of(connection, graph_ids).await?.first() {
            None => Ok(()),
            Some(fence) => {
                let message = format!("graph `{}` is in failover `{}` already, wait for its end", fence.graph_id, fence.failover_id);
                Err(Error::refused(ErrorKind::FailedPrecondition, "FAILOVER_IN_PROGRESS", message))
            }
        }
    }
}

/// The directories of all members.
pub(super) fn places_of(members: &[Member]) -> Vec<PathBuf> {
    members.iter().flat_map(Member::moves).map(|one| PathBuf::from(&one.target)).collect()
}

/// Writes into a plan what a snapshot holds.
pub(super) fn describe(member: &mut Member, snapshot: &snapshot::Model) {
    let bytes = |size: Option<i64>| u64::try_from(size.unwrap_or(0)).unwrap_or(0);
    let consistency = snapshot.consistency.as_deref().and_then(Consistency::parse);
    member.snapshot_id = snapshot.snapshot_id.to_string();
    member.is_workspace = consistency.is_some_and(|consistency| consistency != Consistency::NotApplicable);
    member.source.size_bytes = bytes(Some(snapshot.size_bytes));
    if let Some(inputs) = &mut member.inputs {
        inputs.size_bytes = bytes(snapshot.inputs_size_bytes);
    }
}

/// What an error that speaks against something says; any other is an error.
pub(super) fn refusal(result: Result<(), Error>) -> Result<Option<Error>, Error> {
    match result {
        Err(error) if error.is_hidden() => Err(error),
        result => Ok(result.err()),
    }
}

/// Refuses with the first of what speaks against something.
pub(super) fn refuse_first(refusals: Vec<Error>) -> Result<(), Error> {
    refusals.into_iter().next().map_or(Ok(()), Err)
}

/// Whether a directory is in or around one of the others.
fn meet(ours: &[PathBuf], theirs: &[PathBuf]) -> bool {
    theirs.iter().any(|their| ours.iter().any(|our| our.starts_with(their) || their.starts_with(our)))
}

/// The graph of a member.
pub(super) fn graph_id_of(member: &Member) -> Result<GraphId, Error> {
    GraphId::parse(&member.graph_id).map_err(|error| Error::internal("read the plan of a failover", error))
}

/// The graphs of all members.
pub(super) fn graph_ids_of(members: &[Member]) -> Result<Vec<GraphId>, Error> {
    members.iter().map(graph_id_of).collect()
}

fn check_site(site: &Site, joined: &[checkpoint_member::Model]) -> Result<(), Error> {
    for (field, named) in [("target_dirs", &site.target_dirs), ("inputs_target_dirs", &site.inputs_target_dirs)] {
        if let Some(other) = named.keys().find(|graph_id| joined.iter().all(|member| member.graph_id != **graph_id)) {
            return Err(Error::invalid(field, format_args!("names a graph that is not in the checkpoint: {other}")));
        }
    }
    Ok(())
}

/// Refuses targets of which one would be put away with another. Only what lies directly in another can stay there: a workspace in the
/// directory of one without a name, inputs in other inputs.
fn check_targets_apart(members: &[Member]) -> Result<(), Error> {
    let of = |member: &Member| {
        let source = (PathBuf::from(&member.source.target), member.is_workspace, false);
        // Other graphs' inputs are known by where they are registered.
        let inputs = member.inputs.as_ref().map(|inputs| (PathBuf::from(&inputs.target), inputs.from == inputs.target, true));
        std::iter::once(source).chain(inputs).collect::<Vec<_>>()
    };
    let targets: Vec<(PathBuf, bool, bool)> = members.iter().flat_map(of).collect();
    for (at, (outer, _, holds_inputs)) in targets.iter().enumerate() {
        let others = targets.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other);
        for (inner, stays, is_inputs) in others.filter(|(inner, ..)| inner.starts_with(outer)) {
            if inner == outer || inner.parent() != Some(outer) || !stays || holds_inputs != is_inputs {
                let message = format!("`{}` lies in `{}`, name targets apart from each other", inner.display(), outer.display());
                return Err(Error::refused(ErrorKind::FailedPrecondition, "TARGET_CONFLICT", message));
            }
        }
    }
    Ok(())
}

/// Refuses when the graphs together need more room than there is, on each file system.
fn check_room(members: &[Member]) -> Result<(), Error> {
    let mut needed: HashMap<u64, (PathBuf, u64)> = HashMap::new();
    for one in members.iter().flat_map(Member::moves) {
        let mut counted = HashSet::new();
        for place in places_written(Path::new(&one.target)) {
            let device = std::fs::metadata(&place).map(|metadata| metadata.dev());
            let device = device.map_err(|error| Error::internal("look at the room for a failover", error))?;
            if counted.insert(device) {
                let (_, bytes) = needed.entry(device).or_insert((place, 0));
                *bytes = bytes.saturating_add(one.size_bytes);
            }
        }
    }
    for (place, needed_bytes) in needed.into_values() {
        let free_bytes = free_bytes(&place)?;
        if free_bytes < needed_bytes {
            let message = format!("{needed_bytes} bytes are needed for all graphs, {free_bytes} are free, make room: {}", place.display());
            return Err(Error::refused(ErrorKind::FailedPrecondition, "TARGET_FULL", message));
        }
    }
    Ok(())
}

/// The rows of these graphs, by their ids.
pub(super) async fn rows_of(
    connection: &impl sea_orm::ConnectionTrait,
    members: &[Member],
) -> Result<HashMap<String, graph::Model>, Error> {
    let rows = graphs::list_by_ids(connection, graph_ids_of(members)?).await?;
    Ok(rows.into_iter().map(|row| (row.graph_id.to_string(), row)).collect())
}
