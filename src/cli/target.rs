//! `lightkeep target` and `lightkeep replicate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lightkeep_client::v1;
use prost_types::FieldMask;

use super::ask::confirm;
use super::complete;
use super::connection::{Session, secret};
use super::failure::Failure;
use super::output::Column;

const COLUMNS: &[Column] = &[
    Column("TARGET", "name"),
    Column("STATUS", "condition.status"),
    Column("WHERE", "base_url"),
    Column("DIRECTORY", "path"),
    Column("GRAPHS", "graph_selector"),
    Column("ENABLED", "enabled"),
    Column("ID", "target_id"),
];

const REPLICAS: &[Column] = &[
    Column("TARGET", "target_name"),
    Column("LAG", "lag_seconds"),
    Column("SNAPSHOTS BEHIND", "lag_snapshots"),
    Column("BYTES BEHIND", "lag_bytes"),
    Column("THERE", "replicated_snapshots"),
    Column("LAST SUCCESS", "last_success_at"),
    Column("ERROR", "last_error"),
];

/// Where copies go. TARGET is a name, an id, or the beginning of one.
#[derive(Debug, Clone, Subcommand)]
pub enum TargetCommand {
    /// Register a target: another Lightkeep, or a directory on another disk.
    Add(AddArgs),
    /// List the targets.
    List,
    /// Show one target.
    Show {
        #[arg(add = complete::targets())]
        target: String,
    },
    /// Ask a target how it is. Exit code 1 where it is not healthy.
    Health {
        #[arg(add = complete::targets())]
        target: String,
    },
    /// Switch a target off: nothing is sent there any more.
    Disable {
        #[arg(add = complete::targets())]
        target: String,
    },
    /// Switch a target on again.
    Enable {
        #[arg(add = complete::targets())]
        target: String,
    },
    /// Forget a target. The copies there stay.
    Remove {
        #[arg(add = complete::targets())]
        target: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// How far each target is behind with a graph.
    Lag {
        #[arg(add = complete::graphs())]
        graph: String,
    },
    /// Read the copy of a graph again, all of it. Exit code 1 where damage stays.
    Verify {
        #[arg(add = complete::targets())]
        target: String,
        #[arg(add = complete::graphs())]
        graph: String,
    },
    /// Bring the lost repository of a graph back from a target.
    Recover {
        #[arg(add = complete::targets())]
        target: String,
        #[arg(add = complete::graphs())]
        graph: String,
    },
}

/// Flags of `target add`.
#[derive(Debug, Clone, Args)]
pub struct AddArgs {
    /// What it shall be called.
    name: String,
    /// Another Lightkeep: its REST address.
    #[arg(long, value_name = "URL", required_unless_present = "path", conflicts_with = "path")]
    base_url: Option<String>,
    /// Its gRPC address, where that is not behind the same one.
    #[arg(long, value_name = "URL", requires = "base_url")]
    grpc_url: Option<String>,
    /// File that holds one of its LIGHTKEEP_PEER_KEYS.
    #[arg(long, value_name = "FILE", requires = "base_url")]
    api_key_file: Option<PathBuf>,
    /// A directory on the server's computer.
    #[arg(long, value_name = "DIRECTORY")]
    path: Option<PathBuf>,
    /// Only graphs with these labels, such as `env=prod` [default: all].
    #[arg(long, value_name = "LABELS", default_value = "", hide_default_value = true)]
    selector: String,
    /// Send only what is asked for.
    #[arg(long)]
    on_request: bool,
    /// How many files at once [default: the server's].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    parallelism: i32,
    /// The most that is sent, bytes a second [default: no limit].
    #[arg(long, value_name = "BYTES", default_value_t = 0, hide_default_value = true)]
    bytes_per_second: i64,
    /// It lies elsewhere, and counts for policies that want copies off site.
    #[arg(long)]
    off_site: bool,
    /// File that holds another repository password for the copies there.
    #[arg(long, value_name = "FILE")]
    repository_password_file: Option<PathBuf>,
}

/// Flags of `replicate`.
#[derive(Debug, Clone, Args)]
pub struct ReplicateArgs {
    /// The graph.
    #[arg(add = complete::graphs())]
    graph: String,
    /// An id, the beginning of one, or `latest` [default: all that is lacking].
    #[arg(add = complete::snapshots())]
    snapshot: Option<String>,
    /// Only to this target; may be repeated.
    #[arg(long = "target", value_name = "TARGET", add = complete::targets())]
    targets: Vec<String>,
    /// Do not wait for the outcome: print the operation.
    #[arg(long)]
    no_wait: bool,
}

impl TargetCommand {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Add(arguments) => add(session, arguments).await,
            Self::List => {
                let targets = session.client.all(v1::ListTargetsRequest { page_size: 1000, ..Default::default() }).await?;
                session.output.list(&targets, COLUMNS, "no targets; `lightkeep target add` registers one")
            }
            Self::Show { target } => {
                let target_id = session.target_id(&target).await?;
                session.output.item(&session.call(v1::GetTargetRequest { target_id }).await?)
            }
            Self::Health { target } => health(session, &target).await,
            Self::Disable { target } => enable(session, &target, false).await,
            Self::Enable { target } => enable(session, &target, true).await,
            Self::Remove { target, yes } => {
                let target_id = session.target_id(&target).await?;
                confirm(&format!("Forget target `{target}`? The copies there stay."), yes)?;
                let answer = session.call(v1::RemoveTargetRequest { target_id, ..Default::default() }).await?;
                session.output.sentence(&answer, &answer.message)
            }
            Self::Lag { graph } => {
                let status = session.call(v1::GetReplicationStatusRequest { graph_id: graph }).await?;
                if session.output.is_json() {
                    session.output.item(&status)
                } else {
                    session.output.list(&status.replicas, REPLICAS, "no targets")
                }
            }
            Self::Verify { target, graph } => {
                let target_id = session.target_id(&target).await?;
                let graphs = [graph.clone()];
                let answer = session.call_watched(v1::VerifyReplicaRequest { target_id, graph_id: graph }, &graphs).await?;
                session.output.item(&answer)?;
                if answer.damaged_files.len() == answer.repaired_files.len() { Ok(()) } else { Err(Failure::Negative) }
            }
            Self::Recover { target, graph } => {
                let target_id = session.target_id(&target).await?;
                let operation =
                    session.call(v1::RecoverGraphRequest { target_id, graph_id: graph, wait: Some(false), ..Default::default() }).await?;
                session.output.item(&session.wait(&operation.operation_id).await?)
            }
        }
    }
}

