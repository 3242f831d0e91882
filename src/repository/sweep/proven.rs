//! Blobs that are copied from pack to pack: a sealed blob stands for itself, its bytes are valid in any pack.

use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::error::Error;
use crate::repository::format::id::FileId;
use crate::repository::format::index::IndexedBlob;
use crate::repository::read::blobs::BlobReader;

/// The sealed bytes of a blob, which are proven to be whole: what is copied may be all that is left of it.
pub(super) fn read(repository: &Repository, pack: &FileId, blob: &IndexedBlob, reader: &mut BlobReader) -> Result<Vec<u8>, Error> {
    let mut sealed = vec![0; blob.length as usize];
    repository.backend.read_range(FileKind::Pack, pack, u64::from(blob.offset), &mut sealed)?;
    let mut opened = sealed.clone();
    let damaged = Error::damaged(format!("blob `{}` in pack `{pack}`", blob.id));
    reader.open(&repository.key, &mut opened, blob.uncompressed_length, &blob.id).map_err(damaged)?;
    Ok(sealed)
}
