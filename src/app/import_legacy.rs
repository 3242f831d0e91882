//! `lightkeep import-legacy`: what the old Python server has kept becomes snapshots.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::args::ImportLegacyArgs;
use super::config::{Config, DatabaseUrl};
use super::instance_lock::InstanceLock;
use super::server;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::ids::IdSource;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::jobs::Worker;
use crate::service::Services;
use crate::service::legacy::{Imported, LegacyCopy, Plan, PlannedGraph, Wanted, resolved};
use crate::store::legacy::{self, Reading};

/// Arguments that can never be right; nothing was touched.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misuse(String);

/// What was told so far.
#[derive(Debug, Default)]
struct Tally {
    imported: usize,
    there: usize,
    left_out: usize,
    failed: usize,
}

/// Reads `GRAPH_ID=DIRECTORY`. The error is the rest of a sentence.
pub(super) fn source(text: &str) -> Result<(GraphId, PathBuf), String> {
    let (graph_id, directory) = text.split_once('=').filter(|(_, directory)| !directory.is_empty()).ok_or("use GRAPH_ID=DIRECTORY")?;
    Ok((GraphId::parse(graph_id).map_err(|error| format!("the graph id {error}"))?, PathBuf::from(directory)))
}

/// Imports the copies in a directory, or tells what it would import.
///
/// # Errors
/// [`Misuse`]; a server uses the storage; something could not be imported, which was told. The others are imported all the same.
pub(super) async fn run(config: Config, arguments: &ImportLegacyArgs) -> anyhow::Result<()> {
    let working_dir = std::env::current_dir().context("the working directory cannot be used")?;
    let wanted = wanted(&config, arguments, &working_dir)?;
    let database = match arguments.legacy_database.as_deref().map(|url| DatabaseUrl::parse(url, &working_dir)) {
        Some(Ok(url)) => Some(url).filter(|url| *url != config.database),
        Some(Err(problem)) => return Err(Misuse(format!("`--legacy-database` {problem}")).into()),
        None => None,
    };
    let tables = match &database {
        Some(url) => {
            let tables = read_tables(url).await.with_context(|| format!("`--legacy-database` {url}"))?;
            if tables.iter().all(|table| table.rows.is_empty() && table.unreadable == 0) {
                bail!("there is no row about a copy in the old server's database, a table with `backup_id` and `graph_id`: {url}");
            }
            Some(tables)
        }
        None => None,
    };
    let tally = if arguments.dry_run { look(&config, &wanted, tables).await? } else { import(config, &wanted, tables).await? };
    let done = if arguments.dry_run { "would be imported" } else { "imported" };
    say(format_args!(
        "{} {done}, {} there already, {} left out, {} that cannot be imported",
        tally.imported, tally.there, tally.left_out, tally.failed
    ));
    if tally.failed > 0 {
        bail!("{} could not be imported, see above", tally.failed);
    }
    Ok(())
}

fn wanted(config: &Config, arguments: &ImportLegacyArgs, working_dir: &Path) -> Result<Wanted, Misuse> {
    let show = arguments.directory.display();
    let directory =
        arguments.directory.canonicalize().map_err(|error| Misuse(format!("the old storage cannot be found: {show}: {error}")))?;
    if !directory.is_dir() {
        return Err(Misuse(format!("the old storage must be a directory: {show}")));
    }
    if directory.starts_with(&config.storage) || config.storage.starts_with(&directory) {
        let storage = config.storage.display();
        return Err(Misuse(format!(
            "the old storage and that of Lightkeep must lie apart, move the old one or set another `--storage`: {show} and {storage}"
        )));
    }
    let mut sources = BTreeMap::new();
    for (graph_id, source) in &arguments.sources {
        let show = source.display();
        let Some(absolute) = resolved(&working_dir.join(source)) else {
            return Err(Misuse(format!("a source must not use `..` below a directory that does not exist: {show}")));
        };
        if absolute.starts_with(&directory) {
            return Err(Misuse(format!("the source of graph `{graph_id}` must not lie in the old storage: {show}")));
        }
        let Some(text) = absolute.to_str() else { return Err(Misuse(format!("a source must be valid UTF-8: {show}"))) };
        if sources.insert(graph_id.clone(), text.to_owned()).is_some() {
            return Err(Misuse(format!("graph `{graph_id}` has two sources")));
        }
    }
    Ok(Wanted { directory, only: arguments.graphs.iter().cloned().collect(), sources, now: SystemClock.now() })
}

