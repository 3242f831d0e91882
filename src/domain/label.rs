//! Labels of graphs, and selectors that ask for them.

use std::collections::BTreeMap;
use std::fmt;

use super::validate::Violations;

/// How many labels a graph has at most.
const MAX_LABELS: usize = 64;

/// The longest key or value, bytes.
const MAX_BYTES: usize = 63;

/// The labels of a graph: keys and values of letters, digits, `.`, `_`, `-` and, in keys, `/`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Checks labels; what is wrong is added under `field`.
    pub fn parse(violations: &mut Violations, field: &str, labels: impl IntoIterator<Item = (String, String)>) -> Self {
        let labels: BTreeMap<String, String> = labels.into_iter().collect();
        if labels.len() > MAX_LABELS {
            violations.add(field, format_args!("must be at most {MAX_LABELS}: {}", labels.len()));
        }
        for (key, value) in labels.iter().filter(|(key, value)| !is_key(key) || !is_value(value)) {
            let allowed = format_args!("must have keys and values of at most {MAX_BYTES} letters, digits, `.`, `_` and `-`: {key}={value}");
            violations.add(field, allowed);
        }
        Self(labels)
    }

    /// The labels of a database column.
    pub fn from_json(json: Option<&str>) -> Self {
        Self(json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default())
    }

    /// As a JSON object; nothing for no labels.
    pub fn to_json(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| serde_json::to_string(&self.0).unwrap_or_default())
    }
}

impl IntoIterator for Labels {
    type Item = (String, String);
    type IntoIter = std::collections::btree_map::IntoIter<String, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Which graphs are meant: `*` for all, or `key=value` for each label that they must have, with commas between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Vec<(String, String)>);

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self(Vec::new()));
        }
        let mut wanted = Vec::new();
        for part in text.split(',') {
            match part.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                Some((key, value)) if is_key(key) && is_value(value) => wanted.push((key.to_owned(), value.to_owned())),
                _ => return Err(format!("must be `*`, or `key=value` with commas between, such as `env=prod,team=a`: {part}")),
            }
        }
        Ok(Self(wanted))
    }

    /// Whether a graph with these labels is meant.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(key, value)| labels.0.get(key) == Some(value))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("*");
        }
        for (number, (key, value)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

fn is_key(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
    (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_value(text: &str) -> bool {
    text.len() <= MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let mut violations = Violations::default();
        let labels = Labels::parse(&mut violations, "labels", pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        violations.finish().unwrap();
        labels
    }

    #[test]
    fn a_selector_asks_for_all_its_labels() {
        let graph = labels(&[("env", "prod"), ("team", "a")]);
        for (selector, expected) in [("*", true), ("env=prod", true), (" env = prod , team=a", true), ("env=test", false), ("zone=", false)]
        {
            assert_eq!(Selector::parse(selector).unwrap().matches(&graph), expected, "{selector}");
        }
        assert!(!Selector::parse("env=prod").unwrap().matches(&Labels::default()));
        assert_eq!(Selector::parse(" env = prod , team=a").unwrap().to_string(), "env=prod,team=a");
        for wrong in ["", "env", "env=prod,", "=x", "a b=c", "**"] {
            assert!(Selector::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_are_checked_and_kept() {
        let graph = labels(&[("b", "2"), ("a", "1")]);
        assert_eq!(graph.to_json().unwrap(), r#"{"a":"1","b":"2"}"#);
        assert_eq!(Labels::from_json(graph.to_json().as_deref()), graph);
        assert_eq!((Labels::default().to_json(), Labels::from_json(None)), (None, Labels::default()));
        let mut violations = Violations::default();
        Labels::parse(&mut violations, "labels", [("".to_owned(), "x".to_owned()), ("k".to_owned(), "a b".to_owned())]);
        assert_eq!(violations.iter().count(), 2);
    }
}
