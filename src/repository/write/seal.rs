//! Compressing and sealing blobs.

use crate::repository::format::FormatError;
use crate::repository::format::crypto::{IV_BYTES, Key, OVERHEAD_BYTES};
use crate::repository::format::unpacked::LEVEL;
use crate::repository::read::blobs::BlobReader;

/// Compresses and seals with a context and buffers that are used again and again.
pub(crate) struct Sealer {
    compressor: Option<zstd::bulk::Compressor<'static>>,
    sealed: Vec<u8>,
    copy: Vec<u8>,
    reader: BlobReader,
}

impl Sealer {
    /// A sealer without buffers; they grow as blobs need them.
    pub(crate) fn new() -> Self {
        Self { compressor: None, sealed: Vec::new(), copy: Vec::new(), reader: BlobReader::new() }
    }

    /// Seals a blob and proves that it reads back. Gives its sealed bytes, and its plain length if it is compressed, else 0.
    pub(crate) fn seal(&mut self, key: &Key, plain: &[u8]) -> Result<(&[u8], u32), FormatError> {
        let failed = |error: std::io::Error| FormatError::new(format!("zstd: {error}"));
        let needed = zstd::zstd_safe::compress_bound(plain.len()) + OVERHEAD_BYTES;
        if self.sealed.len() < needed {
            self.sealed.resize(needed, 0);
        }
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(zstd::bulk::Compressor::new(LEVEL).map_err(failed)?),
        };
        let text = &mut self.sealed[IV_BYTES..needed - 16];
        let mut length = compressor.compress_to_buffer(plain, text).map_err(failed)?;
        let mut compressed_from = u32::try_from(plain.len()).map_err(|_| FormatError::new("a blob has more than 4 GiB"))?;
        if length >= plain.len() {
            text[..plain.len()].copy_from_slice(plain);
            (length, compressed_from) = (plain.len(), 0);
        }
        let sealed = key.seal_in_place(&mut self.sealed, length)?;
        // A flipped bit between here and the plain bytes would be found by a check years later; here it costs a tenth of the time.
        self.copy.clear();
        self.copy.extend_from_slice(&self.sealed[..sealed]);
        if self.reader.unseal(key, &mut self.copy, compressed_from)? != plain {
            return Err(FormatError::new("a sealed blob does not read back: this computer's memory or processor is faulty"));
        }
        Ok((&self.sealed[..sealed], compressed_from))
    }
}