async fn read_tables(url: &DatabaseUrl) -> anyhow::Result<Vec<legacy::Table>> {
    let reading = Reading::open(&url.connect_url(), url.sqlite_path()).await?;
    let tables = legacy::list(reading.connection()).await?;
    reading.close().await?;
    Ok(tables)
}

/// Tells what would be imported. Our own database is only read, and neither it nor the storage need be there.
async fn look(config: &Config, wanted: &Wanted, tables: Option<Vec<legacy::Table>>) -> anyhow::Result<Tally> {
    let is_there = config.database.sqlite_path().is_none_or(Path::exists);
    let ours = match is_there {
        true => Some(Reading::open(&config.database.connect_url(), config.database.sqlite_path()).await?),
        false => None,
    };
    let (mut own, mut noted) = (None, Vec::new());
    if let Some(reading) = &ours {
        own = legacy::has_own_tables(reading.connection()).await?.then(|| reading.connection());
        if own.is_some() && !legacy::has_current_tables(reading.connection()).await? {
            bail!("the metadata database was written by an older Lightkeep, run `lightkeep migrate` first");
        }
        noted = if tables.is_none() { legacy::list(reading.connection()).await? } else { Vec::new() };
    }
    let tables = tables.unwrap_or(noted);
    let unreadable = unreadable(&tables);
    let plan = Plan::make(wanted, tables, own).await?;
    if let Some(reading) = ours {
        reading.close().await?;
    }
    let mut tally = Tally::default();
    tell_rows(&plan, &unreadable);
    for graph in &plan.graphs {
        tally.head(graph);
        for copy in &graph.copies {
            match graph.source_dir {
                Some(_) if !copy.is_there => tally.imported(copy, "would be imported"),
                _ => tally.not_new(copy),
            }
        }
    }
    tally.end(wanted, &plan);
    Ok(tally)
}

async fn import(config: Config, wanted: &Wanted, tables: Option<Vec<legacy::Table>>) -> anyhow::Result<Tally> {
    let slots = config.max_parallel_operations;
    let (services, _locks) = server::services(&config, Arc::new(SystemClock), IdSource::Random).await?;
    // On PostgreSQL several servers may share a storage, but two imports would store each copy twice.
    let _import = InstanceLock::take(&config.storage.join(".import-legacy.lock"), "storage for an import")?;
    let worker = services.tasks().spawn(Worker::new(services.clone(), slots).run());
    let tables = match tables {
        Some(tables) => tables,
        None => legacy::list(services.store().read()).await?,
    };
    let unreadable = unreadable(&tables);
    let plan = Plan::make(wanted, tables, Some(services.store().read())).await?;
    let mut tally = Tally::default();
    tell_rows(&plan, &unreadable);
    for graph in &plan.graphs {
        import_graph(&services, graph, &mut tally).await;
    }
    tally.end(wanted, &plan);
    services.stopping().cancel();
    worker.await.context("the worker died")?;
    services.store().clone().close().await?;
    Ok(tally)
}

