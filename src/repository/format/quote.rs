//! File names in trees: Go's `strconv.Quote` without the outer quotes, so that any bytes survive JSON.

use std::fmt::Write as _;

use super::FormatError;

/// The quoted name.
pub(crate) fn quote(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            quote_char(&mut out, c);
        }
        for byte in chunk.invalid() {
            let _infallible = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn quote_char(out: &mut String, c: char) {
    let code = u32::from(c);
    let _infallible = match c {
        '"' | '\\' => {
            out.push('\\');
            out.write_char(c)
        }
        '\x07' => out.write_str("\\a"),
        '\x08' => out.write_str("\\b"),
        '\x0c' => out.write_str("\\f"),
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        '\x0b' => out.write_str("\\v"),
        ' '..='~' => out.write_char(c),
        _ if code < 0x20 || code == 0x7f => write!(out, "\\x{code:02x}"),
        _ if is_printable(c) => out.write_char(c),
        _ if code < 0x10000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// Go's `strconv.IsPrint` outside ASCII: letters, marks, numbers, punctuation and symbols. Rust's debug escapes use the same
/// categories (of a newer Unicode than old Go programs have: only names with new characters differ, and both readers accept both).
fn is_printable(c: char) -> bool {
    // behind another character, so that marks are not escaped for standing alone
    let mut text = [b'a'; 5];
    let length = 1 + c.encode_utf8(&mut text[1..]).len();
    std::str::from_utf8(&text[..length]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

/// The name's bytes.
pub(crate) fn unquote(text: &str) -> Result<Vec<u8>, FormatError> {
    if !text.contains('\\') {
        return Ok(text.as_bytes().to_vec());
    }
    unquote_escapes(text).ok_or_else(|| FormatError::new(format!("`{text}` has a wrong escape")))
}

fn unquote_escapes(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let letter = rest.chars().next()?;
        let (skip, digits, radix) = match letter {
            'x' => (1, 2, 16),
            'u' => (1, 4, 16),
            'U' => (1, 8, 16),
            '0'..='7' => (0, 3, 8),
            _ => (1, 0, 10),
        };
        if digits == 0 {
            out.push(match letter {
                'a' => 7,
                'b' => 8,
                'f' => 12,
                'n' => b'\n',
                'r' => b'\r',
                't' => b'\t',
                'v' => 11,
                '\\' | '"' | '\'' => u8::try_from(letter).ok()?,
                _ => return None,
            });
        } else {
            let number = rest.get(skip..skip + digits)?;
            let value = number.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(number, radix).ok())??;
            match letter {
                'u' | 'U' => out.extend_from_slice(char::from_u32(value)?.encode_utf8(&mut [0; 4]).as_bytes()),
                _ => out.push(u8::try_from(value).ok()?),
            }
        }
        rest = rest.get(skip + digits..)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_as_go_does() {
        assert_eq!(quote(b"a \"b\" \\ \n\x01\xff"), "a \\\"b\\\" \\\\ \\n\\x01\\xff");
        assert_eq!(quote("ä☃e\u{301}".as_bytes()), "ä☃e\u{301}");
        assert_eq!(quote("\u{a0}\u{200b}\u{feff}\u{e000}\u{e0001}".as_bytes()), "\\u00a0\\u200b\\ufeff\\ue000\\U000e0001");
        assert_eq!(unquote("\\101\\u00e4\\U0001f600\\'").unwrap(), "Aä😀'".as_bytes());
        for bad in ["\\", "\\q", "\\x1", "\\u12", "\\x+1", "\\ud800", "\\777"] {
            assert!(unquote(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn round_trip_bytes(name in any::<Vec<u8>>()) {
            prop_assert_eq!(unquote(&quote(&name)).unwrap(), name);
        }

        #[test]
        fn round_trip_text(name in any::<String>()) {
            prop_assert_eq!(unquote(&quote(name.as_bytes())).unwrap(), name.as_bytes());
        }

        #[test]
        fn garbage_never_panics(text in "\\PC{0,20}") {
            let _whatever = unquote(&text);
        }
    }
}
