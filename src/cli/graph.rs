//! `lightkeep graph`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lightkeep_client::v1;
use prost_types::FieldMask;

use super::ask::type_again;
use super::complete;
use super::connection::{Session, secret};
use super::failure::Failure;
use super::output::Column;
use super::resolve::{label, seconds};

const COLUMNS: &[Column] = &[
    Column("GRAPH", "graph_id"),
    Column("SNAPSHOTS", "total_snapshots"),
    Column("NEWEST", "last_snapshot_time"),
    Column("SOURCE", "source_dir"),
];

/// Graphs under Lightkeep's care.
#[derive(Debug, Clone, Subcommand)]
pub enum GraphCommand {
    /// Take a graph into care.
    Add {
        /// What it shall be called.
        graph: String,
        /// The LightRAG workspace, on the server's computer.
        source_dir: PathBuf,
        #[command(flatten)]
        settings: Settings,
    },
    /// List the graphs.
    List {
        /// Only graphs whose id begins with this.
        #[arg(long, default_value = "")]
        prefix: String,
    },
    /// Show one graph.
    Show {
        #[arg(add = complete::graphs())]
        graph: String,
    },
    /// Change what is given; the rest stays. Labels are added; `--clear labels` takes the others away.
    Edit {
        #[arg(add = complete::graphs())]
        graph: String,
        /// The LightRAG workspace, on the server's computer.
        #[arg(long)]
        source_dir: Option<PathBuf>,
        #[command(flatten)]
        settings: Settings,
        /// Take away: inputs-dir, server, labels or objectives; may be repeated.
        #[arg(long, value_name = "SETTING")]
        clear: Vec<Clearable>,
        /// Only if nobody has changed it since it had this etag.
        #[arg(long, default_value = "")]
        etag: String,
    },
    /// End the care of a graph.
    Remove(RemoveArgs),
}

/// What is set of a graph.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// LightRAG's inputs directory, which snapshots are to hold too.
    #[arg(long, value_name = "DIRECTORY")]
    inputs_dir: Option<PathBuf>,
    /// The address of the LightRAG server that works on it: snapshots wait until it is at rest.
    #[arg(long, value_name = "URL")]
    server_url: Option<String>,
    /// File that holds that server's API key.
    #[arg(long, value_name = "FILE", requires = "server_url")]
    server_api_key_file: Option<PathBuf>,
    /// Fail snapshots in which a processed document is broken, instead of keeping them.
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    fail_inconsistent: Option<bool>,
    /// A label by which schedules and targets can select it; may be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// How old the newest good snapshot may be: 90s, 15m, 6h, 7d.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    rpo: Option<i64>,
    /// How long a recovery may take.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    rto: Option<i64>,
}

/// What can be taken away from a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Clearable {
    /// It has no inputs any more.
    InputsDir,
    /// No LightRAG server is asked any more.
    Server,
    /// All labels.
    Labels,
    /// Both objectives.
    Objectives,
}

/// Flags of `graph remove`.
#[derive(Debug, Clone, Args)]
pub struct RemoveArgs {
    #[arg(add = complete::graphs())]
    graph: String,
    /// Keep its repository: `lightkeep graph add` under the same name brings the snapshots back.
    #[arg(long, required_unless_present = "purge", conflicts_with = "purge")]
    keep: bool,
    /// Delete its repository, with all snapshots.
    #[arg(long)]
    purge: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

impl GraphCommand {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Add { graph, source_dir, settings } => add(session, graph, &source_dir, settings).await,
            Self::List { prefix } => {
                let graphs =
                    session.client.all(v1::ListGraphsRequest { graph_id_prefix: prefix, page_size: 1000, ..Default::default() }).await?;
                session.output.list(&graphs, COLUMNS, "no graphs; `lightkeep graph add` takes one into care")
            }
            Self::Show { graph } => session.output.item(&session.call(v1::GetGraphRequest { graph_id: graph }).await?),
            Self::Edit { graph, source_dir, settings, clear, etag } => edit(session, graph, source_dir, settings, &clear, etag).await,
            Self::Remove(arguments) => remove(session, arguments).await,
        }
    }
}

async fn add(session: &Session, graph_id: String, source_dir: &Path, settings: Settings) -> Result<(), Failure> {
    let request = v1::RegisterGraphRequest {
        graph_id,
        source_dir: place(source_dir),
        server: settings.server(None)?,
        inconsistent_policy: settings.policy().unwrap_or_default().into(),
        inputs_dir: settings.inputs_dir.as_deref().map(place).unwrap_or_default(),
        objectives: settings.objectives(None),
        labels: settings.labels.into_iter().collect(),
        ..Default::default()
    };
    session.output.item(&session.call(request).await?)
}

