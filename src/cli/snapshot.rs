//! `lightkeep snapshot`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lightkeep_client::v1;

use super::ask::confirm;
use super::complete;
use super::connection::Session;
use super::failure::Failure;
use super::graph::place;
use super::output::{Column, Limit};
use super::resolve::{instant, label, seconds};
use super::snapshot_files::{self, BrowseArgs, CatArgs, DiffArgs};
use crate::base::clock::{Clock as _, SystemClock};

const COLUMNS: &[Column] = &[
    Column("SNAPSHOT", "backup_id"),
    Column("GRAPH", "graph_id"),
    Column("TAKEN", "timestamp"),
    Column("STATUS", "status"),
    Column("CONSISTENCY", "consistency"),
    Column("SIZE", "size_bytes"),
    Column("STORED", "stored_bytes"),
    Column("DOCUMENTS", "documents"),
    Column("VERIFIED", "verified_level"),
    Column("PINNED", "pin_reason"),
];

/// Snapshots of graphs. SNAPSHOT is an id, the beginning of one, or `latest`.
#[derive(Debug, Clone, Subcommand)]
pub enum SnapshotCommand {
    /// Take a snapshot.
    Create(CreateArgs),
    /// List snapshots, newest first.
    List(ListArgs),
    /// Show one snapshot, with its findings.
    Show(Named),
    /// Prove that a snapshot can be restored. Exit code 1 where it cannot.
    Verify {
        #[command(flatten)]
        named: Named,
        /// How deep: its record, every byte of its data, or the audit of its content too.
        #[arg(long, default_value = "content")]
        level: Level,
        /// Do not wait for the outcome: print the operation.
        #[arg(long)]
        no_wait: bool,
    },
    /// Say what came and what went since another snapshot.
    Diff(DiffArgs),
    /// Keep a snapshot from every deletion.
    Pin {
        #[command(flatten)]
        named: Named,
        /// Why; whoever wants to delete it reads this.
        #[arg(long)]
        reason: String,
        /// When the pin ends by itself: in 90s, 15m, 6h, 7d [default: never].
        #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
        length: Option<i64>,
    },
    /// End a pin.
    Unpin(Named),
    /// Put a snapshot under a legal hold.
    Hold {
        #[command(flatten)]
        named: Named,
        /// Why; it stands in the audit trail.
        #[arg(long)]
        reason: String,
    },
    /// End a legal hold.
    Release {
        #[command(flatten)]
        named: Named,
        /// Why; it stands in the audit trail.
        #[arg(long)]
        reason: String,
    },
    /// List what is in a snapshot.
    Browse(BrowseArgs),
    /// Write a file of a snapshot to standard output.
    Cat(CatArgs),
    /// Delete a snapshot.
    Delete {
        #[command(flatten)]
        named: Named,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
}

/// A snapshot of a graph.
#[derive(Debug, Clone, Args)]
pub struct Named {
    /// The graph.
    #[arg(add = complete::graphs())]
    pub(super) graph: String,
    /// An id, the beginning of one, or `latest`.
    #[arg(add = complete::snapshots())]
    pub(super) snapshot: String,
}

/// Flags of `snapshot create`.
#[derive(Debug, Clone, Args)]
pub struct CreateArgs {
    /// The graph.
    #[arg(add = complete::graphs())]
    graph: String,
    /// Another directory than the registered one, for this snapshot only; an unknown graph is registered with it.
    #[arg(long, value_name = "DIRECTORY")]
    source_dir: Option<PathBuf>,
    /// A word by which restic and retention policies know it; may be repeated.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Something that is kept with it; may be repeated.
    #[arg(long = "metadata", value_name = "NAME=VALUE", value_parser = label)]
    metadata: Vec<(String, String)>,
    /// Do not wait for the outcome: print the snapshot as it is, with its operation.
    #[arg(long)]
    no_wait: bool,
}

/// Flags of `snapshot list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// The graph [default: all].
    #[arg(default_value = "-", hide_default_value = true, add = complete::graphs())]
    graph: String,
    #[command(flatten)]
    limit: Limit,
    /// Only in this state.
    #[arg(long)]
    status: Option<Status>,
    /// Only those in which processed documents are broken.
    #[arg(long)]
    inconsistent: bool,
    /// Only pinned ones.
    #[arg(long)]
    pinned: bool,
    /// Only those since then: 2026-11-30 or 2026-11-30T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: Option<prost_types::Timestamp>,
}

/// Where snapshots stand.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Status {
    /// Waits for its turn.
    Pending,
    /// Is being taken.
    InProgress,
    /// Can be restored.
    Completed,
    /// Could not be taken.
    Failed,
}

/// How deep snapshots are verified.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Level {
    /// The record and all directories are readable, all content is in the index and its packs are there.
    Record,
    /// Every piece of content is read, authenticated and compared with its hash.
    Data,
    /// What a restore would give is audited by all rules between the stores.
    Content,
}

impl Level {
    pub(super) fn proto(self) -> i32 {
        let level = match self {
            Self::Record => v1::VerificationLevel::Record,
            Self::Data => v1::VerificationLevel::Data,
            Self::Content => v1::VerificationLevel::Content,
        };
        level.into()
    }
}

