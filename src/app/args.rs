//! The command line. Precedence of a server's flags over environment and files is decided in [`super::config`], so clap's own `env` is used by
//! commands that speak to a running server only.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::cli::ClientCommand;
use crate::domain::graph_id::GraphId;

/// What `--version` says.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("BUILD_COMMIT"), ", built ", env!("BUILD_DATE"), ")");

/// What is below the help.
const AFTER_HELP: &str = "Exit codes: 0 done; 1 refused, failed, or the answer is no; 2 the command line or the configuration is wrong; 3 the server \
    cannot be reached or does not let us in. `status` says with 0, 1, 2 how protected the graphs are.";

/// Keeps LightRAG knowledge graphs safe: consistent, deduplicated, encrypted snapshots, restored safely.
#[derive(Debug, Clone, Parser)]
#[command(name = "lightkeep", version = VERSION, about, after_help = AFTER_HELP)]
pub struct Args {
    /// TOML file with settings; flags, the environment and `.env` win over it.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// With a server's configuration.
    #[command(flatten)]
    Server(ServerCommand),
    /// By a running server.
    #[command(flatten)]
    Client(ClientCommand),
    /// Print what makes commands and ids complete in a shell: `source <(lightkeep completions bash)`.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write what is generated from the code.
    #[command(subcommand, hide = true)]
    Reference(ReferenceCommand),
}

/// What works with a server's configuration.
#[derive(Debug, Clone, Subcommand)]
pub enum ServerCommand {
    /// Serve gRPC and REST until SIGTERM.
    Serve(ServeArgs),
    /// Show the whole way on a bundled sample graph, in `./lightkeep-data`: snapshot, damage, restore, audit.
    Quickstart(QuickstartArgs),
    /// Bring the database's tables up to date, and end.
    Migrate(MigrateArgs),
    /// Take the repositories in the storage into care that the database does not know, and end. For when the database was lost, and for
    /// repositories that restic or rustic made: put each into the storage, under the id of its graph. Operations that wait in the
    /// database are worked on meanwhile, as by a server.
    Adopt(AdoptArgs),
    /// Make snapshots of the copies that the old Python server has kept, with their ids, times and metadata, and end. Nothing of the old
    /// server's is changed. Run again, it goes on, and imports nothing twice.
    ImportLegacy(ImportLegacyArgs),
    /// Seal the keys of LightRAG servers and of targets with a new key, in the database and in `secrets.key`, and end. No server may use
    /// them meanwhile.
    RotateSecretsKey(StorageArgs),
}

/// What is generated from the code.
#[derive(Debug, Clone, Subcommand)]
pub enum ReferenceCommand {
    /// Write the reference of the API, and the tables of the configuration reference.
    Documents {
        /// The folder of the documents, such as `docs`.
        directory: PathBuf,
    },
    /// Write the manual pages.
    Man {
        /// The folder of the pages.
        directory: PathBuf,
    },
}

/// Flags of `serve`. Each has its environment variable and its key in the TOML file.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ServeArgs {
    /// Where REST listens [default: 127.0.0.1:9621].
    #[arg(long, value_name = "ADDRESS")]
    pub http_addr: Option<String>,
    /// Where gRPC listens [default: 127.0.0.1:50051].
    #[arg(long, value_name = "ADDRESS")]
    pub grpc_addr: Option<String>,
    /// Where `/metrics` listens, for Prometheus [default: 127.0.0.1:9090].
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_addr: Option<String>,
    /// Where the repositories lie [default: ./lightrag_backups].
    #[arg(long, value_name = "DIRECTORY")]
    pub storage: Option<String>,
    /// Database of the metadata [default: sqlite:///./lightrag_recovery.db].
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// Directory that sources and restore targets must lie in; may be repeated [default: the working directory].
    #[arg(long = "allowed-root", value_name = "DIRECTORY")]
    pub allowed_roots: Vec<String>,
    /// File that holds the password of the repositories.
    #[arg(long, value_name = "FILE")]
    pub repository_password_file: Option<String>,
    /// Shell command that prints the password of the repositories.
    #[arg(long, value_name = "COMMAND")]
    pub repository_password_command: Option<String>,
    /// Name of this instance, recorded in snapshots [default: the host's name].
    #[arg(long, value_name = "NAME")]
    pub instance_name: Option<String>,
    /// How many operations run at once [default: number of cores].
    #[arg(long, value_name = "NUMBER")]
    pub max_parallel_operations: Option<String>,
    /// DEBUG, INFO, WARNING or ERROR [default: INFO].
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text, or json for an object on each line [default: text].
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Listen beyond this computer without an API key.
    #[arg(long)]
    pub insecure_no_auth: bool,
}

/// Flags of `quickstart`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct QuickstartArgs {
    /// End after the steps instead of serving on; the exit code says whether all of them went well.
    #[arg(long)]
    pub once: bool,
}

