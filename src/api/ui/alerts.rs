//! Alerts: those that fire, those that did, who is told nothing of them, and the rules that find them.

use askama::Template;
use axum::response::Response;

use super::HOME;
use super::failure::Failure;
use super::marks::{Length, Mark, Moment, Tone, mark};
use super::page::{Page, render};
use super::visit::{Visit, graph_id};
use crate::base::timestamp::Timestamp;
use crate::base::uri::encoded;
use crate::domain::alert::{AlertState, RuleInForce, Severity};
use crate::domain::graph_id::GraphId;
use crate::domain::page::PageRequest;
use crate::service::Error;
use crate::service::alerts::{SeenAlert, labels_of};
use crate::store::alerts::AlertFilter;
use crate::store::entity::silence;

/// How many of each are shown above the list.
const SHOWN: u64 = 100;

/// An alert in a list.
#[derive(Debug, Clone)]
pub(super) struct AlertRow {
    /// Its name.
    pub(super) id: String,
    /// Where it stands.
    pub(super) state: Mark,
    /// How bad it is.
    pub(super) severity: Mark,
    /// The rule that has found it.
    pub(super) rule: String,
    /// The graph that it is about, and where its page is.
    pub(super) graph: Option<(String, String)>,
    /// What it means.
    pub(super) summary: String,
    /// Since when.
    pub(super) started: Moment,
    /// When it was over.
    pub(super) resolved: Option<Moment>,
    /// Who knows of it, since when, and what he said.
    pub(super) acknowledged: Option<(String, Moment, String)>,
    /// Until when nobody is told.
    pub(super) silenced: Option<Moment>,
    /// Somebody may say that he knows.
    pub(super) is_open: bool,
}

impl AlertRow {
    /// A row of this alert.
    pub(super) fn of(alert: SeenAlert, now: Timestamp) -> Self {
        let (row, moment) = (alert.row, |at| Moment::new(at, now));
        let tone = match row.state {
            AlertState::Pending => Tone::Busy,
            AlertState::Firing => Tone::Bad,
            AlertState::Resolved => Tone::Good,
        };
        let by = row.acknowledged_by.zip(row.acknowledged_at);
        Self {
            id: row.alert_id.to_string(),
            state: mark(tone, row.state.as_str()),
            severity: row.severity.into(),
            rule: row.rule,
            graph: row.graph_id.map(|id| (id.to_string(), format!("{HOME}/graphs/{}", encoded(id.as_str())))),
            summary: row.summary,
            started: moment(row.fired_at.unwrap_or(row.started_at)),
            resolved: row.resolved_at.map(moment),
            acknowledged: by.map(|(by, at)| (by, moment(at), row.comment.unwrap_or_default())),
            silenced: alert.silenced_until.map(moment),
            is_open: row.state != AlertState::Resolved,
        }
    }
}

struct SilenceRow {
    rule: String,
    labels: String,
    reason: String,
    by: String,
    until: Moment,
}

impl SilenceRow {
    fn of(row: silence::Model, now: Timestamp) -> Result<Self, Error> {
        let labels: Vec<String> = labels_of(&row)?.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok(Self {
            rule: row.rule.unwrap_or_else(|| "every rule".to_owned()),
            labels: if labels.is_empty() { "everything".to_owned() } else { labels.join(", ") },
            reason: row.reason,
            by: row.created_by,
            until: Moment::new(row.until_at, now),
        })
    }
}

struct RuleRow {
    name: String,
    severity: Mark,
    condition: String,
    hold: Length,
    state: Mark,
}

impl RuleRow {
    fn of(one: RuleInForce) -> Self {
        let rule = one.rule;
        let age = if rule.is_age { "the age of " } else { "" };
        let beyond = rule.relative_to.map_or_else(|| rule.threshold.to_string(), |other| format!("{} × {}", rule.threshold, other.name));
        Self {
            condition: format!("{age}{} {} {beyond}", rule.metric.name, rule.condition),
            severity: rule.severity.into(),
            hold: rule.hold.into(),
            state: if one.is_enabled { mark(Tone::Good, "on") } else { mark(Tone::Quiet, "off") },
            name: rule.name,
        }
    }
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage<'a> {
    page: Page,
    fire: u64,
    firing: Vec<AlertRow>,
    silences: Vec<SilenceRow>,
    more_silences: bool,
    rules: Vec<RuleRow>,
    more_rules: bool,
    graph: &'a str,
    rule: &'a str,
    rows: Vec<AlertRow>,
    next: Option<String>,
}

/// The alerts that fire, of a graph or of all, the worst first, then the newest; none where alerts are not looked for.
pub(super) async fn firing(visit: &Visit, graph_id: Option<GraphId>, size: u64) -> Result<Vec<AlertRow>, Failure> {
    if !visit.ui.features.alerts {
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    for severity in [Severity::Critical, Severity::Warning, Severity::Info] {
        let size = size.saturating_sub(rows.len() as u64);
        if size > 0 {
            let (state, severity) = (Some(AlertState::Firing), Some(severity));
            let wanted = AlertFilter { state, severity, graph_id: graph_id.clone(), rule: None };
            let found = visit.services().list_alerts(&wanted, &PageRequest { size, after: None }).await?;
            rows.extend(found.items.into_iter().map(|alert| AlertRow::of(alert, visit.now)));
        }
    }
    Ok(rows)
}

/// Shows them.
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    let (services, now) = (visit.services(), visit.now);
    let (graph, rule) = (visit.asked("graph"), visit.asked("rule"));
    let wanted = AlertFilter {
        graph_id: if graph.is_empty() { None } else { Some(graph_id(graph)?) },
        rule: Some(rule.to_owned()).filter(|rule| !rule.is_empty()),
        ..AlertFilter::default()
    };
    let found = services.list_alerts(&wanted, &visit.list()?).await?;
    let silences = services.list_silences(&PageRequest { size: SHOWN, after: None }).await?;
    let rules = services.list_alert_rules(&PageRequest { size: SHOWN, after: None }).await?;
    render(&AlertsPage {
        page: visit.page("Alerts"),
        fire: services.count_firing_alerts().await?,
        firing: firing(&visit, None, SHOWN).await?,
        more_silences: silences.next_page_token.is_some(),
        silences: silences.items.into_iter().map(|row| SilenceRow::of(row, now)).collect::<Result<_, _>>()?,
        more_rules: rules.next_page_token.is_some(),
        rules: rules.items.into_iter().map(RuleRow::of).collect(),
        graph,
        rule,
        rows: found.items.into_iter().map(|alert| AlertRow::of(alert, now)).collect(),
        next: visit.next(found.next_page_token),
    })
}
