//! Opening blobs: authenticate, decompress, verify.

use crate::repository::format::FormatError;
use crate::repository::format::crypto::Key;
use crate::repository::format::id::BlobId;

/// No blob of restic's or ours is larger: 8 MiB of content, trees of some ten megabytes.
const LARGEST_BLOB_BYTES: usize = 1 << 30;

/// Opens blobs with a context and a buffer that are used again and again.
pub(crate) struct BlobReader {
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
    plain: Vec<u8>,
}

impl BlobReader {
    /// A reader without buffers; they grow as blobs need them.
    pub(crate) fn new() -> Self {
        Self { decompressor: None, plain: Vec::new() }
    }

    /// Authenticates and decompresses a blob without comparing its hash. `compressed_from` is its plain length if compressed.
    pub(crate) fn unseal<'a>(&'a mut self, key: &Key, sealed: &'a mut [u8], compressed_from: u32) -> Result<&'a [u8], FormatError> {
        self.unpack(key.open_in_place(sealed)?, compressed_from)
    }

    fn unpack<'a>(&'a mut self, stored: &'a [u8], compressed_from: u32) -> Result<&'a [u8], FormatError> {
        if compressed_from == 0 {
            return Ok(stored);
        }
        let length = compressed_from as usize;
        if length > LARGEST_BLOB_BYTES {
            return Err(FormatError::new("its plain length is impossible"));
        }
        let wrong = |error: std::io::Error| FormatError::new(format!("zstd: {error}"));
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(zstd::bulk::Decompressor::new().map_err(wrong)?),
        };
        if self.plain.len() < length {
            self.plain.resize(length, 0);
        }
        let plain = &mut self.plain[..length];
        if decompressor.decompress_to_buffer(stored, plain).map_err(wrong)? != length {
            return Err(FormatError::new("its plain length is another than the index says"));
        }
        Ok(plain)
    }

    /// Authenticates, decompresses and verifies a blob.
    pub(crate) fn open<'a>(
        &'a mut self,
        key: &Key,
        sealed: &'a mut [u8],
        compressed_from: u32,
        id: &BlobId,
    ) -> Result<&'a [u8], FormatError> {
        self.verify(key.open_in_place(sealed)?, compressed_from, id)
    }

    /// Decompresses and verifies a blob that is authenticated already.
    pub(crate) fn verify<'a>(&'a mut self, stored: &'a [u8], compressed_from: u32, id: &BlobId) -> Result<&'a [u8], FormatError> {
        let plain = self.unpack(stored, compressed_from)?;
        if BlobId::of(plain) != *id {
            return Err(FormatError::new("its content does not match its id"));
        }
        Ok(plain)
    }
}
