//! The blocking part of a restore: each of its directories is restored beside its target and verified, then all are put in place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Error, ErrorKind};
use super::inputs::Inputs;
use super::paths::Places;
use super::put_back::former_of;
use super::repository_lock::HeldLock;
use super::restore_target::{is_empty, not_empty};
use super::restore_work::RestorePayload;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::ids::FailoverId;
use crate::base::timestamp::Timestamp;
use crate::domain::failover::Move;
use crate::domain::report::RestoreReport;
use crate::lightrag::apply::{Recovered, apply, check_apply, preflight_target, recover_apply};
use crate::lightrag::capture::INPUTS_SUFFIX;
use crate::lightrag::workspace::{OWN_PREFIX, is_other_workspace};
use crate::repository::{self, RecordId, Repository, RestoreRequest};
use crate::store::entity::{operation, snapshot};

/// A directory of a snapshot and where it goes.
#[derive(Clone)]
pub(super) struct Placement {
    /// The field of the request that names the target.
    field: &'static str,
    /// The directory, as the snapshot records it.
    recorded_path: PathBuf,
    /// Only these paths below it; all of it when empty.
    paths: Vec<PathBuf>,
    files: u64,
    size_bytes: u64,
    data_hash: Option<String>,
    target: PathBuf,
    /// The target of inputs, with what stays in it.
    inputs: Option<Inputs>,
    kept_as: PathBuf,
    aside: PathBuf,
    /// Nothing may stand at the target.
    must_be_new: bool,
}

impl Placement {
    /// The snapshot's source.
    pub(super) fn of_source(operation: &operation::Model, payload: &RestorePayload, row: &snapshot::Model) -> Self {
        let target = payload.target_dir.clone();
        Self {
            field: "target_dir",
            recorded_path: PathBuf::from(&row.source_dir),
            paths: payload.paths.clone(),
            files: number(row.files),
            size_bytes: number(row.size_bytes),
            data_hash: row.data_hash.clone(),
            inputs: None,
            kept_as: kept_name(&target, operation.created_at),
            aside: aside_path(&target, operation),
            must_be_new: payload.wants_new_target(),
            target,
        }
    }

    /// The snapshot's inputs, and where they are to be.
    pub(super) fn of_inputs(operation: &operation::Model, payload: &RestorePayload, row: &snapshot::Model, inputs: Inputs) -> Self {
        let target = inputs.directory.clone();
        Self {
            field: "inputs_target_dir",
            recorded_path: PathBuf::from(row.inputs_dir.as_deref().unwrap_or_default()),
            paths: Vec::new(),
            files: number(row.inputs_files.unwrap_or(0)),
            size_bytes: number(row.inputs_size_bytes.unwrap_or(0)),
            data_hash: row.inputs_data_hash.clone(),
            inputs: Some(inputs),
            kept_as: kept_name(&target, operation.created_at),
            aside: inputs_aside_path(&target, operation),
            must_be_new: payload.wants_new_inputs_target(),
            target,
        }
    }

    /// As one of the directories of a failover.
    pub(super) fn of_failover(mut self, planned: &Move) -> Self {
        (self.aside, self.kept_as) = (PathBuf::from(&planned.aside), PathBuf::from(&planned.kept_as));
        self
    }

    /// Puts the restored tree in place, unless an earlier attempt has.
    ///
    /// # Errors
    /// Somebody has removed it, or changed what it meets.
    pub(super) fn ensure_placed(&self, planned: &Move, places: &Places) -> Result<(), Error> {
        recover_apply(&self.target)?;
        let conflict = |what: &str| {
            let message = format!("{what}, fail over once more: {}", self.target.display());
            Error::refused(ErrorKind::FailedPrecondition, "TARGET_CONFLICT", message)
        };
        if self.aside.exists() {
            if self.target.symlink_metadata().is_ok() != planned.had_former {
                return Err(conflict("what stands at the target came or went since that was looked at"));
            }
            self.check_again(places)?;
            // It stays where it is when that fails: it says that nothing was replaced.
            return self.place().map_err(|(error, _)| error);
        }
        let is_placed = if planned.had_former { former_of(planned).is_some() } else { self.target.exists() };
        if is_placed { Ok(()) } else { Err(conflict("what was restored for it is gone")) }
    }

    /// Whether a directory in the target is another's and stays.
    fn stays(&self, path: &Path) -> std::io::Result<bool> {
        match &self.inputs {
            Some(inputs) => Ok(inputs.is_anothers(path)),
            None => is_other_workspace(path),
        }
    }

