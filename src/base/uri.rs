//! Text as parts of URIs carry it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands for itself, RFC 3986, 2.3.
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as a segment of a path, or a value in a query.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, &UNRESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_means_something_in_a_uri_is_encoded() {
        assert_eq!(encoded("知 a/b@c?d&e=f-g.h_i~j"), "%E7%9F%A5%20a%2Fb%40c%3Fd%26e%3Df-g.h_i~j");
    }
}
