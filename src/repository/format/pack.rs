//! Packs: sealed blobs one after the other, then a sealed header that lists them, then the header's length.

use super::FormatError;
use super::id::{BlobId, BlobKind};

/// One blob in a pack, in the pack's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedBlob {
    /// Data or tree.
    pub(crate) kind: BlobKind,
    /// Its id.
    pub(crate) id: BlobId,
    /// Sealed length in the pack.
    pub(crate) stored_bytes: u32,
    /// Plain length of a compressed blob; 0 for one that is stored as it is.
    pub(crate) plain_bytes: u32,
}

/// Bytes of the header's length at the end of a pack.
pub(crate) const LENGTH_BYTES: usize = 4;

/// Bytes that this blob's entry takes in the header.
pub(crate) fn entry_bytes(compressed: bool) -> usize {
    if compressed { 41 } else { 37 }
}

/// The plain header.
pub(crate) fn encode_header(blobs: &[PackedBlob]) -> Vec<u8> {
    let mut header = Vec::with_capacity(blobs.len() * 41);
    for blob in blobs {
        let compressed = blob.plain_bytes > 0;
        header.push(u8::from(blob.kind == BlobKind::Tree) | if compressed { 2 } else { 0 });
        header.extend_from_slice(&blob.stored_bytes.to_le_bytes());
        if compressed {
            header.extend_from_slice(&blob.plain_bytes.to_le_bytes());
        }
        header.extend_from_slice(&blob.id.0);
    }
    header
}

/// Reads a plain header.
pub(crate) fn parse_header(mut header: &[u8]) -> Result<Vec<PackedBlob>, FormatError> {
    let mut blobs = Vec::with_capacity(header.len() / 37);
    while let Some((&kind, rest)) = header.split_first() {
        let wrong = || FormatError::new("its header is malformed");
        if kind > 3 {
            return Err(wrong());
        }
        let mut rest = rest;
        let mut number = || -> Result<u32, FormatError> {
            let (bytes, after) = rest.split_first_chunk().ok_or_else(wrong)?;
            rest = after;
            Ok(u32::from_le_bytes(*bytes))
        };
        let stored_bytes = number()?;
        let plain_bytes = if kind & 2 == 0 { 0 } else { number()? };
        let (id, after) = rest.split_first_chunk().ok_or_else(wrong)?;
        let kind = if kind & 1 == 0 { BlobKind::Data } else { BlobKind::Tree };
        blobs.push(PackedBlob { kind, id: BlobId(*id), stored_bytes, plain_bytes });
        header = after;
    }
    Ok(blobs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trip(entries in prop::collection::vec((any::<bool>(), any::<[u8; 32]>(), any::<u32>(), any::<u32>()), 0..20)) {
            let blobs: Vec<_> = entries
                .into_iter()
                .map(|(tree, id, stored_bytes, plain_bytes)| PackedBlob {
                    kind: if tree { BlobKind::Tree } else { BlobKind::Data },
                    id: BlobId(id),
                    stored_bytes,
                    plain_bytes,
                })
                .collect();
            prop_assert_eq!(parse_header(&encode_header(&blobs)).unwrap(), blobs);
        }

        #[test]
        fn garbage_never_panics(bytes in any::<Vec<u8>>()) {
            let _whatever = parse_header(&bytes);
        }
    }
}
