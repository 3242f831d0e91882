//! Sealing: AES-256-CTR and Poly1305-AES in restic's layout `IV || CIPHERTEXT || MAC`.

use aes::cipher::array::Array;
use aes::cipher::{BlockCipherEncrypt as _, InnerIvInit as _, KeyInit as _, StreamCipher as _, StreamCipherCoreWrapper};
use aes::{Aes128, Aes256};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use poly1305::Poly1305;
use poly1305::universal_hash::UniversalHash as _;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::FormatError;

/// Bytes before the ciphertext: the initialisation vector.
pub(crate) const IV_BYTES: usize = 16;
/// Bytes that sealing adds: initialisation vector and authentication code.
pub(crate) const OVERHEAD_BYTES: usize = 32;

/// An encryption key with its expanded schedules.
pub(crate) struct Key {
    encryption: Aes256,
    mac_k: Aes128,
    raw: Zeroizing<[u8; 64]>,
}

impl Key {
    /// From 32 bytes of encryption key, 16 of `k` and 16 of `r`.
    pub(crate) fn new(raw: Zeroizing<[u8; 64]>) -> Result<Self, FormatError> {
        let unusable = |_| FormatError::new("a key has a wrong length");
        let encryption = Aes256::new_from_slice(&raw[..32]).map_err(unusable)?;
        let mac_k = Aes128::new_from_slice(&raw[32..48]).map_err(unusable)?;
        Ok(Self { encryption, mac_k, raw })
    }

    /// A fresh random key.
    pub(crate) fn random() -> Result<Self, FormatError> {
        let mut raw = Zeroizing::new([0; 64]);
        fill_random(raw.as_mut_slice())?;
        Self::new(raw)
    }

    /// The key's bytes in the order of [`Key::new`].
    pub(crate) fn raw(&self) -> &[u8; 64] {
        &self.raw
    }

    fn apply_keystream(&self, iv: [u8; 16], text: &mut [u8]) {
        let core = CtrCore::<&Aes256, Ctr128BE>::inner_iv_init(&self.encryption, &iv.into());
        StreamCipherCoreWrapper::from_core(core).apply_keystream(text);
    }

    fn authenticate(&self, iv: [u8; 16], ciphertext: &[u8]) -> [u8; 16] {
        let mut masked = iv.into();
        self.mac_k.encrypt_block(&mut masked);
        let mut one_time = Zeroizing::new([0; 32]);
        one_time[..16].copy_from_slice(&self.raw[48..]); // Poly1305 clamps `r` itself
        one_time[16..].copy_from_slice(&masked);
        let mut mac = Poly1305::new((&*one_time).into());
        let (blocks, rest) = Array::slice_as_chunks(ciphertext);
        mac.update(blocks);
        mac.compute_unpadded(rest).into()
    }

    /// Seals the plain bytes `buffer[16..16 + length]` in place and gives the sealed length, 32 more.
    pub(crate) fn seal_in_place(&self, buffer: &mut [u8], length: usize) -> Result<usize, FormatError> {
        let mut iv = [0; IV_BYTES];
        fill_random(&mut iv)?;
        let (head, tail) = buffer.split_at_mut(IV_BYTES);
        let (text, tail) = tail.split_at_mut(length);
        self.apply_keystream(iv, text);
        head.copy_from_slice(&iv);
        tail[..16].copy_from_slice(&self.authenticate(iv, text));
        Ok(length + OVERHEAD_BYTES)
    }

    /// The sealed form of `plain`.
    pub(crate) fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, FormatError> {
        let mut buffer = vec![0; plain.len() + OVERHEAD_BYTES];
        buffer[IV_BYTES..IV_BYTES + plain.len()].copy_from_slice(plain);
        self.seal_in_place(&mut buffer, plain.len())?;
        Ok(buffer)
    }

    /// Authenticates `sealed` and decrypts it in place.
    pub(crate) fn open_in_place<'a>(&self, sealed: &'a mut [u8]) -> Result<&'a mut [u8], FormatError> {
        let length = sealed.len().checked_sub(OVERHEAD_BYTES).ok_or_else(|| FormatError::new("it is too short to be sealed"))?;
        let (head, tail) = sealed.split_at_mut(IV_BYTES);
        let (text, mac) = tail.split_at_mut(length);
        let mut iv = [0; IV_BYTES];
        iv.copy_from_slice(head);
        if !bool::from(self.authenticate(iv, text).as_slice().ct_eq(mac)) {
            return Err(FormatError::new("its authentication code does not match"));
        }
        self.apply_keystream(iv, text);
        Ok(text)
    }
}

/// Fills `buffer` from the operating system's random source.
pub(crate) fn fill_random(buffer: &mut [u8]) -> Result<(), FormatError> {
    getrandom::fill(buffer).map_err(|error| FormatError::new(format!("the system gave no random numbers: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let key = Key::random().unwrap();
        for length in [0, 1, 15, 16, 17, 1000] {
            let plain = vec![7; length];
            let sealed = key.seal(&plain).unwrap();
            assert_eq!(key.open_in_place(&mut sealed.clone()).unwrap(), plain);
            for position in [0, 20, sealed.len() - 1] {
                let mut damaged = sealed.clone();
                if let Some(byte) = damaged.get_mut(position) {
                    *byte ^= 1;
                    assert!(key.open_in_place(&mut damaged).is_err());
                }
            }
        }
        assert!(key.open_in_place(&mut [0; 31]).is_err());
    }
}
