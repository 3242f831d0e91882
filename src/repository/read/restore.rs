//! Restoring a recorded directory.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, syncfs};

use super::blobs::BlobReader;
use super::output::Outputs;
use super::pieces::{PieceReader, Reason, Unreadable};
use super::plan::{self, Plan, PlannedOther};
use super::selection::Selection;
use super::spans;
use crate::base::control::Control;
use crate::repository::Repository;
use crate::repository::error::Error;
use crate::repository::format::id::RecordId;
use crate::repository::format::node::NodeKind;
use crate::repository::lock::{Lock, LockKind};

/// What to restore.
pub struct RestoreRequest<'a> {
    /// The snapshot.
    pub record: RecordId,
    /// The recorded directory whose content is restored, absolute: the recorded path of the backup or one below it.
    pub recorded_path: &'a Path,
    /// Files, links and directories that are restored, relative to the recorded path; a directory is restored with all that is in
    /// it, and the directories above each are made with their metadata. `None` is everything.
    pub only: Option<&'a [PathBuf]>,
    /// Where to: a directory that does not exist, or is empty; its parent exists.
    pub to: &'a Path,
    /// Whether all that was written must outlive a power cut when this returns.
    pub sync: bool,
    /// Shows progress and stops the work.
    pub control: &'a Control,
}

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Number of regular files, each name of a hard-linked one counted.
    pub files: u64,
    /// Bytes of content written; hard links have it once.
    pub bytes: u64,
    /// As in [`Stored`](crate::repository::Stored) of the backup, if all of its recorded path was restored: every piece was
    /// verified, and this proves that it was all of them. Else over the files that were restored.
    pub data_hash: [u8; 32],
}

/// What a restore would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestorePlan {
    /// Number of regular files, each name of a hard-linked one counted.
    pub files: u64,
    /// Number of directories below the target.
    pub directories: u64,
    /// Bytes of content to write; hard links have it once.
    pub size_bytes: u64,
    /// Number of packs to read from.
    pub packs: u64,
    /// Bytes to read from them.
    pub stored_bytes_to_read: u64,
}

impl Repository {
    /// Restores a recorded directory: content, which is verified, and metadata. After an error the target holds a part.
    ///
    /// # Errors
    /// [`Error::RecordNotFound`]; [`Error::PathNotRecorded`] for the recorded path and each chosen one; [`Error::TargetNotEmpty`];
    /// [`Error::MissingBlob`] and [`Error::Damaged`], before anything is written where that can be; [`Error::Io`]; [`Error::Cancelled`].
    pub fn restore(&self, request: &RestoreRequest<'_>, lock: &Lock) -> Result<Restored, Error> {
        lock.protect(self, "restoring a snapshot", LockKind::Shared)?;
        let control = request.control;
        let plan = self.plan(request)?;
        control.begin_stage("restore", plan.total_bytes);
        create_directories(&plan, request.to, control)?;
        self.restore_files(&plan, request.to, control)?;
        finish(&plan, request.to, control)?;
        if request.sync {
            let target = File::open(request.to).map_err(Error::io("open", request.to))?;
            // one call for all files: syncing each of twenty thousand takes minutes
            syncfs(&target).map_err(|error| Error::io("sync", request.to)(error.into()))?;
        }
        Ok(Restored { files: plan.file_count, bytes: plan.total_bytes, data_hash: plan.data_hash })
    }

    /// Says what a restore would do, reading trees and index only. Its target is not looked at, and nothing is written.
    ///
    /// # Errors
    /// As [`Repository::restore`], but for the target and damaged content.
    pub fn plan_restore(&self, request: &RestoreRequest<'_>, lock: &Lock) -> Result<RestorePlan, Error> {
        lock.protect(self, "planning a restore", LockKind::Shared)?;
        let plan = self.plan(request)?;
        let packs = plan.pieces.chunk_by(|a, b| a.location.pack == b.location.pack).count();
        Ok(RestorePlan {
            files: plan.file_count,
            directories: plan.directories.len() as u64 - 1,
            size_bytes: plan.total_bytes,
            packs: packs as u64,
            stored_bytes_to_read: plan.spans().iter().map(|span| plan.stored_bytes(span)).sum(),
        })
    }

