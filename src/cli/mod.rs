//! Floor 6: the command line of people: a client of a running server, as any other program would be.

mod alert;
mod ask;
mod cells;
mod checkpoint;
mod complete;
mod connection;
mod drill;
mod failover;
mod failure;
mod graph;
mod operation;
mod output;
mod progress;
mod repository;
mod resolve;
mod restore;
mod retention;
mod schedule;
mod snapshot;
mod snapshot_files;
mod status;
mod table;
mod target;

use std::process::ExitCode;

use clap::Subcommand;

use self::connection::{ConnectionArgs, Session};
use self::failure::Failure;

/// What a running server is asked for.
#[derive(Debug, Clone, Subcommand)]
pub enum ClientCommand {
    /// The whole picture on one screen. Exit code 0: all protected, 1: degraded or not known, 2: critical, 3: the server cannot be asked.
    Status(Flags<status::StatusArgs>),
    /// Graphs under care.
    Graph(Group<graph::GraphCommand>),
    /// Snapshots: take, look into, prove, keep, delete.
    Snapshot(Group<snapshot::SnapshotCommand>),
    /// Restore a snapshot: the plan first, then the question, then the work.
    Restore(Flags<restore::RestoreArgs>),
    /// Snapshots, drills and replication by themselves.
    Schedule(Group<schedule::ScheduleCommand>),
    /// How long snapshots are kept.
    Retention(Group<retention::RetentionCommand>),
    /// Graphs that belong together, and their recovery.
    Checkpoint(Group<checkpoint::CheckpointCommand>),
    /// Proofs of recovery.
    Drill(Group<drill::DrillCommand>),
    /// Where copies go.
    Target(Group<target::TargetCommand>),
    /// Send snapshots of a graph to its targets now.
    Replicate(Flags<target::ReplicateArgs>),
    /// The repositories that hold the snapshots.
    Repository(Group<repository::RepositoryCommand>),
    /// Long work.
    Operation(Group<operation::OperationCommand>),
    /// What the rules have found.
    Alert(Group<alert::AlertCommand>),
}

/// A command with commands of its own.
#[derive(Debug, Clone, clap::Args)]
pub struct Group<T: Subcommand> {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(subcommand)]
    command: T,
}

/// A command with flags.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags<T: clap::Args> {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    flags: T,
}

impl ClientCommand {
    fn connection(&self) -> &ConnectionArgs {
        match self {
            Self::Status(command) => &command.connection,
            Self::Graph(command) => &command.connection,
            Self::Snapshot(command) => &command.connection,
            Self::Restore(command) => &command.connection,
            Self::Schedule(command) => &command.connection,
            Self::Retention(command) => &command.connection,
            Self::Checkpoint(command) => &command.connection,
            Self::Drill(command) => &command.connection,
            Self::Target(command) => &command.connection,
            Self::Replicate(command) => &command.connection,
            Self::Repository(command) => &command.connection,
            Self::Operation(command) => &command.connection,
            Self::Alert(command) => &command.connection,
        }
    }

    async fn run(self, session: &Session) -> Result<ExitCode, Failure> {
        let done = match self {
            Self::Status(command) => return status::run(session, &command.flags).await,
            Self::Graph(command) => command.command.run(session).await,
            Self::Snapshot(command) => command.command.run(session).await,
            Self::Restore(command) => restore::run(session, command.flags).await,
            Self::Schedule(command) => command.command.run(session).await,
            Self::Retention(command) => command.command.run(session).await,
            Self::Checkpoint(command) => command.command.run(session).await,
            Self::Drill(command) => command.command.run(session).await,
            Self::Target(command) => command.command.run(session).await,
            Self::Replicate(command) => target::replicate(session, command.flags).await,
            Self::Repository(command) => command.command.run(session).await,
            Self::Operation(command) => command.command.run(session).await,
            Self::Alert(command) => command.command.run(session).await,
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// Does what a person asks of a server, and tells it. Exit codes: 0 done; 1 refused, failed, or the answer is no; 2 the command line cannot be
/// understood; 3 the server cannot be reached or does not let us in. `status` has codes of its own.
pub fn main(command: ClientCommand) -> ExitCode {
    let address = command.connection().address();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::Here(format!("cannot start the async runtime: {error}")).tell(&address, false),
    };
    let is_status = matches!(command, ClientCommand::Status(_));
    let outcome = runtime.block_on(async {
        let session = command.connection().open().await?;
        tokio::select! {
            outcome = command.run(&session) => outcome,
            _ = tokio::signal::ctrl_c() => Err(Failure::Left(session.left.lock().ok().and_then(|mut left| left.take()))),
        }
    });
    outcome.unwrap_or_else(|failure| failure.tell(&address, is_status))
}
