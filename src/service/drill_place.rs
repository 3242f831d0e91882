//! The scratch place of a drill: a directory of its own, and the processes that work in it. Nothing of either is left when the drill has
//! ended, whatever ended it.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind::NotFound;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use tokio::runtime::Handle;

use super::Services;
use super::error::{Error, ErrorKind};
use super::processes::Mark;
use crate::base::ids::OperationId;
use crate::store::entity::operation;
use crate::store::{graphs, operations};

/// The variable by which a drill's processes are known, whatever group they have moved to.
pub(super) const DRILL_VARIABLE: &str = "LIGHTKEEP_DRILL_OPERATION_ID";

/// A scratch place. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    mark: Mark,
}

impl Scratch {
    /// Makes the place of an attempt. What earlier ones have left is taken away: that of a worker that still runs although it has lost its
    /// lease is another place than this. Blocking.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn make(directory: &Path, operation: &operation::Model) -> Result<Self, Error> {
        let cannot = |error: std::io::Error| {
            let message = format!("the place for drills cannot be used, set `LIGHTKEEP_DRILL_DIR`: {}: {error}", directory.display());
            Error::refused(ErrorKind::FailedPrecondition, "FILE_SYSTEM", message)
        };
        // What lies in it has left its encryption: nobody else may look.
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(cannot)?;
        let directory = directory.canonicalize().map_err(cannot)?;
        for attempt in 1..=operation.attempt {
            Self::of(&directory, operation.operation_id, attempt).clear().map_err(cannot)?;
        }
        let scratch = Self::of(&directory, operation.operation_id, operation.attempt);
        DirBuilder::new().mode(0o700).create(&scratch.path).map_err(cannot)?;
        Ok(scratch)
    }

    fn of(directory: &Path, operation_id: OperationId, attempt: i32) -> Self {
        let name = format!("{operation_id}-{attempt}");
        Self { path: directory.join(&name), mark: Mark { variable: DRILL_VARIABLE, value: name } }
    }

    /// By what the processes that work in it are known.
    pub(super) fn mark(&self) -> &Mark {
        &self.mark
    }

    /// The place itself, links resolved.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the graph is restored to.
    pub(super) fn graph(&self) -> PathBuf {
        self.path.join("graph")
    }

    /// Where its inputs are restored to.
    pub(super) fn inputs(&self) -> PathBuf {
        self.path.join("inputs")
    }

    /// What the configured command prints.
    pub(super) fn output(&self) -> PathBuf {
        self.path.join("output")
    }

    fn clear(&self) -> std::io::Result<()> {
        self.mark.kill_all();
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == NotFound => Ok(()),
            result => result,
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the scratch place of a drill");
        }
    }
}

impl Services {
    /// Refuses a place for drills that lies in a graph, before anything is made there: its snapshots would hold what is restored.
    pub(super) async fn check_apart_from_graphs(&self) -> Result<(), Error> {
        let directory = self.settings().drill.directory.clone();
        let place = self.blocking(move || Ok::<_, Error>(resolved(&directory))).await?;
        for graph in graphs::list_all(self.store().read()).await? {
            let mut directories = [Some(&graph.source_dir), graph.inputs_dir.as_ref()].into_iter().flatten();
            // A copy has none.
            if directories.any(|directory| !directory.is_empty() && place.starts_with(directory)) {
                let message = format!("the place for drills lies in graph `{}`, set `LIGHTKEEP_DRILL_DIR` to another", graph.graph_id);
                return Err(Error::refused(ErrorKind::FailedPrecondition, "DRILL_PLACE_IN_GRAPH", message));
            }
        }
        Ok(())
    }

    /// Removes the scratch places that drills of an earlier process have left, and ends what still works in them. Those of drills that
    /// go on are theirs.
    ///
    /// # Errors
    /// The place for drills cannot be listed.
    pub async fn sweep_drills(&self) -> Result<(), Error> {
        let (services, runtime) = (self.clone(), Handle::current());
        let directory = self.settings().drill.directory.clone();
        self.blocking(move || {
            let entries = match fs::read_dir(&directory) {
                Err(error) if error.kind() == NotFound => return Ok(()),
                other => other.map_err(|error| Error::internal("list the place for drills", error))?,
            };
            for entry in entries.flatten() {
                let Some((id, attempt)) = entry.file_name().to_str().and_then(parse_name) else { continue };
                // One that this database does not know is another's, and may be at work.
                let operation = runtime.block_on(operations::find(services.store().read(), id))?;
                if operation.is_some_and(|operation| operation.state.is_ended()) {
                    drop(Scratch::of(&directory, id, attempt));
                }
            }
            Ok::<_, Error>(())
        })
        .await
    }
}

/// The operation and the attempt that a scratch place is named by.
fn parse_name(name: &str) -> Option<(OperationId, i32)> {
    let (id, attempt) = name.rsplit_once('-')?;
    Some((OperationId::parse(id)?, attempt.parse().ok()?))
}

/// A path with the links in what there is of it resolved.
fn resolved(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    there.map_or_else(|| path.to_path_buf(), |(ancestor, real)| real.join(path.strip_prefix(ancestor).unwrap_or(Path::new(""))))
}
