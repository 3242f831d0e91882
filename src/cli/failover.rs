//! Failover, rollback, failback.

use std::path::Path;

use clap::Args;
use lightkeep_client::v1;

use super::ask::confirm;
use super::complete;
use super::connection::Session;
use super::failure::Failure;
use super::graph::place;
use super::output::Column;
use super::resolve::label;

const COLUMNS: &[Column] = &[
    Column("FAILOVER", "failover_id"),
    Column("KIND", "kind"),
    Column("MADE", "created_at"),
    Column("STATE", "state"),
    Column("CHECKPOINT", "checkpoint_id"),
    Column("ERROR", "error_message"),
];

/// Flags of `checkpoint failover`.
#[derive(Debug, Clone, Args)]
pub struct FailoverArgs {
    #[arg(add = complete::checkpoints())]
    checkpoint: String,
    /// Put this graph there instead of in its own place; may be repeated.
    #[arg(long = "target-dir", value_name = "GRAPH=DIRECTORY", value_parser = label)]
    target_dirs: Vec<(String, String)>,
    /// Put this graph's inputs there; may be repeated.
    #[arg(long = "inputs-target-dir", value_name = "GRAPH=DIRECTORY", value_parser = label)]
    inputs_target_dirs: Vec<(String, String)>,
    /// Go on where LightRAG servers run, or the checkpoint is not validated.
    #[arg(long)]
    force: bool,
    /// Show the plan only. Exit code 1 where something speaks against it.
    #[arg(long)]
    plan: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

/// Flags of `checkpoint rollback` and `checkpoint failback`.
#[derive(Debug, Clone, Args)]
pub struct BackArgs {
    /// The failover's id.
    #[arg(add = complete::failovers())]
    failover: String,
    /// Go on where LightRAG servers run.
    #[arg(long)]
    force: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn fail_over(session: &Session, arguments: FailoverArgs) -> Result<(), Failure> {
    let checkpoint_id = session.checkpoint_id(&arguments.checkpoint).await?;
    let request = v1::RunFailoverRequest {
        checkpoint_id,
        target_dirs: arguments.target_dirs.into_iter().map(whole).collect(),
        inputs_target_dirs: arguments.inputs_target_dirs.into_iter().map(whole).collect(),
        force: arguments.force,
        wait: Some(false),
        ..Default::default()
    };
    let planned = session.call(v1::RunFailoverRequest { validate_only: true, ..request.clone() }).await?;
    let plan = planned.plan.clone().unwrap_or_default();
    if arguments.plan {
        if session.output.is_json() {
            session.output.item(&planned)?
        } else {
            session.output.item(&plan)?
        };
        return if plan.refusals.is_empty() { Ok(()) } else { Err(Failure::Negative) };
    }
    eprint!("{}", session.output.sheet_of_question(&plan)?);
    if !plan.refusals.is_empty() {
        return Err(Failure::Here(format!("nothing was done: {}", plan.refusals.join("; "))));
    }
    let graphs: Vec<&str> = plan.graphs.iter().map(|graph| graph.graph_id.as_str()).collect();
    confirm(&format!("Put {} in place? What stands there is kept.", graphs.join(", ")), arguments.yes)?;
    outcome(session, session.call(request).await?.failover.unwrap_or_default()).await
}

fn whole((graph_id, directory): (String, String)) -> (String, String) {
    (graph_id, place(Path::new(&directory)))
}

pub(super) async fn list(session: &Session, checkpoint: Option<String>) -> Result<(), Failure> {
    let checkpoint_id = match checkpoint {
        Some(word) => session.checkpoint_id(&word).await?,
        None => String::new(),
    };
    let request = v1::ListFailoversRequest { checkpoint_id, page_size: 1000, ..Default::default() };
    session.output.list(&session.client.all(request).await?, COLUMNS, "no failovers")
}

pub(super) async fn roll_back(session: &Session, arguments: BackArgs) -> Result<(), Failure> {
    confirm(&format!("Put back what failover {} has replaced?", arguments.failover), arguments.yes)?;
    let request =
        v1::RollBackFailoverRequest { failover_id: arguments.failover, force: arguments.force, wait: Some(false), ..Default::default() };
    let failover = session.call(request).await?;
    outcome(session, failover).await
}

pub(super) async fn fail_back(session: &Session, arguments: BackArgs) -> Result<(), Failure> {
    confirm(&format!("Bring the graphs of failover {} back to where they were?", arguments.failover), arguments.yes)?;
    let failover = session.call(v1::GetFailoverRequest { failover_id: arguments.failover.clone() }).await?;
    let graphs: Vec<String> = failover.graphs.into_iter().map(|graph| graph.graph_id).collect();
    let request = v1::FailBackRequest { failover_id: arguments.failover, force: arguments.force, ..Default::default() };
    told(session, &session.call_watched(request, &graphs).await?)
}

/// Waits for the work and tells what came of it.
async fn outcome(session: &Session, failover: v1::Failover) -> Result<(), Failure> {
    let waited = session.wait(&failover.operation_id).await;
    // Where it has failed, its steps say where.
    let failover = session.call(v1::GetFailoverRequest { failover_id: failover.failover_id }).await?;
    session.output.item(&failover)?;
    waited.map(drop)
}

fn told(session: &Session, failover: &v1::Failover) -> Result<(), Failure> {
    use v1::FailoverState::{RolledBack, Succeeded};
    session.output.item(failover)?;
    if matches!(failover.state(), Succeeded | RolledBack) { Ok(()) } else { Err(Failure::Negative) }
}