    /// Checks that the restored tree can be put in place.
    pub(super) fn check(&self, places: &Places) -> Result<(), Error> {
        places.check_target_again(self.field, &self.target)?;
        if self.must_be_new && !is_empty(&self.target) {
            return Err(not_empty(&self.target));
        }
        Ok(check_apply(&self.aside, &self.target, &self.kept_as, &|path| self.stays(path))?)
    }

    /// Puts the restored tree in place.
    fn put_in_place(&self, aside: Aside) -> Result<(), Error> {
        self.place().map_err(|(error, is_halfway)| {
            if is_halfway {
                // The next start needs what is left beside the target.
                aside.keep();
            }
            error
        })
    }

    /// Puts it in place; an error says too whether the target is neither the old tree nor the new.
    fn place(&self) -> Result<(), (Error, bool)> {
        let Err(error) = apply(&self.aside, &self.target, &self.kept_as, &|path| self.stays(path)) else { return Ok(()) };
        match recover_apply(&self.target) {
            Ok(Recovered::Completed) => Ok(()),
            Ok(Recovered::Undone | Recovered::Nothing) => Err((error.into(), false)),
            Err(halfway) => {
                tracing::error!(target_dir = %self.target.display(), error = %halfway, "cannot make the target whole again");
                Err((error.into(), true))
            }
        }
    }

    /// Puts a tree in place that an earlier attempt has restored and verified.
    pub(super) fn finish(&self, places: &Places) -> Result<(), Error> {
        self.check_again(places)?;
        self.put_in_place(Aside(self.aside.clone()))
    }

    /// Checks that it can be put in place, and that it is still what was restored.
    fn check_again(&self, places: &Places) -> Result<(), Error> {
        self.check(places)?;
        let found = count(&self.aside).map_err(|error| Error::internal("look at what an earlier attempt has restored", error))?;
        if found != (self.files, self.size_bytes) {
            let message = format!("what an interrupted restore had made for it has changed, restore once more: {}", self.target.display());
            return Err(Error::refused(ErrorKind::FailedPrecondition, "TARGET_CONFLICT", message));
        }
        Ok(())
    }
}

fn number(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// The regular files in a directory, and the sum of their sizes.
fn count(directory: &Path) -> std::io::Result<(u64, u64)> {
    let (mut files, mut size_bytes) = (0, 0);
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let (more, bytes) = match metadata.is_dir() {
            true => count(&entry.path())?,
            false if metadata.is_file() => (1, metadata.len()),
            false => (0, 0),
        };
        (files, size_bytes) = (files + more, size_bytes + bytes);
    }
    Ok((files, size_bytes))
}

/// The name under which a restore that was asked for at this time keeps what stood at its target: of the request, so that a second
/// attempt says the same.
pub(super) fn kept_name(target: &Path, asked_at: Timestamp) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!("_pre_restore_{}", asked_at.for_file_name()));
    PathBuf::from(name)
}

/// The directory beside the target where the restored tree is made.
pub(super) fn aside_path(target: &Path, operation: &operation::Model) -> PathBuf {
    target.with_file_name(format!(".lightkeep-{}", operation.operation_id))
}

/// The same for the target of inputs, which often lies beside that of the source.
pub(super) fn inputs_aside_path(target: &Path, operation: &operation::Model) -> PathBuf {
    target.with_file_name(format!(".lightkeep-{}{INPUTS_SUFFIX}", operation.operation_id))
}

/// The directory beside a target where an attempt at a failover makes the tree of the graph of this number.
pub(super) fn failover_aside(target: &Path, failover_id: FailoverId, attempt: i32, is_inputs: bool, number: usize) -> PathBuf {
    let what = if is_inputs { INPUTS_SUFFIX } else { "" };
    target.with_file_name(format!("{OWN_PREFIX}{failover_id}-{attempt}{what}-{number}"))
}

/// A restore on the blocking side.
pub(super) struct Restore {
    /// What is restored, in the order in which it is put in place.
    pub(super) placements: Vec<Placement>,
    pub(super) places: Places,
    pub(super) sync: bool,
    pub(super) repository: Arc<Repository>,
    pub(super) lock: HeldLock,
    pub(super) row: snapshot::Model,
    pub(super) control: Arc<Control>,
}

impl Restore {
    /// Restores everything beside its targets.
    pub(super) fn run(&self) -> Result<(Vec<Aside>, RestoreReport), Error> {
        for placement in &self.placements {
            recover_apply(&placement.target)?;
            preflight_target(&placement.target, self.needed_bytes(placement)?)?;
        }
        let (mut asides, mut report) = (Vec::new(), RestoreReport::default());
        for placement in &self.placements {
            let aside = Aside::make(placement.aside.clone())?;
            let restored = self.restore_to(&aside.0, placement)?;
            report.files += restored.files;
            report.size_bytes += restored.size_bytes;
            asides.push(aside);
        }
        failpoint::reach("restore.verified");
        Ok((asides, report))
    }

