//! What of a pack is still good: its header, its hash, and each blob in it.

use sha2::{Digest as _, Sha256};

use crate::base::control::Control;
use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::error::Error;
use crate::repository::format::id::FileId;
use crate::repository::format::index::IndexedBlob;
use crate::repository::format::pack;
use crate::repository::read::blobs::BlobReader;
use crate::repository::read::check_pack::read_header;

/// How much of a pack is hashed at once, bytes.
const PIECE_BYTES: usize = 1 << 20;

/// A pack as it was found.
pub(super) struct Examined {
    /// Its name.
    pub(super) id: FileId,
    /// The blobs that can be read: by its header, or by the index where the header is damaged.
    pub(super) good: Vec<IndexedBlob>,
    /// Whether everything about it is as it must be.
    pub(super) is_whole: bool,
}

/// Reads a whole pack. `indexed` says where its blobs lie if its header cannot.
///
/// # Errors
/// It could not be read for a reason that is not its own: that it is good or bad cannot be said.
pub(super) fn examine(
    repository: &Repository,
    id: FileId,
    bytes: u64,
    indexed: &[IndexedBlob],
    reader: &mut BlobReader,
    control: &Control,
) -> Result<Examined, Error> {
    let listed = match read_header(repository, &id, bytes) {
        Ok((blobs, header)) => {
            let mut offset = 0_u32;
            let mut listed = Vec::with_capacity(blobs.len());
            for blob in blobs {
                let (at, length) = (offset, blob.stored_bytes);
                let Some(next) = offset.checked_add(length) else { break };
                offset = next;
                listed.push(IndexedBlob { id: blob.id, kind: blob.kind, offset: at, length, uncompressed_length: blob.plain_bytes });
            }
            let covers = u64::from(offset) + header.len() as u64 == bytes;
            covers.then_some(listed)
        }
        Err(error) if error.is_of_the_bytes() => None,
        Err(error) => return Err(error),
    };
    let has_header = listed.is_some();
    let candidates = listed.unwrap_or_else(|| indexed.to_vec());
    let count = candidates.len();
    let mut good = Vec::with_capacity(count);
    for blob in candidates {
        control.go_on()?;
        if is_readable(repository, &id, bytes, &blob, reader)? {
            control.add_done(u64::from(blob.length));
            good.push(blob);
        }
    }
    let is_whole = has_header && good.len() == count && hashes_to_its_name(repository, &id, bytes, control)?;
    Ok(Examined { id, good, is_whole })
}

fn is_readable(repository: &Repository, id: &FileId, bytes: u64, blob: &IndexedBlob, reader: &mut BlobReader) -> Result<bool, Error> {
    if u64::from(blob.offset) + u64::from(blob.length) > bytes.saturating_sub(pack::LENGTH_BYTES as u64) {
        return Ok(false);
    }
    let mut sealed = vec![0; blob.length as usize];
    match repository.backend.read_range(FileKind::Pack, id, u64::from(blob.offset), &mut sealed) {
        Err(error) if error.is_of_the_bytes() => Ok(false),
        other => other.map(|()| reader.open(&repository.key, &mut sealed, blob.uncompressed_length, &blob.id).is_ok()),
    }
}

fn hashes_to_its_name(repository: &Repository, id: &FileId, bytes: u64, control: &Control) -> Result<bool, Error> {
    let (mut hash, mut at, mut buffer) = (Sha256::new(), 0, vec![0; PIECE_BYTES]);
    while at < bytes {
        control.go_on()?;
        let length = usize::try_from(bytes - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        match repository.backend.read_range(FileKind::Pack, id, at, &mut buffer[..length]) {
            Err(error) if error.is_of_the_bytes() => return Ok(false),
            other => other?,
        }
        hash.update(&buffer[..length]);
        at += length as u64;
    }
    Ok(<[u8; 32]>::from(hash.finalize()) == *id.as_bytes())
}
