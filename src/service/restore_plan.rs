//! What a restore would do, without doing it: what would be read, what of the target would change, what is in the way.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Services;
use super::error::Error;
use super::inputs::inputs_root;
use super::looking::Opened;
use super::placements::{kept_name, name_chosen};
use super::restores::{NewRestore, Prepared};
use crate::base::control::Control;
use crate::domain::estimate::expected_seconds;
use crate::lightrag::apply::{free_bytes, is_writable, places_written};
use crate::lightrag::workspace::{is_other_workspace, is_own, is_transient};
use crate::repository::{ListedKind, RestorePlan as EnginePlan, RestoreRequest};
use crate::store::entity::snapshot::Model;

/// How many files a plan names.
const EXAMPLES_MAX: usize = 10;

/// What a restore would do. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RestorePlan {
    /// Regular files that would be restored.
    pub files: u64,
    /// Sum of their sizes.
    pub size_bytes: u64,
    /// What would be read from the repository.
    pub stored_bytes: u64,
    /// Files that the target does not have.
    pub files_added: u64,
    /// Files that the target has with another size or time.
    pub files_changed: u64,
    /// Files that the target has with the same size and time.
    pub files_unchanged: u64,
    /// Files that only the target has.
    pub files_removed: u64,
    /// Some of the files that would be changed or removed.
    pub examples: Vec<String>,
    /// Free where the restore would write; the smaller number where those are two file systems.
    pub free_bytes: u64,
    /// What would keep the restore from being done.
    pub conflicts: Vec<String>,
    /// By a fixed cost and a rate that fit the last restores.
    pub expected_seconds: Option<f64>,
    /// Where what stands at the target would be kept.
    pub kept_as: Option<PathBuf>,
    /// What it would do with the inputs, if they are to be restored.
    pub inputs: Option<Box<Self>>,
}

/// Says of a directory directly in a target whether it is another's.
type Skips<'s> = &'s dyn Fn(&Path) -> std::io::Result<bool>;

/// Says of files whether they are the same: size and time of the last change.
type Files = HashMap<PathBuf, (u64, i64)>;

impl Services {
    /// What this restore would do.
    ///
    /// # Errors
    /// As [`Services::restore_snapshot`]; the snapshot or the target cannot be read; too many read already.
    pub async fn plan_restore(&self, new: &NewRestore) -> Result<RestorePlan, Error> {
        let Prepared { snapshot, payload, .. } = self.prepare_restore(new).await?;
        let turn = self.turn_to_read().await?;
        let opened = self.open_snapshot(&snapshot).await?;
        let (target, paths) = (payload.target_dir.clone(), payload.paths.clone());
        let inputs = payload.inputs_target_dir.clone().map(|target| Ok::<_, Error>((inputs_root(&opened.root, &snapshot)?, target)));
        let inputs = inputs.transpose()?;
        let row = snapshot.clone();
        let looked = move |control: &Control| {
            let plan = look(&opened, &row, &target, &paths, control)?;
            let Some((root, target)) = inputs else { return Ok(plan) };
            let inputs = look(&Opened { root, ..opened }, &row, &target, &[], control)?;
            Ok(RestorePlan { inputs: Some(Box::new(inputs)), ..plan })
        };
        let mut plan = self.read_in_turn(turn, looked).await?;
        if let Err(error) = self.check_target_unused(&snapshot.graph_id, &payload.target_dir, new.force).await {
            plan.conflicts.push(error.to_string());
        }
        let bytes = plan.size_bytes + plan.inputs.as_ref().map_or(0, |inputs| inputs.size_bytes);
        plan.expected_seconds = expected_seconds(&self.measured_restores().await?, bytes as f64);
        let kept = |target: &Path| target.exists().then(|| kept_name(target, self.now()));
        plan.kept_as = kept(&payload.target_dir);
        if let (Some(inputs), Some(target)) = (&mut plan.inputs, &payload.inputs_target_dir) {
            inputs.kept_as = kept(target);
            plan.conflicts.append(&mut inputs.conflicts);
        }
        Ok(plan)
    }
}

