//! Checks that bytes which come in pieces are UTF-8.

/// What is carried from one piece to the next: the beginning of a character.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    begun: [u8; 4],
    length: usize,
}

impl Utf8 {
    /// Whether all so far is UTF-8, but for a character that the next piece may complete, and without control characters, which JSON
    /// forbids in strings. Once false, always ask no more.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        let (mut all, mut control) = (0_u8, false);
        for &byte in bytes {
            all |= byte;
            control |= byte < 0x20;
        }
        if control {
            return false;
        }
        if all < 0x80 && self.length == 0 {
            return true;
        }
        while self.length > 0 {
            let Some((&first, rest)) = bytes.split_first() else { return true };
            bytes = rest;
            self.begun[self.length] = first;
            self.length += 1;
            match std::str::from_utf8(&self.begun[..self.length]) {
                Ok(_) => self.length = 0,
                // No character has more than four bytes, so that here fewer are begun.
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                let tail = &bytes[error.valid_up_to()..];
                self.begun[..tail.len()].copy_from_slice(tail);
                self.length = tail.len();
                true
            }
            Err(_) => false,
        }
    }

    /// Whether no character is begun.
    pub(super) fn is_whole(&self) -> bool {
        self.length == 0
    }
}