async fn edit(
    session: &Session,
    graph_id: String,
    source_dir: Option<PathBuf>,
    settings: Settings,
    clear: &[Clearable],
    etag: String,
) -> Result<(), Failure> {
    let given = [
        ("source_dir", source_dir.is_some()),
        ("inputs_dir", settings.inputs_dir.is_some() || clear.contains(&Clearable::InputsDir)),
        ("server", settings.server_url.is_some() || clear.contains(&Clearable::Server)),
        ("inconsistent_policy", settings.fail_inconsistent.is_some()),
        ("labels", !settings.labels.is_empty() || clear.contains(&Clearable::Labels)),
        ("objectives", settings.rpo.is_some() || settings.rto.is_some() || clear.contains(&Clearable::Objectives)),
    ];
    let paths: Vec<String> = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.to_owned()).collect();
    if paths.is_empty() {
        return Err(Failure::Here("nothing to change: `lightkeep graph edit --help` shows what can be set".to_owned()));
    }
    // What is laid over must be what the server has: somebody may be faster.
    let before = session.call(v1::GetGraphRequest { graph_id: graph_id.clone() }).await?;
    let etag = if etag.is_empty() { before.etag.clone() } else { etag };
    let before = cleared(before, clear);
    let graph = v1::Graph {
        source_dir: source_dir.as_deref().map(place).unwrap_or_default(),
        inputs_dir: settings.inputs_dir.as_deref().map(place),
        server: settings.server(before.server)?,
        inconsistent_policy: settings.policy().unwrap_or_default().into(),
        objectives: settings.objectives(before.objectives),
        labels: before.labels.into_iter().chain(settings.labels).collect(),
        ..Default::default()
    };
    let request =
        v1::UpdateGraphRequest { graph_id, graph: Some(graph), update_mask: Some(FieldMask { paths }), etag, ..Default::default() };
    session.output.item(&session.call(request).await?)
}

async fn remove(session: &Session, arguments: RemoveArgs) -> Result<(), Failure> {
    let graph_id = arguments.graph;
    let repository = if arguments.purge {
        type_again(&format!("All snapshots of graph `{graph_id}` will be deleted for ever."), &graph_id, arguments.yes)?;
        v1::RepositoryFate::Purge
    } else {
        v1::RepositoryFate::Keep
    };
    let confirm_graph_id = if arguments.purge { graph_id.clone() } else { String::new() };
    let request =
        v1::UnregisterGraphRequest { graph_id: graph_id.clone(), repository: repository.into(), confirm_graph_id, ..Default::default() };
    let answer = session.call_watched(request, &[graph_id]).await?;
    session.output.sentence(&answer, &answer.message)
}

/// A graph without what is to be taken away.
fn cleared(graph: v1::Graph, clear: &[Clearable]) -> v1::Graph {
    let is_kept = |what: Clearable| !clear.contains(&what);
    v1::Graph {
        server: graph.server.filter(|_| is_kept(Clearable::Server)),
        objectives: graph.objectives.filter(|_| is_kept(Clearable::Objectives)),
        labels: if is_kept(Clearable::Labels) { graph.labels } else { HashMap::new() },
        ..graph
    }
}

impl Settings {
    /// The server that is named, with what is known of it before.
    fn server(&self, before: Option<v1::LightragServer>) -> Result<Option<v1::LightragServer>, Failure> {
        let Some(url) = self.server_url.clone() else { return Ok(before) };
        let api_key = self.server_api_key_file.as_deref().map(secret).transpose()?.unwrap_or_default();
        Ok(Some(v1::LightragServer { url, api_key, ..before.unwrap_or_default() }))
    }

    fn policy(&self) -> Option<v1::InconsistentPolicy> {
        self.fail_inconsistent.map(|fail| if fail { v1::InconsistentPolicy::Fail } else { v1::InconsistentPolicy::Keep })
    }

    fn objectives(&self, before: Option<v1::RecoveryObjectives>) -> Option<v1::RecoveryObjectives> {
        if self.rpo.is_none() && self.rto.is_none() {
            return before;
        }
        let before = before.unwrap_or_default();
        let (rpo_seconds, rto_seconds) = (self.rpo.unwrap_or(before.rpo_seconds), self.rto.unwrap_or(before.rto_seconds));
        Some(v1::RecoveryObjectives { rpo_seconds, rto_seconds })
    }
}

/// A directory as the server is told it: whole, as the server may work in another directory than the shell.
pub(super) fn place(directory: &Path) -> String {
    std::path::absolute(directory).as_deref().unwrap_or(directory).display().to_string()
}
