//! `lightkeep repository`.

use clap::Subcommand;
use lightkeep_client::v1;

use super::ask::confirm;
use super::complete;
use super::connection::Session;
use super::failure::Failure;

/// The repositories that hold the snapshots.
#[derive(Debug, Clone, Subcommand)]
pub enum RepositoryCommand {
    /// Say what is damaged. Exit code 1 where anything is.
    Check {
        #[arg(add = complete::graphs())]
        graph: String,
        /// How much: the structure, also a sample of the data, or all of it.
        #[arg(long, default_value = "all-data")]
        depth: Depth,
    },
    /// Set aside what is damaged, and take from the source what it still has.
    Repair {
        #[arg(add = complete::graphs())]
        graph: String,
        /// Do not look into the source.
        #[arg(long)]
        without_source: bool,
        /// Bring back snapshots whose records were removed, by accident or by restic.
        #[arg(long)]
        with_removed: bool,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Give back the space of deleted snapshots.
    Prune {
        #[arg(add = complete::graphs())]
        graph: String,
        /// Say what would be done; change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Compare the snapshots that Lightkeep knows with the records in the repository.
    Reconcile {
        #[arg(add = complete::graphs())]
        graph: String,
    },
}

/// How much of a repository is checked.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Depth {
    /// Records, directories, index, and the presence and length of packs.
    Structure,
    /// Also some packs, chosen at random.
    Sample,
    /// Also every byte of every pack.
    AllData,
}

impl RepositoryCommand {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Check { graph, depth } => check(session, graph, depth).await,
            Self::Repair { graph, without_source, with_removed, yes } => {
                confirm(&format!("Repair the repository of graph `{graph}`? What cannot be found again is given up."), yes)?;
                let request = v1::RepairRepositoryRequest { graph_id: graph.clone(), without_source, with_removed, ..Default::default() };
                let answer = session.call_watched(request, &[graph]).await?;
                session.output.part(&answer, answer.report.as_ref())
            }
            Self::Prune { graph, dry_run } => {
                let request = v1::PruneRepositoryRequest { graph_id: graph.clone(), validate_only: dry_run, ..Default::default() };
                let answer = session.call_watched(request, &[graph]).await?;
                session.output.part(&answer, answer.report.as_ref())
            }
            Self::Reconcile { graph } => {
                let request = v1::ReconcileRepositoryRequest { graph_id: graph.clone(), ..Default::default() };
                let answer = session.call_watched(request, &[graph]).await?;
                session.output.part(&answer, answer.report.as_ref())
            }
        }
    }
}

async fn check(session: &Session, graph_id: String, depth: Depth) -> Result<(), Failure> {
    let depth = match depth {
        Depth::Structure => v1::RepositoryCheckDepth::Structure,
        Depth::Sample => v1::RepositoryCheckDepth::Sample,
        Depth::AllData => v1::RepositoryCheckDepth::AllData,
    };
    let graphs = [graph_id.clone()];
    let request = v1::CheckRepositoryRequest { graph_id, depth: depth.into(), ..Default::default() };
    let answer = session.call_watched(request, &graphs).await?;
    session.output.part(&answer, answer.report.as_ref())?;
    if answer.report.is_some_and(|report| report.total_problems == 0) { Ok(()) } else { Err(Failure::Negative) }
}
