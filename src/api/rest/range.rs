//! Parts of files: the `Range` header of RFC 9110, section 14, for documents that can be read from any place on.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use prost_reflect::{DynamicMessage, Value};

use super::routes::set_at;

/// Tells with a part of a document how many bytes the whole has.
const FILE_SIZE: HeaderName = HeaderName::from_static("x-file-size");

/// The part of a document that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// The first byte.
    offset: i64,
    /// How many bytes; 0 for all to the end.
    length: i64,
    /// The header `Range` asks for it: the answer says so.
    by_range: bool,
}

impl Part {
    /// What a request says in its fields `offset` and `length`, or in the header `Range`, which becomes these fields. None where the
    /// request has no such fields.
    pub(super) fn take(headers: &HeaderMap, request: &mut DynamicMessage) -> Option<Self> {
        let number = |name: &str| request.get_field_by_name(name).and_then(|value| value.as_i64());
        let (offset, length) = (number("offset")?, number("length")?);
        let range = headers.get(header::RANGE).and_then(|range| parse(range.to_str().ok()?));
        let Some((offset, length)) = range else { return Some(Self { offset, length, by_range: false }) };
        set_at(request, "offset", Value::I64(offset));
        set_at(request, "length", Value::I64(length));
        Some(Self { offset, length, by_range: true })
    }
}

/// Offset and length of one range from a known place on. Others (several, or counted from the end) may be ignored, and are: the whole
/// is answered.
fn parse(text: &str) -> Option<(i64, i64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let first = number(first.trim())?;
    let length = match last.trim() {
        "" => 0,
        last => number(last).filter(|last| *last >= first)?.saturating_sub(first).saturating_add(1),
    };
    Some((first, length))
}

/// A number of any length: what is larger than any file lies behind its end all the same.
fn number(digits: &str) -> Option<i64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(i64::MAX))
}

/// Says in a document's answer how long it is, which part it is, and of how much.
pub(super) fn describe<B>(response: &mut Response<B>, part: Option<Part>, from_service: &HeaderMap) {
    let size = from_service.get(FILE_SIZE).and_then(|size| size.to_str().ok()).and_then(|size| size.parse::<i64>().ok());
    let (Some(size), Some(Part { offset, length, by_range })) = (size, part) else { return };
    let end = if length == 0 { size } else { offset.saturating_add(length).min(size) };
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // With it, whoever gets less knows that something is missing.
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end - offset));
    // The bytes of an empty file cannot be named.
    if by_range
        && offset < end
        && let Ok(content_range) = HeaderValue::from_str(&format!("bytes {offset}-{}/{size}", end - 1))
    {
        headers.insert(header::CONTENT_RANGE, content_range);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_range_from_a_known_place() {
        assert_eq!(parse("bytes=0-9"), Some((0, 10)));
        assert_eq!(parse("bytes=7-"), Some((7, 0)));
        assert_eq!(parse("bytes=0-9223372036854775807"), Some((0, i64::MAX)));
        assert_eq!(parse("bytes=9-99999999999999999999"), Some((9, i64::MAX - 8)));
        assert_eq!(parse("bytes=99999999999999999999-"), Some((i64::MAX, 0)));
        for other in ["bytes=-5", "bytes=9-3", "bytes=0-1,4-5", "lines=0-9", "bytes=", "bytes=-1-2", "bytes=a-b", "bytes=+1-2"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn names_the_part_and_the_whole() {
        let from_service: HeaderMap = [(FILE_SIZE, HeaderValue::from_static("10"))].into_iter().collect();
        let described = |offset, length, by_range| {
            let mut response = Response::new(());
            describe(&mut response, Some(Part { offset, length, by_range }), &from_service);
            let text = |name| response.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned());
            (response.status().as_u16(), text(header::CONTENT_RANGE), text(header::CONTENT_LENGTH).unwrap())
        };
        assert_eq!(described(4, 96, true), (206, Some("bytes 4-9/10".to_owned()), "6".to_owned()));
        assert_eq!(described(4, i64::MAX, true), (206, Some("bytes 4-9/10".to_owned()), "6".to_owned()));
        assert_eq!(described(4, 2, false), (200, None, "2".to_owned()));
        assert_eq!(described(0, 0, false), (200, None, "10".to_owned()));
    }
}
