//! Silences: what nobody wants to be told of for a while.

use super::SeriesLabels;
use crate::base::timestamp::Timestamp;

/// Which alerts are silent, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Only those of this rule.
    pub rule: Option<String>,
    /// Only those with these labels.
    pub labels: SeriesLabels,
    /// The first instant at which they are not.
    pub until: Timestamp,
}

impl Silence {
    /// Whether an alert is silent.
    pub fn covers(&self, rule: &str, labels: &SeriesLabels, now: Timestamp) -> bool {
        now < self.until
            && self.rule.as_ref().is_none_or(|wanted| wanted == rule)
            && self.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
    }
}

/// Until when an alert is silent; nothing where it is not.
pub fn silenced_until(silences: &[Silence], rule: &str, labels: &SeriesLabels, now: Timestamp) -> Option<Timestamp> {
    silences.iter().filter(|silence| silence.covers(rule, labels, now)).map(|silence| silence.until).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_that_fits_counts() {
        let labels = |graph: &str| -> SeriesLabels { [("graph".to_owned(), graph.to_owned())].into() };
        let at = Timestamp::from_micros;
        let silences = [
            Silence { rule: Some("A".to_owned()), labels: SeriesLabels::new(), until: at(10) },
            Silence { rule: None, labels: labels("g"), until: at(20) },
        ];
        let until = |rule, graph, now| silenced_until(&silences, rule, &labels(graph), at(now));
        assert_eq!((until("A", "g", 5), until("A", "h", 5), until("B", "h", 5)), (Some(at(20)), Some(at(10)), None));
        assert_eq!((until("A", "h", 10), until("A", "g", 10), until("B", "g", 20)), (None, Some(at(20)), None));
    }
}
