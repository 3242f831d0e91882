//! One look at the samples: what is found begins, fires, goes on or is over, and who is to be told of it.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::super::Services;
use super::super::error::Error;
use super::super::monitoring::events::NewEvent;
use super::event::CloudEvent;
use super::rules::{from_json, to_json};
use crate::base::ids::{AlertId, NotificationId};
use crate::base::timestamp::Timestamp;
use crate::domain::alert::{
    AlertState, Change, Channel, Found, NotificationEvent, OpenAlert, Rule, SeriesLabels, Silence, evaluate, follow, silenced_until,
};
use crate::domain::event::{EventTopic, Severity};
use crate::domain::graph_id::GraphId;
use crate::domain::metric::Samples;
use crate::store::entity::alert::Model;
use crate::store::entity::notification;
use crate::store::{self, alerts, notifications};

/// What one look needs for all its changes.
struct Look<'a, C> {
    connection: &'a C,
    silences: Vec<Silence>,
    channels: Vec<Channel>,
    now: Timestamp,
    /// Whether anything is to be told.
    tells: bool,
}

impl Services {
    /// Asks all rules of these samples. What changes, and who is to be told of it, is written in one transaction.
    ///
    /// # Errors
    /// The database's.
    pub async fn evaluate_alerts(&self, samples: &Samples) -> Result<(), Error> {
        if !self.settings().alerts.is_enabled {
            return Ok(());
        }
        let now = self.now();
        let rules = self.alert_rules(self.store().read()).await?;
        let rules = rules.into_values().filter(|rule| rule.is_enabled).map(|rule| rule.rule);
        let found: Vec<(Rule, Vec<Found>)> =
            rules.map(|rule| (evaluate(&rule, samples, now), rule)).map(|(found, rule)| (rule, found)).collect();
        let transaction = self.store().begin().await?;
        let mut open: HashMap<String, Vec<Model>> = HashMap::new();
        for alert in alerts::list_open(&*transaction).await? {
            open.entry(alert.rule.clone()).or_default().push(alert);
        }
        let silences = self.silences(&*transaction).await?;
        let channels = self.settings().alerts.channels().collect();
        let mut look = Look { connection: &*transaction, silences, channels, now, tells: false };
        for (rule, found) in found {
            let rows = open.remove(&rule.name).unwrap_or_default();
            let known: Vec<OpenAlert> = rows.iter().map(open_alert).collect();
            let mut rows: HashMap<AlertId, Model> = rows.into_iter().map(|row| (row.alert_id, row)).collect();
            for change in follow(&known, found, rule.hold, now) {
                self.apply(&mut look, &rule, &mut rows, change).await?;
            }
        }
        // Their rules are gone, or asked no more.
        for row in open.into_values().flatten() {
            self.end(&mut look, row).await?;
        }
        let tells = look.tells;
        store::commit(transaction).await?;
        if tells {
            self.wakeup().announce_change();
        }
        Ok(())
    }

    async fn apply<C: ConnectionTrait>(
        &self,
        look: &mut Look<'_, C>,
        rule: &Rule,
        rows: &mut HashMap<AlertId, Model>,
        change: Change,
    ) -> Result<(), Error> {
        match change {
            Change::Begin { found, fires } => {
                let mut row = self.new_alert(rule, found, fires, look.now);
                let event = look.to_tell(&mut row);
                alerts::insert(look.connection, row.clone()).await?;
                if fires {
                    self.tell_events(look.connection, vec![event_of(&row, row.severity, "fires")]).await?;
                }
                self.tell(look, &row, event).await
            }
            Change::Fire { alert_id, found } => {
                let Some(old) = rows.remove(&alert_id) else { return Ok(()) };
                let row = Model { state: AlertState::Firing, fired_at: Some(look.now), ..refreshed(&old, rule, found) };
                self.write(look, &old, row).await
            }
            Change::Keep { alert_id, found } => {
                let Some(old) = rows.remove(&alert_id) else { return Ok(()) };
                let row = refreshed(&old, rule, found);
                self.write(look, &old, row).await
            }
            Change::End(alert_id) => match rows.remove(&alert_id) {
                Some(row) => self.end(look, row).await,
                None => Ok(()),
            },
        }
    }

    fn new_alert(&self, rule: &Rule, found: Found, fires: bool, now: Timestamp) -> Model {
        let row = Model {
            alert_id: AlertId::new(self.ids(), now),
            rule: rule.name.clone(),
            severity: rule.severity,
            labels: to_json(&found.labels),
            graph_id: graph_of(&found.labels),
            state: if fires { AlertState::Firing } else { AlertState::Pending },
            value: found.value,
            threshold: found.threshold,
            summary: rule.summary_of(&found.labels),
            started_at: now,
            fired_at: fires.then_some(now),
            resolved_at: None,
            told_at: None,
            acknowledged_at: None,
            acknowledged_by: None,
            comment: None,
        };
        if fires {
            log_firing(&row);
        }
        row
    }

