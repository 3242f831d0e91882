//! `lightkeep operation`.

use clap::Subcommand;
use lightkeep_client::v1;

use super::complete;
use super::connection::Session;
use super::failure::Failure;
use super::output::{Column, Limit};

const COLUMNS: &[Column] = &[
    Column("OPERATION", "operation_id"),
    Column("KIND", "kind"),
    Column("GRAPH", "graph_id"),
    Column("STATE", "state"),
    Column("STAGE", "stage"),
    Column("DONE", "done_bytes"),
    Column("OF", "total_bytes"),
    Column("ASKED FOR", "created_at"),
    Column("ERROR", "error.message"),
];

/// Long work.
#[derive(Debug, Clone, Subcommand)]
pub enum OperationCommand {
    /// List the operations, newest first.
    List {
        /// Only of this graph [default: all].
        #[arg(default_value = "-", hide_default_value = true, add = complete::graphs())]
        graph: String,
        /// Only those that wait or run.
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one operation.
    Show {
        #[arg(add = complete::operations())]
        operation: String,
    },
    /// Follow an operation to its end. Exit code 1 where it has failed or was cancelled.
    Watch {
        #[arg(add = complete::operations())]
        operation: String,
    },
    /// Stop an operation.
    Cancel {
        #[arg(add = complete::operations())]
        operation: String,
    },
}

impl OperationCommand {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List { graph, open, limit } => {
                if open {
                    return session.output.list(&open_ones(session, &graph).await?, COLUMNS, "no operations");
                }
                let request = v1::ListOperationsRequest { graph_id: graph, ..Default::default() };
                session.output.listed(&session.some(request, &limit).await?, COLUMNS, "no operations")
            }
            Self::Show { operation } => session.output.item(&session.call(v1::GetOperationRequest { operation_id: operation }).await?),
            Self::Watch { operation } => session.output.item(&session.wait(&operation).await?),
            Self::Cancel { operation } => session.output.item(&session.call(v1::CancelOperationRequest { operation_id: operation }).await?),
        }
    }
}

/// Those that run, then those that wait.
pub(super) async fn open_ones(session: &Session, graph_id: &str) -> Result<Vec<v1::Operation>, Failure> {
    let mut open = Vec::new();
    for state in [v1::OperationState::Running, v1::OperationState::Queued] {
        let request =
            v1::ListOperationsRequest { graph_id: graph_id.to_owned(), state: state.into(), page_size: 1000, ..Default::default() };
        open.extend(session.client.all(request).await?);
    }
    Ok(open)
}
