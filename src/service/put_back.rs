//! Putting back what a failover has replaced: by renames, so in seconds, and each can be interrupted and done again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Error, ErrorKind};
use crate::base::ids::FailoverId;
use crate::domain::failover::Move;
use crate::lightrag::apply::{apply, recover_apply};
use crate::lightrag::workspace::OWN_PREFIX;

/// A directory that is put back.
pub(super) struct PutBack {
    /// What was done.
    pub(super) done: Move,
    /// Where what was restored waits that has not been put in place.
    pub(super) aside: PathBuf,
    /// Where what stands at the target now goes.
    pub(super) replaced_as: PathBuf,
    pub(super) failover_id: FailoverId,
    /// Whether what stands there now is of no use to anybody.
    pub(super) removes_it: bool,
}

/// Where what was replaced is kept: beside the target, or in it where that is a file system of its own.
pub(super) fn former_of(done: &Move) -> Option<PathBuf> {
    let kept_as = Path::new(&done.kept_as);
    let inside = Path::new(&done.target).join(kept_as.file_name()?);
    [kept_as.to_path_buf(), inside].into_iter().find(|place| place.symlink_metadata().is_ok_and(|found| found.is_dir()))
}

impl PutBack {
    /// Puts it back, unless that has been done. Blocking.
    ///
    /// # Errors
    /// A rename failed. Then the target is the old tree or the new, and this can be done again.
    pub(super) fn run(&self, stays: &dyn Fn(&Path) -> io::Result<bool>) -> Result<(), Error> {
        let target = Path::new(&self.done.target);
        recover_apply(target)?;
        if self.aside.exists() {
            // It has not been switched. That goes when all are put back: until then it says so.
            return Ok(());
        }
        if let Some(former) = self.former_to_apply()? {
            apply(&former, target, &self.replaced_as, stays)?;
        } else if !self.done.had_former && target.symlink_metadata().is_ok() {
            fs::rename(target, &self.replaced_as).map_err(cannot_put_back)?;
        }
        if self.removes_it {
            self.remove_replaced()?;
        }
        Ok(())
    }

    /// What was replaced, under a name that a sweep and [`recover_apply`] know; none where it is in its place again.
    fn former_to_apply(&self) -> Result<Option<PathBuf>, Error> {
        let name = format!("{OWN_PREFIX}former-{}", self.failover_id);
        let named = |place: &Path| {
            // Sources and inputs may lie side by side.
            let target_name = Path::new(&self.done.target).file_name().unwrap_or_default().to_string_lossy();
            place.with_file_name(format!("{name}-{target_name}"))
        };
        if let Some(kept) = former_of(&self.done) {
            let former = named(&kept);
            fs::rename(&kept, &former).map_err(cannot_put_back)?;
            return Ok(Some(former));
        }
        let (target, kept_as) = (Path::new(&self.done.target), Path::new(&self.done.kept_as));
        let places = [named(kept_as), named(&target.join(kept_as.file_name().unwrap_or_default()))];
        Ok(places.into_iter().find(|place| place.is_dir()))
    }

    fn remove_replaced(&self) -> Result<(), Error> {
        let inside = Path::new(&self.done.target).join(self.replaced_as.file_name().unwrap_or_default());
        for place in [self.replaced_as.clone(), inside] {
            match fs::remove_dir_all(&place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot_put_back(error)),
                _ => {}
            }
        }
        Ok(())
    }
}

fn cannot_put_back(error: io::Error) -> Error {
    Error::refused(ErrorKind::FailedPrecondition, "FILE_SYSTEM", format!("what a failover has replaced cannot be put back: {error}"))
}
