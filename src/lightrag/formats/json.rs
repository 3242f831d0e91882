//! A streaming JSON scanner that goes over strings at memory speed, since nearly all of a vector store is strings that nobody looks at.
//!
//! It accepts what Python's `json` accepts in LightRAG's files: UTF-8 with or without a byte order mark, `NaN` and the infinities, half
//! surrogate pairs in escapes; and refuses what that refuses: control characters in strings, anything after the end, other UTF-8.

use memchr::memchr2;

use super::pieces::{Pieces, Stop};
use super::utf8::Utf8;

/// Longest key or list of ids that is taken into memory. LightRAG before 1.5 joined all chunk ids of an entity.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest number or word.
const WORD_BYTES_MAX: usize = 4096;

/// Deepest nesting; Python gives up at about 1000.
const DEPTH_MAX: usize = 900;

/// What is known of a string that was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Passed {
    /// Its length in bytes, an escape counted as one.
    pub(super) bytes: u64,
    /// Its last two bytes.
    pub(super) last: [u8; 2],
}

/// Reads one JSON value, its parts in order.
pub(in crate::lightrag) struct Scanner<'a> {
    pieces: Pieces<'a>,
    word: Vec<u8>,
    open: Vec<u8>,
}

/// What is done with each field of an object; it must consume the field's value.
pub(in crate::lightrag) type Field<'f, 'a> = &'f mut dyn FnMut(&mut Scanner<'a>, &[u8]) -> Result<(), Stop>;

/// Reads a file that is one JSON object, to its end.
pub(in crate::lightrag) fn read_object<'a>(pieces: Pieces<'a>, field: Field<'_, 'a>) -> Result<(), Stop> {
    let mut scanner = Scanner::new(pieces);
    scanner.begin()?;
    if scanner.peek()? != b'{' {
        return scanner.malformed("it is no JSON object");
    }
    scanner.object(field)?;
    scanner.end()
}

impl<'a> Scanner<'a> {
    pub(in crate::lightrag) fn new(pieces: Pieces<'a>) -> Self {
        Self { pieces, word: Vec::new(), open: Vec::new() }
    }

    pub(in crate::lightrag) fn malformed<T>(&self, problem: &str) -> Result<T, Stop> {
        Err(Stop::Malformed { at_byte: self.pieces.at_byte(), problem: problem.to_owned() })
    }

    /// How many bytes have been read over.
    pub(super) fn at_byte(&self) -> u64 {
        self.pieces.at_byte()
    }

    /// Passes over a byte order mark, which Python's `utf-8-sig` allows.
    pub(in crate::lightrag) fn begin(&mut self) -> Result<(), Stop> {
        if self.next_byte()? == Some(0xEF) {
            for expected in [0xEF, 0xBB, 0xBF] {
                if self.next_byte()? != Some(expected) {
                    return self.malformed("no JSON");
                }
                self.pieces.advance(1);
            }
        }
        Ok(())
    }

    /// Checks that only white space follows.
    pub(in crate::lightrag) fn end(&mut self) -> Result<(), Stop> {
        match self.peek_or_end()? {
            None => Ok(()),
            Some(_) => self.malformed("something follows the end"),
        }
    }

    #[inline]
    fn next_byte(&mut self) -> Result<Option<u8>, Stop> {
        if let Some(&byte) = self.pieces.rest().first() {
            return Ok(Some(byte));
        }
        Ok(if self.pieces.more()? { self.pieces.rest().first().copied() } else { None })
    }

