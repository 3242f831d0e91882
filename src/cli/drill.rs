//! `lightkeep drill`.

use clap::Subcommand;
use lightkeep_client::v1;

use super::complete;
use super::connection::Session;
use super::failure::Failure;
use super::output::{Column, Limit};

const COLUMNS: &[Column] = &[
    Column("DRILL", "drill_id"),
    Column("GRAPH", "graph_id"),
    Column("MADE", "created_at"),
    Column("STATE", "state"),
    Column("RTO", "rto_seconds"),
    Column("RPO", "rpo_seconds"),
    Column("RECALL", "recall"),
    Column("REASONS", "reasons"),
];

/// Proofs of recovery: restores into a scratch place.
#[derive(Debug, Clone, Subcommand)]
pub enum DrillCommand {
    /// Drill a snapshot of a graph, or all of a checkpoint. Exit code 1 where it has not passed.
    Run {
        /// The graph.
        #[arg(required_unless_present = "checkpoint", add = complete::graphs())]
        graph: Option<String>,
        /// An id, the beginning of one, or `latest` [default: the newest good one].
        #[arg(add = complete::snapshots())]
        snapshot: Option<String>,
        /// Drill each snapshot of this checkpoint.
        #[arg(long, conflicts_with = "graph", add = complete::checkpoints())]
        checkpoint: Option<String>,
    },
    /// List the drills, newest first.
    List {
        /// Only of this graph.
        #[arg(default_value = "", hide_default_value = true, add = complete::graphs())]
        graph: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one drill.
    Show {
        /// Its id.
        drill: String,
    },
}

impl DrillCommand {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Run { checkpoint: Some(checkpoint), .. } => run_checkpoint(session, &checkpoint).await,
            Self::Run { graph, snapshot, checkpoint: None } => run(session, graph.unwrap_or_default(), snapshot).await,
            Self::List { graph, limit } => {
                let request = v1::ListDrillsRequest { graph_id: graph, ..Default::default() };
                session.output.listed(&session.some(request, &limit).await?, COLUMNS, "no drills")
            }
            Self::Show { drill } => session.output.item(&session.call(v1::GetDrillRequest { drill_id: drill }).await?),
        }
    }
}

async fn run(session: &Session, graph_id: String, snapshot: Option<String>) -> Result<(), Failure> {
    let snapshot_id = match snapshot {
        Some(word) => session.snapshot_id(&graph_id, &word).await?,
        None => String::new(),
    };
    let begun = session.call(v1::RunDrillRequest { graph_id, snapshot_id, wait: Some(false), ..Default::default() }).await?;
    let waited = session.wait(&begun.operation_id).await;
    let drill = session.call(v1::GetDrillRequest { drill_id: begun.drill_id }).await?;
    if drill.state() == v1::DrillState::Running {
        // It has not ended by itself: it was cancelled, or could not be waited for.
        waited?;
    }
    session.output.item(&drill)?;
    if drill.state() == v1::DrillState::Passed { Ok(()) } else { Err(Failure::Negative) }
}

async fn run_checkpoint(session: &Session, word: &str) -> Result<(), Failure> {
    let checkpoint_id = session.checkpoint_id(word).await?;
    let graphs = session.call(v1::GetCheckpointRequest { checkpoint_id: checkpoint_id.clone() }).await?.graphs;
    let answer = session.call_watched(v1::RunCheckpointDrillRequest { checkpoint_id, ..Default::default() }, &graphs).await?;
    if session.output.is_json() {
        session.output.item(&answer)?;
    } else {
        session.output.list(&answer.drills, COLUMNS, "no drills")?;
    }
    if answer.passed { Ok(()) } else { Err(Failure::Negative) }
}
