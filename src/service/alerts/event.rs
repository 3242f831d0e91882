//! What is told of an alert: a CloudEvent, in its structured JSON form. A mail is made of the same.

use serde::{Deserialize, Serialize};

use super::super::error::Error;
use super::rules::from_json;
use crate::base::ids::NotificationId;
use crate::base::timestamp::Timestamp;
use crate::base::uri::encoded;
use crate::domain::alert::{NotificationEvent, SeriesLabels};
use crate::domain::graph_id::GraphId;
use crate::store::entity::alert::Model;

/// A CloudEvent, version 1.0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CloudEvent {
    specversion: String,
    /// The same at each attempt: whoever has seen it need not look again.
    pub(super) id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: String,
    pub(super) time: String,
    datacontenttype: String,
    pub(super) data: EventData,
}

/// What it says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EventData {
    pub(super) instance: String,
    /// Empty in a test.
    pub(super) alert_id: String,
    pub(super) rule: String,
    pub(super) severity: String,
    /// `firing`, `resolved` or `test`.
    pub(super) state: String,
    pub(super) graph_id: Option<String>,
    pub(super) labels: SeriesLabels,
    pub(super) value: Option<f64>,
    pub(super) threshold: Option<f64>,
    pub(super) summary: String,
    pub(super) started_at: Option<String>,
    pub(super) fired_at: Option<String>,
    pub(super) resolved_at: Option<String>,
}

impl CloudEvent {
    /// What is told of an alert.
    pub(super) fn of_alert(instance: &str, id: NotificationId, event: NotificationEvent, alert: &Model, now: Timestamp) -> Self {
        let data = EventData {
            instance: instance.to_owned(),
            alert_id: alert.alert_id.to_string(),
            rule: alert.rule.clone(),
            severity: alert.severity.to_string(),
            state: event.to_string(),
            graph_id: alert.graph_id.as_ref().map(GraphId::to_string),
            labels: from_json(&alert.labels),
            value: alert.value,
            threshold: alert.threshold,
            summary: alert.summary.clone(),
            started_at: Some(alert.started_at.to_string()),
            fired_at: alert.fired_at.map(|instant| instant.to_string()),
            resolved_at: alert.resolved_at.map(|instant| instant.to_string()),
        };
        Self::new(id, event, data, now)
    }

    /// A test.
    pub(super) fn of_test(instance: &str, id: NotificationId, now: Timestamp) -> Self {
        let data = EventData {
            instance: instance.to_owned(),
            alert_id: String::new(),
            rule: "Test".to_owned(),
            severity: "info".to_owned(),
            state: NotificationEvent::Test.to_string(),
            graph_id: None,
            labels: SeriesLabels::new(),
            value: None,
            threshold: None,
            summary: "somebody has asked for a test: nothing is wrong".to_owned(),
            started_at: None,
            fired_at: None,
            resolved_at: None,
        };
        Self::new(id, NotificationEvent::Test, data, now)
    }

    fn new(id: NotificationId, event: NotificationEvent, data: EventData, now: Timestamp) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id: id.to_string(),
            // A reference to a URI: the name of an instance may be anything.
            source: format!("/lightkeep/{}", encoded(&data.instance)),
            event_type: format!("lightkeep.alert.{event}"),
            subject: data.rule.clone(),
            time: now.to_string(),
            datacontenttype: "application/json".to_owned(),
            data,
        }
    }

    /// As it is posted.
    pub(super) fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|error| Error::internal("write an event", error))
    }

    /// As it was written.
    pub(super) fn from_json(json: &str) -> Result<Self, Error> {
        serde_json::from_str(json).map_err(|error| Error::internal("read an event", error))
    }
}