fn look(opened: &Opened, row: &Model, target: &Path, paths: &[PathBuf], control: &Control) -> Result<RestorePlan, Error> {
    let request = RestoreRequest {
        record: opened.root.record,
        recorded_path: &opened.root.recorded_path,
        to: target,
        sync: false,
        only: (!paths.is_empty()).then_some(paths),
        control,
    };
    let planned = opened.repository.plan_restore(&request, opened.lock.lock());
    let planned = if paths.is_empty() { planned? } else { planned.map_err(|error| name_chosen(error, row))? };
    let EnginePlan { files, size_bytes, stored_bytes_to_read, .. } = planned;
    let mut plan = RestorePlan { files, size_bytes, stored_bytes: stored_bytes_to_read, ..RestorePlan::default() };
    let mut wanted = Files::new();
    list_snapshot(opened, Path::new(""), paths, &mut wanted, control)?;
    let mut there = Files::new();
    list_target(target, Path::new(""), &is_other_workspace, &mut there, control)?;
    compare(&wanted, there, &mut plan);
    plan.free_bytes = u64::MAX;
    let places = places_written(target);
    for place in &places {
        let free_bytes = free_bytes(place)?;
        plan.free_bytes = plan.free_bytes.min(free_bytes);
        if free_bytes < size_bytes {
            plan.conflicts.push(format!("{size_bytes} bytes are needed, {free_bytes} are free: {}", place.display()));
        }
    }
    if let Some(around) = places.first().filter(|around| !is_writable(around)) {
        plan.conflicts.push(format!("it cannot be written: {}", around.display()));
    }
    Ok(plan)
}

/// Some file in which a directory is not as a snapshot has captured it; none where it is.
pub(super) fn differs(opened: &Opened, directory: &Path, skips: Skips<'_>, control: &Control) -> Result<Option<PathBuf>, Error> {
    let (mut wanted, mut there, mut plan) = (Files::new(), Files::new(), RestorePlan::default());
    list_snapshot(opened, Path::new(""), &[], &mut wanted, control)?;
    list_target(directory, Path::new(""), skips, &mut there, control)?;
    // No snapshot of a workspace holds an unfinished write, and a server that was stopped may leave one.
    there.retain(|path, _| wanted.contains_key(path) || !path.file_name().is_some_and(is_transient));
    let added = wanted.keys().find(|path| !there.contains_key(*path)).cloned();
    compare(&wanted, there, &mut plan);
    Ok(added.or_else(|| plan.examples.first().map(PathBuf::from)))
}

fn compare(wanted: &Files, mut there: Files, plan: &mut RestorePlan) {
    let mut named = Vec::new();
    for (path, same) in wanted {
        match there.remove(path) {
            None => plan.files_added += 1,
            Some(other) if other == *same => plan.files_unchanged += 1,
            Some(_) => {
                plan.files_changed += 1;
                named.push(path);
            }
        }
    }
    plan.files_removed = there.len() as u64;
    named.extend(there.keys());
    named.sort_unstable();
    plan.examples = named.into_iter().take(EXAMPLES_MAX).map(|path| path.display().to_string()).collect();
}

fn list_snapshot(opened: &Opened, below: &Path, only: &[PathBuf], files: &mut Files, control: &Control) -> Result<(), Error> {
    control.go_on()?;
    for entry in opened.repository.list_directory(&opened.root, below, opened.lock.lock())? {
        let path = below.join(&entry.name);
        let chosen = only.is_empty() || only.iter().any(|only| path.starts_with(only) || only.starts_with(&path));
        match entry.kind {
            ListedKind::File if chosen => drop(files.insert(path, (entry.size_bytes, entry.modified.micros()))),
            ListedKind::Directory if chosen => list_snapshot(opened, &path, only, files, control)?,
            _ => {}
        }
    }
    Ok(())
}

/// The files that a restore would take away: not those of other workspaces, which stay.
fn list_target(target: &Path, below: &Path, skips: Skips<'_>, files: &mut Files, control: &Control) -> Result<(), Error> {
    control.go_on()?;
    let unreadable = |error: std::io::Error| Error::internal("look at the target", error);
    let entries = match std::fs::read_dir(target.join(below)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(unreadable)?,
    };
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let (name, path) = (entry.file_name(), below.join(entry.file_name()));
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.map_err(unreadable)?,
        };
        let at_top = below.as_os_str().is_empty();
        if is_own(&name) || metadata.is_dir() && at_top && skips(&entry.path()).map_err(unreadable)? {
            continue;
        }
        if metadata.is_dir() {
            list_target(target, &path, skips, files, control)?;
        } else if metadata.is_file() {
            files.insert(path, (metadata.len(), metadata.mtime() * 1_000_000 + metadata.mtime_nsec() / 1000));
        }
    }
    Ok(())
}
