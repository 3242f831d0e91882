//! The room on disks that files are promised which are still coming: two at once may not be promised the same.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::error::{Error, ErrorKind};
use crate::lightrag::apply::free_bytes;

/// So much room is left on a disk when copies are taken, bytes: databases and logs need some too.
const ROOM_LEFT: u64 = 64 << 20;

/// What is promised on each file system, bytes.
#[derive(Debug, Default)]
pub(super) struct Rooms(Mutex<HashMap<u64, u64>>);

/// Room for a file, until this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    rooms: Arc<Rooms>,
    device: u64,
    bytes: u64,
}

impl Rooms {
    /// Promises so many bytes where `place` is, an existing directory. Blocks.
    ///
    /// # Errors
    /// There are not so many; it cannot be looked at.
    pub(super) fn reserve(self: &Arc<Self>, place: &Path, bytes: u64) -> Result<Room, Error> {
        let failed = |error| Error::internal("look at the directory of a copy", error);
        let room = self.promise(fs::metadata(place).map_err(failed)?.dev(), bytes);
        // Not while others wait: a disk may not answer. Two at once are both refused at worst.
        let (free, promised) = (free_bytes(place)?, self.promised(room.device));
        if free < promised.saturating_add(ROOM_LEFT) {
            let message = format!(
                "{free} bytes are free at `{}`, {bytes} are to come beside {} that are on their way, and {ROOM_LEFT} have to stay: make room",
                place.display(),
                promised.saturating_sub(bytes)
            );
            return Err(Error::refused(ErrorKind::FailedPrecondition, "TARGET_FULL", message));
        }
        Ok(room)
    }

    fn promise(self: &Arc<Self>, device: u64, bytes: u64) -> Room {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let promised = rooms.entry(device).or_default();
        // No more than can be counted, so that as much can be taken back.
        let bytes = bytes.min(u64::MAX - *promised);
        *promised += bytes;
        drop(rooms);
        Room { rooms: Arc::clone(self), device, bytes }
    }

    fn promised(&self, device: u64) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&device).copied().unwrap_or(0)
    }
}

impl Room {
    /// So many of the bytes have been written: the disk counts them itself now.
    pub(super) fn fill(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let mut rooms = self.rooms.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(promised) = rooms.get_mut(&self.device) {
            *promised = promised.saturating_sub(bytes);
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.fill(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_to_one_is_not_to_another() {
        let place = std::env::temp_dir();
        let (rooms, free) = (Arc::new(Rooms::default()), free_bytes(&place).unwrap());
        let most = free - free / 4;
        let mut room = rooms.reserve(&place, most).unwrap();
        assert_eq!(rooms.reserve(&place, free / 2).unwrap_err().reason(), "TARGET_FULL");
        room.fill(most - 1);
        rooms.reserve(&place, free / 4).unwrap();
        drop(room);
        assert_eq!(rooms.0.lock().unwrap().values().copied().sum::<u64>(), 0);
    }
}
