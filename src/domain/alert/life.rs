//! The life of alerts: what a look at the samples changes.

use std::collections::HashMap;
use std::time::Duration;

use super::{AlertState, Found, SeriesLabels};
use crate::base::ids::AlertId;
use crate::base::timestamp::Timestamp;

/// An alert that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAlert {
    /// Its id.
    pub alert_id: AlertId,
    /// The labels of what was found.
    pub labels: SeriesLabels,
    /// `Pending` or `Firing`.
    pub state: AlertState,
    /// When it was found first.
    pub started_at: Timestamp,
}

/// What becomes of an alert.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// There is a new one; it fires at once where its rule does not wait.
    Begin {
        /// What was found.
        found: Found,
        /// Whether it fires.
        fires: bool,
    },
    /// It was found for long enough.
    Fire {
        /// Of this one.
        alert_id: AlertId,
        /// What was found.
        found: Found,
    },
    /// It goes on as it is, perhaps with another value.
    Keep {
        /// Of this one.
        alert_id: AlertId,
        /// What was found.
        found: Found,
    },
    /// It is over.
    End(AlertId),
}

/// What changes for the open alerts of a rule now that this was found. One that comes back after its end is a new one.
pub fn follow(open: &[OpenAlert], found: Vec<Found>, hold: Duration, now: Timestamp) -> Vec<Change> {
    let mut open: HashMap<&SeriesLabels, &OpenAlert> = open.iter().map(|alert| (&alert.labels, alert)).collect();
    let mut changes = Vec::new();
    for found in found {
        changes.push(match open.remove(&found.labels) {
            None => Change::Begin { found, fires: hold.is_zero() },
            Some(alert) if alert.state == AlertState::Pending && now.since(alert.started_at) >= hold => {
                Change::Fire { alert_id: alert.alert_id, found }
            }
            Some(alert) => Change::Keep { alert_id: alert.alert_id, found },
        });
    }
    let mut over: Vec<&OpenAlert> = open.into_values().collect();
    over.sort_by_key(|alert| alert.alert_id);
    changes.extend(over.into_iter().map(|alert| Change::End(alert.alert_id)));
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::ids::IdSource;

    fn found(graph: &str) -> Found {
        Found { labels: [("graph".to_owned(), graph.to_owned())].into(), value: Some(1.0), threshold: Some(0.0) }
    }

    #[derive(Default)]
    struct World {
        open: Vec<OpenAlert>,
        fired: Vec<(AlertId, Timestamp)>,
        resolved: Vec<AlertId>,
    }

    impl World {
        fn apply(&mut self, change: Change, ids: &IdSource, now: Timestamp) {
            match change {
                Change::Begin { found, fires } => {
                    let alert_id = AlertId::new(ids, now);
                    let state = if fires { AlertState::Firing } else { AlertState::Pending };
                    self.open.push(OpenAlert { alert_id, labels: found.labels, state, started_at: now });
                    self.fired.extend(fires.then_some((alert_id, now)));
                }
                Change::Fire { alert_id, .. } => {
                    let alert = self.open.iter_mut().find(|alert| alert.alert_id == alert_id).expect("an open alert");
                    assert_eq!(alert.state, AlertState::Pending);
                    alert.state = AlertState::Firing;
                    self.fired.push((alert_id, now));
                }
                Change::Keep { alert_id, .. } => assert!(self.open.iter().any(|alert| alert.alert_id == alert_id)),
                Change::End(alert_id) => {
                    let place = self.open.iter().position(|alert| alert.alert_id == alert_id).expect("an open alert");
                    let fired = self.open.remove(place).state == AlertState::Firing;
                    self.resolved.extend(fired.then_some(alert_id));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn each_fires_after_its_time_and_ends_when_it_is_found_no_more(
            looks in prop::collection::vec((0u64..100, prop::collection::btree_set(0u8..3, 0..3)), 1..40),
            hold in 0u64..120,
        ) {
            let (ids, hold) = (IdSource::counted(1), Duration::from_secs(hold));
            let (mut world, mut now) = (World::default(), Timestamp::from_micros(0));
            // Since when each has been found without a break.
            let mut since: HashMap<u8, Timestamp> = HashMap::new();
            for (pause, graphs) in looks {
                now = now.plus(Duration::from_secs(pause));
                since.retain(|graph, _| graphs.contains(graph));
                for graph in &graphs {
                    since.entry(*graph).or_insert(now);
                }
                let changes = follow(&world.open, graphs.iter().map(|graph| found(&graph.to_string())).collect(), hold, now);
                for change in changes {
                    world.apply(change, &ids, now);
                }
                prop_assert_eq!(world.open.len(), graphs.len());
                for alert in &world.open {
                    let graph: u8 = alert.labels["graph"].parse().expect("a number");
                    prop_assert_eq!(alert.started_at, since[&graph]);
                    prop_assert_eq!(alert.state == AlertState::Firing, now.since(since[&graph]) >= hold);
                }
            }
            let still = world.open.iter().filter(|alert| alert.state == AlertState::Firing).count();
            prop_assert_eq!(world.fired.len(), world.resolved.len() + still);
        }
    }

    #[test]
    fn one_that_comes_back_is_a_new_one() {
        let (ids, mut world) = (IdSource::counted(1), World::default());
        for (second, here) in [(0, true), (1, false), (2, true)] {
            let now = Timestamp::from_micros(second * 1_000_000);
            let seen = if here { vec![found("a")] } else { vec![] };
            for change in follow(&world.open, seen, Duration::ZERO, now) {
                world.apply(change, &ids, now);
            }
        }
        assert_eq!((world.fired.len(), world.resolved.len()), (2, 1));
        assert_ne!(world.fired[0].0, world.fired[1].0);
    }
}
