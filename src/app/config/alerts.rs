//! Alerts: their rules, which are tables of the TOML file, and who is told.

use std::collections::BTreeMap;

use super::sources::Sources;
use super::table;
use crate::domain::alert::{Origin, RuleFields, RuleInForce, defaults};
use crate::service::alerts::{AlertSettings, MailSettings, WebhookSettings};

/// Reads and checks all that is set for alerts. All that is wrong with it is a problem.
pub(super) fn alerts(sources: &mut Sources<'_>) -> AlertSettings {
    let is_enabled = sources.read(&table::ALERTS_ENABLED).unwrap_or(false);
    let (url, secret) = (sources.read(&table::ALERT_WEBHOOK_URL), sources.read(&table::ALERT_WEBHOOK_SECRET));
    AlertSettings { is_enabled, rules: rules(sources), webhook: url.map(|url| WebhookSettings { url, secret }), mail: mail(sources) }
}

fn mail(sources: &mut Sources<'_>) -> Option<MailSettings> {
    let names = [&table::ALERT_SMTP_URL.names, &table::ALERT_MAIL_FROM.names, &table::ALERT_MAIL_TO.names];
    let given = names.into_iter().filter(|names| sources.find(names, true).is_some()).count();
    if given > 0 && given < names.len() {
        let [url, from, to] = names.map(|names| names.variables[0]);
        sources.problems.add(format!("`{url}`, `{from}` and `{to}` belong together: set all of them, or none"));
    }
    let smtp_url = sources.read(&table::ALERT_SMTP_URL);
    let (from, to) = (sources.read(&table::ALERT_MAIL_FROM), sources.read(&table::ALERT_MAIL_TO));
    Some(MailSettings { smtp_url: smtp_url?, from: from?, to: to? })
}

/// The default rules with what the file says of them, and its own.
fn rules(sources: &mut Sources<'_>) -> Vec<RuleInForce> {
    let mut rules: BTreeMap<String, RuleInForce> = defaults::in_force().into_iter().map(|rule| (rule.rule.name.clone(), rule)).collect();
    for (number, written) in (1..).zip(sources.take_alert_rules()) {
        match read(written, &rules) {
            Ok(rule) => drop(rules.insert(rule.rule.name.clone(), rule)),
            Err(problems) => {
                let place = format!("`alert_rules` {number} in `{}`", sources.file_name);
                problems.into_iter().for_each(|problem| sources.problems.add(format!("{place}: {problem}")));
            }
        }
    }
    rules.into_values().collect()
}

fn read(written: toml::Value, rules: &BTreeMap<String, RuleInForce>) -> Result<RuleInForce, Vec<String>> {
    let fields: RuleFields = written.try_into().map_err(|error: toml::de::Error| vec![error.message().to_owned()])?;
    let there = rules.get(&fields.name);
    if there.is_some_and(|there| there.origin == Origin::Configuration) {
        return Err(vec![format!("`name` is that of another rule in the file, choose another: {}", fields.name)]);
    }
    match fields.parse(there) {
        Ok((rule, is_enabled)) => Ok(RuleInForce { rule, is_enabled, origin: Origin::Configuration }),
        Err(violations) => Err(violations.iter().map(|violation| format!("`{}` {}", violation.field, violation.description)).collect()),
    }
}
