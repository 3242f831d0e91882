//! The documents have what the code has: every reason, RPC, rule of the audit and of alerts, kind of operation, setting and fail point.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use lightkeep::domain::alert::{Rule as RuleOfAlerts, defaults};
use lightkeep::domain::finding::Rule;
use lightkeep::proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};

/// gRPC codes look like reasons; these two are both.
const CODES: [&str; 13] = [
    "ALREADY_EXISTS",
    "DATA_LOSS",
    "DEADLINE_EXCEEDED",
    "FAILED_PRECONDITION",
    "NOT_FOUND",
    "OUT_OF_RANGE",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "ABORTED",
    "CANCELLED",
    "UNAVAILABLE",
    "UNAUTHENTICATED",
    "UNIMPLEMENTED",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The Rust code below a folder, without its unit tests.
fn code(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            text.push_str(&code(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(fs::read_to_string(&path).unwrap().split("#[cfg(test)]").next().unwrap());
        }
    }
    text
}

/// The words in double quotes that consist of these characters only.
fn quoted(text: &str, is_part: fn(char) -> bool) -> BTreeSet<String> {
    let between = text.split('"').filter(|word| !word.is_empty() && word.chars().all(is_part));
    between.map(str::to_owned).collect()
}

/// The words in backticks of the lines that are rows of tables.
fn named_in_tables(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// All reasons that an answer or an operation can have.
fn reasons() -> BTreeSet<String> {
    let text = format!("{}{}", code(&root().join("src/service")), code(&root().join("src/api")));
    let mut reasons = quoted(&text, |c| c.is_ascii_uppercase() || c == '_');
    reasons.retain(|word| word.len() > 1 && (word.contains('_') || word == "INTERNAL") && !CODES.contains(&word.as_str()));
    // Names of variables of the build, and of those that a drill's command and hooks are given, are no reasons.
    for name in [
        "CARGO_PKG_VERSION",
        "WORKING_DIR",
        "INPUT_DIR",
        "LIGHTKEEP_DRILL_GRAPH_ID",
        "LIGHTKEEP_DRILL_OPERATION_ID",
        "LIGHTKEEP_FAILOVER_ID",
        "LIGHTKEEP_GRAPH_IDS",
        "LIGHTKEEP_HOOK_ACTION",
        "LIGHTKEEP_HOOK_EVENT",
        "LIGHTKEEP_HOOK_RUN",
        "LIGHTKEEP_DRILL_COMMAND",
        "LIGHTKEEP_HOOK_SECRET",
        "LIGHTKEEP_REPOSITORY_PASSWORD_COMMAND",
        "LIGHTRAG_API_KEY",
        "LIGHTRAG_RECOVERY_DB_URL",
    ] {
        assert!(reasons.remove(name), "{name} is not there any more");
    }
    // What is not found has its kind in its reason.
    let kinds = text.split("NotFound { kind: \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    reasons.extend(kinds.map(|kind| format!("{}_NOT_FOUND", kind.to_uppercase())));
    reasons
}

fn missing<'a>(words: impl IntoIterator<Item = &'a String>, there: &BTreeSet<String>) -> Vec<&'a String> {
    // A row may stand for several reasons: `BODY_*`.
    let is_covered = |word: &str| there.iter().any(|row| row.strip_suffix('*').is_some_and(|start| word.starts_with(start)));
    words.into_iter().filter(|word| !there.contains(*word) && !is_covered(word)).collect()
}

#[test]
fn every_reason_has_its_row_and_its_advice() {
    let reasons = reasons();
    assert!(reasons.len() > 50 && reasons.contains("GRAPH_NOT_FOUND") && reasons.contains("INTERNAL"), "{reasons:?}");
    let (api, operations) = (document("docs/API.md"), document("docs/OPERATIONS.md"));
    let (_, errors) = api.split_once("\n## Errors\n").unwrap();
    assert_eq!(missing(&reasons, &named_in_tables(errors)), Vec::<&String>::new(), "have no row in docs/API.md");
    let (_, runbook) = operations.split_once("\n## Runbook\n").unwrap();
    assert_eq!(missing(&reasons, &named_in_tables(runbook)), Vec::<&String>::new(), "have no entry in docs/OPERATIONS.md");
}

#[test]
fn every_rpc_has_its_row_and_its_section() {
    let api = document("docs/API.md");
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let services: Vec<_> = pool.services().filter(|service| service.package_name() == "lightkeep.v1").collect();
    let mut absent = vec![];
    for rpc in services.iter().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let options = rpc.options();
        // What only peers call has no route.
        if !options.has_extension(&http) {
            if !api.contains(&format!("`{}`", rpc.name())) {
                absent.push(rpc.full_name().to_owned());
            }
            continue;
        }
        let rule: DynamicMessage = options.get_extension(&http).as_message().unwrap().clone();
        let path = |method: &str| match rule.get_field_by_name(method)?.as_ref() {
            Value::String(path) if !path.is_empty() => Some(format!("{} {path}", method.to_uppercase())),
            _ => None,
        };
        let route = ["get", "put", "post", "delete", "patch"].into_iter().find_map(path).unwrap().replace("/api/backup/backup", "B");
        let row = format!("| {}/{} | `{route}` |", rpc.parent_service().name(), rpc.name());
        if !api.contains(&row) || api.matches(rpc.name()).count() < 2 {
            absent.push(row);
        }
    }
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
