//! What a root tree holds, by the trees themselves: a manifest may have come there with other content.

use std::cell::Cell;
use std::path::Path;

use super::blobs::BlobReader;
use super::plan;
use super::selection::Selection;
use crate::base::control::Control;
use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::error::Error;
use crate::repository::format::id::{BlobId, FileId};
use crate::repository::format::node::NodeKind;
use crate::repository::lock::{Lock, LockKind};
use crate::repository::write::Figures;

/// What a root tree holds of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundDirectory {
    /// As of the backup, computed over the trees.
    pub figures: Figures,
    /// Whether all content is in the index, and the packs that hold it are there.
    pub is_whole: bool,
}

impl Repository {
    /// Reads the trees of a directory, named by its recorded path, below a root tree that may have no record. `None` where it is not
    /// there, or a tree of it cannot be read.
    ///
    /// # Errors
    /// [`Error::WrongLock`], [`Error::LockLost`], [`Error::Cancelled`]; [`Error::Io`] for what may be whole and cannot be read for now.
    pub fn look_into_root(&self, root: BlobId, path: &Path, control: &Control, lock: &Lock) -> Result<Option<FoundDirectory>, Error> {
        lock.protect(self, "looking into a root tree", LockKind::Shared)?;
        let top = match self.find_in_tree(&mut BlobReader::new(), root, path) {
            Err(error) if is_lost(&error) => return Ok(None),
            other => other?.filter(|node| node.kind == NodeKind::Directory),
        };
        let Some(top) = top else { return Ok(None) };
        let is_whole = Cell::new(true);
        let problem = |_: &Path, error: Error| {
            if !is_lost(&error) {
                return Err(error);
            }
            is_whole.set(false);
            Ok(())
        };
        // All is chosen, so that no message names a record.
        let all = Selection::of(&FileId(*root.as_bytes()).into(), None)?;
        let plan = plan::make(self, top, all, control, &problem)?;
        if !plan.is_whole {
            return Ok(None);
        }
        for pieces in plan.pieces.chunk_by(|a, b| a.location.pack == b.location.pack) {
            let pack = pieces.first().and_then(|piece| plan.packs.get(piece.location.pack as usize));
            let is_there = pack.map_or(Ok(false), |pack| self.backend.exists(FileKind::Pack, pack))?;
            is_whole.set(is_whole.get() && is_there);
        }
        let figures = Figures { files: plan.file_count, size_bytes: plan.size_bytes, data_hash: plan.data_hash };
        Ok(Some(FoundDirectory { figures, is_whole: is_whole.get() }))
    }
}

fn is_lost(error: &Error) -> bool {
    error.is_damage() || matches!(error, Error::MissingBlob { .. })
}
