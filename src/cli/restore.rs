//! `lightkeep restore`: the plan first, then the question, then the work.

use std::path::PathBuf;

use clap::Args;
use lightkeep_client::v1;

use super::ask::confirm;
use super::connection::Session;
use super::failure::Failure;
use super::graph::place;
use super::snapshot::Named;

/// Flags of `restore`.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    named: Named,
    /// Where to, on the server's computer [default: the directory that the snapshot was taken from].
    #[arg(long, value_name = "DIRECTORY")]
    target_dir: Option<PathBuf>,
    /// Only this file or directory of it; may be repeated. The target must be new or empty then.
    #[arg(long = "path", value_name = "PATH")]
    paths: Vec<String>,
    /// Restore the inputs too, to this directory.
    #[arg(long, value_name = "DIRECTORY")]
    inputs_target_dir: Option<PathBuf>,
    /// Register what is restored as a graph of its own under this id.
    #[arg(long, value_name = "GRAPH")]
    fork_graph_id: Option<String>,
    /// Take no snapshot of the graph before it is replaced in its own place.
    #[arg(long)]
    no_safety_snapshot: bool,
    /// Restore even where this graph's LightRAG server runs, or where another graph lies.
    #[arg(long)]
    force: bool,
    /// Show the plan only. Exit code 1 where something speaks against it.
    #[arg(long)]
    plan: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Do not wait for the outcome: print the operation.
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn run(session: &Session, arguments: RestoreArgs) -> Result<(), Failure> {
    let (graph_id, snapshot_id) = arguments.named.ids(session).await?;
    let named = v1::GetSnapshotRequest { graph_id: graph_id.clone(), snapshot_id: snapshot_id.clone() };
    let snapshot = session.call(named).await?;
    let target_dir = arguments.target_dir.as_deref().map_or_else(|| snapshot.source_dir.clone(), place);
    let request = v1::RestoreSnapshotRequest {
        graph_id,
        snapshot_id,
        target_dir,
        paths: arguments.paths,
        inputs_target_dir: arguments.inputs_target_dir.as_deref().map(place).unwrap_or_default(),
        fork_graph_id: arguments.fork_graph_id.unwrap_or_default(),
        safety_snapshot: arguments.no_safety_snapshot.then_some(false),
        force: arguments.force,
        wait: Some(false),
        ..Default::default()
    };
    let planned = session.call(v1::RestoreSnapshotRequest { validate_only: true, ..request.clone() }).await?;
    let plan = planned.plan.clone().unwrap_or_default();
    if arguments.plan {
        if session.output.is_json() {
            session.output.item(&planned)?
        } else {
            session.output.text(&sheet(&request, &snapshot, &session.output.sheet(&plan)?))?
        };
        return if plan.conflicts.is_empty() { Ok(()) } else { Err(Failure::Negative) };
    }
    // Beside the question: standard output has the outcome only.
    eprint!("{}", sheet(&request, &snapshot, &session.output.sheet_of_question(&plan)?));
    if !plan.conflicts.is_empty() {
        return Err(Failure::Here(format!("nothing was done: {}", plan.conflicts.join("; "))));
    }
    confirm(&question(&request, &snapshot, &plan), arguments.yes)?;
    let told = done(&request, &plan);
    let operation = session.call(request).await?.operation.unwrap_or_default();
    if arguments.no_wait {
        return session.output.item(&operation);
    }
    session.wait(&operation.operation_id).await?;
    let answer = v1::RestoreSnapshotResponse { status: "success".to_owned(), message: told.clone(), ..Default::default() };
    session.output.sentence(&answer, &told)
}

/// What is planned, and what there is to know of the snapshot.
fn sheet(request: &v1::RestoreSnapshotRequest, snapshot: &v1::Snapshot, plan: &str) -> String {
    let (id, graph_id, target) = (&request.snapshot_id, &request.graph_id, &request.target_dir);
    let how = format!("{CONTRADICTS}: `lightkeep snapshot show {graph_id} {id}` says how\n");
    let warning = if is_inconsistent(snapshot) { how.as_str() } else { "" };
    format!("snapshot {id} of graph `{graph_id}` to {target}\n{warning}{plan}")
}

/// What is said of a snapshot in which processed documents are broken.
const CONTRADICTS: &str = "This snapshot contradicts itself";

fn is_inconsistent(snapshot: &v1::Snapshot) -> bool {
    snapshot.consistency() == v1::Consistency::Inconsistent
}

fn question(request: &v1::RestoreSnapshotRequest, snapshot: &v1::Snapshot, plan: &v1::RestorePlan) -> String {
    let warning = if is_inconsistent(snapshot) { format!("{CONTRADICTS}. ") } else { String::new() };
    match &plan.kept_as {
        Some(kept) => format!("{warning}Replace {}? What stands there is kept as {kept}.", request.target_dir),
        None => format!("{warning}Restore to {}?", request.target_dir),
    }
}

fn done(request: &v1::RestoreSnapshotRequest, plan: &v1::RestorePlan) -> String {
    let kept = if plan.kept_as.is_some() { "; what stood there is kept beside it" } else { "" };
    format!("Restored snapshot {} to {}{kept}", request.snapshot_id, request.target_dir)
}
