//! Ids that complete in the shell: the server is asked for them.

use std::ffi::OsStr;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use lightkeep_client::{Client, Error, Options, Retry, v1};

use super::connection::ConnectionArgs;

/// Whoever has pressed the key does not wait longer.
const LIMIT: Duration = Duration::from_secs(2);
/// So many are enough to choose from.
const MOST: i32 = 200;

/// The connection alone, as the environment has it.
#[derive(Debug, Parser)]
struct Environment {
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Ids, and what to say of each.
type Found = Result<Vec<(String, String)>, Error>;

pub(super) fn graphs() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        candidates(typed, async |client: Client| {
            let graphs = client.call(v1::ListGraphsRequest { page_size: MOST, ..Default::default() }).await?.graphs;
            Ok(graphs.into_iter().map(|graph| (graph.graph_id, graph.source_dir)).collect())
        })
    })
}

/// Of the graph that stands on the line already, of all graphs where none does.
pub(super) fn snapshots() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        candidates(typed, async |client: Client| {
            let line: Vec<String> = std::env::args_os().filter_map(|word| word.into_string().ok()).collect();
            let graphs = client.all(v1::ListGraphsRequest { page_size: 1000, ..Default::default() }).await?;
            let named = graphs.into_iter().map(|graph| graph.graph_id).find(|graph_id| line.contains(graph_id));
            let graph_id = named.unwrap_or_else(|| "-".to_owned());
            let snapshots = client.call(v1::ListSnapshotsRequest { graph_id, page_size: 1000, ..Default::default() }).await?.snapshots;
            Ok(snapshots.into_iter().map(|snapshot| (snapshot.backup_id, snapshot.graph_id)).chain([latest()]).collect())
        })
    })
}

pub(super) fn checkpoints() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        candidates(typed, async |client: Client| {
            let checkpoints = client.call(v1::ListCheckpointsRequest { page_size: MOST, ..Default::default() }).await?.checkpoints;
            Ok(checkpoints.into_iter().map(|checkpoint| (checkpoint.checkpoint_id, checkpoint.description)).chain([latest()]).collect())
        })
    })
}

pub(super) fn failovers() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        candidates(typed, async |client: Client| {
            let failovers = client.call(v1::ListFailoversRequest { page_size: MOST, ..Default::default() }).await?.failovers;
            Ok(failovers.into_iter().map(|failover| (failover.failover_id, failover.checkpoint_id)).collect())
        })
    })
}

pub(super) fn targets() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        candidates(typed, async |client: Client| {
            let targets = client.call(v1::ListTargetsRequest { page_size: MOST, ..Default::default() }).await?.targets;
            Ok(targets.into_iter().map(|target| (target.name, target.base_url)).collect())
        })
    })
}

pub(super) fn schedules() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        candidates(typed, async |client: Client| {
            let schedules = client.call(v1::ListSchedulesRequest { page_size: MOST, ..Default::default() }).await?.schedules;
            Ok(schedules
                .into_iter()
                .map(|schedule| (schedule.schedule_id, format!("{}{}", schedule.graph_id, schedule.graph_selector)))
                .collect())
        })
    })
}

pub(super) fn operations() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        candidates(typed, async |client: Client| {
            let operations = client.call(v1::ListOperationsRequest { page_size: MOST, ..Default::default() }).await?.operations;
            Ok(operations.into_iter().map(|operation| (operation.operation_id, operation.graph_id)).collect())
        })
    })
}

fn latest() -> (String, String) {
    ("latest".to_owned(), "the newest one".to_owned())
}

/// What begins with what was typed. Where the server cannot be asked there is nothing to choose from: a shell has no place for errors.
fn candidates(typed: &OsStr, ask: impl AsyncFnOnce(Client) -> Found) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let found = runtime.block_on(async { ask(client().await?).await }).unwrap_or_default();
    let fitting = found.into_iter().filter(|(id, _)| id.starts_with(typed));
    fitting.map(|(id, help)| CompletionCandidate::new(id).help(Some(help.into()))).collect()
}

async fn client() -> Result<Client, Error> {
    let matches = Environment::command().get_matches_from(["lightkeep"]);
    let environment = Environment::from_arg_matches(&matches).map_err(|error| Error::Options(error.to_string()))?;
    let options = environment.connection.options().map_err(|_| Error::Options("the token cannot be read".to_owned()))?;
    Client::new(Options { deadline: Some(LIMIT), retry: Retry::NEVER, ..options }).await
}
