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
use crate::store::{graphs, operations};

/// The variable by which a drill's processes are known, whatever group they have moved to.
pub(super) const DRILL_VARIABLE: &str = "LIGHTKEEP_DRILL_OPERATION_ID";

/// A scratch place. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    operation_id: OperationId,
}

impl Scratch {
    /// Makes the place of an operation. What an earlier attempt has left of it is taken away. Blocking.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn make(directory: &Path, operation_id: OperationId) -> Result<Self, Error> {
        let cannot = |error: std::io::Error| {
            let message = format!("the place for drills cannot be used, set `LIGHTKEEP_DRILL_DIR`: {}: {error}", directory.display());
            Error::refused(ErrorKind::FailedPrecondition, "FILE_SYSTEM", message)
        };
        // What lies in it has left its encryption: nobody else may look.
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(cannot)?;
        let directory = directory.canonicalize().map_err(cannot)?;
        let scratch = Self { path: directory.join(operation_id.to_string()), operation_id };
        scratch.clear().map_err(cannot)?;
        DirBuilder::new().mode(0o700).create(&scratch.path).map_err(cannot)?;
        Ok(scratch)
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
        mark_of(self.operation_id).kill_all();
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
    /// Refuses a place for drills that lies in a graph: its snapshots would hold what is restored there.
    pub(super) async fn check_apart_from_graphs(&self, place: &Path) -> Result<(), Error> {
        for graph in graphs::list_all(self.store().read()).await? {
            let mut directories = [Some(&graph.source_dir), graph.inputs_dir.as_ref()].into_iter().flatten();
            if directories.any(|directory| place.starts_with(directory)) {
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
                let Some(operation_id) = entry.file_name().to_str().and_then(OperationId::parse) else { continue };
                let operation = runtime.block_on(operations::find(services.store().read(), operation_id))?;
                if operation.is_none_or(|operation| operation.state.is_ended()) {
                    drop(Scratch { path: entry.path(), operation_id });
                }
            }
            Ok::<_, Error>(())
        })
        .await
    }
}

/// By what the processes of a drill are known.
pub(super) fn mark_of(operation_id: OperationId) -> Mark {
    Mark { variable: DRILL_VARIABLE, value: operation_id.to_string() }
}
