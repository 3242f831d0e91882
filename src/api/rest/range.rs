//! Parts of files: the `Range` header of RFC 9110, section 14, for documents that can be read from any place on.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use super::routes::set_at;

/// Tells with a part of a document how many bytes the whole has.
const FILE_SIZE: HeaderName = HeaderName::from_static("x-file-size");

/// A part of a document that a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    first: i64,
    /// The last byte; none for the end of the document.
    last: Option<i64>,
}

impl Range {
    /// One range from a known place on. Others (several, or counted from the end) may be ignored, and are: the whole is answered.
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let first: i64 = first.trim().parse().ok().filter(|first| *first >= 0)?;
        let last = match last.trim() {
            "" => None,
            last => Some(last.parse().ok().filter(|last| *last >= first)?),
        };
        Some(Self { first, last })
    }

    /// What the header asks for becomes the fields `offset` and `length` of a request that has them.
    pub(super) fn take(headers: &HeaderMap, request: &mut DynamicMessage) -> Option<Self> {
        let has = |name: &str| request.descriptor().get_field_by_name(name).is_some();
        if !has("offset") || !has("length") {
            return None;
        }
        let range = Self::parse(headers.get(header::RANGE)?.to_str().ok()?)?;
        set_at(request, "offset", Value::I64(range.first));
        set_at(request, "length", Value::I64(range.last.map_or(0, |last| last - range.first + 1)));
        Some(range)
    }
}

/// Says in a document's answer which part it is, and of how much.
pub(super) fn describe<B>(response: &mut Response<B>, range: Option<Range>, from_service: &HeaderMap) {
    let size = from_service.get(FILE_SIZE).and_then(|size| size.to_str().ok()).and_then(|size| size.parse::<i64>().ok());
    let Some(size) = size else { return };
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // The first byte of an empty rest cannot be named.
    let Some(range) = range.filter(|range| range.first < size) else { return };
    let last = range.last.map_or(size - 1, |last| last.min(size - 1));
    if let Ok(content_range) = HeaderValue::from_str(&format!("bytes {}-{last}/{size}", range.first)) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        response.headers_mut().insert(header::CONTENT_RANGE, content_range);
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(last - range.first + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_range_from_a_known_place() {
        assert_eq!(Range::parse("bytes=0-9"), Some(Range { first: 0, last: Some(9) }));
        assert_eq!(Range::parse("bytes=7-"), Some(Range { first: 7, last: None }));
        for other in ["bytes=-5", "bytes=9-3", "bytes=0-1,4-5", "lines=0-9", "bytes=", "bytes=-1-2", "bytes=a-b"] {
            assert_eq!(Range::parse(other), None, "{other}");
        }
    }

    #[test]
    fn names_the_part_and_the_whole() {
        let mut headers = HeaderMap::new();
        headers.insert(FILE_SIZE, HeaderValue::from_static("10"));
        let mut response = Response::new(());
        describe(&mut response, Range::parse("bytes=4-99"), &headers);
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(response.headers()[header::CONTENT_RANGE], "bytes 4-9/10");
        assert_eq!(response.headers()[header::CONTENT_LENGTH], "6");
    }
}