    /// Puts everything in place.
    pub(super) fn put_in_place(&self, asides: Vec<Aside>) -> Result<(), Error> {
        // What can be known before the first is put in place is not found out at the second.
        self.placements.iter().try_for_each(|placement| placement.check(&self.places))?;
        let mut done: Option<&Path> = None;
        for (placement, aside) in self.placements.iter().zip(asides) {
            if done.is_some() {
                failpoint::reach("restore.target_applied");
            }
            placement.put_in_place(aside).map_err(|error| half_done(done, error))?;
            done = Some(&placement.target);
        }
        Ok(())
    }

    /// What will be written, bytes.
    fn needed_bytes(&self, placement: &Placement) -> Result<u64, Error> {
        if placement.paths.is_empty() {
            return Ok(placement.size_bytes);
        }
        let planned = self.repository.plan_restore(&self.request(&placement.aside, placement)?, self.lock.lock());
        Ok(planned.map_err(|error| name_chosen(error, &self.row))?.size_bytes)
    }

    fn request<'a>(&'a self, to: &'a Path, placement: &'a Placement) -> Result<RestoreRequest<'a>, Error> {
        let record = self.row.record_id.as_deref().and_then(RecordId::parse).ok_or_else(|| self.damaged("its row names no record"))?;
        let only = (!placement.paths.is_empty()).then_some(placement.paths.as_slice());
        Ok(RestoreRequest { record, recorded_path: &placement.recorded_path, only, to, sync: self.sync, control: &self.control })
    }

    /// Every blob is verified on the way; the hash over all of it says that nothing is missing or has been added.
    fn restore_to(&self, directory: &Path, placement: &Placement) -> Result<RestoreReport, Error> {
        let request = self.request(directory, placement)?;
        let restored = self.repository.restore(&request, self.lock.lock());
        let restored = if request.only.is_none() { restored? } else { restored.map_err(|error| name_chosen(error, &self.row))? };
        // A snapshot of restic's that was adopted has a hash too: that of its trees.
        if request.only.is_none() && Some(hex::encode(restored.data_hash)) != placement.data_hash {
            return Err(self.damaged("what was restored has another hash than what was saved"));
        }
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Ok(RestoreReport { files: count(restored.files), size_bytes: count(restored.bytes) })
    }

    fn damaged(&self, what: &str) -> Error {
        let message = format!("snapshot `{}` is damaged: {what}", self.row.snapshot_id);
        Error::refused(ErrorKind::DataLoss, "SNAPSHOT_DAMAGED", message)
    }
}

/// Says what has been put in place before an error.
pub(super) fn half_done(done: Option<&Path>, error: Error) -> Error {
    match (done, error) {
        (Some(done), Error::Refused { kind, reason, message, .. }) => {
            Error::refused(kind, reason, format!("`{}` is restored, but not the inputs: {message}", done.display()))
        }
        (_, error) => error,
    }
}

/// What an error of the engine means where paths were chosen: one that the snapshot does not hold is not found.
pub(super) fn name_chosen(error: repository::Error, row: &snapshot::Model) -> Error {
    let repository::Error::PathNotRecorded { path, .. } = &error else { return error.into() };
    let message = format!("File {} of snapshot {} not found", path.display(), row.snapshot_id);
    Error::refused(ErrorKind::NotFound, "FILE_NOT_FOUND", message)
}

/// The directory beside the target where the restored tree is made. What is left of it goes when the work ends.
pub(super) struct Aside(PathBuf);

impl Aside {
    /// Takes what an earlier attempt may have left out of the way.
    pub(super) fn make(path: PathBuf) -> Result<Self, Error> {
        let aside = Self(path);
        aside.remove().map_err(|error| Error::internal("remove what an earlier attempt left beside the target", error))?;
        Ok(aside)
    }

    /// Leaves it where it is: somebody else puts it in place, or removes it.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }

    fn remove(&self) -> std::io::Result<()> {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove what a restore left beside its target");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_between_the_two_says_what_is_done() {
        let error = || Error::refused(ErrorKind::FailedPrecondition, "FILE_SYSTEM", "the disk is full");
        assert_eq!(half_done(None, error()).to_string(), "the disk is full");
        let told = half_done(Some(Path::new("/srv/rag")), error());
        assert_eq!(told.to_string(), "`/srv/rag` is restored, but not the inputs: the disk is full");
        assert_eq!((told.kind(), told.reason()), (ErrorKind::FailedPrecondition, "FILE_SYSTEM".to_owned()));
    }
}
