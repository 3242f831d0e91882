//! The name of a graph. It is also the name of its repository's directory, so it must be safe as one.
//!
//! A copy that lies here of a graph that is somewhere else is a graph of its own, without a source: `<graph>@<where>`.

use std::fmt;
use std::sync::Arc;

use unicode_normalization::is_nfc;

use super::peer::is_name;

/// The most bytes that an id may have: a directory name has room for 255.
pub const MAX_GRAPH_ID_BYTES: usize = 200;

/// Names below the storage directory that are not graphs, and the one that means all graphs.
const RESERVED: [&str; 4] = ["repository.key", "secrets.key", "replicas", "-"];

/// A valid graph id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GraphId(Arc<str>);

/// Why a text is no graph id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GraphIdError {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// Longer than [`MAX_GRAPH_ID_BYTES`].
    #[error("must have at most {MAX_GRAPH_ID_BYTES} bytes in UTF-8")]
    TooLong,
    /// A character other than those allowed.
    #[error("must consist of Unicode letters, digits, `.`, `_` and `-`, and not start with a dot")]
    Character,
    /// The same text can be written in two ways; only one of them is taken.
    #[error("must be in Unicode normalization form C")]
    NotNormalized,
    /// Means something else below the storage directory, or all graphs.
    #[error("is reserved, choose another")]
    Reserved,
}

impl GraphId {
    /// Checks a text.
    ///
    /// # Errors
    /// [`GraphIdError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, GraphIdError> {
        let whole = text;
        let (text, place) = text.split_once('@').map_or((text, None), |(graph, place)| (graph, Some(place)));
        if place.is_some_and(|place| !is_name(place)) {
            return Err(GraphIdError::Character);
        }
        if text.is_empty() {
            return Err(GraphIdError::Empty);
        }
        if text.len() > MAX_GRAPH_ID_BYTES {
            return Err(GraphIdError::TooLong);
        }
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-') || unicode_normalization::char::is_combining_mark(c);
        if text.starts_with('.') || !text.chars().all(allowed) {
            return Err(GraphIdError::Character);
        }
        if !is_nfc(text) {
            return Err(GraphIdError::NotNormalized);
        }
        if RESERVED.contains(&text) {
            return Err(GraphIdError::Reserved);
        }
        Ok(Self(whole.into()))
    }

    /// The copy of a graph that comes from, or lies at, a place of this name; none where the graph is a copy itself, or the name is none.
    pub fn copy_at(graph: &Self, place: &str) -> Option<Self> {
        (!graph.is_copy() && is_name(place)).then(|| Self(format!("{graph}@{place}").into()))
    }

    /// The graph that this is a copy of, and the place that it comes from or lies at; none for a graph with a source.
    pub fn as_copy(&self) -> Option<(&str, &str)> {
        self.0.split_once('@')
    }

    /// Whether it is a copy, and has no source of its own.
    pub fn is_copy(&self) -> bool {
        self.as_copy().is_some()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GraphId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_letters_of_all_scripts() {
        for good in ["graph1", "a.b_c-D9", "Wissen-über-Öl", "知识图谱", "--", "_x", "graph@site-2"] {
            assert_eq!(GraphId::parse(good).map(|id| id.to_string()), Ok(good.to_owned()));
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let long = "a".repeat(201);
        let wrong = [
            ("", GraphIdError::Empty),
            (&long, GraphIdError::TooLong),
            ("..", GraphIdError::Character),
            (".hidden", GraphIdError::Character),
            ("a/b", GraphIdError::Character),
            ("%2e%2e", GraphIdError::Character),
            ("a b", GraphIdError::Character),
            ("a@", GraphIdError::Character),
            ("@b", GraphIdError::Empty),
            ("a@b@c", GraphIdError::Character),
            ("a@../b", GraphIdError::Character),
            ("a\0", GraphIdError::Character),
            ("u\u{308}", GraphIdError::NotNormalized),
            ("repository.key", GraphIdError::Reserved),
            ("replicas", GraphIdError::Reserved),
            ("-", GraphIdError::Reserved),
        ];
        for (text, error) in wrong {
            assert_eq!(GraphId::parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_one_plain_path_component(text in ".{0,40}") {
            if let Ok(id) = GraphId::parse(&text) {
                let path = std::path::Path::new(id.as_str());
                prop_assert_eq!(path.components().count(), 1);
                prop_assert!(matches!(path.components().next(), Some(std::path::Component::Normal(_))));
            }
        }
    }
}