impl SnapshotCommand {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => create(session, arguments).await,
            Self::List(arguments) => list(session, arguments).await,
            Self::Show(named) => {
                let (graph_id, snapshot_id) = named.ids(session).await?;
                session.output.item(&session.call(v1::GetSnapshotRequest { graph_id, snapshot_id }).await?)
            }
            Self::Verify { named, level, no_wait } => verify(session, named, level, no_wait).await,
            Self::Diff(arguments) => snapshot_files::diff(session, arguments).await,
            Self::Pin { named, reason, length } => {
                let (graph_id, snapshot_id) = named.ids(session).await?;
                let until = length.map(after);
                session
                    .output
                    .item(&session.call(v1::PinSnapshotRequest { graph_id, snapshot_id, reason, until, ..Default::default() }).await?)
            }
            Self::Unpin(named) => {
                let (graph_id, snapshot_id) = named.ids(session).await?;
                session.output.item(&session.call(v1::UnpinSnapshotRequest { graph_id, snapshot_id, ..Default::default() }).await?)
            }
            Self::Hold { named, reason } => {
                let (graph_id, snapshot_id) = named.ids(session).await?;
                session.output.item(&session.call(v1::HoldSnapshotRequest { graph_id, snapshot_id, reason, ..Default::default() }).await?)
            }
            Self::Release { named, reason } => {
                let (graph_id, snapshot_id) = named.ids(session).await?;
                session
                    .output
                    .item(&session.call(v1::ReleaseSnapshotRequest { graph_id, snapshot_id, reason, ..Default::default() }).await?)
            }
            Self::Browse(arguments) => snapshot_files::browse(session, arguments).await,
            Self::Cat(arguments) => snapshot_files::cat(session, arguments).await,
            Self::Delete { named, yes } => delete(session, named, yes).await,
        }
    }
}

impl Named {
    /// The graph and the whole id.
    pub(super) async fn ids(&self, session: &Session) -> Result<(String, String), Failure> {
        Ok((self.graph.clone(), session.snapshot_id(&self.graph, &self.snapshot).await?))
    }
}

async fn create(session: &Session, arguments: CreateArgs) -> Result<(), Failure> {
    let string = |text: String| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text)) };
    let fields = arguments.metadata.into_iter().map(|(name, value)| (name, string(value))).collect();
    let request = v1::CreateSnapshotRequest {
        graph_id: arguments.graph.clone(),
        source_dir: arguments.source_dir.as_deref().map(place).unwrap_or_default(),
        metadata: Some(prost_types::Struct { fields }),
        tags: arguments.tags,
        wait: Some(false),
        ..Default::default()
    };
    let snapshot = session.call(request).await?;
    if arguments.no_wait {
        return session.output.item(&snapshot);
    }
    session.wait(&snapshot.operation_id).await?;
    let request = v1::GetSnapshotRequest { graph_id: arguments.graph, snapshot_id: snapshot.backup_id };
    session.output.item(&session.call(request).await?)
}

async fn list(session: &Session, arguments: ListArgs) -> Result<(), Failure> {
    let status = arguments.status.map_or(v1::SnapshotStatus::Unspecified, |status| match status {
        Status::Pending => v1::SnapshotStatus::Pending,
        Status::InProgress => v1::SnapshotStatus::InProgress,
        Status::Completed => v1::SnapshotStatus::Completed,
        Status::Failed => v1::SnapshotStatus::Failed,
    });
    let request = v1::ListSnapshotsRequest {
        graph_id: arguments.graph,
        status: status.into(),
        consistency: if arguments.inconsistent { v1::Consistency::Inconsistent.into() } else { 0 },
        pinned: arguments.pinned.then_some(true),
        created_from: arguments.since,
        ..Default::default()
    };
    let snapshots = session.some(request, &arguments.limit).await?;
    session.output.listed(&snapshots, COLUMNS, "no snapshots")
}

async fn verify(session: &Session, named: Named, level: Level, no_wait: bool) -> Result<(), Failure> {
    let (graph_id, snapshot_id) = named.ids(session).await?;
    let (graph, snapshot) = (graph_id.clone(), snapshot_id.clone());
    let request = v1::VerifySnapshotRequest { graph_id, snapshot_id, level: level.proto(), wait: Some(false), ..Default::default() };
    let operation = session.call(request).await?.operation.unwrap_or_default();
    if no_wait {
        return session.output.item(&operation);
    }
    let operation_id = operation.operation_id;
    let operation = session.wait(&operation_id).await?;
    let request = v1::ListVerificationsRequest { graph_id: graph, snapshot_id: snapshot, ..Default::default() };
    let verifications = session.call(request).await?.verifications;
    let verification = verifications.into_iter().find(|verification| verification.operation_id == operation_id);
    let verification = verification.ok_or_else(|| Failure::Here("the snapshot was deleted meanwhile".to_owned()))?;
    let passed = verification.passed;
    let answer = v1::VerifySnapshotResponse { verification: Some(verification), operation: Some(operation) };
    session.output.part(&answer, answer.verification.as_ref())?;
    if passed { Ok(()) } else { Err(Failure::Negative) }
}

async fn delete(session: &Session, named: Named, yes: bool) -> Result<(), Failure> {
    let (graph_id, snapshot_id) = named.ids(session).await?;
    confirm(&format!("Delete snapshot {snapshot_id} of graph `{graph_id}`?"), yes)?;
    let graphs = [graph_id.clone()];
    let answer = session.call_watched(v1::DeleteSnapshotRequest { graph_id, snapshot_id, ..Default::default() }, &graphs).await?;
    session.output.sentence(&answer, &answer.message)
}

/// An instant so many seconds from now.
fn after(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: (SystemClock.now().micros() / 1_000_000).saturating_add(seconds), nanos: 0 }
}
