//! Where settings come from: flags, the process environment, `.env`, a TOML file; the first that has one wins.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use super::problems::Problems;
use super::table::{ALL, CLIENT_VARIABLES, Names, Setting};
use crate::app::args::Args;

/// Our own variables that are no settings.
const NOT_SETTINGS: &[&str] = &["LIGHTKEEP_BIN", "LIGHTKEEP_FAILPOINT"];
/// Variables of the test and benchmark scripts.
const NOT_SETTINGS_PREFIXES: &[&str] = &["LIGHTKEEP_TEST_", "LIGHTKEEP_BENCH_"];

/// The one key of the file that is no setting, but tables.
const ALERT_RULES: &str = "alert_rules";

/// A value as it was found, and where, in words.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) place: String,
    pub(super) values: Vec<String>,
}

/// All sources, and the problems found so far.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    flags: Vec<(&'static str, Vec<String>)>,
    environment: &'a HashMap<String, String>,
    dot_env: HashMap<String, String>,
    file: BTreeMap<String, Vec<String>>,
    alert_rules: Vec<toml::Value>,
    pub(super) file_name: String,
    pub(super) problems: Problems,
}

impl<'a> Sources<'a> {
    /// Reads all files and reports what stands in no source's list of settings.
    pub(super) fn open(args: &Args, environment: &'a HashMap<String, String>, working_dir: &Path) -> Self {
        let mut problems = Problems::default();
        let dot_env = read_dot_env(&working_dir.join(".env"), &mut problems);
        let (mut file, mut alert_rules, mut file_name) = (BTreeMap::new(), Vec::new(), String::new());
        if let Some(path) = &args.config {
            (file, alert_rules) = read_toml(&working_dir.join(path), &mut problems);
            file_name = path.display().to_string();
        }
        let sources = Self { flags: args.given(), environment, dot_env, file, alert_rules, file_name, problems };
        sources.report_unknown()
    }

    fn report_unknown(mut self) -> Self {
        for (variables, place) in [(self.environment, ""), (&self.dot_env, " in `.env`")] {
            let mut unknown: Vec<_> = variables.keys().filter(|variable| is_ours(variable) && !is_variable(variable)).collect();
            unknown.sort();
            for variable in unknown {
                self.problems.add(format!("`{variable}`{place} is no known variable: correct its name or remove it"));
            }
        }
        for key in self.file.keys().filter(|key| key.is_empty() || !ALL.iter().any(|names| names.key == key.as_str())) {
            self.problems.add(format!("`{key}` in `{}` is no known setting: correct its name or remove it", self.file_name));
        }
        self
    }

    /// The value of a setting, or its default; a wrong one is reported and answered as `None`.
    pub(super) fn read<T>(&mut self, setting: &Setting<T>) -> Option<T> {
        let (place, value) = match self.find(&setting.names, setting.names.default.is_empty()) {
            Some(mut found) if found.values.len() == 1 => (found.place, found.values.remove(0)),
            Some(found) => {
                self.problems.add(format!("{} must be a single value", found.place));
                return None;
            }
            None if setting.names.default.is_empty() => return None,
            None => ("the default".to_owned(), setting.names.default.to_owned()),
        };
        match (setting.parse)(value.trim()) {
            Ok(value) => Some(value),
            Err(must) => {
                self.problems.add(format!("{place} {must}"));
                None
            }
        }
    }

    /// The rules of alerts in the file, as they are written there.
    pub(super) fn take_alert_rules(&mut self) -> Vec<toml::Value> {
        std::mem::take(&mut self.alert_rules)
    }