async fn import_graph(services: &Services, graph: &PlannedGraph, tally: &mut Tally) {
    tally.head(graph);
    let new = || graph.copies.iter().filter(|copy| !copy.is_there);
    let result = match graph.source_dir.is_some() && new().next().is_some() {
        true => services.import_legacy(&Caller { name: "import-legacy", request_id: None }, graph).await,
        false => Ok(Imported::default()),
    };
    let imported = match result {
        Ok(imported) => imported,
        Err(error) => {
            say(format_args!("  {}", error.chain()));
            tally.failed += new().count();
            return;
        }
    };
    if let Some(problem) = &imported.source_problem {
        say(format_args!("  no snapshot of it can be taken now: {}", problem.chain()));
    }
    if let Some(source) = &imported.other_source {
        say(format_args!("  its repository was there, and says that its source is {source}: UpdateGraph changes that"));
    }
    for copy in &graph.copies {
        match (imported.snapshots.get(&copy.snapshot_id), imported.failures.get(&copy.snapshot_id)) {
            (_, Some(error)) => tally.failed(copy, &error.chain()),
            (Some(row), None) if !copy.is_there => {
                tally.imported(copy, &format!("imported, {}", row.consistency.as_deref().unwrap_or("not audited")));
            }
            (None, None) if !copy.is_there && graph.source_dir.is_some() => tally.failed(copy, "its record was not adopted, import again"),
            _ => tally.not_new(copy),
        }
    }
}

impl Tally {
    fn head(&self, graph: &PlannedGraph) {
        match &graph.source_dir {
            Some(source) => say(format_args!("graph `{}`, source {source} ({})", graph.graph_id, graph.source_from)),
            None => say(format_args!(
                "graph `{0}`, source unknown: name it with `--source {0}=DIRECTORY`, which need not exist yet",
                graph.graph_id
            )),
        }
        if graph.has_policy && graph.copies.iter().any(|copy| !copy.is_there) {
            say("  the graph has a retention policy, which counts for these snapshots at once: look at its preview");
        }
    }

    fn imported(&mut self, copy: &LegacyCopy, what: &str) {
        self.imported += 1;
        tell(copy, what);
    }

    fn failed(&mut self, copy: &LegacyCopy, why: &str) {
        self.failed += 1;
        tell(copy, why);
    }

    /// A copy that is there, or whose graph cannot be imported.
    fn not_new(&mut self, copy: &LegacyCopy) {
        if copy.is_there {
            self.there += 1;
            tell(copy, "is there already");
        } else {
            self.failed(copy, "cannot be imported without a source");
        }
    }

    fn end(&mut self, wanted: &Wanted, plan: &Plan) {
        for one in &plan.left_out {
            let path = one.path.strip_prefix(&wanted.directory).unwrap_or(&one.path);
            let what = if one.is_failure { "cannot be imported" } else { "left out" };
            say(format_args!("{what}: {}: {}", path.display(), one.why));
            if one.is_failure {
                self.failed += 1;
            } else {
                self.left_out += 1;
            }
        }
        if plan.graphs.is_empty() && plan.left_out.is_empty() {
            say(format_args!("no copy in {}: they are expected as <graph_id>/<backup_id>/", wanted.directory.display()));
        }
    }
}

fn tell(copy: &LegacyCopy, what: &str) {
    let LegacyCopy { snapshot_id, made_at, time_from, files, size_bytes, remarks, .. } = copy;
    let remarks: String = remarks.iter().map(|remark| format!("; {remark}")).collect();
    say(format_args!("  {snapshot_id}  {made_at} ({time_from})  {files} files, {size_bytes} bytes  {what}{remarks}"));
}

/// The tables that have rows which cannot be read, and how many.
fn unreadable(tables: &[legacy::Table]) -> Vec<(String, usize)> {
    tables.iter().filter(|table| table.unreadable > 0).map(|table| (table.name.clone(), table.unreadable)).collect()
}

fn tell_rows(plan: &Plan, unreadable: &[(String, usize)]) {
    say(format_args!("{} rows about copies in the old server's database, {} without a usable id", plan.rows, plan.rows_without_id));
    for (table, count) in unreadable {
        say(format_args!("{count} rows of table `{table}` cannot be read"));
    }
}

/// Prints a line. Who has stopped reading keeps nothing from being imported.
fn say(line: impl Display) {
    if let Err(error) = writeln!(io::stdout().lock(), "{line}")
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        tracing::warn!(error = error.to_string(), "cannot print what was done");
    }
}