    fn plan(&self, request: &RestoreRequest<'_>) -> Result<Plan, Error> {
        request.control.go_on()?;
        let top = self.find_directory(&mut BlobReader::new(), &request.record, request.recorded_path)?;
        let selection = Selection::of(&request.record, request.only)?;
        plan::make(self, top, selection, request.control, &|_, error| Err(error))
    }

    fn restore_files(&self, plan: &Plan, target: &Path, control: &Control) -> Result<(), Error> {
        let outputs = Outputs::new(plan, target);
        for file in plan.files.iter().filter(|file| file.pieces == 0) {
            control.go_on()?;
            outputs.create_empty(file)?;
        }
        let begin = || PieceReader::new(self, plan);
        spans::for_each(self.options.threads.get(), &plan.spans(), begin, |reader, span| restore_span(reader, span, &outputs, control))?;
        for link in &plan.links {
            control.go_on()?;
            let (original, path) = (outputs.path(&plan.files[link.file as usize]), target.join(&link.path));
            fs::hard_link(&original, &path).map_err(Error::io("link", path))?;
        }
        Ok(())
    }
}

fn restore_span(reader: &mut PieceReader<'_>, span: &Range<usize>, outputs: &Outputs<'_>, control: &Control) -> Result<(), Error> {
    reader.read(span.clone(), |read| {
        control.go_on()?;
        let Some(first) = read.pieces.first() else { return Ok(()) };
        let plain = read.plain.map_err(|Unreadable { pack, reason }| match reason {
            Reason::Unread(error) => error,
            Reason::Damaged(source) => {
                let file = outputs.relative_path(first.file);
                Error::Damaged { subject: format!("blob `{}` of `{}` in pack `{pack}`", first.id, file.display()), source }
            }
        })?;
        for piece in read.pieces {
            outputs.write(piece.file, piece.at, plain)?;
            control.add_done(plain.len() as u64);
        }
        Ok(())
    })?;
    Ok(())
}

fn create_directories(plan: &Plan, target: &Path, control: &Control) -> Result<(), Error> {
    // only the owner can enter before it is complete
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    match builder.create(target) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let metadata = fs::symlink_metadata(target).map_err(Error::io("look at", target))?;
            let empty = metadata.is_dir() && fs::read_dir(target).map_err(Error::io("list", target))?.next().is_none();
            if !empty {
                return Err(Error::TargetNotEmpty { path: target.to_path_buf() });
            }
        }
        other => other.map_err(Error::io("create", target))?,
    }
    for directory in plan.directories.iter().skip(1) {
        control.go_on()?;
        let path = target.join(&directory.path);
        builder.create(&path).map_err(Error::io("create", path))?;
    }
    Ok(())
}

/// Links and specials, then the metadata of directories, which writing into them would change; the deepest first.
fn finish(plan: &Plan, target: &Path, control: &Control) -> Result<(), Error> {
    for other in &plan.others {
        control.go_on()?;
        create_other(other, &target.join(&other.path))?;
    }
    for directory in plan.directories.iter().rev() {
        control.go_on()?;
        let path = target.join(&directory.path);
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::DIRECTORY).bits()).unwrap_or(0);
        let handle = fs::OpenOptions::new().read(true).custom_flags(flags).open(&path).map_err(Error::io("open", &path))?;
        directory.restorable.apply(&handle, &path)?;
    }
    Ok(())
}

fn create_other(other: &PlannedOther, path: &Path) -> Result<(), Error> {
    let file_type = match other.kind {
        NodeKind::Symlink => {
            std::os::unix::fs::symlink(OsStr::from_bytes(&other.target), path).map_err(Error::io("create", path))?;
            return other.restorable.apply_to_link(path);
        }
        NodeKind::BlockDevice => FileType::BlockDevice,
        NodeKind::CharacterDevice => FileType::CharacterDevice,
        _ => FileType::Fifo,
    };
    mknodat(CWD, path, file_type, Mode::from_raw_mode(0o600), other.device).map_err(|error| Error::io("create", path)(error.into()))?;
    other.restorable.apply_to_special(path)
}
