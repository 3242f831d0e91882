//! Storing the copies of the old server: read where they lie, audited beside it, recorded with their ids and times.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{LegacyCopy, PlannedGraph};
use crate::base::control::Control;
use crate::base::ids::SnapshotId;
use crate::domain::caller::Caller;
use crate::domain::entry::{Entry, EntryKind, Meta};
use crate::domain::finding::Verdict;
use crate::domain::graph_id::GraphId;
use crate::domain::tag::{GRAPH_TAG, OWN_TAG, SNAPSHOT_TAG};
use crate::lightrag;
use crate::lightrag::audit::Audit;
use crate::repository::{self, BackupRequest, Figures, LockKind, NewRecord, Repository, Source};
use crate::service::manifest::Manifest;
use crate::service::paths::into_text;
use crate::service::repository_lock::HeldLock;
use crate::service::{Error, ErrorKind, Services};
use crate::store::entity::snapshot::Model;
use crate::store::{graphs, snapshots};

/// What became of a graph's copies.
#[derive(Debug, Default)]
pub struct Imported {
    /// The snapshots that are there now, by their ids.
    pub snapshots: HashMap<SnapshotId, Model>,
    /// Why the others are not.
    pub failures: HashMap<SnapshotId, Error>,
    /// Why the graph's source cannot be read now.
    pub source_problem: Option<Error>,
    /// The graph's source, where its repository was there already and says another than is planned.
    pub other_source: Option<String>,
}

impl Services {
    /// Imports the copies of a graph that are not there yet; registers the graph. What one copy fails with keeps nothing from the others.
    ///
    /// # Errors
    /// The graph has no source; its repository cannot be used; the rows cannot follow the records. The next import goes on.
    pub async fn import_legacy(&self, caller: &Caller, planned: &PlannedGraph) -> Result<Imported, Error> {
        let mut imported = Imported::default();
        let graph_id = &planned.graph_id;
        if graphs::find(self.store().read(), graph_id).await?.is_none() && self.has_records(graph_id).await? {
            // From an import that was interrupted, or a database that was lost.
            self.adopt_now(caller, graph_id).await?;
        }
        let source_dir = match graphs::find(self.store().read(), graph_id).await? {
            Some(graph) => {
                imported.other_source = Some(graph.source_dir.clone()).filter(|source_dir| planned.source_dir.as_ref() != Some(source_dir));
                graph.source_dir
            }
            None => self.source_of(planned, &mut imported).await?,
        };
        let repository = self.repository_to_fill(graph_id).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Shared, &Control::default()).await?;
        let listed = Arc::clone(&repository);
        let records = self.blocking(move || listed.find_records()).await?.readable;
        let recorded: HashSet<String> = records.into_iter().flat_map(|record| record.tags).collect();
        for copy in planned.copies.iter().filter(|copy| !copy.is_there && !recorded.contains(&snapshot_tag(copy))) {
            let work = StoreCopy {
                graph_id: graph_id.clone(),
                source_dir: source_dir.clone(),
                instance_name: self.settings().instance_name.clone(),
                copy: copy.clone(),
                repository: Arc::clone(&repository),
                lock: lock.clone(),
            };
            match self.blocking(move || work.run()).await {
                Ok(()) => {
                    let (graph_id, snapshot_id) = (graph_id.as_str(), copy.snapshot_id.to_string());
                    tracing::info!(graph_id, snapshot_id, size_bytes = copy.size_bytes, "copy stored");
                }
                Err(error) => {
                    imported.failures.insert(copy.snapshot_id, error);
                }
            }
        }
        lock.release(self).await;
        if graphs::find(self.store().read(), graph_id).await?.is_some() || imported.failures.len() < planned.copies.len() {
            self.adopt_now(caller, graph_id).await?;
        }
        let ids: Vec<SnapshotId> = planned.copies.iter().map(|copy| copy.snapshot_id).collect();
        let rows = snapshots::list_by_ids(self.store().read(), &ids).await?.into_iter();
        let is_it = |row: &Model| row.status.is_restorable() && row.graph_id == *graph_id;
        imported.snapshots = rows.filter(is_it).map(|row| (row.snapshot_id, row)).collect();
        Ok(imported)
    }

    async fn has_records(&self, graph_id: &GraphId) -> Result<bool, Error> {
        let root = self.repository_root(graph_id);
        let has_records = move || Ok::<_, Error>(Repository::exists(&root)? && !Repository::record_names(&root)?.is_empty());
        self.blocking(has_records).await
    }

    async fn adopt_now(&self, caller: &Caller, graph_id: &GraphId) -> Result<(), Error> {
        let queued = self.adopt_repository(caller, graph_id).await?;
        self.wait_for(queued.operation_id).await.map(drop)
    }

    /// The source that an unknown graph is to have, links resolved. One that is not there now, or may not be read, is taken all the same.
    async fn source_of(&self, planned: &PlannedGraph, imported: &mut Imported) -> Result<String, Error> {
        let named = planned.source_dir.clone().ok_or_else(|| Error::invalid("source_dir", "is not known"))?;
        let places = self.settings().places.clone();
        match self.resolve_source(named.clone()).await {
            Ok(resolved) => Ok(resolved),
            Err(problem) if problem.reason() == "SOURCE_NOT_FOUND" => {
                imported.source_problem = Some(problem);
                // It is where the graph is to be: judged as what may be made.
                into_text("source_dir", self.blocking(move || places.resolve_target("source_dir", &named)).await?)
            }
            Err(problem) if problem.kind() == ErrorKind::InvalidArgument && may_not_read(&named) => {
                imported.source_problem = Some(problem);
                Ok(named)
            }
            Err(problem) => Err(problem),
        }
    }

    async fn repository_to_fill(&self, graph_id: &GraphId) -> Result<Arc<Repository>, Error> {
        // Where there are snapshots there must be a repository: a new one would hide that its disk is not mounted.
        let is_known = snapshots::has_record(self.store().read(), graph_id).await?;
        let (services, root, now) = (self.clone(), self.repository_root(graph_id), self.now());
        self.blocking(move || match is_known {
            true => services.repositories().get_or_open(&root),
            false => services.repositories().get_or_init(&root, now, &services.settings().instance_name),
        })
        .await
    }
}

