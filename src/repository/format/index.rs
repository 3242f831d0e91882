//! Index files: which pack holds which blob.

use std::fmt::Write as _;

use serde::Deserialize;

use super::FormatError;
use super::id::{BlobId, BlobKind, FileId};
use super::pack::PackedBlob;

/// One blob's place, as an index file gives it.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct IndexedBlob {
    /// Its id.
    pub(crate) id: BlobId,
    /// Data or tree.
    #[serde(rename = "type")]
    pub(crate) kind: BlobKind,
    /// Where its sealed bytes begin in the pack.
    pub(crate) offset: u32,
    /// Sealed length.
    pub(crate) length: u32,
    /// Plain length of a compressed blob, else 0.
    #[serde(default)]
    pub(crate) uncompressed_length: u32,
}

/// One pack in an index file.
#[derive(Debug, Deserialize)]
pub(crate) struct IndexedPack {
    /// Its id.
    pub(crate) id: FileId,
    /// Its blobs.
    pub(crate) blobs: Vec<IndexedBlob>,
}

impl IndexedPack {
    /// A pack that was just written.
    pub(crate) fn of_written(id: FileId, blobs: &[PackedBlob]) -> Self {
        let mut offset = 0;
        let place = |blob: &PackedBlob| {
            let at = offset;
            offset += blob.stored_bytes;
            IndexedBlob { id: blob.id, kind: blob.kind, offset: at, length: blob.stored_bytes, uncompressed_length: blob.plain_bytes }
        };
        Self { id, blobs: blobs.iter().map(place).collect() }
    }
}

#[derive(Deserialize)]
struct IndexJson {
    packs: Option<Vec<IndexedPack>>,
}

/// Reads an index file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<IndexedPack>, FormatError> {
    let json: IndexJson = serde_json::from_slice(bytes)?;
    Ok(json.packs.unwrap_or_default())
}

/// Writes an index file of packs whose blobs have places already.
pub(crate) fn encode_indexed(packs: &[IndexedPack]) -> Vec<u8> {
    let mut out = String::from("{\"packs\":[");
    for (position, pack) in packs.iter().enumerate() {
        let comma = if position > 0 { "," } else { "" };
        let _infallible = write!(out, "{comma}{{\"id\":\"{}\",\"blobs\":[", pack.id);
        for (position, blob) in pack.blobs.iter().enumerate() {
            out.push_str(if position > 0 { "," } else { "" });
            write_blob(&mut out, blob);
        }
        out.push_str("]}");
    }
    out.push_str("]}");
    out.into_bytes()
}

fn write_blob(out: &mut String, blob: &IndexedBlob) {
    let (id, kind, offset, length) = (blob.id, blob.kind.name(), blob.offset, blob.length);
    let _infallible = write!(out, "{{\"id\":\"{id}\",\"type\":\"{kind}\",\"offset\":{offset},\"length\":{length}");
    if blob.uncompressed_length > 0 {
        let _infallible = write!(out, ",\"uncompressed_length\":{}", blob.uncompressed_length);
    }
    out.push('}');
}

/// Writes an index file.
pub(crate) fn encode<'a>(packs: impl IntoIterator<Item = (&'a FileId, &'a [PackedBlob])>) -> Vec<u8> {
    let mut out = String::from("{\"packs\":[");
    for (position, (id, blobs)) in packs.into_iter().enumerate() {
        let comma = if position > 0 { "," } else { "" };
        let _infallible = write!(out, "{comma}{{\"id\":\"{id}\",\"blobs\":[");
        let mut offset = 0_u64;
        for (position, blob) in blobs.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            let (id, kind, length) = (blob.id, blob.kind.name(), blob.stored_bytes);
            let _infallible = write!(out, "{comma}{{\"id\":\"{id}\",\"type\":\"{kind}\",\"offset\":{offset},\"length\":{length}");
            if blob.plain_bytes > 0 {
                let _infallible = write!(out, ",\"uncompressed_length\":{}", blob.plain_bytes);
            }
            out.push('}');
            offset += u64::from(length);
        }
        out.push_str("]}");
    }
    out.push_str("]}");
    out.into_bytes()
}
