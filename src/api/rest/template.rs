//! Path templates of google.api.http, and paths that fit them.

use std::fmt;

use percent_encoding::percent_decode_str;

/// One step of a template; more exact steps come first in the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// This very segment.
    Literal(String),
    /// Any one segment; the field that takes it, unless it is a plain `*`.
    One(Option<String>),
    /// All that is left, at least one segment.
    Rest(Option<String>),
}

/// A path with places for fields, such as `/api/operations/{operation_id}`. Of two templates that fit a path the lesser one is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Template(Vec<Step>);

/// A path with bytes that are no UTF-8 after decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotText;

impl Template {
    /// Reads a template: literals, `*`, `**`, `{field}`, `{field=*}` and `{field=**}`. `None` for any other form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let segments: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
        let last = segments.len() - 1;
        let steps = segments.iter().enumerate().map(|(place, segment)| Step::parse(segment, place == last));
        steps.collect::<Option<Vec<Step>>>().map(Self)
    }

    /// The fields and their values, if the path fits.
    pub(super) fn fit(&self, path: &[String]) -> Option<Vec<(String, String)>> {
        let mut values = Vec::new();
        let mut left = path;
        for step in &self.0 {
            let (segment, behind) = left.split_first()?;
            left = behind;
            match step {
                Step::Literal(literal) if literal == segment => {}
                Step::Literal(_) => return None,
                Step::One(_) if segment.is_empty() => return None,
                Step::One(field) => values.extend(field.clone().map(|field| (field, segment.clone()))),
                Step::Rest(field) => {
                    let rest = std::iter::once(segment).chain(behind).map(String::as_str).collect::<Vec<_>>().join("/");
                    if rest.is_empty() {
                        return None;
                    }
                    values.extend(field.clone().map(|field| (field, rest)));
                    left = &[];
                }
            }
        }
        left.is_empty().then_some(values)
    }

    /// The names of the fields in it.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|step| match step {
            Step::One(field) | Step::Rest(field) => field.as_deref(),
            Step::Literal(_) => None,
        })
    }
}

impl fmt::Display for Template {
    /// As OpenAPI writes it: each field in braces, whatever it takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Literal(literal) => write!(f, "/{literal}"),
            Step::One(Some(field)) | Step::Rest(Some(field)) => write!(f, "/{{{field}}}"),
            Step::One(None) | Step::Rest(None) => f.write_str("/*"),
        })
    }
}

impl Step {
    fn parse(segment: &str, is_last: bool) -> Option<Self> {
        let (field, pattern) = match segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
            Some(inner) => {
                let (field, pattern) = inner.split_once('=').unwrap_or((inner, "*"));
                (Some(field.to_owned()), pattern)
            }
            None => (None, segment),
        };
        match (pattern, field) {
            ("*", field) => Some(Self::One(field)),
            ("**", field) if is_last => Some(Self::Rest(field)),
            (literal, None) if !literal.is_empty() && !literal.contains(['{', '}', '*', ':']) => Some(Self::Literal(literal.to_owned())),
            _ => None,
        }
    }
}

/// The segments of a path, each decoded by itself: an encoded slash does not part segments, and encoded dots are just text.
///
/// # Errors
/// [`NotText`] when a segment is not UTF-8.
pub(super) fn segments(path: &str) -> Result<Vec<String>, NotText> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split('/').map(|segment| percent_decode_str(segment).decode_utf8().map(String::from).map_err(|_| NotText)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(template: &str, path: &str) -> Option<Vec<String>> {
        let found = Template::parse(template).unwrap().fit(&segments(path).unwrap())?;
        Some(found.into_iter().map(|(field, value)| format!("{field}={value}")).collect())
    }

    #[test]
    fn fits() {
        assert_eq!(fit("/a/{id}/c", "/a/b/c"), Some(vec!["id=b".to_owned()]));
        assert_eq!(fit("/a/{id}", "/a/%2e%2e"), Some(vec!["id=..".to_owned()]));
        assert_eq!(fit("/a/{id}", "/a/x%2Fy"), Some(vec!["id=x/y".to_owned()]));
        assert_eq!(fit("/a/{path=**}", "/a/x/y%20z"), Some(vec!["path=x/y z".to_owned()]));
        for (template, path) in [("/a/{id}", "/a"), ("/a/{id}", "/a/"), ("/a/{id}", "/a/b/c"), ("/a/{p=**}", "/a/"), ("/a", "/b")] {
            assert_eq!(fit(template, path), None, "{template} {path}");
        }
        assert_eq!(segments("/%ff"), Err(NotText));
        assert_eq!(Template::parse("/a/{id}/{path=**}").unwrap().to_string(), "/a/{id}/{path}");
    }

    #[test]
    fn unknown_forms_are_refused_and_literals_come_first() {
        for bad in ["", "a", "/a:verb", "/{p=**}/a", "/{p=a/*}", "//a"] {
            assert_eq!(Template::parse(bad), None, "{bad}");
        }
        assert!(Template::parse("/a/stats").unwrap() < Template::parse("/a/{id}").unwrap());
        assert!(Template::parse("/a/{id}").unwrap() < Template::parse("/a/{id=**}").unwrap());
    }
}