fn may_not_read(directory: &str) -> bool {
    fs::read_dir(directory).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn snapshot_tag(copy: &LegacyCopy) -> String {
    format!("{SNAPSHOT_TAG}{}", copy.snapshot_id)
}

/// The blocking part: from a copy to its record.
struct StoreCopy {
    graph_id: GraphId,
    source_dir: String,
    instance_name: String,
    copy: LegacyCopy,
    repository: Arc<Repository>,
    lock: HeldLock,
}

impl StoreCopy {
    fn run(&self) -> Result<(), Error> {
        let (directory, control) = (self.copy.directory.as_path(), Control::default());
        let entries = entries(directory).map_err(|(path, source)| repository::Error::SourceUnreadable { path, source })?;
        let audit = Audit::new(None);
        // Asked when everything is stored and the audit has seen it all: the verdict becomes part of the snapshot.
        let manifest = |figures: &Figures, _: Option<&Figures>| {
            let made = self.manifest(figures, &audit, &entries, &control);
            made.map(Some).map_err(|error| repository::Error::ManifestNotMade { source: Box::new(error) })
        };
        let request = BackupRequest {
            // All of it: what the old server has copied, whatever we would leave out.
            source: Source::Directory { root: directory, skip: &|_| false },
            recorded_path: Path::new(&self.source_dir),
            beside: None,
            parent: None,
            tap: &|entry| audit.tap(entry),
            manifest: Some(&manifest),
            control: &control,
        };
        let stored = match self.repository.back_up(&request, self.lock.lock()) {
            Err(repository::Error::ManifestNotMade { source }) => Err(match source.downcast::<Error>() {
                Ok(error) => *error,
                Err(source) => Error::internal("make a snapshot's manifest", source),
            }),
            other => other.map_err(Error::from),
        }?;
        let own = [OWN_TAG.to_owned(), format!("{GRAPH_TAG}{}", self.graph_id), snapshot_tag(&self.copy)];
        let record = NewRecord {
            time: self.copy.made_at,
            hostname: self.instance_name.clone(),
            username: "lightkeep".to_owned(),
            paths: vec![PathBuf::from(&self.source_dir)],
            tags: own.to_vec(),
            parent: None,
        };
        self.repository.write_record(&stored, &record, self.lock.lock())?;
        Ok(())
    }

    fn manifest(&self, figures: &Figures, audit: &Audit, entries: &[Entry], control: &Control) -> Result<Vec<u8>, Error> {
        let verdict: Verdict = audit.finish(entries, control)?;
        let metadata = self.copy.details.metadata(&self.copy.directory.to_string_lossy(), self.copy.time_from);
        let stores = entries.iter().filter(|entry| lightrag::workspace::Store::of_path(&entry.path).is_some());
        let manifest = Manifest {
            graph_id: self.graph_id.to_string(),
            source_dir: self.source_dir.clone(),
            files: figures.files,
            size_bytes: figures.size_bytes,
            data_hash: hex::encode(figures.data_hash),
            lightrag_layout: verdict.layout.map(|layout| layout.as_str().to_owned()),
            embedding_dimension: verdict.embedding_dimension,
            storages: stores.map(|entry| entry.path.display().to_string()).collect(),
            metadata: Some(metadata.to_string()),
            verdict: Some(verdict),
            ..Manifest::default()
        };
        manifest.to_bytes().map_err(|error| Error::internal("write a snapshot's manifest", error))
    }
}

/// The regular files directly in a copy: among them are all stores of a workspace.
fn entries(directory: &Path) -> Result<Vec<Entry>, (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        |error| (path, error)
    };
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(at(directory))? {
        let read_from = entry.map_err(at(directory))?.path();
        let metadata = fs::symlink_metadata(&read_from).map_err(at(&read_from))?;
        if metadata.is_file() {
            let path = PathBuf::from(read_from.file_name().unwrap_or_default());
            entries.push(Entry { path, kind: EntryKind::File, meta: Meta::from(&metadata), read_from });
        }
    }
    Ok(entries)
}