    /// The values of a setting in the first source that has it.
    pub(super) fn find(&mut self, names: &Names, empty_is_unset: bool) -> Option<Found> {
        let set = |values: &Vec<String>| !empty_is_unset || values.iter().any(|value| !value.trim().is_empty());
        if let Some((flag, values)) = self.flags.iter().find(|(flag, values)| *flag == names.flag && set(values)) {
            return Some(Found { place: format!("`{flag}`"), values: values.clone() });
        }
        for (variables, place) in [(self.environment, ""), (&self.dot_env, " in `.env`")] {
            let split = |text: &String| if names.list { text.split(':').map(str::to_owned).collect() } else { vec![text.clone()] };
            let found: Vec<_> = names
                .variables
                .iter()
                .filter_map(|name| Some((*name, split(variables.get(*name)?))))
                .filter(|(_, values)| set(values))
                .collect();
            let Some((name, values)) = found.first() else { continue };
            if let Some((other, _)) = found.iter().find(|(_, other)| other != values) {
                self.problems.add(format!("`{name}`{place} and its alias `{other}` differ: remove one of them"));
            }
            return Some(Found { place: format!("`{name}`{place}"), values: values.clone() });
        }
        let values = self.file.get(names.key).filter(|values| !names.key.is_empty() && set(values))?;
        Some(Found { place: format!("`{}` in `{}`", names.key, self.file_name), values: values.clone() })
    }
}

fn is_ours(variable: &str) -> bool {
    variable.starts_with("LIGHTKEEP_")
        && !NOT_SETTINGS.contains(&variable)
        && !CLIENT_VARIABLES.iter().any(|(name, _)| *name == variable)
        && !NOT_SETTINGS_PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
}

fn is_variable(variable: &str) -> bool {
    ALL.iter().any(|names| names.variables.contains(&variable))
}

/// The file is often LightRAG's own: lines that we do not ask for may have any form. Values are never shown, they may be secrets.
fn read_dot_env(path: &Path, problems: &mut Problems) -> HashMap<String, String> {
    let mut variables = HashMap::new();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return variables,
        Err(error) => {
            problems.add(format!("`.env` cannot be read, make it a readable text file: {error}"));
            return variables;
        }
    };
    let text = text.trim_start_matches('\u{feff}');
    let mut failed = false;
    for line in dotenvy::from_read_iter(text.as_bytes()) {
        match line {
            Ok((name, value)) => drop(variables.insert(name, value)),
            Err(_) => failed = true,
        }
    }
    // The parser's error does not tell the variable.
    for line in text.lines().filter(|_| failed) {
        let line = line.trim_start();
        let name = line.strip_prefix("export ").unwrap_or(line).split('=').next().unwrap_or_default().trim();
        if (is_variable(name) || is_ours(name)) && !variables.contains_key(name) {
            problems.add(format!("`{name}` in `.env` cannot be parsed: put its value in single quotes"));
        }
    }
    variables
}

/// The settings of the file, and its rules of alerts.
fn read_toml(path: &Path, problems: &mut Problems) -> (BTreeMap<String, Vec<String>>, Vec<toml::Value>) {
    let (mut values, mut alert_rules) = (BTreeMap::new(), Vec::new());
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let advice = if error.kind() == io::ErrorKind::NotFound { "name an existing file" } else { "make it a readable text file" };
            problems.add(format!("`--config` cannot be read, {advice}: {}: {error}", path.display()));
            return (values, alert_rules);
        }
    };
    match text.parse::<toml::Table>() {
        Ok(mut table) => {
            match table.remove(ALERT_RULES) {
                Some(toml::Value::Array(rules)) => alert_rules = rules,
                Some(_) => {
                    problems.add(format!("`{ALERT_RULES}` in `{}` must be tables, each written `[[{ALERT_RULES}]]`", path.display()))
                }
                None => {}
            }
            flatten("", table, &mut values, path, problems);
        }
        Err(error) => {
            // The error's own text quotes the line, which may hold a secret.
            let line = error.span().map_or(1, |span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1);
            problems.add(format!("`{}` is not valid TOML, correct line {line}: {}", path.display(), error.message()));
        }
    }
    (values, alert_rules)
}

fn flatten(prefix: &str, table: toml::Table, values: &mut BTreeMap<String, Vec<String>>, path: &Path, problems: &mut Problems) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        let list = ALL.iter().any(|names| names.list && names.key == key);
        match value {
            toml::Value::Table(table) => flatten(&key, table, values, path, problems),
            toml::Value::Array(array) if list && array.iter().all(toml::Value::is_str) => {
                values.insert(key, array.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect());
            }
            value => match scalar(&value) {
                Some(text) => drop(values.insert(key, vec![text])),
                None => problems.add(format!("`{key}` in `{}` has the wrong type: {}", path.display(), value.type_str())),
            },
        }
    }
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(yes.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}
