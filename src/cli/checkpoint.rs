//! `lightkeep checkpoint`: graphs that belong together, and their recovery.

use std::collections::HashMap;

use clap::{Args, Subcommand};
use lightkeep_client::v1;

use super::ask::confirm;
use super::complete;
use super::connection::Session;
use super::failover;
use super::failure::Failure;
use super::output::{Column, Limit};
use super::resolve::{label, seconds};
use super::snapshot::Level;

const COLUMNS: &[Column] = &[
    Column("CHECKPOINT", "checkpoint_id"),
    Column("MADE", "created_at"),
    Column("STATE", "state"),
    Column("VALIDATED", "validation_timestamp"),
    Column("GRAPHS", "graphs"),
    Column("DESCRIPTION", "description"),
];

/// One snapshot of each of several graphs, made together, and their recovery. CHECKPOINT is an id, the beginning of one, or `latest`.
#[derive(Debug, Clone, Subcommand)]
pub enum CheckpointCommand {
    /// Make a checkpoint, and validate it.
    Create(CreateArgs),
    /// List the checkpoints, newest first.
    List {
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one checkpoint.
    Show {
        #[arg(add = complete::checkpoints())]
        checkpoint: String,
    },
    /// Prove each of its snapshots again. Exit code 1 where one cannot be restored.
    Validate {
        #[arg(add = complete::checkpoints())]
        checkpoint: String,
        /// How deep.
        #[arg(long, default_value = "content")]
        level: Level,
    },
    /// Delete a checkpoint. Its snapshots are kept by their own retention.
    Delete {
        #[arg(add = complete::checkpoints())]
        checkpoint: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Put all its graphs in place, or none.
    Failover(failover::FailoverArgs),
    /// List the failovers, newest first.
    Failovers {
        /// Only those of this checkpoint.
        #[arg(add = complete::checkpoints())]
        checkpoint: Option<String>,
    },
    /// Put back what a failover has replaced.
    Rollback(failover::BackArgs),
    /// Bring the graphs of a failover back to where they were before, with what has been written since.
    Failback(failover::BackArgs),
}

/// Flags of `checkpoint create`.
#[derive(Debug, Clone, Args)]
pub struct CreateArgs {
    /// The graphs.
    #[arg(required = true, add = complete::graphs())]
    graphs: Vec<String>,
    /// What it is for.
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// All captures must lie within this time: 90s, 15m, 6h.
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "0", hide_default_value = true)]
    window: i64,
    /// Keep it even where some graphs fail.
    #[arg(long)]
    allow_partial: bool,
    /// Do not validate it.
    #[arg(long)]
    no_validate: bool,
    /// A label; may be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// How long it is kept, days [default: the server's].
    #[arg(long, value_name = "DAYS", default_value_t = 0, hide_default_value = true)]
    retention_days: i32,
}

impl CheckpointCommand {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => create(session, arguments).await,
            Self::List { limit } => {
                let request = v1::ListCheckpointsRequest { ..Default::default() };
                session.output.listed(&session.some(request, &limit).await?, COLUMNS, "no checkpoints")
            }
            Self::Show { checkpoint } => {
                let checkpoint_id = session.checkpoint_id(&checkpoint).await?;
                session.output.item(&session.call(v1::GetCheckpointRequest { checkpoint_id }).await?)
            }
            Self::Validate { checkpoint, level } => validate(session, &checkpoint, level).await,
            Self::Delete { checkpoint, yes } => {
                let checkpoint_id = session.checkpoint_id(&checkpoint).await?;
                confirm(&format!("Delete checkpoint {checkpoint_id}?"), yes)?;
                let answer = session.call(v1::DeleteCheckpointRequest { checkpoint_id, ..Default::default() }).await?;
                session.output.sentence(&answer, &answer.message)
            }
            Self::Failover(arguments) => failover::fail_over(session, arguments).await,
            Self::Failovers { checkpoint } => failover::list(session, checkpoint).await,
            Self::Rollback(arguments) => failover::roll_back(session, arguments).await,
            Self::Failback(arguments) => failover::fail_back(session, arguments).await,
        }
    }
}

async fn create(session: &Session, arguments: CreateArgs) -> Result<(), Failure> {
    let graphs = arguments.graphs.clone();
    let request = v1::CreateCheckpointRequest {
        graph_ids: arguments.graphs,
        description: arguments.description,
        labels: arguments.labels.into_iter().collect::<HashMap<_, _>>(),
        allow_partial: arguments.allow_partial,
        window_seconds: arguments.window,
        validate: arguments.no_validate.then_some(false),
        retention_days: arguments.retention_days,
        ..Default::default()
    };
    session.output.item(&session.call_watched(request, &graphs).await?)
}

async fn validate(session: &Session, word: &str, level: Level) -> Result<(), Failure> {
    let checkpoint_id = session.checkpoint_id(word).await?;
    let graphs = session.call(v1::GetCheckpointRequest { checkpoint_id: checkpoint_id.clone() }).await?.graphs;
    let request = v1::ValidateCheckpointRequest { checkpoint_id: checkpoint_id.clone(), level: level.proto(), ..Default::default() };
    let answer = session.call_watched(request, &graphs).await?;
    if session.output.is_json() {
        session.output.item(&answer)?;
    } else {
        let newest = v1::ListValidationsRequest { checkpoint_id, page_size: 1, ..Default::default() };
        session.output.item(&session.call(newest).await?.validations.into_iter().next().unwrap_or_default())?;
    }
    if answer.valid { Ok(()) } else { Err(Failure::Negative) }
}
