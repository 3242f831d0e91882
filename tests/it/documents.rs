//! The documents have what the code has: every RPC, rule of the audit and of alerts, kind of operation, setting and fail point.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use lightkeep::domain::alert::{Rule as RuleOfAlerts, defaults};
use lightkeep::domain::finding::Rule;
use lightkeep::proto::FILE_DESCRIPTOR_SET;
use prost_reflect::DescriptorPool;

use crate::reference::{code, quoted};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The words in backticks of the lines that are rows of tables.
fn named_in_tables(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

fn missing<'a>(words: impl IntoIterator<Item = &'a String>, there: &BTreeSet<String>) -> Vec<&'a String> {
    words.into_iter().filter(|word| !there.contains(*word)).collect()
}

#[test]
fn every_rpc_is_told_with_what_it_means() {
    let api = document("docs/API.md");
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let services = pool.services().filter(|service| service.package_name() == "lightkeep.v1");
    let rpcs = services.flat_map(|service| service.methods().map(|rpc| rpc.name().to_owned()).collect::<Vec<_>>());
    let words: BTreeSet<&str> = api.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let absent: Vec<String> = rpcs.filter(|rpc| !words.contains(rpc.as_str())).collect();
    assert_eq!(absent, Vec::<String>::new());
}

#[test]
fn every_rule_of_the_audit_is_explained_in_its_own_words() {
    let api = document("docs/API.md");
    let absent = Rule::ALL.into_iter().map(|rule| format!("| `{rule:?}` | {rule} |")).filter(|row| !api.contains(row));
    assert_eq!(absent.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn every_default_rule_has_its_entry() {
    let operations = document("docs/OPERATIONS.md");
    let is_told = |rule: &RuleOfAlerts| {
        let (severity, minutes) = (rule.severity, rule.hold.as_secs() / 60);
        let hold = if minutes == 0 { "at once".to_owned() } else { format!("{minutes} min") };
        operations.contains(&format!("| `{}` | {severity}, {hold} | ", rule.name))
    };
    let absent: Vec<String> = defaults::rules().into_iter().filter(|rule| !is_told(rule)).map(|rule| rule.name).collect();
    assert_eq!(absent, Vec::<String>::new());
}

/// How many seconds a duration of Prometheus is.
fn seconds(duration: &str) -> u64 {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => panic!("{duration}"),
    };
    number.parse::<u64>().unwrap() * unit
}

#[test]
fn every_default_rule_is_one_of_prometheus_too() {
    let text = document("docs/monitoring/lightkeep.rules.yml");
    let alerts: BTreeMap<&str, &str> = text.split("\n      - alert: ").skip(1).map(|alert| alert.split_once('\n').unwrap()).collect();
    let is_the_same = |rule: &RuleOfAlerts| {
        let alert = alerts.get(rule.name.as_str()).and_then(|alert| alert.split_once("\n        labels:\n"));
        let Some((condition, labels)) = alert else { return false };
        let hold = condition.lines().find_map(|line| line.strip_prefix("        for: ")).map_or(0, seconds);
        let severity = labels.lines().find_map(|line| line.strip_prefix("          severity: "));
        // Whole words: names of metrics begin as others do.
        let words: BTreeSet<&str> = condition.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let names_all = [Some(rule.metric), rule.relative_to].into_iter().flatten().all(|metric| words.contains(metric.name));
        names_all && hold == rule.hold.as_secs() && severity == Some(rule.severity.as_str())
    };
    let rules = defaults::rules();
    let others: Vec<&str> = rules.iter().filter(|rule| !is_the_same(rule)).map(|rule| rule.name.as_str()).collect();
    assert_eq!(others, Vec::<&str>::new());
    // The server cannot tell of these itself.
    let extra: Vec<&str> = alerts.into_keys().filter(|name| rules.iter().all(|rule| rule.name != *name)).collect();
    assert_eq!(extra, ["CollectionStalled", "LightkeepDown"]);
}

#[test]
fn every_kind_of_operation_is_told() {
    let named = named_in_tables(&document("docs/API.md"));
    let kinds = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap().get_enum_by_name("lightkeep.v1.OperationKind").unwrap();
    let word = |name: &str| name.strip_prefix("OPERATION_KIND_").unwrap().to_lowercase();
    let kinds: Vec<String> = kinds.values().filter(|value| value.number() > 0).map(|value| word(value.name())).collect();
    assert_eq!(missing(&kinds, &named), Vec::<&String>::new());
}

#[test]
fn every_setting_is_told() {
    let variables = quoted(&code(&root().join("src/app/config")), |c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let variables: Vec<String> =
        variables.into_iter().filter(|name| name.starts_with("LIGHTKEEP_") || name.starts_with("LIGHTRAG_")).collect();
    assert!(variables.len() > 25, "{variables:?}");
    let configuration = document("docs/CONFIGURATION.md");
    let absent: Vec<_> = variables.iter().filter(|name| !configuration.contains(&format!("`{name}`"))).collect();
    assert_eq!(absent, Vec::<&String>::new());
}

#[test]
fn every_fail_point_is_named() {
    let text = code(&root().join("src"));
    let reached = text.split("reach(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    let reached: BTreeSet<String> = reached.collect();
    assert!(reached.len() > 30, "{reached:?}");
    let architecture = document("docs/ARCHITECTURE.md");
    let absent: Vec<_> = reached.iter().filter(|point| !architecture.contains(&format!("`{point}`"))).collect();
    assert_eq!(absent, Vec::<&String>::new());
}