/// Flags of `migrate`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MigrateArgs {
    /// Database of the metadata [default: sqlite:///./lightrag_recovery.db].
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
}

/// Flags of `adopt`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AdoptArgs {
    /// Only the repository of this graph; may be repeated [default: all in the storage; those of known graphs are compared again].
    #[arg(long = "graph", value_name = "GRAPH_ID")]
    pub graphs: Vec<String>,
    /// What it works on.
    #[command(flatten)]
    pub places: StorageArgs,
}

/// Flags of `import-legacy`.
#[derive(Debug, Clone, clap::Args)]
pub struct ImportLegacyArgs {
    /// The old server's storage: copies of graphs as `<graph_id>/<backup_id>/`.
    #[arg(value_name = "DIRECTORY")]
    pub directory: PathBuf,
    /// The old server's database [default: its tables in ours, if there are any].
    #[arg(long, value_name = "URL")]
    pub legacy_database: Option<String>,
    /// Only the copies of this graph; may be repeated.
    #[arg(long = "graph", value_name = "GRAPH_ID", value_parser = GraphId::parse)]
    pub graphs: Vec<GraphId>,
    /// Where a graph lives that is not registered yet; may be repeated. The directory need not exist.
    #[arg(long = "source", value_name = "GRAPH_ID=DIRECTORY", value_parser = super::import_legacy::source)]
    pub sources: Vec<(GraphId, PathBuf)>,
    /// Tell what would be imported, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// What it works on.
    #[command(flatten)]
    pub places: StorageArgs,
}

/// Flags of a command that works on storage and database.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct StorageArgs {
    /// Where the repositories lie [default: ./lightrag_backups].
    #[arg(long, value_name = "DIRECTORY")]
    pub storage: Option<String>,
    /// Database of the metadata [default: sqlite:///./lightrag_recovery.db].
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// File that holds the password of the repositories.
    #[arg(long, value_name = "FILE")]
    pub repository_password_file: Option<String>,
    /// Shell command that prints the password of the repositories.
    #[arg(long, value_name = "COMMAND")]
    pub repository_password_command: Option<String>,
}

impl StorageArgs {
    fn given(&self) -> Vec<(&'static str, Vec<String>)> {
        let single = [
            ("--storage", &self.storage),
            ("--database-url", &self.database_url),
            ("--repository-password-file", &self.repository_password_file),
            ("--repository-password-command", &self.repository_password_command),
        ];
        single.into_iter().filter_map(|(flag, value)| Some((flag, vec![value.clone()?]))).collect()
    }
}

impl Args {
    /// The settings given by flags: the flag as it is written, and its values.
    pub(super) fn given(&self) -> Vec<(&'static str, Vec<String>)> {
        match &self.command {
            Command::Server(command) => command.given(),
            Command::Client(_) | Command::Completions { .. } | Command::Reference(_) => Vec::new(),
        }
    }
}

impl ServerCommand {
    fn given(&self) -> Vec<(&'static str, Vec<String>)> {
        match self {
            Self::Serve(serve) => serve.given(),
            Self::Adopt(adopt) => adopt.places.given(),
            Self::ImportLegacy(import) => import.places.given(),
            Self::RotateSecretsKey(places) => places.given(),
            Self::Migrate(migrate) => migrate.database_url.iter().map(|url| ("--database-url", vec![url.clone()])).collect(),
            // As flags, so that an exported LIGHTRAG_BACKUP_STORAGE does not lead the demonstration into real repositories.
            Self::Quickstart(_) => vec![
                ("--storage", vec!["lightkeep-data/backups".to_owned()]),
                ("--database-url", vec!["sqlite:///lightkeep-data/lightkeep.db".to_owned()]),
                ("--allowed-root", vec!["lightkeep-data".to_owned()]),
            ],
        }
    }
}

impl ServeArgs {
    fn given(&self) -> Vec<(&'static str, Vec<String>)> {
        let single = [
            ("--http-addr", &self.http_addr),
            ("--grpc-addr", &self.grpc_addr),
            ("--metrics-addr", &self.metrics_addr),
            ("--storage", &self.storage),
            ("--database-url", &self.database_url),
            ("--repository-password-file", &self.repository_password_file),
            ("--repository-password-command", &self.repository_password_command),
            ("--instance-name", &self.instance_name),
            ("--max-parallel-operations", &self.max_parallel_operations),
            ("--log-level", &self.log_level),
            ("--log-format", &self.log_format),
        ];
        let mut given: Vec<_> = single.into_iter().filter_map(|(flag, value)| Some((flag, vec![value.clone()?]))).collect();
        if !self.allowed_roots.is_empty() {
            given.push(("--allowed-root", self.allowed_roots.clone()));
        }
        if self.insecure_no_auth {
            given.push(("--insecure-no-auth", vec!["true".to_owned()]));
        }
        given
    }
}
