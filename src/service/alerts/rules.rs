//! Rules: the default ones, those of the operator's file, and those that callers make.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;

use super::super::Services;
use super::super::error::Error;
use super::super::idempotency::Request;
use crate::domain::alert::{Origin, RuleFields, RuleInForce, SeriesLabels, is_rule_name};
use crate::domain::caller::Caller;
use crate::domain::page::{Page, PageRequest};
use crate::store::entity::alert_rule::Model;
use crate::store::{self, alert_rules};

impl Services {
    /// All rules as they count, by their names.
    pub(super) async fn alert_rules(&self, connection: &impl ConnectionTrait) -> Result<BTreeMap<String, RuleInForce>, Error> {
        let settings = self.settings().alerts.rules.iter();
        let mut rules: BTreeMap<String, RuleInForce> = settings.map(|rule| (rule.rule.name.clone(), rule.clone())).collect();
        for row in alert_rules::list_all(connection).await? {
            let name = row.name.clone();
            match written(row).parse(None) {
                Ok((rule, is_enabled)) => drop(rules.insert(name, RuleInForce { rule, is_enabled, origin: Origin::Api })),
                // Another version has written it, which has other metrics. Nothing else may suffer from it.
                Err(violations) => {
                    tracing::warn!(rule = name, error = violations.to_string(), "a rule of alerts is not understood, write it anew");
                }
            }
        }
        Ok(rules)
    }

    /// Rules, by their names.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_alert_rules(&self, page: &PageRequest<String>) -> Result<Page<RuleInForce>, Error> {
        let rules = self.alert_rules(self.store().read()).await?;
        let is_behind = |name: &String| page.after.as_ref().is_none_or(|after| name > after);
        let most = usize::try_from(page.size).unwrap_or(usize::MAX).saturating_add(1);
        let rules = rules.into_iter().filter(|(name, _)| is_behind(name)).map(|(_, rule)| rule).take(most).collect();
        Ok(page.page(rules, |rule| rule.rule.name.clone()))
    }

    /// Makes a rule, or changes the one of its name; gives it as it is then.
    ///
    /// # Errors
    /// Something is wrong with it.
    pub async fn put_alert_rule(&self, caller: &Caller, fields: &RuleFields, request_id: Option<&str>) -> Result<RuleInForce, Error> {
        match self.put_alert_rule_once(caller, fields, request_id).await {
            Err(error) if error.is_race() => self.put_alert_rule_once(caller, fields, request_id).await,
            result => result,
        }
    }

    async fn put_alert_rule_once(&self, caller: &Caller, fields: &RuleFields, request_id: Option<&str>) -> Result<RuleInForce, Error> {
        let shown = format!("{fields:?}");
        let body = [shown.as_str()];
        let request = Request { request_id, action: "PutAlertRule", body: &body };
        let transaction = self.store().begin().await?;
        let there = self.alert_rules(&*transaction).await?.remove(&fields.name);
        if request.find_subject(&*transaction).await?.is_some() {
            return there.ok_or_else(|| unknown(&fields.name));
        }
        let (rule, is_enabled) = fields.clone().parse(there.as_ref())?;
        let rule = RuleInForce { rule, is_enabled, origin: Origin::Api };
        alert_rules::put(&*transaction, self.alert_rule_row(&rule)).await?;
        request.remember(self, &*transaction, rule.rule.name.clone()).await?;
        self.record_audit(&*transaction, caller, "PutAlertRule", None, Some(rule.rule.name.clone())).await?;
        store::commit(transaction).await?;
        Ok(rule)
    }

    fn alert_rule_row(&self, RuleInForce { rule, is_enabled, .. }: &RuleInForce) -> Model {
        Model {
            name: rule.name.clone(),
            is_enabled: *is_enabled,
            severity: rule.severity,
            metric: rule.metric.name.to_owned(),
            labels: to_json(&rule.labels),
            is_age: rule.is_age,
            condition: rule.condition,
            threshold: rule.threshold,
            relative_to: rule.relative_to.map(|metric| metric.name.to_owned()),
            for_seconds: i64::try_from(rule.hold.as_secs()).unwrap_or(i64::MAX),
            summary: rule.summary.clone(),
            changed_at: self.now(),
        }
    }

    /// Removes what a caller has made of a rule: one that was there before is as it was.
    ///
    /// # Errors
    /// There is none with this name.
    pub async fn delete_alert_rule(&self, caller: &Caller, name: &str, request_id: Option<&str>) -> Result<(), Error> {
        if !is_rule_name(name) {
            return Err(unknown(name));
        }
        let request = Request { request_id, action: "DeleteAlertRule", body: &[name] };
        let transaction = self.store().begin().await?;
        if request.find_subject(&*transaction).await?.is_some() {
            return Ok(());
        }
        let was_there = alert_rules::delete(&*transaction, name).await?;
        if !was_there && !self.settings().alerts.rules.iter().any(|rule| rule.rule.name == name) {
            return Err(unknown(name));
        }
        request.remember(self, &*transaction, name.to_owned()).await?;
        self.record_audit(&*transaction, caller, "DeleteAlertRule", None, Some(name.to_owned())).await?;
        Ok(store::commit(transaction).await?)
    }
}

pub(super) fn unknown(name: &str) -> Error {
    Error::NotFound { kind: "Rule", id: name.to_owned() }
}

/// A row in the form in which it is checked.
fn written(row: Model) -> RuleFields {
    RuleFields {
        name: row.name,
        enabled: Some(row.is_enabled),
        severity: Some(row.severity.to_string()),
        metric: Some(row.metric),
        labels: Some(from_json(&row.labels)),
        is_age: Some(row.is_age),
        condition: Some(row.condition.to_string()),
        threshold: Some(row.threshold),
        relative_to: row.relative_to,
        for_seconds: Some(row.for_seconds),
        summary: Some(row.summary),
    }
}

/// Labels as a column has them: names in order, so that equal labels are equal texts.
pub(super) fn to_json(labels: &SeriesLabels) -> String {
    serde_json::to_string(labels).unwrap_or_default()
}

/// The labels of a column.
pub(super) fn from_json(json: &str) -> SeriesLabels {
    serde_json::from_str(json).unwrap_or_default()
}
