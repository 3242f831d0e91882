//! Putting back what a failover has replaced: by renames, so in seconds, and each can be interrupted and done again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Error, ErrorKind};
use super::inputs::Inputs;
use super::paths::Places;
use crate::base::ids::FailoverId;
use crate::domain::failover::Move;
use crate::lightrag::apply::{apply, check_apply, recover_apply};
use crate::lightrag::capture::INPUTS_SUFFIX;
use crate::lightrag::workspace::{OWN_PREFIX, is_other_workspace};

/// A directory that is put back.
pub(super) struct PutBack {
    pub(super) failover_id: FailoverId,
    /// The graph's number in the plan.
    pub(super) number: usize,
    /// Where what was replaced is gone, what stands there is left.
    pub(super) leaves_gone: bool,
    /// What was done.
    pub(super) done: Move,
    /// The inputs that stand there now, with what stays in them; none for a source.
    pub(super) inputs: Option<Inputs>,
    /// Where what stands there now goes. It stands there once this has been done.
    pub(super) replaced_as: PathBuf,
    pub(super) places: Places,
}

/// Where what was replaced is kept: beside the target, or in it where that is a file system of its own.
pub(super) fn former_of(done: &Move) -> Option<PathBuf> {
    either(&done.target, Path::new(&done.kept_as))
}

/// That what was replaced is gone.
pub(super) fn former_gone(id: FailoverId, done: &Move) -> Error {
    let kept_as = &done.kept_as;
    let message = format!("what failover `{id}` has replaced is gone, put it back, or set `force` to leave that graph as it is: {kept_as}");
    Error::refused(ErrorKind::FailedPrecondition, "FORMER_STATE_GONE", message)
}

/// A directory beside a target, or one of the same name in it.
fn either(target: &str, place: &Path) -> Option<PathBuf> {
    let inside = Path::new(target).join(place.file_name()?);
    [place.to_path_buf(), inside].into_iter().find(|place| place.symlink_metadata().is_ok_and(|found| found.is_dir()))
}

impl PutBack {
    /// Under the name that an earlier rollback has given to what stood there, where that one has put it back already.
    pub(super) fn named_as_before(self) -> Self {
        let earlier = self.done.replaced_as.as_ref().map(PathBuf::from).filter(|earlier| self.was_put_back_as(earlier));
        match earlier {
            Some(replaced_as) => Self { replaced_as, ..self },
            None => self,
        }
    }

    /// Checks what would keep it from being done, as far as that can be known before.
    ///
    /// # Errors
    /// What was replaced is gone; what it would meet is in its way.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.places.check_target_again("target_dir", Path::new(&self.done.target))?;
        if self.was_not_switched() || self.was_put_back() {
            return Ok(());
        }
        match self.former() {
            Some(former) => Ok(check_apply(&former, Path::new(&self.done.target), &self.replaced_as, &|path| self.stays(path))?),
            None if !self.done.had_former || self.leaves_gone => Ok(()),
            None => Err(self.gone()),
        }
    }

    /// Puts it back, unless that has been done; gives why it was left as it is. Blocking.
    ///
    /// # Errors
    /// What was replaced is gone; a rename failed. Then the target is the old tree or the new, and this can be done again.
    pub(super) fn run(&self) -> Result<Option<String>, Error> {
        let target = Path::new(&self.done.target);
        self.places.check_target_again("target_dir", target)?;
        recover_apply(target)?;
        if self.was_not_switched() || !self.done.had_former && !target.exists() {
            return Ok(None);
        }
        if let Some(former) = self.former_to_apply()? {
            apply(&former, target, &self.replaced_as, &|path| self.stays(path))?;
        } else if !self.was_put_back() {
            return if self.leaves_gone { Ok(Some(self.gone().to_string())) } else { Err(self.gone()) };
        }
        if !self.done.had_former {
            // Where nothing stood, nothing is left, but for what is another's.
            let _ = fs::remove_dir(target);
        }
        Ok(None)
    }

    /// What was restored for it still waits.
    pub(super) fn was_not_switched(&self) -> bool {
        Path::new(&self.done.aside).exists()
    }

    /// What stood there stands there again, and what was there is kept.
    fn was_put_back(&self) -> bool {
        self.was_put_back_as(&self.replaced_as)
    }

    fn was_put_back_as(&self, replaced_as: &Path) -> bool {
        self.former().is_none() && either(&self.done.target, replaced_as).is_some()
    }

    /// What was replaced, under either of its names.
    fn former(&self) -> Option<PathBuf> {
        former_of(&self.done).or_else(|| either(&self.done.target, &self.renamed()))
    }

    /// What was replaced, under a name that [`recover_apply`] knows; an empty directory where nothing was; none where it is in its place.
    fn former_to_apply(&self) -> Result<Option<PathBuf>, Error> {
        let renamed = self.renamed();
        if let Some(kept) = former_of(&self.done) {
            let former = kept.with_file_name(renamed.file_name().unwrap_or_default());
            fs::rename(&kept, &former).map_err(cannot_put_back)?;
            return Ok(Some(former));
        }
        if let Some(former) = either(&self.done.target, &renamed) {
            return Ok(Some(former));
        }
        if self.done.had_former || self.was_put_back() || !Path::new(&self.done.target).exists() {
            return Ok(None);
        }
        fs::create_dir(&renamed).map_err(cannot_put_back)?;
        Ok(Some(renamed))
    }

    /// The second name: many may lie side by side.
    fn renamed(&self) -> PathBuf {
        let what = if self.inputs.is_some() { INPUTS_SUFFIX } else { "" };
        Path::new(&self.done.kept_as).with_file_name(format!("{OWN_PREFIX}former-{}{what}-{}", self.failover_id, self.number))
    }

    fn stays(&self, path: &Path) -> io::Result<bool> {
        match &self.inputs {
            Some(inputs) => Ok(inputs.is_anothers(path)),
            None => is_other_workspace(path),
        }
    }

    fn gone(&self) -> Error {
        former_gone(self.failover_id, &self.done)
    }
}

fn cannot_put_back(error: io::Error) -> Error {
    Error::refused(ErrorKind::FailedPrecondition, "FILE_SYSTEM", format!("what a failover has replaced cannot be put back: {error}"))
}