    /// One that never fired is as if it had not been.
    async fn end<C: ConnectionTrait>(&self, look: &mut Look<'_, C>, old: Model) -> Result<(), Error> {
        if old.state == AlertState::Pending {
            return Ok(alerts::delete_pending(look.connection, old.alert_id).await?);
        }
        let (alert_id, graph_id) = (old.alert_id.to_string(), old.graph_id.as_ref().map(GraphId::as_str));
        tracing::info!(rule = old.rule, alert_id, graph_id, "an alert is over");
        let row = Model { state: AlertState::Resolved, resolved_at: Some(look.now), ..old.clone() };
        self.write(look, &old, row).await
    }

    /// Writes what has changed of an alert, if anything has, and what is to be told of it.
    async fn write<C: ConnectionTrait>(&self, look: &mut Look<'_, C>, old: &Model, mut row: Model) -> Result<(), Error> {
        let event = look.to_tell(&mut row);
        if has_changed(old, &row) && !alerts::update(look.connection, &row, old.state).await? {
            // Another instance has seen it too.
            return Ok(());
        }
        if row.state == AlertState::Firing && old.state == AlertState::Pending {
            log_firing(&row);
            self.tell_events(look.connection, vec![event_of(&row, row.severity, "fires")]).await?;
        } else if row.state == AlertState::Resolved {
            self.tell_events(look.connection, vec![event_of(&row, Severity::Info, "is over")]).await?;
        }
        self.tell(look, &row, event).await
    }

    async fn tell<C: ConnectionTrait>(&self, look: &mut Look<'_, C>, row: &Model, event: Option<NotificationEvent>) -> Result<(), Error> {
        let Some(event) = event else { return Ok(()) };
        for channel in look.channels.clone() {
            let notification_id = NotificationId::new(self.ids(), look.now);
            let body = CloudEvent::of_alert(&self.settings().instance_name, notification_id, event, row, look.now);
            let notification = notification::Model {
                notification_id,
                alert_id: row.alert_id,
                channel,
                event,
                body: body.to_json()?,
                created_at: look.now,
                attempts: 0,
                next_attempt_at: look.now,
                delivered_at: None,
                given_up_at: None,
                last_error: None,
            };
            notifications::insert(look.connection, notification).await?;
            look.tells = true;
        }
        Ok(())
    }
}

impl<C> Look<'_, C> {
    /// What is to be told of an alert now. That it fires is told once, when nobody knows of it and no silence covers it: also when the
    /// silence has ended, or a channel was set, since. That it is over is told to those who were told that it fires.
    fn to_tell(&self, row: &mut Model) -> Option<NotificationEvent> {
        match row.state {
            AlertState::Firing if row.told_at.is_none() && row.acknowledged_at.is_none() && !self.channels.is_empty() => {
                if silenced_until(&self.silences, &row.rule, &from_json(&row.labels), self.now).is_some() {
                    return None;
                }
                row.told_at = Some(self.now);
                Some(NotificationEvent::Firing)
            }
            AlertState::Resolved if row.told_at.is_some() => Some(NotificationEvent::Resolved),
            AlertState::Pending | AlertState::Firing | AlertState::Resolved => None,
        }
    }
}

/// The graph that a series is about.
fn graph_of(labels: &SeriesLabels) -> Option<GraphId> {
    let is_graphs = |component_type: &String| component_type == "graph" || component_type == "backup";
    let component = || labels.get("component").filter(|_| labels.get("component_type").is_some_and(is_graphs));
    labels.get("graph").or_else(component).and_then(|graph| GraphId::parse(graph).ok())
}

fn open_alert(row: &Model) -> OpenAlert {
    OpenAlert { alert_id: row.alert_id, labels: from_json(&row.labels), state: row.state, started_at: row.started_at }
}

/// An alert as its rule finds it now.
fn refreshed(old: &Model, rule: &Rule, found: Found) -> Model {
    Model {
        severity: rule.severity,
        value: found.value,
        threshold: found.threshold,
        summary: rule.summary_of(&found.labels),
        ..old.clone()
    }
}

/// So much of its value may change until that is written: ages change with each look.
const SHARE: f64 = 0.05;

/// Whether something is to be written of an alert.
fn has_changed(old: &Model, new: &Model) -> bool {
    let is_near = |old: Option<f64>, new: Option<f64>| match (old, new) {
        (Some(old), Some(new)) => (new - old).abs() <= old.abs() * SHARE,
        (old, new) => old == new,
    };
    let kept = Model { value: old.value, ..new.clone() };
    kept != *old || !is_near(old.value, new.value)
}

fn event_of(row: &Model, severity: Severity, what: &str) -> NewEvent {
    NewEvent {
        topic: EventTopic::Alert,
        severity,
        graph_id: row.graph_id.as_ref().map(GraphId::to_string),
        subject_id: Some(row.alert_id.to_string()),
        message: format!("{} {what}: {}", row.rule, row.summary),
    }
}

fn log_firing(row: &Model) {
    let (alert_id, severity, graph_id) = (row.alert_id.to_string(), row.severity.as_str(), row.graph_id.as_ref().map(GraphId::as_str));
    tracing::warn!(rule = row.rule, severity, alert_id, graph_id, "an alert fires: {}", row.summary);
}