async fn add(session: &Session, arguments: AddArgs) -> Result<(), Failure> {
    let request = v1::RegisterTargetRequest {
        name: arguments.name,
        base_url: arguments.base_url.unwrap_or_default(),
        grpc_url: arguments.grpc_url.unwrap_or_default(),
        api_key: arguments.api_key_file.as_deref().map(secret).transpose()?.unwrap_or_default(),
        path: arguments.path.as_deref().map(super::graph::place).unwrap_or_default(),
        graph_selector: arguments.selector,
        on_request: arguments.on_request,
        parallelism: arguments.parallelism,
        bytes_per_second: arguments.bytes_per_second,
        off_site: arguments.off_site,
        repository_password: arguments.repository_password_file.as_deref().map(secret).transpose()?.unwrap_or_default(),
        ..Default::default()
    };
    session.output.item(&session.call(request).await?)
}

async fn health(session: &Session, word: &str) -> Result<(), Failure> {
    let target_id = session.target_id(word).await?;
    let health = session.call(v1::CheckTargetHealthRequest { target_id: target_id.clone() }).await?;
    if session.output.is_json() {
        session.output.item(&health)?;
    } else {
        // Why it is so was noted with it.
        let target = session.call(v1::GetTargetRequest { target_id }).await?;
        session.output.item(&target.condition.unwrap_or_default())?;
    }
    if health.status() == v1::TargetStatus::Healthy { Ok(()) } else { Err(Failure::Negative) }
}

async fn enable(session: &Session, word: &str, enabled: bool) -> Result<(), Failure> {
    let target_id = session.target_id(word).await?;
    let target = v1::Target { enabled: Some(enabled), ..Default::default() };
    let update_mask = Some(FieldMask { paths: vec!["enabled".to_owned()] });
    session
        .output
        .item(&session.call(v1::UpdateTargetRequest { target_id, target: Some(target), update_mask, ..Default::default() }).await?)
}

pub(super) async fn replicate(session: &Session, arguments: ReplicateArgs) -> Result<(), Failure> {
    let mut target_ids = Vec::new();
    for word in &arguments.targets {
        target_ids.push(session.target_id(word).await?);
    }
    let snapshot_id = match &arguments.snapshot {
        Some(word) => session.snapshot_id(&arguments.graph, word).await?,
        None => String::new(),
    };
    let request = v1::ReplicateGraphRequest { graph_id: arguments.graph, snapshot_id, target_ids, wait: Some(false), ..Default::default() };
    let operation = session.call(request).await?;
    if arguments.no_wait {
        return session.output.item(&operation);
    }
    session.output.item(&session.wait(&operation.operation_id).await?)
}