    fn peek_or_end(&mut self) -> Result<Option<u8>, Stop> {
        while let Some(byte) = self.next_byte()? {
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Ok(Some(byte));
            }
            let rest = self.pieces.rest();
            let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'\r')).count();
            self.pieces.advance(blank);
        }
        Ok(None)
    }

    /// The first byte of what comes next, which must come.
    pub(in crate::lightrag) fn peek(&mut self) -> Result<u8, Stop> {
        match self.peek_or_end()? {
            Some(byte) => Ok(byte),
            None => self.malformed("it ends too early"),
        }
    }

    fn expect(&mut self, wanted: u8, problem: &str) -> Result<(), Stop> {
        if self.peek()? != wanted {
            return self.malformed(problem);
        }
        self.pieces.advance(1);
        Ok(())
    }

    /// After a value inside brackets: true if another follows.
    fn another(&mut self, closing: u8) -> Result<bool, Stop> {
        let byte = self.peek()?;
        if byte != b',' && byte != closing {
            return self.malformed("no comma or closing bracket");
        }
        self.pieces.advance(1);
        Ok(byte == b',')
    }

    /// After an opening bracket: true if it closes at once.
    fn closes(&mut self, closing: u8) -> Result<bool, Stop> {
        let closes = self.peek()? == closing;
        if closes {
            self.pieces.advance(1);
        }
        Ok(closes)
    }

    /// Reads an object, giving each field's key to `field`, which reads its value. Anything but an object is passed over: false.
    pub(in crate::lightrag) fn object(&mut self, field: Field<'_, 'a>) -> Result<bool, Stop> {
        if self.peek()? != b'{' {
            self.pass()?;
            return Ok(false);
        }
        self.pieces.advance(1);
        if self.closes(b'}')? {
            return Ok(true);
        }
        let mut key = Vec::new();
        loop {
            key.clear();
            self.string(Some(&mut key))?;
            self.expect(b':', "no colon after a key")?;
            field(self, &key)?;
            if !self.another(b'}')? {
                return Ok(true);
            }
        }
    }

    /// Reads an array, calling `item` for each of its values, which reads it. Anything but an array is passed over: false.
    pub(in crate::lightrag) fn array(&mut self, item: &mut dyn FnMut(&mut Self) -> Result<(), Stop>) -> Result<bool, Stop> {
        if self.peek()? != b'[' {
            self.pass()?;
            return Ok(false);
        }
        self.pieces.advance(1);
        if self.closes(b']')? {
            return Ok(true);
        }
        loop {
            item(self)?;
            if !self.another(b']')? {
                return Ok(true);
            }
        }
    }

    /// Reads a string's text; anything else is passed over and is no text.
    pub(in crate::lightrag) fn text(&mut self, into: &mut Vec<u8>) -> Result<(), Stop> {
        into.clear();
        if self.peek()? == b'"' { self.string(Some(into)).map(|_| ()) } else { self.pass() }
    }

    /// Passes over a string; anything else is passed over too: `None`.
    pub(super) fn measure(&mut self) -> Result<Option<Passed>, Stop> {
        if self.peek()? == b'"' { self.string(None).map(Some) } else { self.pass().map(|()| None) }
    }

    /// Reads a number without sign, point or exponent, or `true` as 1; anything else is passed over: `None`.
    pub(in crate::lightrag) fn number(&mut self) -> Result<Option<u64>, Stop> {
        if matches!(self.peek()?, b'"' | b'{' | b'[') {
            return self.pass().map(|()| None);
        }
        self.word()?;
        if self.word == b"true" {
            return Ok(Some(1));
        }
        Ok(std::str::from_utf8(&self.word).ok().and_then(|word| word.parse().ok()))
    }

    /// Passes over any value, checking its syntax.
    pub(in crate::lightrag) fn pass(&mut self) -> Result<(), Stop> {
        self.open.clear();
        loop {
            match self.peek()? {
                b'"' => {
                    self.string(None)?;
                }
                bracket @ (b'{' | b'[') => {
                    self.pieces.advance(1);
                    if !self.closes(bracket + 2)? {
                        if self.open.len() == DEPTH_MAX {
                            return self.malformed("it is nested too deeply");
                        }
                        self.open.push(bracket);
                        self.key_of(bracket)?;
                        continue;
                    }
                }
                _ => self.word()?,
            }
            loop {
                let Some(&bracket) = self.open.last() else { return Ok(()) };
                if self.another(bracket + 2)? {
                    self.key_of(bracket)?;
                    break;
                }
                self.open.pop();
            }
        }
    }

    /// In an object, passes over the next key and its colon.
    fn key_of(&mut self, bracket: u8) -> Result<(), Stop> {
        if bracket == b'[' {
            return Ok(());
        }
        self.peek()?;
        self.string(None)?;
        self.expect(b':', "no colon after a key")
    }

    /// Reads a number or a literal into `self.word`.
    fn word(&mut self) -> Result<(), Stop> {
        self.word.clear();
        while let Some(byte) = self.next_byte()? {
            if !matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.') {
                break;
            }
            if self.word.len() == WORD_BYTES_MAX {
                return self.malformed("a number is too long");
            }
            self.word.push(byte);
            self.pieces.advance(1);
        }
        match self.word.as_slice() {
            b"true" | b"false" | b"null" | b"NaN" | b"Infinity" | b"-Infinity" => Ok(()),
            word if is_number(word) => Ok(()),
            _ => self.malformed("no JSON value"),
        }
    }

    /// Reads a string, keeping its text if asked to.
    fn string(&mut self, mut keep: Option<&mut Vec<u8>>) -> Result<Passed, Stop> {
        self.expect(b'"', "no string where one must be")?;
        let mut passed = Passed::default();
        let mut utf8 = Utf8::default();
        loop {
            let rest = self.pieces.rest();
            let end = memchr2(b'"', b'\\', rest);
            let plain = &rest[..end.unwrap_or(rest.len())];
            if !utf8.feed(plain) {
                return self.malformed("a string holds a control character or is no UTF-8");
            }
            passed.count(plain);
            if let Some(keep) = keep.as_deref_mut() {
                if keep.len() + plain.len() > KEPT_BYTES_MAX {
                    return self.malformed("a key or a list of ids is longer than 64 MiB");
                }
                keep.extend_from_slice(plain);
            }
            let Some(end) = end else {
                let length = rest.len();
                self.pieces.advance(length);
                if !self.pieces.more()? {
                    return self.malformed("it ends inside a string");
                }
                continue;
            };
            let quote = rest[end] == b'"';
            self.pieces.advance(end + 1);
            if !utf8.is_whole() {
                return self.malformed("a string is no UTF-8");
            }
            if quote {
                return Ok(passed);
            }
            self.escape(&mut passed, keep.as_deref_mut())?;
        }
    }

    fn escape(&mut self, passed: &mut Passed, keep: Option<&mut Vec<u8>>) -> Result<(), Stop> {
        let mut code = match self.escaped_byte()? {
            byte @ (b'"' | b'\\' | b'/') => u32::from(byte),
            b'b' => 8,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'u' => self.four_digits()?,
            _ => return self.malformed("an escape in a string is unknown"),
        };
        passed.count(&[u8::try_from(code).unwrap_or(0)]);
        let Some(keep) = keep else { return Ok(()) };
        // The second half of a surrogate pair joins the first, which was kept as three bytes of its own.
        if (0xDC00..0xE000).contains(&code)
            && let [.., 0xED, second @ 0xA0..=0xAF, third] = *keep.as_slice()
        {
            let high = (u32::from(second & 0x0F) << 6) | u32::from(third & 0x3F);
            keep.truncate(keep.len() - 3);
            code = 0x1_0000 + ((high << 10) | (code - 0xDC00));
        }
        match char::from_u32(code) {
            Some(character) => keep.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            // Half a surrogate pair, which Python lets pass: encoded as if it were a character.
            None => {
                let part = |shift: u32, mask: u32| u8::try_from((code >> shift) & mask).unwrap_or(0);
                keep.extend_from_slice(&[0xE0 | part(12, 0x0F), 0x80 | part(6, 0x3F), 0x80 | part(0, 0x3F)]);
            }
        }
        Ok(())
    }

    fn escaped_byte(&mut self) -> Result<u8, Stop> {
        match self.next_byte()? {
            Some(byte) => {
                self.pieces.advance(1);
                Ok(byte)
            }
            None => self.malformed("it ends inside a string"),
        }
    }

    fn four_digits(&mut self) -> Result<u32, Stop> {
        let mut code = 0;
        for _ in 0..4 {
            match char::from(self.escaped_byte()?).to_digit(16) {
                Some(digit) => code = code * 16 + digit,
                None => return self.malformed("an escape in a string is unknown"),
            }
        }
        Ok(code)
    }
}

impl Passed {
    fn count(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        match *bytes {
            [] => {}
            [only] => self.last = [self.last[1], only],
            [.., second, last] => self.last = [second, last],
        }
    }
}

/// Whether this is a number as JSON writes them.
fn is_number(word: &[u8]) -> bool {
    fn digits(text: &[u8]) -> Option<&[u8]> {
        let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then(|| &text[count..])
    }
    let word = word.strip_prefix(b"-").unwrap_or(word);
    let whole = if let Some(rest) = word.strip_prefix(b"0") { Some(rest) } else { digits(word) };
    let fraction = whole.and_then(|rest| if let Some(rest) = rest.strip_prefix(b".") { digits(rest) } else { Some(rest) });
    let exponent = fraction.and_then(|rest| match rest {
        [b'e' | b'E', b'+' | b'-', digits_too @ ..] | [b'e' | b'E', digits_too @ ..] => digits(digits_too),
        _ => Some(rest),
    });
    exponent.is_some_and(<[u8]>::is_empty)
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
