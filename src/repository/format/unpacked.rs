//! The inner form of index, snapshot and lock files: plain JSON, or a byte 2 and zstd (version 2 of the format).

use super::FormatError;

/// zstd level of all that we compress: level 1 saves a quarter of the time and costs 5 % of space.
pub(crate) const LEVEL: i32 = 3;

/// What one such file may unpack to: far above any real one, so that a forged one cannot take all memory.
const MOST_BYTES: usize = 1 << 30;

/// Packs JSON.
pub(crate) fn encode(json: &[u8]) -> Result<Vec<u8>, FormatError> {
    let mut packed = vec![2];
    packed.extend(zstd::bulk::compress(json, LEVEL).map_err(|error| FormatError::new(format!("zstd: {error}")))?);
    Ok(packed)
}

/// Unpacks to JSON.
pub(crate) fn decode(plain: &[u8]) -> Result<Vec<u8>, FormatError> {
    use std::io::Read as _;
    match plain.split_first() {
        Some((b'{' | b'[', _)) => Ok(plain.to_vec()),
        Some((2, packed)) => {
            let wrong = |error: std::io::Error| FormatError::new(format!("zstd: {error}"));
            let mut json = Vec::new();
            let decoder = zstd::stream::read::Decoder::new(packed).map_err(wrong)?;
            decoder.take(MOST_BYTES as u64).read_to_end(&mut json).map_err(wrong)?;
            Ok(json)
        }
        _ => Err(FormatError::new("its encoding is unknown")),
    }
}
