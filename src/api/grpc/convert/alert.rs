//! Alerts, their rules and silences.

use super::{all_there, instant, page, request_id, timestamp};
use crate::domain::alert::{AlertCondition, AlertState, Channel, Origin, RuleFields, RuleInForce, Severity, is_rule_name};
use crate::domain::graph_id::GraphId;
use crate::domain::page::{PageKey, PageRequest, TimeKey};
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::alerts::{NewSilence, SeenAlert, TestResult, labels_of};
use crate::store::alerts::AlertFilter;
use crate::store::entity::silence;

fn text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

pub(in crate::api::grpc) fn parse_page<K: PageKey>(page_size: i32, page_token: &str) -> Result<PageRequest<K>, Error> {
    let mut violations = Violations::default();
    let page = page(&mut violations, page_size, page_token);
    all_there(violations, page)
}

pub(super) fn severity(violations: &mut Violations, number: i32) -> Option<Severity> {
    match v1::Severity::try_from(number) {
        Ok(v1::Severity::Unspecified) => None,
        Ok(v1::Severity::Info) => Some(Severity::Info),
        Ok(v1::Severity::Warning) => Some(Severity::Warning),
        Ok(v1::Severity::Critical) => Some(Severity::Critical),
        Err(_) => {
            violations.add("severity", format_args!("is not a severity that is known: {number}"));
            None
        }
    }
}

fn state(violations: &mut Violations, number: i32) -> Option<AlertState> {
    match v1::AlertState::try_from(number) {
        Ok(v1::AlertState::Unspecified) => None,
        Ok(v1::AlertState::Pending) => Some(AlertState::Pending),
        Ok(v1::AlertState::Firing) => Some(AlertState::Firing),
        Ok(v1::AlertState::Resolved) => Some(AlertState::Resolved),
        Err(_) => {
            violations.add("state", format_args!("is not a state that is known: {number}"));
            None
        }
    }
}

fn condition(violations: &mut Violations, number: i32) -> Option<AlertCondition> {
    match v1::AlertCondition::try_from(number) {
        Ok(v1::AlertCondition::Unspecified) => None,
        Ok(v1::AlertCondition::Above) => Some(AlertCondition::Above),
        Ok(v1::AlertCondition::Below) => Some(AlertCondition::Below),
        Ok(v1::AlertCondition::Missing) => Some(AlertCondition::Missing),
        Err(_) => {
            violations.add("condition", format_args!("is not a condition that is known: {number}"));
            None
        }
    }
}

pub(in crate::api::grpc) fn parse_list(request: v1::ListAlertsRequest) -> Result<(AlertFilter, PageRequest<TimeKey>), Error> {
    let mut violations = Violations::default();
    let page = page(&mut violations, request.page_size, &request.page_token);
    let graph_id = text(request.graph_id).filter(|graph_id| graph_id != "-");
    let rule = text(request.rule);
    if let Some(rule) = rule.as_ref().filter(|rule| !is_rule_name(rule)) {
        violations.add("rule", format_args!("is not the name of a rule: {}", rule.escape_debug()));
    }
    let wanted = AlertFilter {
        state: state(&mut violations, request.state),
        severity: severity(&mut violations, request.severity),
        graph_id: graph_id.and_then(|graph_id| violations.take("graph_id", GraphId::parse(&graph_id))),
        rule,
    };
    Ok((wanted, all_there(violations, page)?))
}

pub(in crate::api::grpc) fn parse_silence(request: v1::CreateSilenceRequest) -> Result<NewSilence, Error> {
    let mut violations = Violations::default();
    let request_id = request_id(&mut violations, &request.request_id);
    if request.until.is_none() {
        violations.add("until", "is needed: a silence ends");
    }
    let until = instant(&mut violations, "until", request.until);
    let labels = request.labels.into_iter().collect();
    let new = until.map(|until| NewSilence { rule: text(request.rule), labels, until, reason: request.reason, request_id });
    all_there(violations, new)
}

