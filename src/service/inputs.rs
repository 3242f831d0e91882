//! The inputs directory of a graph: uploads, and what LightRAG has parsed of them. LightRAG keeps it apart from the workspace, so a
//! snapshot holds it beside the source, where the graph names it.

use std::path::{Path, PathBuf};

use super::Services;
use super::error::{Error, ErrorKind};
use super::paths::into_text;
use crate::lightrag::capture::Capture;
use crate::lightrag::workspace::KEPT_INFIX;
use crate::repository::SnapshotRoot;
use crate::store::entity::snapshot::Model;
use crate::store::graphs;

/// An inputs directory, and what in it does not belong to it.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    /// The directory, absolute.
    pub(super) directory: PathBuf,
    /// Directories in it that are other graphs' inputs.
    others: Vec<PathBuf>,
}

impl Inputs {
    /// Whether a path below it is left out of snapshots: what is another's, and our own files.
    pub(super) fn skips(&self, below: &Path) -> bool {
        Capture::skips(below) || self.is_anothers(&self.directory.join(below))
    }

    /// Whether a path in it is another graph's inputs, or an old state that a restore has kept.
    pub(super) fn is_anothers(&self, path: &Path) -> bool {
        let is_at_top = path.parent() == Some(&self.directory);
        let is_named_so = path.file_name().is_some_and(|name| name.to_string_lossy().contains(KEPT_INFIX));
        let is_kept = is_at_top && is_named_so && path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        is_kept || self.others.iter().any(|other| other == path)
    }
}

impl Services {
    /// Checks the inputs directory of a source, as a caller wrote it; gives it absolute and resolved.
    ///
    /// # Errors
    /// It is not fit to be read, or lies in the source or around it.
    pub(super) async fn resolve_inputs(&self, text: String, source_dir: &str) -> Result<String, Error> {
        let inputs = self.resolve_inputs_place(text).await?;
        check_inputs_apart(source_dir, &inputs)?;
        Ok(inputs)
    }

    /// As [`Services::resolve_inputs`], whatever the source is.
    ///
    /// # Errors
    /// It is no place that callers may name.
    pub(super) async fn resolve_inputs_place(&self, text: String) -> Result<String, Error> {
        let places = self.settings().places.clone();
        let path = self.blocking(move || places.resolve_inputs(&text)).await?;
        into_text("inputs_dir", path)
    }

    /// An inputs directory, resolved, with what is registered in it.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn inputs_at(&self, directory: &Path) -> Result<Inputs, Error> {
        let all = graphs::list_inputs(self.store().read()).await?.into_iter().map(PathBuf::from);
        let others = all.filter(|inputs| inputs != directory && inputs.starts_with(directory)).collect();
        Ok(Inputs { directory: directory.to_owned(), others })
    }

    /// Checks a directory that a snapshot's inputs are to be restored to, as a caller wrote it; `target` is that of its source.
    ///
    /// # Errors
    /// The snapshot holds no inputs; the directory is not fit to be replaced, or lies in the target or around it.
    pub(super) async fn resolve_inputs_target(&self, text: &str, target: &Path, snapshot: &Model) -> Result<PathBuf, Error> {
        let invalid = |message: &str| Error::invalid("inputs_target_dir", format_args!("{message}: {text}"));
        if snapshot.inputs_dir.is_none() {
            return Err(invalid("is given, but the snapshot holds no inputs, leave it out"));
        }
        let (places, wanted) = (self.settings().places.clone(), text.to_owned());
        let path = self.blocking(move || places.resolve_target("inputs_target_dir", &wanted)).await?;
        if path.to_str().is_none() {
            return Err(invalid("is not valid UTF-8"));
        }
        if path.starts_with(target) {
            return Err(invalid("lies in `target_dir`, name a directory outside it"));
        }
        if target.starts_with(&path) {
            return Err(invalid("contains `target_dir`, name a directory apart from it"));
        }
        self.replaceable_inputs_at(&path).await?;
        Ok(path)
    }

    /// As [`Services::inputs_at`], of the target of a restore: what is another's directly in it can stay.
    ///
    /// # Errors
    /// Another graph's inputs lie deeper in it, where they would go with what is replaced.
    pub(super) async fn replaceable_inputs_at(&self, target: &Path) -> Result<Inputs, Error> {
        let inputs = self.inputs_at(target).await?;
        match inputs.others.iter().find(|other| other.parent() != Some(target) && other.exists()) {
            None => Ok(inputs),
            Some(deeper) => {
                let message = format!("the inputs of another graph lie in the target, restore to another directory: {}", deeper.display());
                Err(Error::refused(ErrorKind::FailedPrecondition, "TARGET_CONFLICT", message))
            }
        }
    }
}

/// Refuses inputs that a snapshot of this source cannot hold beside it.
///
/// # Errors
/// One lies in the other.
pub(super) fn check_inputs_apart(source_dir: &str, inputs_dir: &str) -> Result<(), Error> {
    let (source, inputs) = (Path::new(source_dir), Path::new(inputs_dir));
    if inputs.starts_with(source) {
        let message = format_args!("lies in the source and is part of each snapshot as it is, leave it out: {inputs_dir}");
        return Err(Error::invalid("inputs_dir", message));
    }
    if source.starts_with(inputs) {
        let message = format_args!("contains the source, name the directory of uploads alone: {inputs_dir}");
        return Err(Error::invalid("inputs_dir", message));
    }
    Ok(())
}

/// Where a snapshot's inputs lie in its repository.
///
/// # Errors
/// It holds none.
pub(super) fn inputs_root(root: &SnapshotRoot, snapshot: &Model) -> Result<SnapshotRoot, Error> {
    match &snapshot.inputs_dir {
        Some(inputs) => Ok(SnapshotRoot { recorded_path: PathBuf::from(inputs), ..root.clone() }),
        None => Err(Error::invalid("inputs", format_args!("are not held by snapshot {}", snapshot.snapshot_id))),
    }
}
