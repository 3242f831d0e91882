//! Checking one pack: its hash, its header against the index, every blob in it.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::blobs::BlobReader;
use super::check::{IndexedPack, Problems};
use super::spans;
use crate::base::control::Control;
use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::error::Error;
use crate::repository::files::OTHER_CONTENT;
use crate::repository::format::FormatError;
use crate::repository::format::id::{BlobId, BlobKind, FileId};
use crate::repository::format::pack::{self, PackedBlob};

/// Reads the whole pack in spans: memory does not grow with the size of packs.
pub(crate) fn check(
    repository: &Repository,
    pack: &IndexedPack,
    reader: &mut BlobReader,
    buffer: &mut Vec<u8>,
    problems: &Problems,
    control: &Control,
) -> Result<(), Error> {
    let subject = format!("pack `{}`", pack.id);
    let (blobs, header) = read_header(repository, &pack.id, pack.bytes)?;
    compare_with_index(pack, &blobs, &subject, problems);
    let mut places = Vec::with_capacity(blobs.len());
    let mut end = 0;
    for blob in &blobs {
        places.push((0, end, end + u64::from(blob.stored_bytes)));
        end += u64::from(blob.stored_bytes);
    }
    if end + header.len() as u64 != pack.bytes {
        problems.add(subject, "its header does not cover it");
        return Ok(());
    }
    let mut hash = Sha256::new();
    for span in spans::divide(places.iter().copied()) {
        let (from, to) = (places[span.start].1, places[span.end - 1].2);
        let length = usize::try_from(to - from).unwrap_or(usize::MAX);
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        repository.backend.read_range(FileKind::Pack, &pack.id, from, &mut buffer[..length])?;
        hash.update(&buffer[..length]);
        let mut rest = &mut buffer[..length];
        for blob in &blobs[span] {
            control.go_on()?;
            let (sealed, after) = rest.split_at_mut(blob.stored_bytes as usize);
            rest = after;
            if let Err(error) = reader.open(&repository.key, sealed, blob.plain_bytes, &blob.id) {
                problems.add(format!("blob `{}` in {subject}", blob.id), error.to_string());
            }
        }
        control.add_done(to - from);
    }
    hash.update(&header);
    if <[u8; 32]>::from(hash.finalize()) != *pack.id.as_bytes() {
        problems.add(subject, OTHER_CONTENT);
    }
    Ok(())
}

/// The blobs that the header lists, and the sealed header with its length.
pub(crate) fn read_header(repository: &Repository, id: &FileId, bytes: u64) -> Result<(Vec<PackedBlob>, Vec<u8>), Error> {
    let damaged = || Error::damaged(format!("the header of pack `{id}`"));
    let mut length = [0; pack::LENGTH_BYTES];
    let length_at = bytes.saturating_sub(length.len() as u64);
    repository.backend.read_range(FileKind::Pack, id, length_at, &mut length)?;
    let header_bytes = u64::from(u32::from_le_bytes(length));
    let Some(header_at) = length_at.checked_sub(header_bytes) else {
        return Err(damaged()(FormatError::new("its length is impossible")));
    };
    let mut header = vec![0; usize::try_from(bytes - header_at).unwrap_or(usize::MAX)];
    repository.backend.read_range(FileKind::Pack, id, header_at, &mut header)?;
    let mut sealed = header[..header.len() - pack::LENGTH_BYTES].to_vec();
    let plain = repository.key.open_in_place(&mut sealed).map_err(damaged())?;
    Ok((pack::parse_header(plain).map_err(damaged())?, header))
}

fn compare_with_index(pack: &IndexedPack, blobs: &[PackedBlob], subject: &str, problems: &Problems) {
    let mut indexed: HashMap<(BlobKind, BlobId), _> = pack.blobs.iter().map(|(kind, id, location)| ((*kind, *id), location)).collect();
    let mut offset = 0_u64;
    for blob in blobs {
        // not there when the index names another pack for it, which is then checked there
        if let Some(location) = indexed.get(&(blob.kind, blob.id)) {
            // the pack may hold it twice, and the index names one place
            if u64::from(location.offset) == offset {
                if (location.stored_bytes, location.compressed_from) != (blob.stored_bytes, blob.plain_bytes) {
                    problems.add(format!("blob `{}` in {subject}", blob.id), "the index gives it another length");
                }
                indexed.remove(&(blob.kind, blob.id));
            }
        }
        offset += u64::from(blob.stored_bytes);
    }
    for (_, id) in indexed.keys() {
        problems.add(format!("blob `{id}` in {subject}"), "it is not where the index says");
    }
}