pub(in crate::api::grpc) fn parse_rule(request: v1::PutAlertRuleRequest) -> Result<(RuleFields, Option<String>), Error> {
    let mut violations = Violations::default();
    let request_id = request_id(&mut violations, &request.request_id);
    let severity = severity(&mut violations, request.severity).map(|severity| severity.to_string());
    let condition = condition(&mut violations, request.condition).map(|condition| condition.to_string());
    violations.finish()?;
    let fields = RuleFields {
        name: request.name,
        enabled: request.enabled,
        severity,
        metric: text(request.metric),
        labels: Some(request.labels).filter(|labels| !labels.is_empty()).map(|labels| labels.into_iter().collect()),
        is_age: request.is_age,
        condition,
        threshold: request.threshold,
        relative_to: request.relative_to,
        for_seconds: request.for_seconds,
        summary: text(request.summary),
    };
    Ok((fields, request_id))
}

pub(super) fn severity_to_proto(severity: Severity) -> i32 {
    let severity = match severity {
        Severity::Info => v1::Severity::Info,
        Severity::Warning => v1::Severity::Warning,
        Severity::Critical => v1::Severity::Critical,
    };
    severity.into()
}

pub(in crate::api::grpc) fn to_proto(alert: SeenAlert) -> v1::Alert {
    let SeenAlert { row, labels, silenced_until } = alert;
    let state = match row.state {
        AlertState::Pending => v1::AlertState::Pending,
        AlertState::Firing => v1::AlertState::Firing,
        AlertState::Resolved => v1::AlertState::Resolved,
    };
    v1::Alert {
        alert_id: row.alert_id.to_string(),
        rule: row.rule,
        severity: severity_to_proto(row.severity),
        state: state.into(),
        graph_id: row.graph_id.map(|graph_id| graph_id.to_string()).unwrap_or_default(),
        labels: labels.into_iter().collect(),
        value: row.value,
        threshold: row.threshold,
        summary: row.summary,
        started_at: Some(timestamp(row.started_at)),
        fired_at: row.fired_at.map(timestamp),
        resolved_at: row.resolved_at.map(timestamp),
        acknowledged_at: row.acknowledged_at.map(timestamp),
        acknowledged_by: row.acknowledged_by,
        comment: row.comment,
        silenced_until: silenced_until.map(timestamp),
        told_at: row.told_at.map(timestamp),
    }
}

pub(in crate::api::grpc) fn silence_to_proto(row: silence::Model) -> Result<v1::Silence, Error> {
    let labels = labels_of(&row)?.into_iter().collect();
    Ok(v1::Silence {
        silence_id: row.silence_id.to_string(),
        rule: row.rule.unwrap_or_default(),
        labels,
        until: Some(timestamp(row.until_at)),
        reason: row.reason,
        created_by: row.created_by,
        created_at: Some(timestamp(row.created_at)),
    })
}

pub(in crate::api::grpc) fn rule_to_proto(rule: RuleInForce) -> v1::AlertRule {
    let RuleInForce { rule, is_enabled, origin } = rule;
    let condition = match rule.condition {
        AlertCondition::Above => v1::AlertCondition::Above,
        AlertCondition::Below => v1::AlertCondition::Below,
        AlertCondition::Missing => v1::AlertCondition::Missing,
    };
    let origin = match origin {
        Origin::Default => v1::AlertRuleOrigin::Default,
        Origin::Configuration => v1::AlertRuleOrigin::Configuration,
        Origin::Api => v1::AlertRuleOrigin::Api,
    };
    v1::AlertRule {
        name: rule.name,
        severity: severity_to_proto(rule.severity),
        metric: rule.metric.name.to_owned(),
        labels: rule.labels.into_iter().collect(),
        is_age: rule.is_age,
        condition: condition.into(),
        threshold: rule.threshold,
        relative_to: rule.relative_to.map(|metric| metric.name.to_owned()),
        for_seconds: i64::try_from(rule.hold.as_secs()).unwrap_or(i64::MAX),
        summary: rule.summary,
        enabled: is_enabled,
        origin: origin.into(),
    }
}

pub(in crate::api::grpc) fn result_to_proto(result: TestResult) -> v1::ChannelResult {
    let channel = match result.channel {
        Channel::Webhook => v1::NotificationChannel::Webhook,
        Channel::Email => v1::NotificationChannel::Email,
    };
    v1::ChannelResult { channel: channel.into(), delivered: result.error.is_none(), error_message: result.error }
}
