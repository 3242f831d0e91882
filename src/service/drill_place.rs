//! The scratch place of a drill: a directory of its own, and the processes that work in it. Nothing of either is left when the drill has
//! ended, whatever ended it.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind::NotFound;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Handle;

use super::Services;
use super::error::{Error, ErrorKind};
use crate::base::ids::OperationId;
use crate::store::{graphs, operations};

/// The variable by which a drill's processes are known, whatever group they have moved to.
pub(super) const DRILL_VARIABLE: &str = "LIGHTKEEP_DRILL_OPERATION_ID";

/// How often is looked whether processes that were killed are gone, and the pause between.
const LOOKS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

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
        kill_all(self.operation_id);
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

/// Kills all processes of a drill, and waits until they are gone. Blocking.
pub(super) fn kill_all(operation_id: OperationId) {
    let mark = format!("{DRILL_VARIABLE}={operation_id}");
    for _ in 0..LOOKS {
        let found = processes_with(mark.as_bytes());
        if found.is_empty() {
            return;
        }
        for process in found {
            // One that has just ended is what was wanted.
            let _ = kill_process(process, Signal::KILL);
        }
        thread::sleep(PAUSE);
    }
    tracing::warn!(%operation_id, "processes of a drill do not end");
}

/// The processes that were started with this variable, as far as we may look; those that have ended have none any more.
fn processes_with(mark: &[u8]) -> Vec<Pid> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has_mark = |number: &i32| {
        let environment = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    numbers.filter(has_mark).filter_map(Pid::from_raw).collect()
}
