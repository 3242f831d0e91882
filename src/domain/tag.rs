//! Tags of snapshots: words in their records that restic shows and retention policies ask for.

use super::validate::Violations;

/// What the tag with a snapshot's id begins with.
pub const SNAPSHOT_TAG: &str = "snapshot:";

/// What the tag with a graph's id begins with.
pub const GRAPH_TAG: &str = "graph:";

/// The tag of all our records.
pub const OWN_TAG: &str = "lightkeep";

const TAGS_MAX: usize = 100;
const TAG_BYTES_MAX: usize = 200;

/// The tags of a snapshot that its caller chose: in their order, none twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(Vec<String>);

impl Tags {
    /// Checks tags that a snapshot is to have; what is wrong is added under `field`.
    pub fn parse(violations: &mut Violations, field: &str, tags: Vec<String>) -> Self {
        check(violations, field, &tags);
        if let Some(tag) = tags.iter().find(|tag| is_reserved(tag)) {
            violations.add(field, format_args!("must not be `{OWN_TAG}` or begin with `{GRAPH_TAG}` or `{SNAPSHOT_TAG}`: `{tag}`"));
        }
        Self::in_order(tags)
    }

    /// The tags of a record, without those that we give.
    pub fn of_record(tags: &[String]) -> Self {
        Self::in_order(tags.iter().filter(|tag| !tag.is_empty() && !is_reserved(tag)).cloned().collect())
    }

    /// The tags of a database column.
    pub fn from_json(json: Option<&str>) -> Self {
        Self(json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default())
    }

    /// As a JSON list; nothing for no tags.
    pub fn to_json(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| serde_json::to_string(&self.0).unwrap_or_default())
    }

    fn in_order(mut tags: Vec<String>) -> Self {
        tags.sort_unstable();
        tags.dedup();
        Self(tags)
    }
}

impl IntoIterator for Tags {
    type Item = String;
    type IntoIter = std::vec::IntoIter<String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Checks the form of tags; restic separates them by commas.
pub(super) fn check(violations: &mut Violations, field: &str, tags: &[String]) {
    if tags.len() > TAGS_MAX {
        violations.add(field, format_args!("must be at most {TAGS_MAX}: {}", tags.len()));
    }
    let is_wrong = |tag: &&String| tag.trim() != tag.as_str() || tag.is_empty() || tag.len() > TAG_BYTES_MAX || has_separator(tag);
    if let Some(tag) = tags.iter().find(is_wrong) {
        let shown = tag.chars().take(TAG_BYTES_MAX).filter(|c| !c.is_control()).collect::<String>();
        let form = format_args!("must have 1 to {TAG_BYTES_MAX} bytes each, without commas, line ends and spaces around: `{shown}`");
        violations.add(field, form);
    }
}

fn has_separator(tag: &str) -> bool {
    tag.contains(|c: char| c == ',' || c.is_control())
}

fn is_reserved(tag: &str) -> bool {
    tag == OWN_TAG || tag.starts_with(GRAPH_TAG) || tag.starts_with(SNAPSHOT_TAG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(tags: &[&str]) -> Result<Tags, Violations> {
        let mut violations = Violations::default();
        let tags = Tags::parse(&mut violations, "tags", tags.iter().map(ToString::to_string).collect());
        violations.finish().map(|()| tags)
    }

    #[test]
    fn tags_are_in_order_and_none_comes_twice() {
        let tags = parse(&["weekly", "before migration", "weekly"]).expect("valid tags");
        assert_eq!(tags.to_json().as_deref(), Some(r#"["before migration","weekly"]"#));
        assert_eq!(Tags::from_json(tags.to_json().as_deref()), tags);
        assert_eq!(parse(&[]).expect("none").to_json(), None);
    }

    #[test]
    fn what_restic_would_take_apart_and_what_is_ours_is_refused() {
        for wrong in ["", " a", "a,b", "a\nb", "lightkeep", "graph:g", "snapshot:1", &"x".repeat(201)] {
            assert!(parse(&[wrong]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_record_tells_the_tags_that_are_not_ours() {
        let tags = ["lightkeep", "graph:g", "snapshot:1", "weekly", "", "a"].map(str::to_owned);
        assert_eq!(Tags::of_record(&tags).into_iter().collect::<Vec<_>>(), ["a", "weekly"]);
    }
}
